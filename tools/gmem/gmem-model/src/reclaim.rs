// SPDX-License-Identifier: MIT OR GPL-2.0
//! What makes devices let go: eviction, the end of a context, the end of the memory.

use crate::{
    migration::frame,
    mistake::Mistake,
    run::Run,
    state::{device_of, Frame, Gate, PROCS},
    thread::{At, Kind, Op, Source, Then},
};

impl Run {
    /// Drops the copy that the page is, if it is one.
    pub fn evict_drop_copies(&mut self) {
        let d = self.d();
        let Some(f) = frame(self.t().src[0]) else {
            return self.end();
        };
        for p in 0..PROCS {
            if self.s.copies[p][d]
                .iter()
                .flatten()
                .any(|copied| copied.f == f)
            {
                self.s.drop_copy(p, d);
                return self.left();
            }
        }
        self.goto(At::EvictHold);
    }

    /// Looks up the anon_vma of the page, and lets the page stay free if it becomes free.
    pub fn evict_hold(&mut self) {
        let Some(f) = frame(self.t().src[0]) else {
            return self.left();
        };
        let page = *self.s.page(f);
        let lost = self.s.mapped(f) == 0 && !self.errs(Mistake::EvictUnmapped);
        if !page.used || page.locked || lost {
            return self.left();
        }
        self.me().hold = Some(f);
        self.me().reused = false;
        self.goto(At::EvictLock);
    }

    /// Refers to the page and locks it.
    pub fn evict_lock(&mut self) {
        let Some(f) = frame(self.t().src[0]) else {
            return self.left();
        };
        let page = *self.s.page(f);
        if !page.used || page.locked {
            return self.left();
        }
        if self.t().reused {
            self.s.broken = Some("the anon_vma of a page that was there before is held");
        }
        self.s.page(f).locked = true;
        self.s.page(f).refs += 1;
        let lost = self.s.mapped(f) == 0;
        let ok = !lost || self.errs(Mistake::EvictUnmapped);
        let then = if self.t().op == Op::Unplug {
            Then::Unplug
        } else {
            Then::End
        };
        let t = self.me();
        t.reused = false;
        t.kind = Kind::Evict;
        t.then = then;
        t.write = lost;
        t.src[0] = Source::Page { f, w: false, ok };
        self.goto(At::MigrateUnmapInvalidate);
    }

    /// There is nothing (more) to evict here.
    fn left(&mut self) {
        let t = self.me();
        t.hold = None;
        t.reused = false;
        self.forget_migration();
        if self.t().op == Op::Unplug {
            self.goto(At::UnplugNext);
        } else {
            self.end();
        }
    }

    /// Refuses new work.
    pub fn unplug_close(&mut self) {
        let d = self.d();
        if self.s.devices[d] != Gate::Open {
            return self.end();
        }
        if !self.errs(Mistake::UnplugGateOpen) {
            self.s.devices[d] = Gate::Closing;
        }
        self.goto(if self.is_entered(false) {
            At::UnplugWait
        } else {
            At::UnplugDropCopies
        });
    }

    /// Sleeps until the work under way is over.
    pub fn unplug_wait(&mut self) -> bool {
        if !core::mem::take(&mut self.me().woken) {
            return false;
        }
        if !self.is_entered(false) {
            self.goto(At::UnplugDropCopies);
        }
        true
    }

    /// Drops all copies.
    pub fn unplug_drop_copies(&mut self) {
        for p in 0..PROCS {
            self.s.drop_copy(p, self.d());
        }
        self.goto(At::UnplugNext);
    }

    /// Evicts what is left.
    pub fn unplug_next(&mut self) -> bool {
        let d = self.d();
        if self.t().failed {
            self.goto(At::UnplugGone);
            return true;
        }
        let mut threads = self.s.threads.iter();
        if threads.any(|t| t.op == Op::Evict && t.d as usize == d) {
            return false;
        }
        let frames = 0..self.s.frames.len() as Frame;
        let mut used =
            frames.filter(|f| device_of(*f) == Some(d) && self.s.frames[*f as usize].used);
        match used.next() {
            None => self.goto(At::UnplugGone),
            Some(f) => {
                self.me().src[0] = Source::Page {
                    f,
                    w: false,
                    ok: true,
                };
                self.goto(At::EvictDropCopies);
            }
        }
        true
    }

    /// The memory goes, if everything left it; if not the device works again.
    pub fn unplug_gone(&mut self) {
        let d = self.d();
        let stays = self.t().failed && !self.errs(Mistake::UnplugDespiteFailure);
        if stays {
            self.s.devices[d] = Gate::Open;
            return self.end();
        }
        self.s.devices[d] = Gate::Gone;
        self.me().failed = false;
        self.goto(At::PlugAgain);
    }

    /// The memory comes back.
    pub fn plug_again(&mut self) {
        let d = self.d();
        self.s.devices[d] = Gate::Open;
        self.end();
    }

    /// Refuses new faults.
    pub fn detach_close(&mut self) {
        let (p, d) = (self.p(), self.d());
        if self.s.contexts[p][d] != Gate::Open {
            return self.end();
        }
        self.s.contexts[p][d] = Gate::Closing;
        let wait = self.is_entered(true) && !self.errs(Mistake::DetachNoWait);
        self.goto(if wait { At::DetachWait } else { At::DetachTake });
    }

    /// Sleeps until the faults under way are over.
    pub fn detach_wait(&mut self) -> bool {
        if !core::mem::take(&mut self.me().woken) {
            return false;
        }
        if !self.is_entered(true) {
            self.goto(At::DetachTake);
        }
        true
    }

    /// Takes everything from the context.
    pub fn detach_take(&mut self) {
        let (p, d) = (self.p(), self.d());
        if !self.errs(Mistake::DetachKeepsEntries) {
            self.s.invalidate_on(p, d);
        }
        self.s.contexts[p][d] = Gate::Gone;
        self.goto(At::DetachDropCopies);
    }

    /// Drops the copies that nobody uses any more.
    pub fn detach_drop_copies(&mut self) {
        if !self.errs(Mistake::DetachKeepsCopies) {
            self.s.drop_copy(self.p(), self.d());
        }
        self.goto(At::AttachAgain);
    }

    /// The next context is attached.
    pub fn attach_again(&mut self) {
        let (p, d) = (self.p(), self.d());
        self.s.contexts[p][d] = Gate::Open;
        self.end();
    }
}
