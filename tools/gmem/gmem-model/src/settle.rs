// SPDX-License-Identifier: MIT OR GPL-2.0
//! What is done to each state before it is kept, so that there are fewer of them.
//!
//! Nothing here changes what can go wrong:
//!
//! - Writes come at once. No step depends on the bytes, and the fewer frames have those written
//!   last, the more is wrong. Who may write a page writes it as soon as that is so, and again
//!   whenever somebody has copied it: of all orders of writes that is the one after which the
//!   fewest frames have the bytes. A write goes where the CPU's page table points. Where these are
//!   not the bytes written last, none is made, so that it does not hide the write that was lost. A
//!   device that writes where the page table does not point has an entry that "one holder" forbids.
//! - What no step of an operation reads any more is forgotten.

use crate::{
    mistake::Mistake,
    state::{bit, Pte, State, PROCS},
    thread::{At, Draft, Kind, Op, Source, Then, Thread},
};

impl State {
    /// Lets all write, and forgets what does not matter any more.
    pub fn settle(&mut self) {
        for p in 0..PROCS {
            for v in 0..self.pages {
                if let Pte::Map { f, w: true } = self.pte[p][v] {
                    if self.page(f).fresh & bit(p, v) != 0 {
                        self.write(f, p, v);
                    }
                }
            }
        }
        let mistake = self.mistake;
        for t in &mut self.threads {
            t.forget_read(mistake);
            t.forget_place();
            t.forget_sources(mistake);
        }
    }
}

impl Thread {
    fn migrates(&self) -> bool {
        use At::{
            MigrateCollect, MigrateCommit, MigrateCopy, MigrateInsertInvalidate, MigrateInvalidate,
            MigratePut, MigrateRestore, MigrateUnmap, MigrateUnmapInvalidate,
        };
        matches!(
            self.at,
            MigrateInvalidate
                | MigrateCollect
                | MigrateUnmapInvalidate
                | MigrateUnmap
                | MigrateCopy
                | MigrateInsertInvalidate
                | MigrateCommit
                | MigrateRestore(_)
                | MigratePut(_)
        )
    }

    /// When the sequence number changed, what was read is not looked at: all is let go next.
    fn forget_read(&mut self, mistake: Option<Mistake>) {
        if !self.changed || mistake == Some(Mistake::NoSequenceCheck) {
            return;
        }
        self.read = Default::default();
        if matches!(self.at, At::MapRead(_) | At::MapEnter) {
            self.at = At::MapRead(0);
        }
        if matches!(self.outer, Then::Read(_)) {
            self.outer = Then::Read(0);
        }
        // Locks that are let go earlier are in nobody's way, references are.
        if self.at == At::MapRead(0) && !matches!(self.draft, Draft::New(_)) {
            self.draft = Draft::None;
            self.restart(self.moves);
        }
    }

    /// Where to go on after a migration, which page the CPU's fault is about, and how often pages
    /// came for one that waits for none.
    fn forget_place(&mut self) {
        if !self.migrates() {
            self.kind = Kind::Home;
            self.then = Then::End;
        }
        let looks = matches!(
            self.at,
            At::MapNear | At::CpuLook | At::CpuCowInvalidate | At::CpuCowSet
        );
        if !looks && self.outer != Then::Near {
            self.v = 0;
        }
        if self.op == Op::CpuFault && self.at != At::CpuLook {
            self.write = false;
        }
        if self.op == Op::Duplicate {
            self.moves = 0;
        }
        if matches!(self.op, Op::Evict | Op::CpuFault) {
            self.failed = false;
        }
        // A device's fault whose copy failed ends when its pages are given back.
        if self.failed && self.op != Op::Unplug {
            self.moves = 0;
            self.write = false;
            self.outer = Then::End;
            self.v = 0;
        }
    }

    /// What is known of the pages that migrate.
    fn forget_sources(&mut self, mistake: Option<Mistake>) {
        if !self.migrates() {
            return;
        }
        let over = match self.at {
            At::MigrateRestore(v) => Some(v as usize),
            At::MigratePut(_) => Some(self.moved.len()),
            _ => None,
        };
        let copied =
            over.is_some() || matches!(self.at, At::MigrateInsertInvalidate | At::MigrateCommit);
        let asks = self.kind == Kind::ToDevice && self.write && !copied;
        for src in &mut self.src {
            match src {
                Source::Page { w, ok, .. } => {
                    *w &= asks;
                    *ok |= over.is_some();
                }
                Source::Hole if over.is_some() => *src = Source::None,
                _ => {}
            }
        }
        if let Some(over) = over {
            self.moved.iter_mut().take(over).for_each(|m| *m = false);
        }
        if self.kind == Kind::Evict && mistake != Some(Mistake::EvictUnmapped) {
            self.write = false;
        }
    }
}
