// SPDX-License-Identifier: GPL-2.0

//! The TLB of a core of an emulated device.
//!
//! It holds copies of the page-table entries that the core used last, and a hit does not look at
//! the page table: an entry that changed there is used on until it is flushed here. Accesses are
//! made in steps, which are counted: a flush that wants no access through an old translation to be
//! left waits until the step that ran has ended.

use super::{
    Miss,
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

#[derive(Clone, Copy)]
struct Entry {
    space: u64,
    /// Number of the page, or of the block.
    nr: u64,
    to: Translation,
}

/// The entries of one page size, direct-mapped.
struct Ways<const NR: usize, const SHIFT: u32>([Option<Entry>; NR]);

impl<const NR: usize, const SHIFT: u32> Ways<NR, SHIFT> {
    fn way(&mut self, space: u64, nr: u64) -> Option<&mut Option<Entry>> {
        self.0.get_mut((nr ^ space) as usize & (NR - 1))
    }

    fn find(&mut self, space: u64, va: u64) -> Option<Translation> {
        let nr = va >> SHIFT;
        let entry = (*self.way(space, nr)?)?;
        (entry.space == space && entry.nr == nr).then_some(entry.to)
    }

    fn fill(&mut self, space: u64, va: u64, to: Translation) {
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
#[pin_data]
pub struct Tlb {
    #[pin]
    entries: Mutex<Entries>,
    /// Odd during a step.
    steps: Atomic<u32>,
}

/// A step of the core; ends when dropped.
pub struct Step<'a>(&'a Tlb);

impl Tlb {
    /// Makes an empty TLB.
    pub fn new() -> Result<Arc<Self>> {
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

    /// Begins a step. Only the core that owns the TLB does; it does not sleep for long before the
    /// step ends.
    pub fn begin(&self) -> Step<'_> {
        self.steps.fetch_add(1u32, Full);
        Step(self)
    }

    /// Returns a number for [`drain`](Self::drain).
    pub fn snapshot(&self) -> u32 {
        self.steps.load(Acquire)
    }

    /// Waits until the step that ran at the snapshot has ended.
    pub fn drain(&self, snapshot: u32) {
        let mut spins = 0u32;
        while snapshot & 1 != 0 && self.steps.load(Acquire) == snapshot {
            if spins < 256 {
                spins += 1;
                cpu_relax();
            } else {
                fsleep(Delta::from_micros(20));
            }
        }
    }

    /// Forgets the entries of an address space that overlap the range.
    pub fn flush(&self, space: u64, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let bytes = range.start..=range.end - 1;
        let mut entries = self.entries.lock();
        entries.small.flush(space, &bytes);
        entries.large.flush(space, &bytes);
    }

    /// Forgets an address space.
    pub fn flush_space(&self, space: u64) {
        self.flush(space, 0..u64::MAX);
    }
}

impl Step<'_> {
    /// Finds how `va` is reached; `walk` looks into the page table. It does so under the lock that
    /// a flush takes, so that what it finds is not remembered after the flush that follows a
    /// change.
    pub fn lookup(
        &self,
        space: u64,
        va: u64,
        write: bool,
        walk: impl FnOnce() -> Result<Translation, Miss>,
    ) -> Result<Translation, Miss> {
        let mut entries = self.0.entries.lock();
        let hit = match entries.large.find(space, va) {
            None => entries.small.find(space, va),
            hit => hit,
        };
        if let Some(to) = hit.filter(|to| to.serves(write)) {
            return Ok(to);
        }
        // Or its right grew, or the dirty bit has to be set.
        let to = walk()?;
        if to.is_large() {
            entries.large.fill(space, va, to);
        } else {
            entries.small.fill(space, va, to);
        }
        Ok(to)
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.0.steps.fetch_add(1u32, Release);
    }
}
