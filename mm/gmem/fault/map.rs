// SPDX-License-Identifier: GPL-2.0

//! Entering into a device's page table what the CPU page table says.
//!
//! The read is checked under the map lock against the sequence number of the part of the page
//! table it came from: what changed since is read again.

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
        serve::{
            Part,
            Purpose,
            Try,
            MAX_MOVES, //
        }, //
    },
    range::{
        PageRange,
        BLOCK_PAGES, //
    },
    replica::replicas::Drafts,
    space::{
        address_space::Watch,
        directory::Enter,
        watch::Read, //
    },
    sys, //
};
use kernel::{
    bindings,
    mm::device::{
        hmm::{
            self,
            PagePfn, //
        },
        mmap::MmapGuard, //
    },
    page::PAGE_SHIFT,
    prelude::*,
    sync::Arc, //
};

impl Part<'_> {
    /// Returns how a page that the device asks for is to be faulted in.
    pub(crate) fn want(&self) -> PagePfn {
        if self.request.write {
            PagePfn::WRITE
        } else {
            PagePfn::READ
        }
    }

    /// Reads the page table and enters what it says.
    #[expect(clippy::too_many_arguments)]
    pub(crate) fn map(
        &self,
        piece: PageRange,
        range: PageRange,
        watch: &Watch,
        mmap: &MmapGuard<'_>,
        movable: Option<&Arc<Memory>>,
        drafts: &mut Drafts,
        moves: usize,
        batch: &mut Batch,
    ) -> Result<Try> {
        let start = range.start_byte() as usize;
        let piece = piece.intersect(range).ok_or(EFAULT)?;
        let Batch {
            pfns, maps, served, ..
        } = batch;
        let pfns = peek(range, pfns)?;
        let wanted = slots(piece, range);
        let seq = watch.read_begin();

        if self.request.purpose.is_demand() {
            pfns.get_mut(wanted.clone())
                .ok_or(EFAULT)?
                .fill(self.want());
        } else if self.request.purpose == Purpose::Prefetch && (movable.is_none() || moves > 0) {
            // What would not move is populated where it is, and read in from swap.
            pfns.get_mut(wanted.clone())
                .ok_or(EFAULT)?
                .fill(PagePfn::READ);
        }
        let mut read = match hmm::read(mmap, seq, start, pfns, Some(owner())) {
            Ok(read) => read,
            Err(e) if e == EBUSY => return Ok(Try::Collision),
            // A page that user space would have to supply.
            Err(e) if e == EFAULT && self.request.purpose == Purpose::Prefetch => {
                return Ok(Try::Remote(piece.end()));
            }
            Err(e) => return Err(e),
        };
        sys::hold_read();
        if !self.sort(&mut read) {
            return Ok(Try::Collision);
        }
        let ahead = self.request.purpose == Purpose::Ahead;
        // What lies on another device may have got there since it was asked for; it can still come
        // by itself.
        let may_come = movable.is_some() && moves + 1 < MAX_MOVES;
        if !ahead && self.bring_near(wanted.clone(), start, watch, mmap, &read, may_come)? {
            return Ok(Try::Movable);
        }
        if let Some(memory) = movable.filter(|_| !ahead) {
            let local = all_local(memory, piece, range, &read);
            // What was just faulted in or split from a shared page can move now.
            if !local && may_come {
                return Ok(Try::Movable);
            }
        }
        let remote = match self.memory {
            Some(memory) => !all_near(memory, drafts, piece, range, &read),
            None => true,
        };
        if ahead && remote {
            // What did not come is not asked for yet.
            return Ok(Try::Remote(piece.end()));
        }
        if !self.enter(range, &read, drafts, maps)? {
            return Ok(Try::Collision);
        }
        served.brought = hull(served.brought, range);
        if let Some(memory) = self.memory {
            let space = self.context.space.key();
            memory.touch(maps.iter().filter_map(|run| local_run(run, space)));
        }
        Ok(if remote {
            Try::Remote(piece.end())
        } else {
            Try::Done(piece.end())
        })
    }

    /// Enters what was read, unless it is stale.
    fn enter(
        &self,
        range: PageRange,
        read: &Read<'_>,
        drafts: &mut Drafts,
        maps: &mut KVVec<sys::MapRun>,
    ) -> Result<bool> {
        let space = &self.context.space;
        let context = self.context;

        build(range, read, self.memory, drafts, maps);
        // Copies come and go by the window.
        let huge = drafts.is_empty() && matches!(maps.as_slice(), [one] if is_huge(one));
        let charging = sys::Charging::to(self.mm);
        match space.directory.reserve(range, huge) {
            Err(e) if e == EEXIST => {
                space.forget(block_of(range));
                return Ok(false);
            }
            other => other?,
        }
        context
            .pmap
            .prepare(range.start_byte() as usize, range.len_bytes() as usize)?;
        drop(charging);

        let mut map = space.lock_map();
        // Dirty before anything can fail: it does no harm to a page that is not entered.
        if !map.mark_dirty(read) || sys::should_fail(sys::Site::Retry) {
            return Ok(false);
        }
        if !drafts.accept(&mut map, &space.directory) {
            return Ok(false);
        }
        for run in maps.iter() {
            let local = run.flags & bindings::GM_MAP_LOCAL != 0;
            let writable = run.flags & bindings::GM_ACCESS_WRITE != 0;
            let pages = PageRange::with_count(run.va >> PAGE_SHIFT, u64::from(run.nr_pages))
                .ok_or(EFAULT)?;
            let duplicated = local && is_copy(drafts, pages, range, read);
            let note = Enter {
                holder: if local && !duplicated {
                    context.device.parts.id as u8
                } else {
                    0
                },
                contexts: context.bit(),
                writable,
                duplicated,
            };
            match space.directory.enter(&map, pages, huge, note) {
                Err(e) if e == EBUSY || e == EEXIST || e == EAGAIN => {
                    drop(map);
                    space.forget(block_of(range));
                    return Ok(false);
                }
                other => other?,
            }
            if !local {
                context
                    .device
                    .parts
                    .stats
                    .remote
                    .add(pages.len_bytes() as usize);
            }
        }
        if let Err(e) = context.install(&map, maps) {
            // Until then the directory only says too much.
            drop(map);
            space.forget(block_of(range));
            // A release took what `prepare` had built, and it has to be built again.
            return if e == EAGAIN { Ok(false) } else { Err(e) };
        }
        Ok(true)
    }
}

/// Returns the pages from the first one of both to the last one.
fn hull(a: PageRange, b: PageRange) -> PageRange {
    if a.is_empty() {
        return b;
    }
    PageRange::new(a.first().min(b.first()), a.end().max(b.end())).unwrap_or(b)
}

fn block_of(range: PageRange) -> PageRange {
    range.align_out(crate::range::BLOCK_ORDER)
}

/// Returns the elements of the array for `range` that stand for the pages of `piece`.
pub(crate) fn slots(piece: PageRange, range: PageRange) -> core::ops::Range<usize> {
    let first = piece.first().wrapping_sub(range.first()) as usize;

    first..first.wrapping_add(piece.count() as usize)
}

/// Returns the part of the array that is for `range`, asking for nothing.
pub(crate) fn peek(range: PageRange, pfns: &mut [PagePfn]) -> Result<&mut [PagePfn]> {
    let pfns = pfns.get_mut(..range.count() as usize).ok_or(EINVAL)?;

    pfns.fill(PagePfn::PEEK);
    Ok(pfns)
}

/// Returns whether all pages of `piece` are in the memory.
pub(crate) fn all_local(
    memory: &Memory,
    piece: PageRange,
    range: PageRange,
    pfns: &[PagePfn],
) -> bool {
    pfns.get(slots(piece, range)).is_some_and(|pfns| {
        pfns.iter()
            .all(|pfn| pfn.pfn().is_some_and(|pfn| memory.map.page(pfn).is_some()))
    })
}

/// Returns whether all pages of `piece` are in the memory, or have a copy there.
fn all_near(
    memory: &Memory,
    drafts: &Drafts,
    piece: PageRange,
    range: PageRange,
    pfns: &[PagePfn],
) -> bool {
    (piece.first()..piece.end())
        .zip(pfns.get(slots(piece, range)).unwrap_or(&[]))
        .all(|(page, pfn)| {
            pfn.pfn()
                .is_some_and(|frame| memory.map.page(frame).is_some())
                || copy_of(drafts, page, *pfn).is_some()
        })
}

/// Returns the page of device memory that is a copy of what was read.
fn copy_of(drafts: &Drafts, page: u64, pfn: PagePfn) -> Option<usize> {
    let frame = pfn.pfn().filter(|_| !pfn.is_writable())?;

    drafts.copy_of(page, frame)
}

/// Returns whether a run, of one kind throughout, is of copies.
fn is_copy(drafts: &Drafts, run: PageRange, range: PageRange, pfns: &[PagePfn]) -> bool {
    let index = run.first().wrapping_sub(range.first()) as usize;

    pfns.get(index)
        .is_some_and(|pfn| copy_of(drafts, run.first(), *pfn).is_some())
}

/// Returns the first page of a run in device memory, the number of pages, and where they are.
fn local_run(run: &sys::MapRun, space: usize) -> Option<(usize, usize, Spot)> {
    let page = run.va >> PAGE_SHIFT;

    (run.flags & bindings::GM_MAP_LOCAL != 0).then_some((
        (run.addr >> PAGE_SHIFT) as usize,
        run.nr_pages as usize,
        Spot { space, page },
    ))
}

fn is_huge(run: &sys::MapRun) -> bool {
    u64::from(run.nr_pages) == BLOCK_PAGES
        && (run.va | run.addr) & ((BLOCK_PAGES << PAGE_SHIFT) - 1) == 0
}

/// Turns what was read into runs for the driver; what it cannot reach is left out.
fn build(
    range: PageRange,
    pfns: &[PagePfn],
    memory: Option<&Arc<Memory>>,
    drafts: &Drafts,
    maps: &mut KVVec<sys::MapRun>,
) {
    let mut last_copied = false;

    maps.clear();
    for (page, pfn) in (range.first()..range.end()).zip(pfns) {
        let Some(frame) = pfn.pfn() else { continue };
        let local = memory.and_then(|memory| memory.map.page(frame));
        let copy = copy_of(drafts, page, *pfn);
        let joins = last_copied == copy.is_some();
        last_copied = copy.is_some();
        let (addr, kind) = match local.or(copy) {
            Some(page) => (page, bindings::GM_MAP_LOCAL),
            None if pfn.is_device_private() => continue,
            None => (frame, bindings::GM_MAP_HOST),
        };
        let access = if pfn.is_writable() {
            bindings::GM_ACCESS_READ | bindings::GM_ACCESS_WRITE
        } else {
            bindings::GM_ACCESS_READ
        };
        let run = sys::MapRun {
            va: page << PAGE_SHIFT,
            addr: (addr as u64) << PAGE_SHIFT,
            nr_pages: 1,
            flags: kind | access,
        };
        if let Some(last) = maps.last_mut().filter(|_| joins) {
            let len = u64::from(last.nr_pages) << PAGE_SHIFT;
            if last.flags == run.flags && last.va + len == run.va && last.addr + len == run.addr {
                last.nr_pages += 1;
                continue;
            }
        }
        let full = maps.push_within_capacity(run);
        debug_assert!(full.is_ok());
    }
}
