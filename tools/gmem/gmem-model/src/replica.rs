// SPDX-License-Identifier: MIT OR GPL-2.0
//! Read-only copies of host pages, as `mm/gmem/replica` makes them.

use crate::{
    mistake::Mistake,
    run::Run,
    state::{device_of, Event, Pte, PAGES},
    thread::{At, Draft},
};

impl Run {
    /// Populates what is wanted.
    pub fn duplicate_populate(&mut self) -> bool {
        let p = self.p();
        let waits = |pte: &Pte| matches!(pte, Pte::Migration { .. });
        if self.s.procs[p].odd && self.s.procs[p].current || self.s.pte[p].iter().any(waits) {
            return false;
        }
        for v in 0..self.s.pages {
            if self.s.pte[p][v] == Pte::None && self.fill(v).is_none() {
                self.end();
                return true;
            }
        }
        self.goto(At::DuplicateDraft);
        true
    }

    /// Takes in the copies that are there, or refers to what can be copied as it is.
    pub fn duplicate_draft(&mut self) {
        let (p, d) = (self.p(), self.d());
        let old =
            self.s.copies[p][d].map(|copied| copied.map(|copied| (copied.f, copied.original)));
        if old
            .into_iter()
            .take(self.s.pages)
            .all(|copy| copy.is_some())
        {
            self.me().draft = Draft::Old(old);
            return self.goto(At::MapBegin);
        }
        let mut list = [None; PAGES];
        let mut writable = false;
        for (v, one) in list.iter_mut().enumerate().take(self.s.pages) {
            match self.s.pte[p][v] {
                Pte::Map { f, w: false } if device_of(f).is_none() => *one = Some((f, f)),
                Pte::Map { f, w: true } if device_of(f).is_none() => writable = true,
                _ => {}
            }
        }
        self.refer(list);
        if writable {
            self.goto(At::DuplicateInvalidate);
        } else {
            self.originals_taken();
        }
    }

    /// Takes references to the originals that `list` names.
    fn refer(&mut self, list: [Option<(u8, u8)>; PAGES]) {
        let mut all = match self.t().draft {
            Draft::New(all) => all,
            _ => [None; PAGES],
        };
        for (one, new) in all.iter_mut().zip(list) {
            let Some((_, original)) = new else { continue };
            if !self.errs(Mistake::CopyWithoutReference) {
                self.s.page(original).refs += 1;
            }
            *one = new;
        }
        self.me().draft = Draft::New(all);
    }

    fn originals_taken(&mut self) {
        let any = matches!(self.t().draft, Draft::New(list) if list != [None; PAGES]);
        if any {
            self.goto(At::DuplicateCopy);
        } else {
            self.me().draft = Draft::None;
            self.goto(At::MapBegin);
        }
    }

    /// `originals_protect()` tells everybody.
    pub fn duplicate_invalidate(&mut self) {
        self.s.invalidate_start(self.p(), Event::Clear);
        self.goto(At::DuplicateProtect);
    }

    /// Write-protects what nobody else refers to.
    pub fn duplicate_protect(&mut self) {
        let p = self.p();
        let Draft::New(taken) = self.t().draft else {
            return self.goto(At::MapBegin);
        };
        let mut list = [None; PAGES];
        for (v, one) in list.iter_mut().enumerate().take(self.s.pages) {
            if taken[v].is_some() {
                continue;
            }
            let Pte::Map { f, w: true } = self.s.pte[p][v] else {
                continue;
            };
            let page = *self.s.page(f);
            if device_of(f).is_some() || page.locked || page.refs > 0 {
                continue;
            }
            let w = self.errs(Mistake::CopyOfWritablePage);
            self.s.pte[p][v] = Pte::Map { f, w };
            *one = Some((f, f));
        }
        self.refer(list);
        self.s.invalidate_end(p);
        self.originals_taken();
    }

    /// Takes room and copies.
    pub fn duplicate_copy(&mut self, fail: bool) {
        let Draft::New(mut list) = self.t().draft else {
            return self.goto(At::MapBegin);
        };
        for one in list.iter_mut().flatten() {
            if let Some(copy) = self.s.alloc(Some(self.d())) {
                one.0 = copy;
                self.s.copy(Some(one.1), copy);
            }
        }
        self.me().draft = Draft::New(list);
        let short = list.into_iter().flatten().any(|(copy, f)| copy == f);
        if short || fail {
            self.drop_drafts();
        }
        self.goto(At::MapBegin);
    }
}
