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
        tour::Tour,
        units::Spot, //
    },
    policy::{
        unit::{
            CHUNK_SLOTS,
            SLOT_PAGES, //
        },
        Search,
        Seen,
        Unit,
        Verdict, //
    },
    prelude::*,
    reclaim::{
        age,
        waiting::Waiting, //
    }, //
};
use kernel::mm::device::migrate::split_device_folio;

/// How many chunks in use are passed over to find an idle one that counts against a limit.
const PATIENCE: usize = 16;

/// Pages that are to leave.
pub(crate) struct Victim {
    pub(crate) first: usize,
    pub(crate) nr: usize,
    /// Where the first one was mapped last, if that is known.
    pub(crate) spot: Spot,
}

/// What a fault does to get so many pages in a row. It may be interrupted and goes on then.
pub(crate) struct Quest {
    pub(crate) nr: usize,
    pub(crate) hunt: Hunt,
    pub(crate) round: Round,
    /// So many victims there were.
    pub(crate) victims: usize,
    /// So often what left was no room.
    pub(crate) losses: u32,
}

impl Quest {
    /// Begins to look for `nr` pages.
    pub(crate) fn new(nr: usize) -> Self {
        Self {
            nr,
            hunt: Hunt::new(Search::new(nr)),
            round: Round::new(),
            victims: 0,
            losses: 0,
        }
    }
}

/// A search for room.
pub(crate) struct Hunt {
    search: Search,
    /// Only what `payer` has is left to take.
    own: bool,
    low: Low,
    /// What is to leave.
    last: Option<Unit>,
    /// So many units were looked at in this round.
    looked: usize,
    /// What was found already.
    kept: Option<Victim>,
}

impl Hunt {
    const fn new(search: Search) -> Self {
        Self {
            search,
            own: false,
            low: Low::Respected,
            last: None,
            looked: 0,
            kept: None,
        }
    }

    /// Begins to look for `nr` pages ahead of time, for anybody.
    pub(crate) const fn ahead(nr: usize) -> Self {
        Self::new(Search::ahead(nr))
    }

    /// Keeps a victim for the next time.
    pub(crate) fn keep(&mut self, victim: Victim) {
        self.kept = Some(victim);
    }

    /// Deprioritize a victim none of whose pages migrated: they may be on their way in.
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

    /// Returns what is to leave next, for `payer` who waits if there is one.
    ///
    /// What `dmem.low` protects comes last, and what `dmem.min` guarantees to others never; when
    /// there is nothing else the payer gives of its own.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when there is nothing, `EAGAIN` when `waiting` has to pause.
    pub(crate) fn next(
        &mut self,
        memory: &Memory,
        payer: Option<&Payer>,
        waiting: &mut Waiting,
    ) -> Result<Victim> {
        if let Some(victim) = self.kept.take() {
            // It may have become a place for pinned pages.
            let own = payer.filter(|_| self.own);
            if memory.may_leave(victim.first, own, &mut self.low) {
                return Ok(victim);
            }
        }
        loop {
            let victim = self.round(memory, payer, waiting)?;
            self.looked = 0;
            if let Some(victim) = victim {
                return Ok(victim);
            }
            if self.low == Low::Hit {
                self.low = Low::Ignored;
            } else if !self.own && payer.is_some() {
                self.own = true;
            } else {
                return Err(ENOSPC);
            }
        }
    }

    /// Looks at each unit once or twice.
    fn round(
        &mut self,
        memory: &Memory,
        payer: Option<&Payer>,
        waiting: &mut Waiting,
    ) -> Result<Option<Victim>> {
        while self.looked < memory.pages() / SLOT_PAGES * 2 {
            waiting.look(1)?;
            self.looked += 1;
            let Some((unit, spot)) = memory.candidate(&mut self.search) else {
                break;
            };
            let seen = self.ask(memory, payer, unit, spot);
            self.last = Some(unit);
            match memory.decide(&mut self.search, unit, seen) {
                Verdict::Keep => {}
                Verdict::Evict { first, nr } => {
                    let spot = if first == unit.first_page() {
                        spot
                    } else {
                        Spot::default()
                    };
                    return Ok(Some(Victim { first, nr, spot }));
                }
                Verdict::Split { first } => {
                    if split_device_folio(&memory.map, first).is_err() {
                        let nr = unit.pages();
                        return Ok(Some(Victim { first, nr, spot }));
                    }
                    memory.split(first);
                }
            }
        }
        Ok(None)
    }

    fn ask(&mut self, memory: &Memory, payer: Option<&Payer>, unit: Unit, spot: Spot) -> Seen {
        let payer = payer.filter(|_| self.own);
        if memory.may_leave(unit.first_page(), payer, &mut self.low) {
            age::ask(memory, unit, spot)
        } else {
            Seen::Stuck
        }
    }
}

/// A search for a chunk that counts against a limit.
pub(crate) struct Round {
    low: Low,
    tour: Tour,
    last: Option<usize>,
    patience: usize,
}

impl Round {
    fn new() -> Self {
        Self {
            low: Low::Respected,
            tour: Tour::default(),
            last: None,
            patience: PATIENCE,
        }
    }

    /// Returns the first page of a chunk that counts against a limit and that no device used since
    /// it was looked at last, or of one that was used if there are many of those.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when there is none, `EAGAIN` when `waiting` has to pause.
    pub(crate) fn next(
        &mut self,
        memory: &Memory,
        limit: &Limit,
        waiting: &mut Waiting,
    ) -> Result<usize> {
        while self.patience > 0 {
            // Besides all of the units that the one that is found may have.
            let most = waiting.may_look(CHUNK_SLOTS as usize)?;
            let (page, looked) = memory.next_of(limit, &mut self.low, &mut self.tour, most);
            waiting.has_looked(looked);
            let Some(page) = page else {
                if !self.tour.is_over(memory) {
                    continue;
                }
                if self.low != Low::Hit {
                    break;
                }
                self.low = Low::Ignored;
                self.tour.again();
                continue;
            };
            waiting.has_looked(CHUNK_SLOTS as usize);
            self.tour.again();
            self.patience -= 1;
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
            self.last = Some(page);
            if !used {
                break;
            }
        }
        let found = core::mem::replace(self, Self::new());
        found.last.ok_or(ENOSPC)
    }
}
