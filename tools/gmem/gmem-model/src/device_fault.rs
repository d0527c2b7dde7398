// SPDX-License-Identifier: MIT OR GPL-2.0
//! Device faults, as `mm/gmem/fault` serves them.

use crate::{
    mistake::Mistake,
    run::{Kept, Run},
    state::{device_of, Copied, Entry, Pte, PAGES},
    thread::{At, Draft, Kind, Mmap, Op, Then},
};

/// How often pages are brought before they are mapped where they are; the kernel tries once more.
const MAX_MOVES: u8 = 2;

impl Run {
    /// Takes the mmap_lock.
    pub fn fault_lock_mm(&mut self) -> bool {
        let t = self.t();
        let mut others = self.s.threads.iter();
        if others.any(|other| other.p == t.p && other.mmap == Mmap::Write) {
            return false;
        }
        if self.kept != Kept::All && self.block_is_locked() {
            return false;
        }
        self.me().mmap = Mmap::Read;
        self.goto(At::FaultLockBlock);
        true
    }

    /// Takes the lock of the block.
    pub fn fault_lock_block(&mut self) -> bool {
        if self.block_is_locked() {
            return false;
        }
        self.me().block = true;
        self.goto(At::FaultPlace);
        true
    }

    fn block_is_locked(&self) -> bool {
        let t = self.t();
        self.s.threads.iter().any(|o| o.p == t.p && o.block)
    }

    /// Chooses the place and reserves it.
    pub fn fault_place(&mut self) {
        let (t, p) = (self.t(), self.p());
        if t.op == Op::Duplicate {
            return self.goto(At::DuplicatePopulate);
        }
        let mut any = false;
        if t.moves < MAX_MOVES {
            for v in 0..self.s.pages {
                let local = matches!(self.s.pte[p][v], Pte::Map { f, .. } if self.is_local(f));
                let dst = if local {
                    None
                } else {
                    self.s.alloc(Some(self.d()))
                };
                if let Some(g) = dst {
                    self.s.page(g).locked = true;
                    any = true;
                }
                self.me().dst[v] = dst;
            }
        }
        if any {
            self.migrate(Kind::ToDevice, Then::Map);
        } else {
            self.goto(At::MapBegin);
        }
    }

    /// Begins to read the page table.
    ///
    /// Where steps are merged, `fail` says that what is read changes before it is read.
    pub fn map_begin(&mut self, fail: bool) -> bool {
        if fail {
            self.restart(self.t().moves);
            return true;
        }
        let proc = self.s.procs[self.p()];
        if proc.odd && proc.current {
            return false;
        }
        let t = self.me();
        t.reading = true;
        t.changed = false;
        t.at = At::MapRead(0);
        true
    }

    /// Reads one entry, after faulting it in as a CPU would.
    pub fn map_read(&mut self, v: usize) -> bool {
        let (t, p) = (self.t(), self.p());
        if t.changed {
            self.restart(t.moves);
            return true;
        }
        match self.s.pte[p][v] {
            Pte::Migration { .. } => return false,
            Pte::None => match self.fill(v) {
                Some(f) => self.me().read[v] = Some((f, true)),
                None => {
                    self.end();
                    return true;
                }
            },
            Pte::Map { f, w } if device_of(f).is_none() && t.write && !w => {
                self.fault_in(v, Then::Read(v as u8));
                return true;
            }
            Pte::Map { f, w } => self.me().read[v] = Some((f, w)),
        }
        if v + 1 < self.s.pages {
            self.goto(At::MapRead(v as u8 + 1));
        } else {
            self.judge();
        }
        true
    }

    /// Handles the fault of a CPU on the way.
    fn fault_in(&mut self, v: usize, outer: Then) {
        let t = self.me();
        t.v = v as u8;
        t.outer = outer;
        t.at = At::CpuLook;
    }

    /// Decides whether what was read can be entered.
    fn judge(&mut self) {
        let t = self.t();
        let movable = t.op == Op::DeviceFault;
        let may_come = movable && t.moves + 1 < MAX_MOVES;
        let mut remote = false;
        for (v, read) in t.read.into_iter().enumerate() {
            let Some((f, w)) = read else { continue };
            let local = self.is_local(f);
            remote |= !local;
            if device_of(f).is_some() && !((local || may_come) && (w || !t.write)) {
                let me = self.me();
                me.v = v as u8;
                me.reading = false;
                me.changed = false;
                me.read = [None; PAGES];
                return self.goto(At::MapNear);
            }
        }
        if may_come && remote {
            return self.restart(t.moves + 1);
        }
        self.goto(At::MapEnter);
    }

    /// Brings a page home that this device cannot use where it is.
    pub fn map_near(&mut self) -> bool {
        let (t, p) = (self.t(), self.p());
        match self.s.pte[p][t.v as usize] {
            Pte::Migration { .. } => return false,
            Pte::Map { f, w } if device_of(f).is_some() || t.write && !w => {
                self.fault_in(t.v as usize, Then::Near);
            }
            _ => self.restart((t.moves + 1).min(MAX_MOVES)),
        }
        true
    }

    /// Lets all locks go and tries again.
    fn restart(&mut self, moves: u8) {
        self.drop_drafts();
        self.me().restart(moves);
    }

    /// Enters what was read, under the map lock.
    pub fn map_enter(&mut self) {
        let (p, d) = (self.p(), self.d());
        let stale = self.t().changed && !self.errs(Mistake::NoSequenceCheck);
        if stale || !self.accept() {
            return self.restart(self.t().moves);
        }
        let t = self.t();
        let copies = match t.draft {
            Draft::None => [None; PAGES],
            Draft::Old(list) | Draft::New(list) => list,
        };
        for (v, read) in t.read.into_iter().enumerate() {
            let Some((frame, w)) = read else { continue };
            let copy = copies[v].filter(|(_, original)| !w && *original == frame);
            let w = w || self.errs(Mistake::AlwaysWritable);
            let (f, w) = match copy {
                Some((copy, _)) => (copy, false),
                None if device_of(frame).is_some_and(|of| of != d) => continue,
                None => (frame, w),
            };
            let noted = device_of(f).is_some() || !self.errs(Mistake::RemoteNotNoted);
            let late = false;
            let entry = Entry { f, w, noted, late };
            self.check_entry(v, entry);
            let kept = matches!(self.kept, Kept::All) || self.kept == Kept::Only(Some(v));
            self.s.entry[p][d][v] = kept.then_some(entry);
        }
        self.end();
    }

    /// `Drafts::accept()`: hands the copies over to the space.
    fn accept(&mut self) -> bool {
        let (t, p, d) = (self.t(), self.p(), self.d());
        let copied = |list: [Option<(u8, u8)>; PAGES]| {
            list.map(|one| one.map(|(f, original)| Copied { f, original }))
        };
        match t.draft {
            Draft::None => true,
            Draft::Old(list) => {
                self.s.copies[p][d] == copied(list) || self.errs(Mistake::AcceptUnchecked)
            }
            Draft::New(list) => {
                self.s.drop_copy(p, d);
                self.s.copies[p][d] = copied(list);
                self.me().draft = Draft::Old(list);
                true
            }
        }
    }
}
