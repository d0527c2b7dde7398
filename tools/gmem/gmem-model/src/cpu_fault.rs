// SPDX-License-Identifier: MIT OR GPL-2.0
//! Faults of a CPU, as `mm/memory.c` and `mm/gmem/fault/cpu_fault.rs` handle them.

use crate::{
    run::Run,
    state::{device_of, Event, Pte},
    thread::{At, Kind, Source, Then},
};

impl Run {
    /// Looks what is there: nothing, a page that is shared by COW, a migration, a device's page.
    pub fn cpu_look(&mut self) -> bool {
        let (t, p) = (self.t(), self.p());
        let v = t.v as usize;
        match self.s.pte[p][v] {
            Pte::Migration { .. } => return false,
            Pte::None => {
                if self.fill(v).is_some() {
                    self.cpu_done();
                } else {
                    self.end();
                }
            }
            Pte::Map { f, .. } if device_of(f).is_some() => {
                if self.s.page(f).locked {
                    return false;
                }
                self.s.page(f).locked = true;
                self.s.page(f).refs += 1;
                self.me().page = Some(f);
                self.migrate(Kind::Home, Then::Unlock);
            }
            Pte::Map { f, w } if t.write && !w => self.cow(v, f),
            Pte::Map { .. } => self.cpu_done(),
        }
        true
    }

    fn cow(&mut self, v: usize, f: u8) {
        let p = self.p();
        if self.s.mapped(f) == 1 && self.s.page(f).refs == 0 {
            // `wp_page_reuse()`: nobody is told.
            self.s.pte[p][v] = Pte::Map { f, w: true };
            return self.cpu_done();
        }
        let Some(g) = self.s.alloc(None) else {
            return self.end();
        };
        self.s.copy(Some(f), g);
        self.s.page(f).refs += 1;
        self.me().src[0] = Source::Page {
            f,
            w: false,
            ok: true,
        };
        self.me().dst[0] = Some(g);
        self.goto(At::CpuCowInvalidate);
    }

    /// `wp_page_copy()` tells everybody.
    pub fn cpu_cow_invalidate(&mut self) {
        self.s.invalidate_start(self.p(), Event::Clear);
        self.goto(At::CpuCowSet);
    }

    /// Puts the copy into the place of the page, if that is still there.
    pub fn cpu_cow_set(&mut self) {
        let (t, p) = (self.t(), self.p());
        let v = t.v as usize;
        self.forget_migration();
        if let (Source::Page { f, .. }, Some(g)) = (t.src[0], t.dst[0]) {
            if self.s.pte[p][v] == (Pte::Map { f, w: false }) {
                self.s.pte[p][v] = Pte::Map { f: g, w: true };
            }
            self.s.put(g);
            self.s.put(f);
        }
        self.s.invalidate_end(p);
        self.cpu_done();
    }

    /// The handler of the fault unlocks its page.
    pub fn cpu_unlock_page(&mut self) {
        if let Some(f) = self.t().page {
            self.s.page(f).locked = false;
        }
        self.goto(At::CpuPutPage);
    }

    /// And drops its reference.
    pub fn cpu_put_page(&mut self) {
        if let Some(f) = self.me().page.take() {
            self.s.put(f);
        }
        if self.t().failed {
            return self.end();
        }
        self.cpu_done();
    }

    fn cpu_done(&mut self) {
        let outer = self.t().outer;
        self.me().outer = Then::End;
        self.finish(outer);
    }
}
