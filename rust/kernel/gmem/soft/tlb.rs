// SPDX-License-Identifier: GPL-2.0

//! The TLB of a core of an emulated device.
//!
//! It holds copies of the page-table entries that the core used last, and a hit does not look at
//! the page table: an entry that changed there is used on until it is flushed here. Accesses are
//! made in steps, which are counted: a flush that wants no access through an old translation to be
//! left waits until the step that ran has ended.

use super::{
    translation::Word,
    Miss,
    PageTable,
    Translation, //
};
use crate::{
    new_mutex,
    page::PAGE_SHIFT,
    prelude::*,
    processor::cpu_relax,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};
use core::ops::{
    Range,
    RangeInclusive, //
};

const BLOCK_SHIFT: u32 = PAGE_SHIFT as u32 + 9;
const SMALL_ENTRIES: usize = 64;
const LARGE_ENTRIES: usize = 32;

/// No step begins any more.
const STOPPED: u64 = 1 << 63;

#[derive(Clone, Copy)]
struct Entry {
    space: u64,
    /// Number of the page, or of the block.
    nr: u64,
    to: Word,
}

/// The entries of one page size, direct-mapped.
struct Ways<const NR: usize, const SHIFT: u32>([Option<Entry>; NR]);

impl<const NR: usize, const SHIFT: u32> Ways<NR, SHIFT> {
    fn way(&mut self, space: u64, nr: u64) -> Option<&mut Option<Entry>> {
        self.0.get_mut((nr ^ space) as usize & (NR - 1))
    }

    fn find(&mut self, space: u64, va: u64) -> Option<Word> {
        let nr = va >> SHIFT;
        let entry = (*self.way(space, nr)?)?;
        (entry.space == space && entry.nr == nr).then_some(entry.to)
    }

    fn fill(&mut self, space: u64, va: u64, to: Word) {
        let nr = va >> SHIFT;
        if let Some(way) = self.way(space, nr) {
            *way = Some(Entry { space, nr, to });
        }
    }

    fn flush(&mut self, space: u64, bytes: &RangeInclusive<u64>) {
        let range = bytes.start() >> SHIFT..=bytes.end() >> SHIFT;
        if range.end() - range.start() < NR as u64 {
            // Each page has one way that it can be in.
            for nr in range {
                if let Some(way) = self.way(space, nr) {
                    way.take_if(|e| e.space == space && e.nr == nr);
                }
            }
            return;
        }
        for way in self.0.iter_mut() {
            way.take_if(|e| e.space == space && range.contains(&e.nr));
        }
    }
}

struct Entries {
    small: Ways<SMALL_ENTRIES, { PAGE_SHIFT as u32 }>,
    large: Ways<LARGE_ENTRIES, BLOCK_SHIFT>,
}

/// A TLB, direct-mapped.
///
/// # Invariants
///
/// An entry is that of a page table that is used with this TLB, and was there when it was flushed
/// last, or was copied since. There is one [`Step`] at most: one when `steps` is odd.
#[pin_data]
pub struct Tlb {
    #[pin]
    entries: Mutex<Entries>,
    /// Odd during a step; and [`STOPPED`].
    steps: Atomic<u64>,
}

/// A step of the core; ends when dropped.
pub struct Step<'a>(&'a Tlb);

impl Tlb {
    /// Makes an empty TLB.
    pub(super) fn new() -> Result<Arc<Self>> {
        let entries = Entries {
            small: Ways([None; SMALL_ENTRIES]),
            large: Ways([None; LARGE_ENTRIES]),
        };
        Arc::pin_init(
            pin_init!(Self {
                entries <- new_mutex!(entries),
                steps: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Begins a step of the core that the TLB is of, which does not sleep for long before the step
    /// ends. [`None`] while another step runs, and for ever when the device is dead.
    #[inline]
    pub fn begin(&self) -> Option<Step<'_>> {
        let mut old = self.steps.load(Relaxed);
        loop {
            if old & (STOPPED | 1) != 0 {
                return None;
            }
            match self.steps.cmpxchg(old, old + 1, Full) {
                Ok(_) => return Some(Step(self)),
                Err(now) => old = now,
            }
        }
    }

    /// Lets no step begin any more, and waits until the one that runs has ended.
    pub(super) fn stop(&self) {
        let mut old = self.steps.load(Relaxed);
        while let Err(now) = self.steps.cmpxchg(old, old | STOPPED, Full) {
            old = now;
        }
        self.drain(self.snapshot());
    }

    /// Returns a number for [`drain`](Self::drain).
    pub(super) fn snapshot(&self) -> u32 {
        self.steps.load(Acquire) as u32
    }

    /// Waits until the step that ran at the snapshot has ended.
    pub(super) fn drain(&self, snapshot: u32) {
        let mut spins = 0u32;
        while snapshot & 1 != 0 && self.steps.load(Acquire) as u32 == snapshot {
            if spins < 256 {
                spins += 1;
                cpu_relax();
            } else {
                fsleep(Delta::from_micros(20));
            }
        }
    }

    /// Forgets the entries of an address space that overlap the range.
    pub(super) fn flush(&self, space: u64, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let bytes = range.start..=range.end - 1;
        let mut entries = self.entries.lock();
        entries.small.flush(space, &bytes);
        entries.large.flush(space, &bytes);
    }
}

impl Step<'_> {
    /// Finds how `va` is reached: in the TLB, or else in the page table. It looks there under the
    /// lock that a flush takes, so that what it finds is not remembered after the flush that
    /// follows a change.
    ///
    /// # Errors
    ///
    /// [`Miss`] says why not.
    pub fn lookup(&self, table: &PageTable, va: u64, write: bool) -> Result<Translation<'_>, Miss> {
        let space = table.space();
        let mut entries = self.0.entries.lock();
        let hit = match entries.large.find(space, va) {
            None => entries.small.find(space, va),
            hit => hit,
        };
        if let Some(to) = hit.filter(|to| to.serves(write)) {
            // INVARIANT: Not flushed since, or the flush waits for this step.
            return Ok(Translation::new(self, to));
        }
        // A flush of the table comes here.
        if !table.is_used_with(self.0) {
            return Err(Miss::Foreign);
        }
        // Or its right grew, or the dirty bit has to be set.
        let to = table.translate(va, write)?;
        if to.is_large() {
            entries.large.fill(space, va, to);
        } else {
            entries.small.fill(space, va, to);
        }
        // INVARIANT: As above.
        Ok(Translation::new(self, to))
    }
}

impl Drop for Step<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.steps.fetch_add(1u64, Release);
    }
}
