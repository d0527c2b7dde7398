// SPDX-License-Identifier: GPL-2.0

//! The copy engine's time.
//!
//! Copies are done at once, by the host. To imitate a device with a bandwidth and a latency, their
//! fence is the time when such a device would be done.

use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex,
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
};

/// A copy engine that does one batch after the other.
pub(crate) struct Dma {
    bandwidth_mib: u64,
    latency_ns: u64,
    start: Instant<Monotonic>,
    /// When the last batch will be done, in nanoseconds after `start`.
    busy_until: Pin<KBox<Mutex<u64>>>,
}

impl Dma {
    /// `bandwidth` is in MiB/s; 0 means not to imitate.
    pub(crate) fn new(bandwidth: u32, latency_us: u32) -> Result<Self> {
        Ok(Self {
            bandwidth_mib: u64::from(bandwidth),
            latency_ns: u64::from(latency_us) * 1000,
            start: Instant::now(),
            busy_until: KBox::pin_init(new_mutex!(0), GFP_KERNEL)?,
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(0)
    }

    /// Accounts for a batch of `bytes`. Returns when it will be done, 0 for at once.
    pub(crate) fn batch(&self, bytes: u64) -> u64 {
        if self.bandwidth_mib == 0 && self.latency_ns == 0 {
            return 0;
        }
        // A batch is 512 runs of at most 2 MiB, so this does not overflow.
        let transfer = bytes
            .saturating_mul(1_000_000_000)
            .checked_div(self.bandwidth_mib << 20)
            .unwrap_or(0);
        let now = self.now();
        let mut busy_until = self.busy_until.lock();
        *busy_until = now.max(*busy_until).saturating_add(transfer);
        busy_until.saturating_add(self.latency_ns).max(1)
    }

    /// Waits for a batch.
    pub(crate) fn wait(&self, done: u64) {
        let left = done.saturating_sub(self.now());
        if left != 0 {
            fsleep(Delta::from_nanos(i64::try_from(left).unwrap_or(i64::MAX)));
        }
    }
}
