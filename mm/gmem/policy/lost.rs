// SPDX-License-Identifier: GPL-2.0

//! What left a device before it was used.
//!
//! A command with two operands asks for as much of each as it will use. Where there is room for
//! one of them only - a small device, a cgroup with a small limit - each pushes the other out, and
//! megabytes move for every page of progress. [`Losses`] knows what the last faults of a context
//! brought: what the device asks for again after room had to be made for something else is better
//! left where it is for a while.

use crate::range::PageRange;

/// So many faults are remembered: the operands of some commands.
const FAULTS: usize = 8;

/// What a fault brought.
#[derive(Clone, Copy, Debug)]
struct Brought {
    range: PageRange,
    /// Room had to be made since.
    pushed: bool,
}

/// What the last faults of a context brought.
#[derive(Clone, Debug)]
pub(crate) struct Losses {
    last: [Option<Brought>; FAULTS],
    next: usize,
}

impl Losses {
    /// Knows of no fault.
    pub(crate) const fn new() -> Self {
        Self {
            last: [None; FAULTS],
            next: 0,
        }
    }

    /// Was `page`, which is not on the device, there a moment ago, and had to make room?
    pub(crate) fn has(&self, page: u64) -> bool {
        let mut last = self.last.iter().flatten();
        last.any(|brought| brought.pushed && brought.range.has(page))
    }

    /// Notes what a fault brought, and whether others had to leave for it.
    pub(crate) fn served(&mut self, range: PageRange, pushed: bool) {
        for brought in self.last.iter_mut().flatten() {
            brought.pushed |= pushed;
        }
        if let Some(slot) = self.last.get_mut(self.next % FAULTS) {
            *slot = Some(Brought {
                range,
                pushed: false,
            });
        }
        self.next = self.next.wrapping_add(1);
    }
}
