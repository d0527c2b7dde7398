// SPDX-License-Identifier: GPL-2.0

//! What of a memory leaves first: its units, under its lock.

use crate::{
    device::{
        dmem::{
            Low,
            Payer, //
        },
        memory::Memory,
        units::Spot, //
    },
    policy::{
        unit::SLOT_PAGES,
        Search,
        Seen,
        Unit,
        Verdict, //
    },
    prelude::*, //
};

impl Memory {
    /// Returns whether what is in the chunk of `page` may leave to make room for `payer`: what
    /// `dmem.min` guarantees to others is left alone, and what `dmem.low` does according to `low`.
    pub(crate) fn may_leave(&self, page: usize, payer: Option<&Payer>, low: &mut Low) -> bool {
        let alloc = self.alloc.lock();
        let owned = alloc.owned.get(page / PMD_PAGES).and_then(Option::as_ref);

        owned.is_some_and(|owned| match payer {
            _ if owned.pool.is_some() => false,
            Some(payer) => owned.charge.is_of(payer),
            None => owned.charge.may_evict(None, low),
        })
    }

    /// Returns the units of the chunk at `page`, and where they were mapped last.
    pub(crate) fn units_of(&self, page: usize) -> impl Iterator<Item = (Unit, Spot)> + use<'_> {
        let chunk = page / PMD_PAGES;
        let mut next = Some(chunk * PMD_PAGES);
        core::iter::from_fn(move || {
            let (unit, spot) = self.alloc.lock().units.at(next?);
            let end = unit.first_page() + unit.pages();
            next = Some(end).filter(|end| end / PMD_PAGES == chunk);
            Some((unit, spot))
        })
    }

    /// Notes that a device maps pages of the memory: for each run its first page, their number, and
    /// where.
    pub(crate) fn touch(&self, runs: impl Iterator<Item = (usize, usize, Spot)>) {
        let mut alloc = self.alloc.lock();
        for (first, nr, spot) in runs {
            let mut i = 0;
            while i < nr {
                let page = first + i;
                alloc.units.touch(page, spot.after(i));
                i += SLOT_PAGES - page % SLOT_PAGES;
            }
        }
    }

    /// Returns the unit to ask the devices about next, and where it was mapped last.
    pub(crate) fn candidate(&self, search: &mut Search) -> Option<(Unit, Spot)> {
        let mut alloc = self.alloc.lock();
        let unit = alloc.units.ranking.candidate(search)?;

        Some((unit, alloc.units.spot(unit)))
    }

    /// Decides about it.
    pub(crate) fn decide(&self, search: &mut Search, unit: Unit, seen: Seen) -> Verdict {
        let mut alloc = self.alloc.lock();
        alloc.units.ranking.decide(search, unit, seen)
    }

    /// Notes that nothing came for a while.
    pub(crate) fn rest(&self) {
        self.alloc.lock().units.ranking.rest();
    }

    /// Notes that the huge folio at `page` was taken apart.
    pub(crate) fn split(&self, page: usize) {
        self.alloc.lock().units.split(page / PMD_PAGES);
    }
}
