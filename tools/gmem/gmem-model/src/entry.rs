// SPDX-License-Identifier: MIT OR GPL-2.0
//! Entries of devices without the entries.
//!
//! No step depends on the entries of devices, so that each of them can be looked at alone, and what
//! holds for all of them follows by induction from what is checked here at each step. At all times
//!
//! - an entry is of a process whose page tables are not being invalidated, or not yet told to us:
//!   the callback takes all entries of the process,
//! - it is of a context that is there, and names what the CPU's page table maps, with no more
//!   rights, or a copy of that where the CPU may not write.
//!
//! A new entry is so: [`Run::check_entry`]. A change of a page table that would end it comes after
//! the callback, when there are no entries: [`State::check_change`]. Copies go with the entries
//! (`State::callback()`, `State::drop_copy()`), devices without pages ("nothing on a gone device"),
//! contexts after `State::invalidate_on()`. From that follow "no stale read" with "no lost write"
//! and [`State::copies_can_be_used`], "no dangling entry" and "one holder". Mistakes in what takes
//! the entries away are looked for where entries are kept.

use crate::{
    run::{Kept, Run},
    state::{bit, Entry, Gate, Pte, State, DEVS, PROCS},
};

impl Run {
    /// Is there what a new entry names?
    pub fn check_entry(&mut self, v: usize, entry: Entry) {
        if self.kept == Kept::All {
            return;
        }
        let (s, p, d) = (&self.s, self.p(), self.d());
        let good = match s.pte[p][v] {
            Pte::Map { f, w } if f == entry.f => w || !entry.w,
            Pte::Map { f, w: false } => {
                let copied = s.copies[p][d][v].is_some_and(|c| c.f == entry.f && c.original == f);
                copied && !entry.w
            }
            _ => false,
        };
        let proc = s.procs[p];
        let told = proc.odd && proc.current;
        if !good || told || !proc.alive || s.contexts[p][d] == Gate::Gone {
            self.s.broken = Some("an entry was made of what is not there");
        }
    }
}

impl State {
    /// Did a page table change behind the back of the devices?
    pub fn check_change(&mut self, before: &Self) {
        for p in 0..PROCS {
            let proc = before.procs[p];
            if proc.odd && proc.current || self.told & 1 << p != 0 {
                continue;
            }
            for (old, new) in before.pte[p].iter().zip(&self.pte[p]) {
                let stays = match (*old, *new) {
                    (Pte::Map { f, w }, Pte::Map { f: g, w: u }) => f == g && (u || !w),
                    (Pte::Map { .. }, _) => false,
                    _ => true,
                };
                if !stays {
                    self.broken = Some("a page table changed, and nobody was told");
                }
            }
        }
    }

    /// A device may map each copy of what the CPU's page table maps.
    pub fn copies_can_be_used(&self) -> bool {
        (0..PROCS).all(|p| {
            (0..DEVS).all(|d| {
                (0..self.pages).all(|v| match (self.copies[p][d][v], self.pte[p][v]) {
                    (Some(copied), Pte::Map { f, w }) if copied.original == f => {
                        let page = self.frames[copied.f as usize];
                        !w && page.used && page.fresh & bit(p, v) != 0
                    }
                    _ => true,
                })
            })
        })
    }
}
