// SPDX-License-Identifier: GPL-2.0

//! What is in use of each 2 MiB chunk of device memory.
//!
//! Pages are taken by the allocator, under its mutex, and given back by the last user, under
//! page-table locks and with interrupts off. So giving back touches nothing but atomics: it clears
//! bits, and leaves a note when a chunk became empty, which a worker, or the allocator before it,
//! reads.
//! Only the allocator sets bits, which is why a chunk that it found free stays free. There is one
//! [`Taking`] for all of them, which the allocator's mutex guards.

use crate::device::dmem;
use kernel::{
    mm::device::PMD_PAGES,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed,
        Release, //
    }, //
};

const WORDS: usize = PMD_PAGES / 64;

/// What is mostly asked for where it is not a whole chunk.
const RUN: usize = 16;

struct Chunk {
    /// A set bit is a page in use.
    map: [Atomic<u64>; WORDS],
    /// Number of set bits, changed after the bits are cleared and before they are set, and of
    /// holds.
    live: Atomic<i32>,
    /// While there are any its free pages stay free.
    holds: Atomic<i32>,
    /// Number of runs that hold copies.
    copies: Atomic<i32>,
}

/// The usage of all chunks of one memory.
pub(crate) struct Chunks {
    chunks: KVVec<Chunk>,
    /// A set bit is a chunk that became empty since the allocator looked.
    emptied: KVVec<Atomic<u64>>,
    /// A set bit is a chunk that may have a page to give.
    pages: KVVec<Atomic<u64>>,
    /// A set bit is a chunk that may have a run to give.
    runs: KVVec<Atomic<u64>>,
    used: Atomic<i64>,
}

/// Proof that no other task takes pages of the memory.
///
/// # Invariants
///
/// There is one for each [`Chunks`].
pub(crate) struct Taking(());

/// Returns the bits of `word` that pages `first..first + nr` of a chunk occupy.
fn bits(word: usize, first: usize, nr: usize) -> u64 {
    let lo = first.saturating_sub(word << 6).min(64);
    let hi = first.saturating_add(nr).saturating_sub(word << 6).min(64);
    let below = |n: usize| if n >= 64 { u64::MAX } else { (1 << n) - 1 };

    below(hi) & !below(lo)
}

/// Makes one bit for each of `nr` chunks.
fn flags(nr: usize) -> Result<KVVec<Atomic<u64>>> {
    let mut flags = KVVec::with_capacity(nr.div_ceil(64), GFP_KERNEL)?;
    for _ in 0..nr.div_ceil(64) {
        flags.push(Atomic::new(0), GFP_KERNEL)?;
    }
    Ok(flags)
}

/// Sets the bit of a chunk; returns whether it was not set.
fn set(flags: &[Atomic<u64>], index: usize) -> bool {
    let Some(word) = flags.get(index / 64) else {
        return false;
    };
    let bit = 1u64 << (index % 64);
    let mut old = word.load(Relaxed);
    while old & bit == 0 {
        match word.cmpxchg(old, old | bit, Full) {
            Ok(_) => return true,
            Err(now) => old = now,
        }
    }
    false
}

/// Clears the bit of a chunk.
fn clear(flags: &[Atomic<u64>], index: usize) {
    let Some(word) = flags.get(index / 64) else {
        return;
    };
    let bit = 1u64 << (index % 64);
    let mut old = word.load(Relaxed);
    while let Err(now) = word.cmpxchg(old, old & !bit, Full) {
        old = now;
    }
}

impl Chunks {
    /// Makes the table for `nr` chunks, all free.
    pub(crate) fn new(nr: usize) -> Result<(Self, Taking)> {
        let mut chunks = KVVec::with_capacity(nr, GFP_KERNEL)?;
        for _ in 0..nr {
            chunks.push(
                Chunk {
                    map: [const { Atomic::new(0) }; WORDS],
                    live: Atomic::new(0),
                    holds: Atomic::new(0),
                    copies: Atomic::new(0),
                },
                GFP_KERNEL,
            )?;
        }
        let this = Self {
            chunks,
            emptied: flags(nr)?,
            pages: flags(nr)?,
            runs: flags(nr)?,
            used: Atomic::new(0),
        };
        // INVARIANT: Made with them.
        Ok((this, Taking(())))
    }

    /// Returns the number of chunks.
    pub(crate) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Returns the number of pages in use.
    pub(crate) fn used(&self) -> usize {
        usize::try_from(self.used.load(Relaxed)).unwrap_or(0)
    }

    /// Returns the number of pages in use in one chunk.
    pub(crate) fn live(&self, chunk: usize) -> usize {
        self.chunks
            .get(chunk)
            .map_or(0, |c| usize::try_from(c.live.load(Acquire)).unwrap_or(0))
    }

    /// Returns whether any of `nr` pages of one chunk is in use.
    pub(crate) fn is_used(&self, page: usize, nr: usize) -> bool {
        let Some(chunk) = self.chunks.get(page / PMD_PAGES) else {
            return false;
        };
        let first = page % PMD_PAGES;
        let words = chunk.map.iter().enumerate();
        words
            .into_iter()
            .any(|(word, map)| map.load(Relaxed) & bits(word, first, nr) != 0)
    }

    /// Counts `nr` more runs that hold copies in the chunk of `page`. Callable anywhere.
    pub(crate) fn count_copies(&self, page: usize, nr: i32) {
        if let Some(chunk) = self.chunks.get(page / PMD_PAGES) {
            chunk.copies.add(nr, Relaxed);
        }
    }

    /// Returns whether there are copies in the chunk of `page`.
    pub(crate) fn has_copies(&self, page: usize) -> bool {
        self.chunks
            .get(page / PMD_PAGES)
            .is_some_and(|chunk| chunk.copies.load(Relaxed) > 0)
    }

    /// Finds `nr` free pages in a row that start at a multiple of `nr`, a power of two of at most
    /// 64 pages.
    pub(crate) fn find(&self, _: &Taking, chunk: usize, nr: usize) -> Option<usize> {
        let chunk = self.chunks.get(chunk)?;
        for (word, used) in chunk.map.iter().enumerate() {
            // Pairs with the release in `put()`: a page that is seen free is no longer touched.
            let used = used.load(Acquire);
            let mut first = word << 6;
            while first < (word << 6) + 64 {
                if used & bits(word, first, nr) == 0 {
                    // Looked at after the bits: one who saw the page in use before it was given
                    // back held the chunk before that.
                    return (chunk.holds.load(Relaxed) == 0).then_some(first);
                }
                first += nr.max(1);
            }
        }
        None
    }

    /// Returns the chunks that may have `nr` pages in a row to give: those without
    /// a failed search since pages were last given back to them.
    fn room(&self, nr: usize) -> &[Atomic<u64>] {
        if nr < RUN {
            &self.pages
        } else {
            &self.runs
        }
    }

    /// Returns the first chunk from `index` on that may have `nr` pages in a row to give.
    pub(crate) fn with_room(&self, _: &Taking, index: usize, nr: usize) -> Option<usize> {
        let words = self.room(nr).iter().enumerate().skip(index / 64);
        let mut bits = u64::MAX << (index % 64);

        for (i, word) in words {
            let found = word.load(Relaxed) & bits;
            if found != 0 {
                return Some((i << 6) + found.trailing_zeros() as usize);
            }
            bits = u64::MAX;
        }
        None
    }

    /// Notes that a chunk may have pages to give. Callable anywhere.
    pub(crate) fn has_room(&self, index: usize) {
        set(&self.pages, index);
        set(&self.runs, index);
    }

    /// Notes that a chunk gives nothing, whatever is free in it.
    pub(crate) fn has_no_room(&self, _: &mut Taking, index: usize) {
        clear(&self.pages, index);
        clear(&self.runs, index);
    }

    /// As [`Self::find`]; a chunk that is looked into in vain is not looked into again before
    /// something is given back to it.
    pub(crate) fn look(&self, taking: &mut Taking, chunk: usize, nr: usize) -> Option<usize> {
        // Fewer pages than a run has may still be found when a few are not.
        let found = self.find(taking, chunk, nr);
        if found.is_some() || !(nr == 1 || nr >= RUN) {
            return found;
        }
        // Once more, after the bit: what is given back now sets it again, or is seen.
        clear(self.room(nr), chunk);
        let found = self.find(taking, chunk, nr);
        if found.is_some() {
            set(self.room(nr), chunk);
        }
        found
    }

    /// Takes pages that are free.
    pub(super) fn take(&self, _: &mut Taking, chunk: usize, first: usize, nr: usize) {
        let Some(chunk) = self.chunks.get(chunk) else {
            return;
        };
        chunk.live.add(nr as i32, Relaxed);
        self.used.add(nr as i64, Relaxed);
        for (word, map) in chunk.map.iter().enumerate() {
            // The bits are clear, so adding is setting.
            map.add(bits(word, first, nr), Relaxed);
        }
    }

    /// Gives pages back. Callable anywhere.
    pub(crate) fn put(&self, page: usize, nr: usize) {
        let index = page / PMD_PAGES;
        let Some(chunk) = self.chunks.get(index) else {
            return;
        };
        let first = page % PMD_PAGES;
        let words = first / 64..(first + nr).div_ceil(64);
        // The bits are set, so subtracting is clearing.
        if nr == 1 {
            if let Some(map) = chunk.map.get(words.start) {
                map.fetch_sub(1 << (first % 64), Release);
            }
        } else {
            for (word, map) in words.clone().zip(chunk.map.get(words).unwrap_or(&[])) {
                map.fetch_sub(bits(word, first, nr), Release);
            }
        }
        self.used.add(-(nr as i64), Relaxed);
        if chunk.live.fetch_sub(nr as i32, Full) == nr as i32 {
            self.note_empty(index);
        }
        // Behind the full barrier: see `look()`.
        self.has_room(index);
    }

    /// Lets pages of the chunk of `page` that are free stay free, until [`Self::release`]. Callable
    /// anywhere.
    pub(crate) fn hold(&self, page: usize) {
        if let Some(chunk) = self.chunks.get(page / PMD_PAGES) {
            // Not empty, so it is not given back.
            chunk.live.fetch_add(1, Full);
            chunk.holds.fetch_add(1, Full);
        }
    }

    /// Ends [`Self::hold`].
    pub(crate) fn release(&self, page: usize) {
        let index = page / PMD_PAGES;
        if let Some(chunk) = self.chunks.get(index) {
            chunk.holds.fetch_sub(1, Release);
            if chunk.live.fetch_sub(1, Full) == 1 {
                self.note_empty(index);
            }
            self.has_room(index);
        }
    }

    fn note_empty(&self, index: usize) {
        set(&self.emptied, index);
        dmem::return_soon();
    }

    /// Calls `f` with chunks that are empty and became so since the last call; returns whether it
    /// came to the end of them.
    pub(crate) fn drain(&self, _: &mut Taking, mut f: impl FnMut(usize)) -> bool {
        let mut words = 0;
        for (i, word) in self.emptied.iter().enumerate() {
            if word.load(Relaxed) == 0 {
                continue;
            }
            // One word of them under one hold of the mutex.
            words += 1;
            if words > 1 {
                return false;
            }
            let mut bits = word.xchg(0, Full);
            while bits != 0 {
                let index = (i << 6) + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                if self.live(index) == 0 {
                    f(index);
                }
            }
        }
        true
    }
}
