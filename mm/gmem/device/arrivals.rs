// SPDX-License-Identifier: GPL-2.0

//! When the units of a memory arrived, and which of them were evicted at once.

use crate::{
    device::{
        memory::Memory,
        units::{
            Spot,
            Units, //
        }, //
    },
    policy::{
        refault::{
            Refault,
            Refaults,
            SMALL, //
        },
        unit::{
            CHUNK_SLOTS,
            SLOT_PAGES, //
        },
        Key,
        Unit, //
    },
    range::{
        PageRange,
        BLOCK_ORDER, //
    }, //
};
use kernel::prelude::*;

/// Blocks and slots that are known at a time: 3 KiB.
const ENTRIES: usize = 256;

/// The arrivals at one memory, counted in pages.
pub(super) struct Arrivals {
    now: u32,
    /// One for each slot.
    arrived: KVVec<u32>,
    refaults: Refaults<KVec<Refault>>,
}

impl Arrivals {
    /// Makes the table for a memory of so many slots.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(slots: usize) -> Result<Self> {
        Ok(Self {
            now: 0,
            arrived: KVVec::from_elem(0, slots, GFP_KERNEL)?,
            refaults: Refaults::new(KVec::from_elem(Refault::default(), ENTRIES, GFP_KERNEL)?),
        })
    }

    fn set(&mut self, unit: Unit, at: u32) {
        if let Some(arrived) = self.arrived.get_mut(unit.first_slot() as usize) {
            *arrived = at;
        }
    }

    fn of(&self, unit: Unit) -> u32 {
        let arrived = self.arrived.get(unit.first_slot() as usize);

        arrived.copied().unwrap_or_default()
    }

    /// Notes that pages were taken for a unit.
    pub(super) fn taken(&mut self, unit: Unit, pages: usize) {
        self.now = self.now.wrapping_add(pages as u32);
        self.set(unit, self.now);
    }

    /// Notes that a whole chunk became slots.
    pub(super) fn split(&mut self, whole: Unit) {
        let at = self.of(whole);

        (0..CHUNK_SLOTS).for_each(|i| self.set(Unit::slot(whole.first_slot() + i), at));
    }
}

/// Units that are about to be evicted: what they are, and when they arrived.
pub(crate) struct Leaving {
    units: [(Key, u32); CHUNK_SLOTS as usize],
    len: usize,
}

fn key(spot: Spot) -> Key {
    Key::new(spot.space as u64, spot.page)
}

impl Units {
    fn leaving(&self, first: usize, nr: usize) -> Leaving {
        let mut leaving = Leaving {
            units: [(Key::default(), 0); CHUNK_SLOTS as usize],
            len: 0,
        };
        let mut page = first;

        for place in &mut leaving.units {
            if page >= first + nr {
                break;
            }
            let (unit, spot) = self.at(page);
            *place = (key(spot), self.arrivals.of(unit));
            leaving.len += 1;
            page = unit.first_page() + unit.pages();
        }
        leaving
    }
}

impl Memory {
    /// Returns what is about to be evicted from `first` on, if room is so short that it may come
    /// back at once: with a limit in the way, or in a memory of a few blocks.
    pub(crate) fn leaving(&self, first: usize, nr: usize, limited: bool) -> Option<Leaving> {
        (limited || self.pages() <= SMALL).then(|| self.alloc.lock().units.leaving(first, nr))
    }

    /// Notes that it was evicted.
    pub(crate) fn left(&self, leaving: &Leaving) {
        let mut alloc = self.alloc.lock();
        let Arrivals { now, refaults, .. } = &mut alloc.units.arrivals;

        for (key, arrived) in leaving.units.iter().take(leaving.len) {
            refaults.evicted(*key, *arrived, *now);
        }
    }

    /// Returns whether any part of `range`, which a device asks for, was evicted as soon as it came
    /// several times in a row.
    pub(crate) fn is_pushed_out(&self, space: usize, range: PageRange) -> bool {
        let mut alloc = self.alloc.lock();
        let Arrivals { now, refaults, .. } = &mut alloc.units.arrivals;
        // Chunks are known by their first page.
        let block = range.align_out(BLOCK_ORDER).first();
        let slots = (range.first()..range.end()).step_by(SLOT_PAGES);

        Iterator::chain(core::iter::once(block), slots)
            .any(|page| refaults.is_pushed_out(key(Spot { space, page }), *now))
    }
}
