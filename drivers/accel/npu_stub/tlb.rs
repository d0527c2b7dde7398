// SPDX-License-Identifier: GPL-2.0

//! A core's TLB.
//!
//! It remembers the entries of the blocks that the core used last, so that not every access walks
//! the page table. Accesses are made in steps, which are counted: a flush that wants no access
//! through an old translation to be left waits until the step that ran has ended.

use crate::pagetable::{
    Block,
    BLOCK_SHIFT, //
};
use core::ops::Range;
use kernel::{
    new_mutex,
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

const ENTRIES: usize = 64;

struct Entry {
    space: u64,
    block: u64,
    entries: Arc<Block>,
}

/// A direct-mapped TLB.
#[pin_data]
pub(crate) struct Tlb {
    #[pin]
    entries: Mutex<KVec<Option<Entry>>>,
    /// Odd during a step.
    steps: Atomic<u32>,
}

/// A step of the core; ends when dropped.
pub(crate) struct Step<'a>(&'a Tlb);

fn way(space: u64, block: u64) -> usize {
    (block ^ space) as usize & (ENTRIES - 1)
}

impl Tlb {
    pub(crate) fn new() -> Result<Arc<Self>> {
        let mut entries = KVec::with_capacity(ENTRIES, GFP_KERNEL)?;
        for _ in 0..ENTRIES {
            entries.push(None, GFP_KERNEL)?;
        }
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
    pub(crate) fn step(&self) -> Step<'_> {
        self.steps.fetch_add(1u32, Full);
        Step(self)
    }

    /// Returns a number for [`wait`](Self::wait).
    pub(crate) fn snapshot(&self) -> u32 {
        self.steps.load(Acquire)
    }

    /// Waits until the step that ran at the snapshot has ended.
    pub(crate) fn wait(&self, snapshot: u32) {
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

    /// Forgets the blocks of an address space that overlap the range.
    pub(crate) fn flush(&self, space: u64, range: Range<u64>) {
        let blocks = range.start >> BLOCK_SHIFT..=range.end.wrapping_sub(1) >> BLOCK_SHIFT;
        let mut entries = self.entries.lock();
        if blocks.end() - blocks.start() < ENTRIES as u64 {
            // Each block has one way that it can be in.
            for block in blocks {
                if let Some(entry) = entries.get_mut(way(space, block)) {
                    entry.take_if(|e| e.space == space && e.block == block);
                }
            }
            return;
        }
        for entry in entries.iter_mut() {
            entry.take_if(|e| e.space == space && blocks.contains(&e.block));
        }
    }

    /// Forgets an address space.
    pub(crate) fn flush_space(&self, space: u64) {
        for entry in self.entries.lock().iter_mut() {
            if matches!(entry, Some(e) if e.space == space) {
                *entry = None;
            }
        }
    }
}

impl Step<'_> {
    /// Finds the entries of the block around `va`; `walk` looks into the page table.
    pub(crate) fn find(
        &self,
        space: u64,
        va: u64,
        walk: impl FnOnce() -> Option<Arc<Block>>,
    ) -> Option<Arc<Block>> {
        let block = va >> BLOCK_SHIFT;
        let mut entries = self.0.entries.lock();
        let entry = entries.get_mut(way(space, block))?;
        if let Some(e) = entry {
            if e.space == space && e.block == block {
                return Some(e.entries.clone());
            }
        }
        let found = walk()?;
        *entry = Some(Entry {
            space,
            block,
            entries: found.clone(),
        });
        Some(found)
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.0.steps.fetch_add(1u32, Release);
    }
}
