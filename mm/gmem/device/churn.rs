// SPDX-License-Identifier: GPL-2.0

//! Which blocks a memory evicts as soon as they come.

use crate::{
    device::{
        arrivals::Leaving,
        memory::Memory,
        units::Spot, //
    },
    policy::{
        churn::SMALL,
        unit::SLOT_PAGES, //
    },
    prelude::*, //
};

impl Memory {
    /// Returns what is about to be evicted from `first` on, pages of one chunk, if room is so short
    /// that it may come back at once: with a limit in the way, or in a memory of a few blocks.
    pub(crate) fn leaving(&self, first: usize, nr: usize, limited: bool) -> Option<Leaving> {
        (limited || self.pages() <= SMALL).then(|| self.alloc.lock().units.leaving(first, nr))
    }

    /// Notes that it was evicted.
    pub(crate) fn left(&self, leaving: &Leaving) {
        self.alloc.lock().units.arrivals.left(leaving);
    }

    /// Returns whether any part of `range`, which a device asks for, was evicted as soon as it came
    /// several times in a row.
    pub(crate) fn is_pushed_out(&self, space: usize, range: PageRange) -> bool {
        let mut alloc = self.alloc.lock();
        // Chunks are known by their first page.
        let block = range.align_out(BLOCK_ORDER).first();
        let slots = (range.first()..range.end()).step_by(SLOT_PAGES);

        Iterator::chain(core::iter::once(block), slots).any(|page| {
            let key = Spot { space, page }.key();
            alloc.units.arrivals.is_pushed_out(key)
        })
    }
}
