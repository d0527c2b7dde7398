// SPDX-License-Identifier: MIT OR GPL-2.0
//! Migrations, as `mm/migrate_device.c` makes them.

use crate::{
    mistake::Mistake,
    run::Run,
    state::{device_of, Event, Frame, Pte, PROCS},
    thread::{At, Kind, Op, Source, Then},
};

impl Run {
    /// Begins a migration by address.
    pub fn migrate(&mut self, kind: Kind, then: Then) {
        let t = self.me();
        t.kind = kind;
        t.then = then;
        t.at = At::MigrateInvalidate;
    }

    /// `migrate_vma_collect()` tells everybody, its own owner, too.
    pub fn migrate_invalidate(&mut self) {
        self.s.invalidate_start(self.p(), Event::Migrate);
        self.goto(At::MigrateCollect);
    }

    /// Takes what it can lock, all under one page-table lock.
    pub fn migrate_collect(&mut self) {
        let (t, p) = (self.t(), self.p());
        for v in 0..self.s.pages {
            let src = match self.s.pte[p][v] {
                Pte::None if t.kind == Kind::ToDevice => Source::Hole,
                Pte::Map { f, w } if t.kind == Kind::ToDevice || device_of(f).is_some() => {
                    if self.s.page(f).locked && t.page != Some(f) {
                        continue;
                    }
                    self.s.page(f).locked = true;
                    self.s.page(f).refs += 1;
                    self.s.pte[p][v] = Pte::Migration { f, w };
                    Source::Page { f, w, ok: true }
                }
                _ => continue,
            };
            self.me().src[v] = src;
        }
        self.s.invalidate_end(p);
        self.unmap_next();
    }

    /// Finds a mapping of a page that migrates; the process and the page of it.
    fn mapping(&self) -> Option<(usize, usize, Frame)> {
        let src = self.t().src;
        for f in src.into_iter().filter_map(frame) {
            for q in 0..PROCS {
                for v in 0..self.s.pages {
                    if matches!(self.s.pte[q][v], Pte::Map { f: g, .. } if g == f) {
                        return Some((q, v, f));
                    }
                }
            }
        }
        None
    }

    /// Goes on to unmap a page where it is mapped, or, when there is none, to look who refers to
    /// the pages.
    pub fn unmap_next(&mut self) {
        if self.mapping().is_some() {
            return self.goto(At::MigrateUnmapInvalidate);
        }
        let t = self.t();
        for v in 0..self.s.pages {
            let Source::Page { f, w, ok: true } = t.src[v] else {
                continue;
            };
            // `migrate_vma_check_page()`.
            let known = 1 + u8::from(t.page == Some(f));
            let mut ok = self.s.page(f).refs == known;
            if ok && t.kind != Kind::ToDevice {
                let dst = self.s.alloc(None);
                if let Some(g) = dst {
                    self.s.page(g).locked = true;
                }
                self.me().dst[v] = dst;
                ok = dst.is_some();
            }
            self.me().src[v] = Source::Page { f, w, ok };
        }
        if t.kind == Kind::Evict {
            self.me().hold = None;
        }
        self.goto(At::MigrateCopy);
    }

    /// `try_to_migrate_one()` tells those that map the page.
    pub fn migrate_unmap_invalidate(&mut self) {
        let Some((q, ..)) = self.mapping() else {
            return self.unmap_next();
        };
        self.s.invalidate_start(q, Event::Clear);
        self.me().told = Some(q as u8);
        self.goto(At::MigrateUnmap);
    }

    /// Unmaps one page in one process.
    pub fn migrate_unmap(&mut self) {
        let Some(q) = self.me().told.take().map(usize::from) else {
            return self.unmap_next();
        };
        let src = self.t().src;
        let found = (0..self.s.pages).find_map(|v| match self.s.pte[q][v] {
            Pte::Map { f, w } if src.into_iter().any(|src| frame(src) == Some(f)) => {
                Some((v, f, w))
            }
            _ => None,
        });
        if let Some((v, f, w)) = found {
            self.s.pte[q][v] = Pte::Migration { f, w };
        }
        self.s.invalidate_end(q);
        self.unmap_next();
    }

    /// Copies, or fills with zeroes, after what must not move was declined.
    pub fn migrate_copy(&mut self, fail: bool) {
        let t = self.t();
        let mut holes = false;
        let mut any = false;
        for v in 0..self.s.pages {
            match (t.src[v], t.dst[v]) {
                (Source::Hole, Some(_)) => {
                    holes = true;
                    any = true;
                }
                (Source::Page { f, w, ok }, dst) => {
                    let stays = t.kind == Kind::ToDevice && (self.is_local(f) || t.write && !w);
                    let ok = ok && dst.is_some() && !stays;
                    any |= ok;
                    self.me().src[v] = Source::Page { f, w, ok };
                }
                _ => {}
            }
        }
        let fail = fail && any;
        self.me().failed = fail;
        for v in 0..self.s.pages {
            match (self.t().src[v], t.dst[v]) {
                (Source::Page { f, w, ok: true }, Some(_)) if fail => {
                    let ok = self.errs(Mistake::FailedCopyMoves);
                    self.me().src[v] = Source::Page { f, w, ok };
                }
                (Source::Page { f, ok: true, .. }, Some(g)) => self.s.copy(Some(f), g),
                (Source::Hole, Some(_)) if fail => self.me().src[v] = Source::None,
                _ => {}
            }
        }
        self.goto(if holes && !fail {
            At::MigrateInsertInvalidate
        } else {
            At::MigrateCommit
        });
    }

    /// `__migrate_device_pages()` tells everybody before it fills holes.
    pub fn migrate_insert_invalidate(&mut self) {
        let p = self.p();
        self.s.invalidate_start(p, Event::Migrate);
        self.me().told = Some(p as u8);
        self.goto(At::MigrateCommit);
    }

    /// Fills holes that are still there, and moves pages that nobody else refers to.
    pub fn migrate_commit(&mut self) {
        let (t, p) = (self.t(), self.p());
        for v in 0..self.s.pages {
            let Some(g) = t.dst[v] else { continue };
            let moved = match t.src[v] {
                Source::Hole if self.s.pte[p][v] == Pte::None => {
                    self.s.copy(None, g);
                    self.s.pte[p][v] = Pte::Map { f: g, w: true };
                    true
                }
                Source::Page { f, ok: true, .. } => {
                    let known = 1 + u8::from(t.page == Some(f));
                    self.s.page(f).refs == known
                }
                _ => false,
            };
            if moved && t.kind == Kind::Evict && t.write {
                self.s.broken = Some("a page moved that was mapped nowhere");
            }
            self.me().moved[v] = moved;
        }
        if self.me().told.take().is_some() {
            self.s.invalidate_end(p);
        }
        if t.kind == Kind::ToDevice && self.errs(Mistake::NoFinalize) {
            self.forget_migration();
            return self.finish(t.then);
        }
        self.restore_from(0);
    }

    /// Goes on to map the next page again, from `v` on.
    fn restore_from(&mut self, v: usize) {
        let t = self.t();
        let next = (v..self.s.pages).find(|v| frame(t.src[*v]).is_some() || t.dst[*v].is_some());
        match (next, v.checked_sub(1)) {
            (Some(next), _) => self.goto(At::MigrateRestore(next as u8)),
            (None, Some(last)) => self.goto(At::MigratePut(last as u8)),
            (None, None) => self.after_migration(),
        }
    }

    /// `remove_migration_ptes()`, and the locks of the pages; the references of the page before
    /// are dropped first.
    pub fn migrate_restore(&mut self, v: usize) {
        if let Some(before) = v.checked_sub(1) {
            self.put_pages(before);
        }
        let t = self.t();
        if let Some(f) = frame(t.src[v]) {
            let to = t.dst[v].filter(|_| t.moved[v]).unwrap_or(f);
            for pte in self.s.pte.iter_mut().flatten() {
                match *pte {
                    Pte::Migration { f: g, w } if g == f => *pte = Pte::Map { f: to, w },
                    _ => {}
                }
            }
            // The CPU's fault has this lock.
            if t.page != Some(f) {
                self.s.page(f).locked = false;
            }
        }
        if let Some(g) = t.dst[v] {
            self.s.page(g).locked = false;
        }
        self.restore_from(v + 1);
    }

    /// Drops the references of the last page.
    pub fn migrate_put(&mut self, v: usize) {
        self.put_pages(v);
        self.after_migration();
    }

    fn put_pages(&mut self, v: usize) {
        let t = self.t();
        self.me().src[v] = Source::None;
        self.me().dst[v] = None;
        if let Some(f) = frame(t.src[v]) {
            self.s.put(f);
        }
        if let Some(g) = t.dst[v] {
            self.s.put(g);
        }
    }

    fn after_migration(&mut self) {
        self.forget_migration();
        let t = self.t();
        if t.op == Op::Evict || t.op == Op::Unplug {
            self.me().write = false;
        }
        // A device gets the error of its copy. A CPU that faulted gives its page back first.
        if t.failed && t.kind == Kind::ToDevice {
            return self.end();
        }
        self.finish(t.then);
    }
}

/// Returns the frame of a source that is a page.
pub fn frame(src: Source) -> Option<Frame> {
    match src {
        Source::Page { f, .. } => Some(f),
        _ => None,
    }
}
