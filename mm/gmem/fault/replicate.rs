// SPDX-License-Identifier: GPL-2.0

//! Making read-only copies of host pages on devices.
//!
//! The host holds the page, and each device that reads it may have a copy
//! ([`crate::replica::replicas`]), as long as nobody can write the page without a notification
//! ([`crate::replica::source`]).
//!
//! A copy has the pages of one window that could be had, so that it may be made of a part of a
//! mapping; the others are used where they are. Of a window that several mappings or pieces of
//! advice share, one has copies at a time.

use crate::{
    device::{
        memory::Memory,
        units::Spot, //
    },
    fault::{
        map::{
            peek,
            slots, //
        },
        part::{
            Attempt,
            Part,
            Purpose,
            Try,
            Work, //
        }, //
    },
    prelude::*,
    reclaim::evict,
    replica::{
        replicas::{
            Draft,
            Drafts, //
        },
        source::{
            self,
            Lease,
            WINDOW,
            WINDOW_ORDER, //
        }, //
    }, //
};

/// What copies are made of, and where.
struct Copying<'a> {
    at: &'a Attempt<'a>,
    memory: &'a Arc<Memory>,
    lease: Option<&'a Lease>,
}

impl Part<'_> {
    /// Maps what the device asks for where it is to have copies: those windows of it whose pages
    /// can be had.
    pub(crate) fn map_copies(
        &self,
        at: &Attempt<'_>,
        memory: &Arc<Memory>,
        lease: Option<&Lease>,
        work: &mut Work<'_>,
    ) -> Result<Try> {
        let range = at
            .piece
            .align_out(WINDOW_ORDER)
            .intersect(at.vma_pages)
            .ok_or(EFAULT)?;
        // Populates what is wanted. If that fails the read behind it says why.
        let pfns = peek(range, &mut work.batch.pfns)?;
        if let Some(wanted) = pfns.get_mut(slots(at.piece, range)) {
            wanted.fill(PagePfn::READ);
        }
        let copying = Copying { at, memory, lease };
        let mut drafts = match at.read(range, pfns) {
            Ok(_) => match self.duplicate(&copying, range, work) {
                Err(_) if work.waiting.pauses(memory) => return Ok(Try::Pause),
                Err(_) if work.waiting.must_pause() => {
                    if self.request.purpose == Purpose::Prefetch {
                        return Err(ENOSPC);
                    }
                    Drafts::default()
                }
                drafts => drafts?,
            },
            Err(e) if e == EBUSY => return Ok(Try::Collision),
            Err(_) => Drafts::default(),
        };
        self.map(at, range, &mut drafts, work)
    }

    /// Makes copies of those pages of `range`, which is inside one block and the VMA, that the CPU
    /// may not write or can be kept from writing, and takes in the copies that are there.
    ///
    /// A window of which nothing is to be had that is wanted has no copy: it is used where it is.
    ///
    /// # Errors
    ///
    /// For a prefetch `ENOSPC` when there is no room and `EIO` when the copying failed; `ENOMEM`.
    fn duplicate(
        &self,
        copying: &Copying<'_>,
        range: PageRange,
        work: &mut Work<'_>,
    ) -> Result<Drafts> {
        let strict = self.request.purpose == Purpose::Prefetch;
        let windows = range.align_out(WINDOW_ORDER);
        let capacity = windows.count() as usize / WINDOW;
        let mut drafts = Drafts::with_capacity(capacity, copying.lease.cloned())?;
        let mut copied = 0;

        work.batch.runs.clear();
        for window in windows.pieces(WINDOW_ORDER) {
            let Some(part) = window.intersect(range) else {
                continue;
            };
            let draft = match self.draft(copying, part, work) {
                Ok(Some(draft)) => draft,
                Ok(None) => continue,
                Err(e) if strict || work.waiting.must_pause() => return Err(e),
                Err(_) => break,
            };
            if draft.is_new() {
                copied += draft.push(&mut work.batch.runs);
            }
            drafts.push(draft)?;
        }
        work.waiting.move_pages(copied)?;
        let parts = copying.memory.parts();
        if let Err(e) = parts.mmu.copy_to_dev(work.batch.runs.as_slice()) {
            if strict {
                return Err(e);
            }
            drafts.give_up_new();
            return Ok(drafts);
        }
        if copied > 0 {
            parts.stats.to_dev.add(copied << PAGE_SHIFT);
            sys::count(sys::Event::ToDevice, copied);
            sys::trace_migrate(parts.id, true, range.start_byte() as usize, copied);
        }
        Ok(drafts)
    }

    /// Returns the copy of what can be had of `part`, a piece of a window: the one that is there if
    /// it has all that is wanted, or as much as there is to be had.
    fn draft(
        &self,
        copying: &Copying<'_>,
        part: PageRange,
        work: &mut Work<'_>,
    ) -> Result<Option<Draft>> {
        let &Copying { at, memory, lease } = copying;
        let wanted = at.piece.intersect(part).unwrap_or(part);
        let first = part.align_out(WINDOW_ORDER).first();
        let device = self.context.device.parts.id;
        let old = self.context.space.lock_map().copies().draft(first, device);
        let lacks = |page: &u64| old.as_ref().is_none_or(|old| old.frame_of(*page) == 0);
        if !(wanted.first()..wanted.end()).any(|page| lacks(&page)) {
            return Ok(old);
        }
        // Of what belongs to another mapping or has other advice the first has copies. To replace
        // them would take them from who asks for both at a time, who would never get on.
        if old.as_ref().is_some_and(|old| old.has_beyond(part)) {
            return Ok(old);
        }
        let originals = source::take(at.vma, part, lease, &mut work.may_drain);
        let more = (wanted.first()..wanted.end()).filter(lacks).any(|page| {
            let index = page.wrapping_sub(first) as usize;
            originals.frame(index).is_some()
        });
        if !more {
            return Ok(old);
        }
        let spot = Spot {
            space: self.context.space.key(),
            page: first,
        };
        let run = evict::take(memory, self.payer, WINDOW, spot, &mut work.waiting)?;

        Draft::new(memory, run, first, originals).map(Some)
    }
}
