// SPDX-License-Identifier: MIT OR GPL-2.0
//! What holds in every state.

use crate::{
    run::{Kept, Run},
    state::{bit, device_of, Entry, Frame, Gate, Pte, State, DEVS, PROCS},
    thread::{At, Thread},
};

/// So often all operations under way get a turn until they are over.
const TURNS: usize = 200;
/// Steps of the first turn, and how much longer the next one is: so two that try again and again
/// do not meet at the same steps again and again.
const FIRST_TURN: usize = 60;
const LONGER: usize = 7;

impl State {
    /// The processes, and the pages of each.
    fn pages(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let alive = (0..PROCS).filter(|p| self.procs[*p].alive);
        alive.flat_map(|p| (0..self.pages).map(move |v| (p, v)))
    }

    /// All that devices can use now.
    pub fn entries(&self) -> impl Iterator<Item = (usize, usize, usize, Entry)> + '_ {
        let all = (0..PROCS).flat_map(move |p| (0..DEVS).map(move |d| (p, d)));
        all.flat_map(move |(p, d)| {
            let pages = self.entry[p][d].iter().enumerate();
            pages.filter_map(move |(v, entry)| entry.map(|entry| (p, d, v, entry)))
        })
    }

    fn has(&self, f: Frame, p: usize, v: usize) -> bool {
        let page = &self.frames[f as usize];
        page.used && page.fresh & bit(p, v) != 0
    }

    /// No write is lost: where the CPU's page table points, there are the bytes written last.
    pub fn no_lost_write(&self) -> bool {
        let mut pages = self.pages();
        pages.all(|(p, v)| match self.pte[p][v] {
            Pte::None => self.zero & bit(p, v) != 0,
            Pte::Map { f, .. } | Pte::Migration { f, .. } => self.has(f, p, v),
        })
    }

    /// No device reads what is not the bytes written last.
    pub fn no_stale_read(&self) -> bool {
        let mut entries = self.entries();
        entries.all(|(p, _, v, entry)| self.frames[entry.f as usize].fresh & bit(p, v) != 0)
    }

    /// No device can use a frame that is free, or belongs to something else by now.
    pub fn no_dangling_entry(&self) -> bool {
        let mut entries = self.entries();
        entries.all(|(p, d, _, entry)| {
            self.frames[entry.f as usize].used
                && self.procs[p].alive
                && self.contexts[p][d] != Gate::Gone
        })
    }

    /// A page has one holder, where all have it; a device may have a read-only copy of what the
    /// CPU may not write.
    pub fn one_holder(&self) -> bool {
        let mut entries = self.entries();
        entries.all(|(p, d, v, entry)| {
            let Pte::Map { f, w } = self.pte[p][v] else {
                return false;
            };
            let copy = self.copies[p][d][v];
            let copied = copy.is_some_and(|copy| copy.f == entry.f && copy.original == f);
            (entry.f == f && (w || !entry.w)) || (copied && !w && !entry.w)
        })
    }

    /// Who may write a page has it alone.
    pub fn writers_are_alone(&self) -> bool {
        let mut pages = self.pages();
        pages.all(|(p, v)| match self.pte[p][v] {
            Pte::Map { f, w: true } => self.mapped(f) == 1,
            _ => true,
        })
    }

    /// Nothing is on a device that went away.
    pub fn nothing_on_gone_device(&self) -> bool {
        let gone = |f: Frame| device_of(f).is_some_and(|d| self.devices[d] == Gate::Gone);
        let ptes = self.pte.iter().flatten();
        let copies = self.copies.iter().flatten().flatten().flatten();
        let mut frames = ptes
            .filter_map(|pte| match pte {
                Pte::None => None,
                Pte::Map { f, .. } | Pte::Migration { f, .. } => Some(*f),
            })
            .chain(copies.map(|copied| copied.f));
        !frames.any(gone) && !self.entries().any(|(.., entry)| gone(entry.f))
    }

    /// A context that went away left no copies.
    pub fn copies_have_context(&self) -> bool {
        (0..PROCS).all(|p| {
            let mut devices = 0..DEVS;
            devices.all(|d| {
                let mut threads = self.threads.iter();
                self.contexts[p][d] != Gate::Gone
                    || self.copies[p][d].iter().all(Option::is_none)
                    || threads.any(|t| {
                        t.at == At::DetachDropCopies && t.p as usize == p && t.d as usize == d
                    })
            })
        })
    }

    /// Where nothing is under way nothing is locked, held or waited for.
    pub fn idle_holds_nothing(&self) -> bool {
        let copies = || self.copies.iter().flatten().flatten().flatten();
        let mut frames = (0..).zip(&self.frames);
        !self.threads.is_empty()
            || frames.all(|(f, page)| {
                let refs = copies().filter(|c| c.f == f || c.original == f).count();
                !page.locked && page.refs as usize == refs
            }) && self.procs.iter().all(|proc| proc.active == 0)
    }

    /// No step found something that must not be.
    pub fn nothing_broken(&self) -> bool {
        self.broken.is_none()
    }

    /// Every wait ends: if nothing new begins all operations end, when each goes on until it waits.
    pub fn waits_end(&self) -> bool {
        self.all_end(FIRST_TURN, LONGER)
    }

    /// The same when all take their steps in turn. That is not so: two faults can take a page from
    /// each other until one has collided too often.
    pub fn ends_in_lockstep(&self) -> bool {
        self.all_end(1, 0)
    }

    /// Lets each thread in turn take so many steps, each time some more, until all ended.
    fn all_end(&self, mut steps: usize, longer: usize) -> bool {
        let s = self.clone();
        let kept = Kept::Only(None);
        let mut run = Run { s, i: 0, kept };
        for _ in 0..TURNS {
            let mut waits = true;
            run.i = 0;
            while run.i < run.s.threads.len() {
                let left = run.s.threads.len();
                for _ in 0..steps {
                    if !run.advance(false) {
                        break;
                    }
                    waits = false;
                    if run.s.threads.len() < left {
                        break;
                    }
                }
                // One that ended leaves its place to the next one.
                run.i += usize::from(run.s.threads.len() == left);
            }
            if run.s.threads.is_empty() {
                return true;
            }
            if waits {
                return false;
            }
            steps += longer;
        }
        false
    }
}

/// Returns what a thread does next, for a trace.
pub fn describe(t: &Thread) -> String {
    format!(
        "{:?} of process {} on device {}: {:?} ({})",
        t.op,
        t.p,
        t.d,
        t.at,
        t.at.kernel()
    )
}
