// SPDX-License-Identifier: GPL-2.0

//! Counters of one device.

use crate::prelude::*;

/// One counter.
pub(crate) struct Counter(Atomic<u64>);

impl Counter {
    pub(super) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Adds `n`.
    pub(crate) fn add(&self, n: usize) {
        self.0.add(n as u64, Relaxed);
    }

    /// Takes `n` away.
    pub(crate) fn sub(&self, n: usize) {
        self.0.add((n as u64).wrapping_neg(), Relaxed);
    }

    /// Reads the counter.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

/// What one device did, in bytes where it is not events; see `struct gm_dev_stats`.
#[derive(Default)]
pub(crate) struct Stats {
    pub(crate) faults: Counter,
    pub(crate) to_dev: Counter,
    pub(crate) from_dev: Counter,
    pub(crate) zeroed: Counter,
    pub(crate) peer: Counter,
    pub(crate) evicted: Counter,
    pub(crate) invalidated: Counter,
    pub(crate) remote: Counter,
    /// Faults of the device: requests without prefetches.
    pub(crate) demands: Counter,
    /// Those that found no free memory at once.
    pub(crate) waits: Counter,
    /// Faults that left a block in place because it bounced.
    pub(crate) bounced: Counter,
    /// Faults that the directory answered.
    pub(crate) refaults: Counter,
    /// Bytes that came before they were asked for.
    pub(crate) ahead: Counter,
    /// Bytes that a fault evicted by itself.
    pub(crate) direct: Counter,
    pub(crate) duplicated: Counter,
}

impl Stats {
    /// Returns what the counters say in the form that drivers and users read.
    pub(crate) fn report(&self) -> bindings::gm_dev_stats {
        bindings::gm_dev_stats {
            faults: self.faults.get(),
            to_dev: self.to_dev.get(),
            from_dev: self.from_dev.get(),
            zeroed: self.zeroed.get(),
            peer: self.peer.get(),
            evicted: self.evicted.get(),
            invalidated: self.invalidated.get(),
            remote: self.remote.get(),
            duplicated: self.duplicated.get(),
            ..Default::default()
        }
    }
}
