// SPDX-License-Identifier: MIT OR GPL-2.0
//! One step of one thread.

use crate::{
    mistake::Mistake,
    state::{device_of, Frame, Gate, Pte, State},
    thread::{At, Draft, Mmap, Op, Source, Then, Thread},
};

/// A thread takes its next step.
pub struct Run {
    /// Before, and what becomes of it.
    pub s: State,
    /// Which thread.
    pub i: usize,
    /// Which of the entries that it makes are kept.
    pub kept: Kept,
}

/// Which of the entries are kept that a step makes in a device's page table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// All of them.
    All,
    /// That of this page, or none.
    Only(Option<usize>),
}

impl Run {
    /// Takes the next step of thread `i`; a copy that the step makes fails if `fail` says so.
    /// Returns [`None`] when the thread waits.
    pub fn step(s: &State, i: usize, fail: bool, kept: Kept) -> Option<State> {
        let s = s.clone();
        let mut run = Self { s, i, kept };
        run.advance(fail).then_some(run.s)
    }

    /// The same in place; a thread that waits changes nothing.
    pub fn advance(&mut self, fail: bool) -> bool {
        let mut step = self.t().at;
        let mut ptes = self.s.pte;
        let done = self.dispatch(fail);
        if done && self.kept != Kept::All {
            while self.t().goes_on(step, ptes == self.s.pte) {
                step = self.t().at;
                ptes = self.s.pte;
                if !self.dispatch(fail) {
                    break;
                }
            }
        }
        self.s.threads.retain(|t| t.at != At::Done);
        done
    }

    fn dispatch(&mut self, fail: bool) -> bool {
        match self.t().at {
            At::FaultLockMm => return self.fault_lock_mm(),
            At::FaultLockBlock => return self.fault_lock_block(),
            At::FaultPlace => self.fault_place(),
            At::DuplicatePopulate => return self.duplicate_populate(),
            At::DuplicateDraft => self.duplicate_draft(),
            At::DuplicateInvalidate => self.duplicate_invalidate(),
            At::DuplicateProtect => self.duplicate_protect(),
            At::DuplicateCopy => self.duplicate_copy(fail),
            At::MapBegin => return self.map_begin(fail),
            At::MapRead(v) => return self.map_read(v as usize),
            At::MapNear => return self.map_near(),
            At::MapEnter => self.map_enter(),
            At::MigrateInvalidate => self.migrate_invalidate(),
            At::MigrateCollect => self.migrate_collect(),
            At::MigrateUnmapInvalidate => self.migrate_unmap_invalidate(),
            At::MigrateUnmap => self.migrate_unmap(),
            At::MigrateCopy => self.migrate_copy(fail),
            At::MigrateInsertInvalidate => self.migrate_insert_invalidate(),
            At::MigrateCommit => self.migrate_commit(),
            At::MigrateRestore(v) => self.migrate_restore(v as usize),
            At::MigratePut(v) => self.migrate_put(v as usize),
            At::CpuLook => return self.cpu_look(),
            At::CpuCowInvalidate => self.cpu_cow_invalidate(),
            At::CpuCowSet => self.cpu_cow_set(),
            At::CpuUnlockPage => self.cpu_unlock_page(),
            At::CpuPutPage => self.cpu_put_page(),
            At::DontNeedInvalidate => self.dont_need_invalidate(),
            At::DontNeedZap => self.dont_need_zap(),
            At::ForkInvalidate => self.fork_invalidate(),
            At::ForkCopy => self.fork_copy(),
            At::ExitInvalidate => self.exit_invalidate(),
            At::ExitZap => self.exit_zap(),
            At::EvictDropCopies => self.evict_drop_copies(),
            At::EvictHold => self.evict_hold(),
            At::EvictLock => self.evict_lock(),
            At::UnplugClose => self.unplug_close(),
            At::UnplugWait => return self.unplug_wait(),
            At::UnplugDropCopies => self.unplug_drop_copies(),
            At::UnplugNext => return self.unplug_next(),
            At::UnplugGone => self.unplug_gone(),
            At::PlugAgain => self.plug_again(),
            At::DetachClose => self.detach_close(),
            At::DetachWait => return self.detach_wait(),
            At::DetachTake => self.detach_take(),
            At::DetachDropCopies => self.detach_drop_copies(),
            At::AttachAgain => self.attach_again(),
            At::Done => return false,
        }
        true
    }

    /// The thread as it is.
    pub fn t(&self) -> Thread {
        self.s.threads[self.i]
    }

    /// The thread, to change it.
    pub fn me(&mut self) -> &mut Thread {
        &mut self.s.threads[self.i]
    }

    /// Its process.
    pub fn p(&self) -> usize {
        self.t().p as usize
    }

    /// Its device.
    pub fn d(&self) -> usize {
        self.t().d as usize
    }

    /// Goes on with another step.
    pub fn goto(&mut self, at: At) {
        self.me().at = at;
    }

    /// Is this done wrong?
    pub fn errs(&self, mistake: Mistake) -> bool {
        self.s.mistake == Some(mistake)
    }

    /// Is the page the thread's device's own?
    pub fn is_local(&self, f: Frame) -> bool {
        device_of(f) == Some(self.d())
    }

    /// Maps a new page of zeroes; returns `false` when the host has none.
    pub fn fill(&mut self, v: usize) -> Option<Frame> {
        let p = self.p();
        let f = self.s.alloc(None)?;
        self.s.copy(None, f);
        self.s.pte[p][v] = Pte::Map { f, w: true };
        self.s.page(f).refs -= 1;
        Some(f)
    }

    /// Is another thread inside the gate of this thread's device, or context?
    pub fn is_entered(&self, context: bool) -> bool {
        let t = self.t();
        let mut others = self.s.threads.iter();
        others.any(|other| other.inside && other.d == t.d && (!context || other.p == t.p))
    }

    /// Gives drafts up.
    pub fn drop_drafts(&mut self) {
        let draft = core::mem::replace(&mut self.me().draft, Draft::None);
        if let Draft::New(list) = draft {
            for (copy, original) in list.into_iter().flatten() {
                if copy != original {
                    self.s.put(copy);
                }
                if !self.errs(Mistake::CopyWithoutReference) {
                    self.s.put(original);
                }
            }
        }
    }

    /// Ends the operation.
    pub fn end(&mut self) {
        self.drop_drafts();
        let t = self.t();
        self.me().inside = false;
        self.goto(At::Done);
        if !t.inside || self.errs(Mistake::LostWakeUp) {
            return;
        }
        for other in &mut self.s.threads {
            let waits = other.at == At::UnplugWait || other.at == At::DetachWait && other.p == t.p;
            other.woken |= waits && other.d == t.d;
        }
    }

    /// Goes on where `then` says.
    pub fn finish(&mut self, then: Then) {
        match then {
            Then::End => self.end(),
            Then::Read(v) => self.goto(At::MapRead(v)),
            Then::Near => self.goto(At::MapNear),
            Then::Map => self.goto(At::MapBegin),
            Then::Unlock => self.goto(At::CpuUnlockPage),
            Then::Unplug => self.goto(At::UnplugNext),
        }
    }

    /// Forgets the migration.
    pub fn forget_migration(&mut self) {
        let t = self.me();
        t.src = [Source::None; crate::state::PAGES];
        t.dst = [None; crate::state::PAGES];
        t.moved = Default::default();
        t.told = None;
    }
}

/// What one can begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// The operation.
    pub op: Op,
    /// The process.
    pub p: usize,
    /// The device.
    pub d: usize,
    /// The page.
    pub v: usize,
    /// Does it write?
    pub write: bool,
    /// The page frame, of an eviction.
    pub f: Frame,
}

impl Start {
    /// Begins the operation, or returns [`None`] when nothing would come of it now.
    pub fn begin(self, s: &State) -> Option<State> {
        let Self {
            op,
            p,
            d,
            v,
            write,
            f,
        } = self;
        let exits = s.threads.iter().any(|t| t.op == Op::Exit);
        let alive = s.procs[p].alive && !(p == 1 && exits);
        let gates = alive && s.contexts[p][d] == Gate::Open && s.devices[d] == Gate::Open;
        let free = |write: bool| {
            let mut users = s.threads.iter().filter(|t| t.p as usize == p);
            !users.any(|t| t.mmap == Mmap::Write || write && t.mmap != Mmap::None)
        };
        let at = match op {
            Op::DeviceFault | Op::Duplicate if gates => At::FaultLockMm,
            Op::CpuFault if alive && free(false) && !s.is_usable(p, v, write) => At::CpuLook,
            Op::DontNeed if alive && free(false) && s.pte[p].iter().any(|e| *e != Pte::None) => {
                At::DontNeedInvalidate
            }
            Op::Fork if p == 0 && !s.procs[1].alive && free(true) => At::ForkInvalidate,
            Op::Exit if p == 1 && alive && !s.threads.iter().any(|t| t.is_of(1)) => {
                At::ExitInvalidate
            }
            Op::Evict if s.devices[d] == Gate::Open && s.is_victim(f) && !s.is_evicting(d) => {
                At::EvictDropCopies
            }
            Op::Detach if alive && s.contexts[p][d] == Gate::Open => At::DetachClose,
            Op::Unplug if s.devices[d] == Gate::Open && !s.is_unplugging(d) => At::UnplugClose,
            _ => return None,
        };
        let mut t = Thread::new(op, at);
        t.p = p as u8;
        t.d = d as u8;
        t.v = v as u8;
        t.write = write;
        match op {
            Op::DeviceFault | Op::Duplicate => t.inside = true,
            Op::CpuFault | Op::DontNeed => t.mmap = Mmap::Read,
            Op::Fork => t.mmap = Mmap::Write,
            Op::Evict => {
                t.src[0] = Source::Page {
                    f,
                    w: false,
                    ok: true,
                };
            }
            _ => {}
        }
        let mut s = s.clone();
        s.threads.push(t);
        Some(s)
    }
}

impl State {
    /// Would the CPU's access succeed, or wait for a migration?
    fn is_usable(&self, p: usize, v: usize, write: bool) -> bool {
        match self.pte[p][v] {
            Pte::None => !write,
            Pte::Map { f, w } => device_of(f).is_none() && (w || !write),
            Pte::Migration { .. } => true,
        }
    }

    fn is_victim(&self, f: Frame) -> bool {
        let mut copies = self.copies.iter().flatten().flatten().flatten();
        self.mapped(f) > 0 || copies.any(|copied| copied.f == f)
    }

    fn is_evicting(&self, d: usize) -> bool {
        let mut threads = self.threads.iter().filter(|t| t.d as usize == d);
        threads.any(|t| t.op == Op::Evict || t.op == Op::Unplug)
    }

    fn is_unplugging(&self, d: usize) -> bool {
        let mut threads = self.threads.iter().filter(|t| t.d as usize == d);
        threads.any(|t| t.op == Op::Unplug)
    }
}
