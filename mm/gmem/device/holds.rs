// SPDX-License-Identifier: GPL-2.0

//! Maximum work under one hold of a lock, since boot.
//!
//! A task that holds a lock which others wait for does no more than this, then drops and retakes
//! it; tests read the numbers in debugfs.

use crate::{
    device::stats::Counter,
    prelude::*, //
};

/// Candidates for eviction, or chunks with room, that are looked at.
pub(crate) const MAX_LOOKS: usize = 64;

/// Replicas that are dropped.
pub(crate) const MAX_COPIES: usize = 64;

/// Pages that are migrated.
pub(crate) const MAX_PAGES: usize = PMD_PAGES;

/// Total wait, in milliseconds.
pub(crate) const MAX_WAIT_MS: u32 = 50;

/// The largest number there was.
pub(crate) struct Most(Atomic<usize>);

impl Most {
    const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Notes a number.
    pub(crate) fn note(&self, nr: usize) {
        let mut old = self.get();
        while nr > old {
            match self.0.cmpxchg(old, nr, Full) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
    }

    /// Returns the largest one.
    pub(crate) fn get(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// Units, and chunks, that a fault looked at to evict one, under mmap_lock.
pub(crate) static CANDIDATES: Most = Most::new();

/// Chunks that were looked at under the lock of a device's memory.
pub(crate) static CHUNKS: Most = Most::new();

/// Copies that were dropped under the map lock.
pub(crate) static COPIES: Most = Most::new();

/// Pages that a fault, of a device or a CPU, moved under mmap_lock, those that it evicted included.
pub(crate) static PAGES: Most = Most::new();

/// How often the list of all devices, of all spaces, or of all advice was locked.
pub(crate) static LISTS: Counter = Counter::new();

/// Milliseconds that a fault waited for room under mmap_lock.
pub(crate) static WAIT_MS: Most = Most::new();
