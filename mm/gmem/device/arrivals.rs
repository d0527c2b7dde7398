// SPDX-License-Identifier: GPL-2.0

//! When the units of a memory arrived, and which of them were evicted at once.

use crate::{
    policy::{
        churn::{
            Churn,
            Churns, //
        },
        unit::CHUNK_SLOTS,
        Key,
        Unit, //
    },
    prelude::*, //
};

/// Blocks and slots that are known at a time: 3 KiB.
const ENTRIES: usize = 256;

/// The arrivals at one memory, counted in pages.
pub(super) struct Arrivals {
    now: u32,
    /// One for each slot.
    arrived: KVVec<u32>,
    churns: Churns<KVec<Churn>>,
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
            churns: Churns::new(KVec::from_elem(Churn::default(), ENTRIES, GFP_KERNEL)?),
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

    /// Notes that some were evicted.
    pub(super) fn left(&mut self, leaving: &Leaving) {
        for (key, arrived) in leaving.units.iter().take(leaving.len) {
            self.churns.evicted(*key, *arrived, self.now);
        }
    }

    /// Returns whether a unit was evicted as soon as it came several times in a row.
    pub(super) fn is_pushed_out(&mut self, key: Key) -> bool {
        self.churns.is_pushed_out(key, self.now)
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

impl Leaving {
    /// None so far.
    pub(super) const fn new() -> Self {
        Self {
            units: [(Key::new(0, 0), 0); CHUNK_SLOTS as usize],
            len: 0,
        }
    }

    /// Adds a unit; those of one chunk fit.
    pub(super) fn add(&mut self, arrivals: &Arrivals, unit: Unit, key: Key) {
        if let Some(place) = self.units.get_mut(self.len) {
            *place = (key, arrivals.of(unit));
            self.len += 1;
        }
    }
}
