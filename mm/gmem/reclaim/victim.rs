// SPDX-License-Identifier: GPL-2.0

//! Finding what is to leave a device.

use crate::{
    device::{
        dmem::{
            Limit,
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
    reclaim::age, //
};
use kernel::mm::device::{
    migrate::split_device_folio,
    PMD_PAGES, //
};

/// How many chunks in use are passed over to find an idle one that counts against a limit.
const PATIENCE: usize = 16;

/// Pages that are to leave.
pub(crate) struct Victim {
    pub(crate) first: usize,
    pub(crate) nr: usize,
    /// Where the first one was mapped last, if that is known.
    pub(crate) spot: Spot,
}

/// A search for room.
pub(crate) struct Hunt<'a> {
    search: Search,
    payer: Option<&'a Payer>,
    /// Only what `payer` has is left to take.
    own: bool,
    low: Low,
    /// What is to leave.
    last: Option<Unit>,
}

impl<'a> Hunt<'a> {
    /// Begins to look for `nr` pages, for `payer` who waits, or ahead of time for anybody.
    pub(crate) const fn new(nr: usize, payer: Option<&'a Payer>) -> Self {
        let search = match payer {
            Some(_) => Search::new(nr),
            None => Search::ahead(nr),
        };
        Self {
            search,
            payer,
            own: false,
            low: Low::Respected,
            last: None,
        }
    }

    /// Notes that nothing of the last victim left: it may be on its way in. Others come first now.
    pub(crate) fn in_vain(&mut self, memory: &Memory) {
        if let Some(unit) = self.last.take() {
            memory.decide(&mut self.search, unit, Seen::Stuck);
        }
    }

    /// Returns whether only what just came is left.
    pub(crate) fn met_only_young(&self) -> bool {
        self.search.met_only_young()
    }

    /// From now on looks for a whole chunk.
    pub(crate) fn want_chunk(&mut self) {
        if !self.search.wants_chunk() {
            self.search = Search::new(PMD_PAGES);
        }
    }

    /// Returns what is to leave next.
    ///
    /// What `dmem.low` protects comes last, and what `dmem.min` guarantees to others never; when
    /// there is nothing else the payer gives of its own.
    pub(crate) fn next(&mut self, memory: &Memory) -> Option<Victim> {
        loop {
            if let Some(victim) = self.round(memory) {
                return Some(victim);
            }
            if self.low == Low::Hit {
                self.low = Low::Ignored;
            } else if !self.own && self.payer.is_some() {
                self.own = true;
            } else {
                return None;
            }
        }
    }

    /// Looks at each unit once or twice.
    fn round(&mut self, memory: &Memory) -> Option<Victim> {
        for _ in 0..memory.pages() / SLOT_PAGES * 2 {
            let (unit, spot) = memory.candidate(&mut self.search)?;
            let seen = self.ask(memory, unit, spot);
            self.last = Some(unit);
            match memory.decide(&mut self.search, unit, seen) {
                Verdict::Keep => {}
                Verdict::Evict { first, nr } => {
                    let spot = if first == unit.first_page() {
                        spot
                    } else {
                        Spot::default()
                    };
                    return Some(Victim { first, nr, spot });
                }
                Verdict::Split { first } => {
                    if split_device_folio(&memory.map, first).is_err() {
                        let nr = unit.pages();
                        return Some(Victim { first, nr, spot });
                    }
                    memory.split(first);
                }
            }
        }
        None
    }

    fn ask(&mut self, memory: &Memory, unit: Unit, spot: Spot) -> Seen {
        let payer = self.payer.filter(|_| self.own);
        if memory.may_leave(unit.first_page(), payer, &mut self.low) {
            age::ask(memory, unit, spot)
        } else {
            Seen::Stuck
        }
    }
}

/// Returns the first page of a chunk that counts against a limit and that no device used since it
/// was looked at last, or of one that was used if there are many of those.
pub(crate) fn next_of(memory: &Memory, limit: &Limit) -> Option<usize> {
    let mut low = Low::Respected;
    let mut last = None;

    for _ in 0..PATIENCE {
        let found = memory.next_of(limit, &mut low);
        let Some(page) = found else {
            if low != Low::Hit {
                return last;
            }
            low = Low::Ignored;
            continue;
        };
        let mut used = false;
        let mut stuck = false;
        for (unit, spot) in memory.units_of(page) {
            match age::ask(memory, unit, spot) {
                Seen::Used => used = true,
                Seen::Stuck => stuck = true,
                Seen::Idle | Seen::Gone => {}
            }
        }
        if stuck {
            continue;
        }
        last = Some(page);
        if !used {
            break;
        }
    }
    last
}
