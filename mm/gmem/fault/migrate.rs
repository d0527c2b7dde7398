// SPDX-License-Identifier: GPL-2.0

//! Bringing what a fault needs to the device, and what to do when that does not work.

use crate::{
    device::{
        memory::Memory,
        pools::Tenant, //
    },
    fault::{
        map::{
            all_local,
            peek, //
        },
        part::{
            Attempt,
            Part,
            Purpose,
            Work,
            MAX_MOVES, //
        },
        pingpong,
        to_device::{
            self,
            Moved, //
        }, //
    },
    policy::unit::SLOT_PAGES,
    prelude::*,
    reclaim::host_room::Room,
    space::thrash::Turn, //
};
use kernel::mm::device::{
    mmap::MmapGuard,
    vma as vma_info, //
};

/// What is known of the pages that are to come.
pub(crate) struct Wanted<'a> {
    pub(crate) at: Attempt<'a>,
    pub(crate) memory: &'a Arc<Memory>,
    /// Whose reserved memory the pages belong into, if they are pinned.
    pub(crate) pool: Option<Tenant>,
    /// What is to come: what the device asks for, and what lies around it.
    pub(crate) range: PageRange,
}

/// Result of the migration.
pub(crate) enum Brought {
    /// These pages can be mapped; they should be there if not so many moves were tried.
    Map {
        /// The pages.
        range: PageRange,
        /// As [`Attempt::moves`].
        moves: usize,
    },
    /// These pages are to be mapped where they are.
    Stay(PageRange),
    /// The page table changed: the same again.
    Collision,
    /// Try once more to move them.
    Again,
    /// It takes longer than locks may be held: let go of them, then the same again.
    Pause,
}

impl Part<'_> {
    /// Brings what is wanted.
    ///
    /// # Errors
    ///
    /// `EIO` when a copy failed; `ENOMEM` when there is neither room on the device nor memory on
    /// the host; (prefetch) also when there is no room.
    pub(crate) fn bring(&self, wanted: &Wanted<'_>, work: &mut Work<'_>) -> Result<Brought> {
        let &Wanted {
            at, memory, range, ..
        } = wanted;
        let moves = at.moves;
        let demand = self.request.purpose.is_demand();
        let pfns = peek(range, &mut work.batch.pfns)?;
        let Ok(read) = at.read(range, pfns) else {
            return Ok(Brought::Collision);
        };
        if moves >= MAX_MOVES || all_local(memory, at.piece, range, &read) {
            return Ok(Brought::Map { range, moves });
        }
        if demand && wanted.pool.is_none() {
            if let Some(stays) = self.stays(memory, at.piece, range) {
                return Ok(Brought::Stay(stays));
            }
        }
        let turn = Turn::begin(memory.parts().id as u8);
        let moved = self.move_in(wanted, range, work);
        if work.waiting.pauses(memory) {
            return Ok(Brought::Pause);
        }
        // Mapping what did not come would make pages of the host of it, which may have none left.
        let short = demand
            && matches!(moved, Ok(Moved { short: true, .. }))
            && !self.is_filled(wanted, at.piece, work)?
            && self.fill(wanted, work).is_err();
        match moved {
            Ok(_) if short => self.bring_one(wanted, ENOSPC, true, work),
            Err(e) if demand && (e == ENOMEM || e == ENOSPC) => {
                self.bring_one(wanted, e, false, work)
            }
            Err(e) => self.instead(wanted, e, work),
            Ok(Moved { pages, .. }) => {
                if self.request.purpose == Purpose::Ahead {
                    memory.parts().stats.ahead.add(pages << PAGE_SHIFT);
                } else if pages > 0 && demand {
                    self.context.space.thrash.moved(range, &turn);
                }
                Ok(Brought::Map { range, moves })
            }
        }
    }

    /// There was no room for the range, as `e` says: the page that is needed now may find some, or
    /// with `came` be one that came.
    fn bring_one(
        &self,
        wanted: &Wanted<'_>,
        e: Error,
        came: bool,
        work: &mut Work<'_>,
    ) -> Result<Brought> {
        let one = PageRange::page(wanted.at.piece.first()).filter(|one| *one != wanted.range);
        let Some(range) = one else {
            return self.instead(wanted, e, work);
        };
        let moves = wanted.at.moves;
        if came && self.is_filled(wanted, range, work)? {
            return Ok(Brought::Map { range, moves });
        }
        let moved = self.move_in(wanted, range, work);
        if work.waiting.pauses(wanted.memory) {
            return Ok(Brought::Pause);
        }
        match moved {
            Ok(_) => Ok(Brought::Map { range, moves }),
            Err(e) => self.instead(wanted, e, work),
        }
    }

    /// Returns what the device should use where it is for a while: it bounces, or would be evicted
    /// as soon as it comes.
    fn stays(&self, memory: &Memory, piece: PageRange, range: PageRange) -> Option<PageRange> {
        let space = &self.context.space;
        let stays = first_block(piece, range);
        let until = space.thrash.stays(range).or_else(|| {
            let pushed = memory.is_pushed_out(space.key(), range);
            pushed.then(|| space.thrash.pushed_out(stays))
        })?;

        memory.parts().stats.bounced.add(1);
        pingpong::hold(space, stays, until);
        Some(stays)
    }

    /// Decides what to do when the pages would not come.
    fn instead(&self, wanted: &Wanted<'_>, e: Error, work: &mut Work<'_>) -> Result<Brought> {
        let &Wanted { at, range, .. } = wanted;
        let moves = at.moves;
        // It paused too often.
        let e = if work.waiting.must_pause() { ENOSPC } else { e };
        if e == EAGAIN {
            // A program has to supply what is missing, which it will not do for a device.
            if wanted.at.vma.flags() & vma_info::VM_UFFD_MISSING != 0 {
                return Ok(Brought::Map { range, moves });
            }
            // Another fault may have filled the hole.
            if moves + 1 < MAX_MOVES {
                return Ok(Brought::Again);
            }
            if self.is_filled(wanted, wanted.at.piece, work)? {
                return Ok(Brought::Map { range, moves });
            }
            return match wanted.at.mmap {
                // Perhaps another thread throws it away all the time.
                MmapGuard::Shared(_) => Ok(Brought::Collision),
                MmapGuard::Still(_) => Err(ENOMEM),
            };
        }
        if !self.request.purpose.is_demand() || e == EIO {
            return Err(e);
        }
        // Where there is no room, a device that waits is served remotely. What is nowhere yet is
        // not brought to a host that has no memory: that would end with an OOM kill.
        if !self.is_filled(wanted, wanted.at.piece, work)? {
            self.fill(wanted, work)?;
        }
        Ok(Brought::Map {
            range,
            moves: MAX_MOVES,
        })
    }

    fn move_in(&self, wanted: &Wanted<'_>, range: PageRange, work: &mut Work<'_>) -> Result<Moved> {
        let job = to_device::Job {
            memory: wanted.memory,
            payer: self.payer,
            pool: wanted.pool,
            vma: wanted.at.vma,
            range,
            exclusive_only: self.request.write,
            existing_only: self.request.purpose == Purpose::Ahead,
            space: self.context.space.key(),
        };
        to_device::to_device(&job, work)
    }

    /// Fills what the device asks for on the host.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when the host has no room.
    fn fill(&self, wanted: &Wanted<'_>, work: &mut Work<'_>) -> Result {
        // A page may become a huge one, which is as large as the range at most.
        let _room = Room::take(wanted.range.count() as usize)?;
        let pfns = peek(wanted.at.piece, &mut work.batch.pfns)?;
        pfns.fill(self.want());
        // If that fails the read behind it says why.
        let _ = wanted.at.read(wanted.at.piece, pfns);
        Ok(())
    }

    /// Returns whether all `pages` of what is wanted are in some memory.
    fn is_filled(
        &self,
        wanted: &Wanted<'_>,
        pages: PageRange,
        work: &mut Work<'_>,
    ) -> Result<bool> {
        let pages = pages.intersect(wanted.range).ok_or(EFAULT)?;
        let pfns = peek(pages, &mut work.batch.pfns)?;
        let read = wanted.at.read(pages, pfns);

        Ok(read.is_ok_and(|read| read.iter().all(|pfn| pfn.pfn().is_some())))
    }
}

/// Returns what of `range` is decided about at once: a block of 2 MiB, or the 64 KiB that `piece`
/// begins in.
fn first_block(piece: PageRange, range: PageRange) -> PageRange {
    if range.is_block() {
        return range;
    }
    PageRange::page(piece.first())
        .map(|page| page.align_out(SLOT_PAGES.trailing_zeros()))
        .and_then(|first| first.intersect(range))
        .unwrap_or(range)
}
