// SPDX-License-Identifier: GPL-2.0

//! What of a device's memory is in use, in the order in which it is to leave.
//!
//! The [`Ranking`] has the order. Beside it stands where a device mapped each unit last, so that
//! the device can be asked whether it used it since. That is a hint only: the pages may have moved
//! to another address.

use crate::{
    device::arrivals::{
        Arrivals,
        Leaving, //
    },
    policy::{
        unit::{
            CHUNK_SLOTS,
            SLOT_PAGES, //
        },
        Ghost,
        Key,
        Ranking,
        Slot,
        Unit, //
    },
    prelude::*, //
};

/// Where a device mapped a unit last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Spot {
    /// The key of the address space; 0 is none.
    pub(crate) space: usize,
    /// The virtual page of the unit's first page.
    pub(crate) page: u64,
}

impl Spot {
    /// Returns the spot `pages` further on.
    pub(crate) fn after(self, pages: usize) -> Self {
        Self {
            page: self.page.wrapping_add(pages as u64),
            ..self
        }
    }

    /// Returns the name of what is there.
    pub(super) fn key(self) -> Key {
        Key::new(self.space as u64, self.page)
    }

    /// Returns the spot `pages` before.
    fn before(self, pages: usize) -> Self {
        Self {
            page: self.page.wrapping_sub(pages as u64),
            ..self
        }
    }
}

/// All units of one memory.
pub(crate) struct Units {
    pub(super) ranking: Ranking<KVVec<Slot>, KVVec<Ghost>>,
    /// One for each slot.
    spots: KVVec<Spot>,
    /// Chunks that are one unit.
    whole: KVVec<bool>,
    pub(super) arrivals: Arrivals,
}

impl Units {
    /// Makes the table for `nr` chunks, none of which is in use.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(nr: usize) -> Result<Self> {
        let slots = nr.checked_mul(CHUNK_SLOTS as usize).ok_or(ENOMEM)?;

        Ok(Self {
            ranking: Ranking::new(
                KVVec::from_elem(Slot::default(), slots, GFP_KERNEL)?,
                KVVec::from_elem(Ghost::default(), slots, GFP_KERNEL)?,
            ),
            spots: KVVec::from_elem(Spot::default(), slots, GFP_KERNEL)?,
            whole: KVVec::from_elem(false, nr, GFP_KERNEL)?,
            arrivals: Arrivals::new(slots)?,
        })
    }

    /// Returns the unit that `page` is in.
    fn unit_of(&self, page: usize) -> Unit {
        if self.whole.get(page / PMD_PAGES) == Some(&true) {
            Unit::chunk_of(page)
        } else {
            Unit::slot_of(page)
        }
    }

    fn set_whole(&mut self, chunk: usize, on: bool) {
        if let Some(whole) = self.whole.get_mut(chunk) {
            *whole = on;
        }
    }

    fn set_spot(&mut self, unit: Unit, spot: Spot) {
        if let Some(to) = self.spots.get_mut(unit.first_slot() as usize) {
            *to = spot;
        }
    }

    /// Returns where a unit was mapped last.
    pub(crate) fn spot(&self, unit: Unit) -> Spot {
        let spot = self.spots.get(unit.first_slot() as usize);

        spot.copied().unwrap_or_default()
    }

    /// Notes that a whole chunk, or pages inside one slot, were taken for what is at `spot`.
    pub(crate) fn taken(&mut self, first: usize, pages: usize, spot: Spot) {
        self.set_whole(first / PMD_PAGES, pages == PMD_PAGES);
        let unit = self.unit_of(first);
        // A slot that is filled page by page is as old as its last page.
        self.ranking.insert(unit, spot.key());
        self.set_spot(unit, spot.before(first.wrapping_sub(unit.first_page())));
        self.arrivals.taken(unit, pages);
    }

    /// Notes that a device asks for pages of a unit, and maps the page `page` of it at `spot`.
    pub(crate) fn touch(&mut self, page: usize, spot: Spot) {
        let unit = self.unit_of(page);
        self.ranking.used(unit);
        self.set_spot(unit, spot.before(page.wrapping_sub(unit.first_page())));
    }

    /// Forgets the units of a chunk that became empty.
    pub(crate) fn forget(&mut self, chunk: usize) {
        self.ranking.remove(Unit::chunk_of(chunk * PMD_PAGES));
        self.set_whole(chunk, false);
    }

    /// Makes a chunk that is one unit many.
    pub(crate) fn split(&mut self, chunk: usize) {
        let whole = self.unit_of(chunk * PMD_PAGES);
        if !whole.is_whole() {
            return;
        }
        let spot = self.spot(whole);
        self.ranking.split(whole);
        self.arrivals.split(whole);
        self.set_whole(chunk, false);
        for i in 0..CHUNK_SLOTS {
            let page = i as usize * SLOT_PAGES;
            self.set_spot(Unit::slot(whole.first_slot() + i), spot.after(page));
        }
    }

    /// Returns the unit that `page` is in, and where it was mapped last.
    pub(crate) fn at(&self, page: usize) -> (Unit, Spot) {
        let unit = self.unit_of(page);

        (unit, self.spot(unit))
    }

    /// Returns what is in `nr` pages from `first` on, and when it arrived.
    pub(super) fn leaving(&self, first: usize, nr: usize) -> Leaving {
        let mut leaving = Leaving::new();
        let mut page = first;

        while page < first + nr {
            let (unit, spot) = self.at(page);
            leaving.add(&self.arrivals, unit, spot.key());
            page = unit.first_page() + unit.pages();
        }
        leaving
    }
}
