// SPDX-License-Identifier: MIT OR GPL-2.0
//! A state in few words, which are what is hashed and compared.

use crate::{
    state::{Frame, Gate, Pte, State, DEVS, PROCS},
    thread::{Draft, Source, Then, Thread},
};
use std::hash::{Hash, Hasher};

/// Words of what there is.
const FIXED: usize = 6;
/// Words of an operation.
const EACH: usize = 3;
/// Operations at most.
const THREADS: usize = 4;
const WORDS: usize = FIXED + EACH * THREADS;

/// All that makes one state differ from another one of the same bound.
pub type Words = [u64; WORDS];

/// Bits, put one after another.
#[derive(Default)]
struct Word(u64);

impl Word {
    #[inline(always)]
    fn put(&mut self, bits: u32, value: u64) {
        debug_assert!(value >> bits == 0 && self.0 >> (64 - bits) == 0);
        self.0 = self.0 << bits | value;
    }

    #[inline(always)]
    fn flag(&mut self, value: bool) {
        self.put(1, value.into());
    }

    /// No frame is 15.
    #[inline(always)]
    fn frame(&mut self, frame: Option<Frame>) {
        self.put(4, frame.unwrap_or(15).into());
    }
}

const _: () = assert!(crate::state::FRAMES <= 15);

impl State {
    /// Packs the state.
    pub fn words(&self) -> Words {
        let mut words = [0; WORDS];
        let [tables, entries, copies @ .., low, high] = &mut words[..FIXED] else {
            return words;
        };
        *tables = self.tables();
        let mut word = Word::default();
        for entry in self.entry.iter().flatten().flatten() {
            word.frame(entry.map(|entry| entry.f));
            let [w, noted, late] = entry.map_or([false; 3], |e| [e.w, e.noted, e.late]);
            word.flag(w);
            word.flag(noted);
            word.flag(late);
        }
        *entries = word.0;
        for (of, to) in self.copies.iter().zip(copies) {
            let mut word = Word::default();
            for copied in of.iter().flatten() {
                word.frame(copied.map(|copied| copied.f));
                word.frame(copied.map(|copied| copied.original));
            }
            *to = word.0;
        }
        let (first, last) = self.frames.split_at(self.frames.len() / 2);
        for (to, frames) in [(low, first), (high, last)] {
            let mut word = Word::default();
            for page in frames {
                word.flag(page.used);
                word.flag(page.locked);
                word.put(4, page.refs.into());
                word.put(4, page.fresh.into());
            }
            *to = word.0;
        }
        for (t, to) in self.threads.iter().zip(words[FIXED..].chunks_mut(EACH)) {
            to.copy_from_slice(&t.words());
        }
        words
    }

    fn tables(&self) -> u64 {
        let mut word = Word::default();
        for pte in self.pte.iter().flatten() {
            let (kind, f, w) = match *pte {
                Pte::None => (0, None, false),
                Pte::Map { f, w } => (1, Some(f), w),
                Pte::Migration { f, w } => (2, Some(f), w),
            };
            word.put(2, kind);
            word.frame(f);
            word.flag(w);
        }
        for proc in &self.procs {
            word.flag(proc.alive);
            word.put(3, proc.active.into());
            word.flag(proc.odd);
            word.flag(proc.current);
        }
        for gate in self.contexts.iter().flatten().chain(&self.devices) {
            word.put(2, *gate as u64);
        }
        word.put(4, self.zero.into());
        word.flag(self.broken.is_some());
        word.put(2, self.pages as u64);
        word.0
    }
}

const _: () = assert!(PROCS == 2 && DEVS == 2 && Gate::Gone as u64 == 2);

impl Thread {
    fn words(&self) -> [u64; EACH] {
        let then = |then| match then {
            Then::End => (0, 0),
            Then::Read(v) => (1, v.into()),
            Then::Near => (2, 0),
            Then::Map => (3, 0),
            Then::Unlock => (4, 0),
            Then::Unplug => (5, 0),
        };
        let mut place = Word::default();
        let (at, v) = self.at.number();
        // No operation is all zeroes.
        place.put(4, self.op as u64 + 1);
        place.put(6, at.into());
        place.put(1, v.into());
        place.put(1, self.p.into());
        place.put(1, self.d.into());
        place.put(1, self.v.into());
        place.put(2, self.mmap as u64);
        place.put(2, self.moves.into());
        place.put(2, self.kind as u64);
        for (kind, v) in [then(self.then), then(self.outer)] {
            place.put(3, kind);
            place.put(1, v);
        }
        for flag in [
            self.write,
            self.block,
            self.inside,
            self.reading,
            self.changed,
            self.reused,
            self.failed,
            self.woken,
        ] {
            place.flag(flag);
        }
        self.moved.iter().for_each(|moved| place.flag(*moved));
        place.put(2, self.told.map_or(3, u64::from));

        let mut pages = Word::default();
        for src in &self.src {
            let (kind, f, w, ok) = match *src {
                Source::None => (0, None, false, false),
                Source::Hole => (1, None, false, false),
                Source::Page { f, w, ok } => (2, Some(f), w, ok),
            };
            pages.put(2, kind);
            pages.frame(f);
            pages.flag(w);
            pages.flag(ok);
        }
        self.dst.iter().for_each(|dst| pages.frame(*dst));
        pages.frame(self.page);
        pages.frame(self.hold);
        for read in &self.read {
            pages.frame(read.map(|(f, _)| f));
            pages.flag(read.is_some_and(|(_, w)| w));
        }

        let mut drafts = Word::default();
        let (kind, list) = match self.draft {
            Draft::None => (0, Default::default()),
            Draft::Old(list) => (1, list),
            Draft::New(list) => (2, list),
        };
        drafts.put(2, kind);
        for draft in list {
            drafts.frame(draft.map(|(copy, _)| copy));
            drafts.frame(draft.map(|(_, original)| original));
        }
        [place.0, pages.0, drafts.0]
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let used = FIXED + EACH * self.threads.len();
        for word in &self.words()[..used] {
            state.write_u64(*word);
        }
    }
}
