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
        memory::{
            owner,
            Memory, //
        },
        units::Spot, //
    },
    fault::{
        batch::Batch,
        map::{
            peek,
            slots, //
        },
        serve::{
            Part,
            Purpose,
            Try, //
        }, //
    },
    range::PageRange,
    reclaim::{
        evict,
        waiting::Waiting, //
    },
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
    },
    space::address_space::Watch,
    sys, //
};
use kernel::{
    mm::device::{
        hmm::{
            self,
            PagePfn, //
        },
        mmap::MmapGuard,
        vma::MmapVma, //
    },
    page::PAGE_SHIFT,
    prelude::*,
    sync::Arc, //
};

impl Part<'_> {
    /// Maps `piece` where the device is to have copies: those windows of it whose pages can be had.
    #[expect(clippy::too_many_arguments)]
    pub(crate) fn map_copies(
        &self,
        memory: &Arc<Memory>,
        vma: &MmapVma,
        piece: PageRange,
        vma_pages: PageRange,
        watch: &Watch,
        mmap: &MmapGuard<'_>,
        lease: Option<&Lease>,
        batch: &mut Batch,
    ) -> Result<Try> {
        let range = piece
            .align_out(WINDOW_ORDER)
            .intersect(vma_pages)
            .ok_or(EFAULT)?;
        // Populates what is wanted. If that fails the read behind it says why.
        let seq = watch.read_begin();
        let pfns = peek(range, &mut batch.pfns)?;
        if let Some(wanted) = pfns.get_mut(slots(piece, range)) {
            wanted.fill(PagePfn::READ);
        }
        let start = range.start_byte() as usize;
        let mut drafts = match hmm::read(mmap, seq, start, pfns, Some(owner())) {
            Ok(_) => match self.duplicate(memory, vma, piece, range, lease, batch) {
                Err(_) if batch.waiting.pauses(memory) => return Ok(Try::Pause),
                Err(_) if batch.waiting.must_pause() => {
                    if self.request.purpose == Purpose::Prefetch {
                        return Err(ENOSPC);
                    }
                    Drafts::none()
                }
                drafts => drafts?,
            },
            Err(e) if e == EBUSY => return Ok(Try::Collision),
            Err(_) => Drafts::none(),
        };
        self.map(piece, range, watch, mmap, None, &mut drafts, 0, batch)
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
        memory: &Arc<Memory>,
        vma: &MmapVma,
        wanted: PageRange,
        range: PageRange,
        lease: Option<&Lease>,
        batch: &mut Batch,
    ) -> Result<Drafts> {
        let Batch {
            runs,
            waiting,
            may_drain,
            ..
        } = batch;
        let strict = self.request.purpose == Purpose::Prefetch;
        let windows = range.align_out(WINDOW_ORDER);
        let capacity = windows.count() as usize / WINDOW;
        let mut drafts = Drafts::with_capacity(capacity, lease.cloned())?;
        let mut copied = 0;

        runs.clear();
        for window in windows.pieces(WINDOW_ORDER) {
            let Some(part) = window.intersect(range) else {
                continue;
            };
            let wanted = wanted.intersect(part).unwrap_or(part);
            let draft = match self.draft(memory, vma, wanted, part, lease, waiting, may_drain) {
                Ok(Some(draft)) => draft,
                Ok(None) => continue,
                Err(e) if strict || waiting.must_pause() => return Err(e),
                Err(_) => break,
            };
            if draft.is_new() {
                copied += draft.push(runs);
            }
            drafts.push(draft)?;
        }
        waiting.move_pages(copied)?;
        let parts = memory.parts();
        if let Err(e) = parts.mmu.copy_to_dev(runs.as_slice()) {
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
    #[expect(clippy::too_many_arguments)]
    fn draft(
        &self,
        memory: &Arc<Memory>,
        vma: &MmapVma,
        wanted: PageRange,
        part: PageRange,
        lease: Option<&Lease>,
        waiting: &mut Waiting,
        may_drain: &mut bool,
    ) -> Result<Option<Draft>> {
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
        let originals = source::take(vma, part, lease, may_drain);
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
        let run = evict::take(memory, self.payer, WINDOW, spot, waiting)?;

        Draft::new(memory, run, first, originals).map(Some)
    }
}
