// SPDX-License-Identifier: MIT OR GPL-2.0
//! What a process does to its memory: `MADV_DONTNEED`, fork, exit.

use crate::{
    run::Run,
    state::{bit, Event, Gate, Pte, DEVS, PAGES},
    thread::At,
};

impl Run {
    /// Tells everybody.
    pub fn dont_need_invalidate(&mut self) {
        self.s.invalidate_start(self.p(), Event::Clear);
        self.goto(At::DontNeedZap);
    }

    /// Drops everything, migration entries without the folio lock, too.
    pub fn dont_need_zap(&mut self) {
        let p = self.p();
        for v in 0..self.s.pages {
            self.zap(p, v);
            for page in &mut self.s.frames {
                page.fresh &= !bit(p, v);
            }
            self.s.zero |= bit(p, v);
        }
        self.s.invalidate_end(p);
        self.end();
    }

    fn zap(&mut self, p: usize, v: usize) {
        let pte = core::mem::replace(&mut self.s.pte[p][v], Pte::None);
        if let Pte::Map { f, .. } = pte {
            self.s.collect(f);
        }
    }

    /// Tells everybody that rights change.
    pub fn fork_invalidate(&mut self) {
        self.s.invalidate_start(0, Event::Protect);
        self.goto(At::ForkCopy);
    }

    /// Gives the child what the parent has, shared by COW; migration entries, too.
    pub fn fork_copy(&mut self) {
        for v in 0..self.s.pages {
            let pte = match self.s.pte[0][v] {
                Pte::None => Pte::None,
                Pte::Map { f, .. } => Pte::Map { f, w: false },
                Pte::Migration { f, .. } => Pte::Migration { f, w: false },
            };
            self.s.pte[0][v] = pte;
            self.s.pte[1][v] = pte;
            let inherit = |fresh: &mut u8| {
                if *fresh & bit(0, v) != 0 {
                    *fresh |= bit(1, v);
                }
            };
            inherit(&mut self.s.zero);
            self.s.frames.iter_mut().for_each(|f| inherit(&mut f.fresh));
        }
        self.s.procs[1].alive = true;
        self.s.contexts[1] = [Gate::Open; DEVS];
        self.s.invalidate_end(0);
        self.end();
    }

    /// Tells everybody that the process ends.
    pub fn exit_invalidate(&mut self) {
        self.s.invalidate_start(1, Event::Clear);
        self.goto(At::ExitZap);
    }

    /// Drops everything; then files are closed, and contexts with them.
    pub fn exit_zap(&mut self) {
        for v in 0..PAGES {
            self.zap(1, v);
            for page in &mut self.s.frames {
                page.fresh &= !bit(1, v);
            }
            self.s.zero &= !bit(1, v);
        }
        self.s.invalidate_end(1);
        self.s.procs[1].alive = false;
        self.s.contexts[1] = [Gate::Gone; DEVS];
        self.end();
    }
}
