// SPDX-License-Identifier: GPL-2.0

//! Entering into a device's page table what the CPU page table says.
//!
//! The read is checked under the map lock against the sequence number of the part of the page
//! table it came from: what changed since is read again.

use crate::{
    device::{
        memory::Memory,
        mmu::{
            is_huge,
            pages_of_run, //
        },
        scratch::Batch,
        units::Spot, //
    },
    fault::part::{
        Attempt,
        Part,
        Purpose,
        Try,
        Work, //
    },
    prelude::*,
    replica::replicas::Drafts,
    space::{
        address_space::MapLock,
        context::Context,
        directory::Enter,
        watch::Read, //
    }, //
};
use kernel::mm::device::vma as vma_info;

/// What a run is.
#[derive(Clone, Copy)]
struct Kind {
    /// A block that is one entry.
    huge: bool,
    /// Copies.
    copy: bool,
    /// Of pages that never move.
    fixed: bool,
}

impl Part<'_> {
    /// Reads the page table and enters what it says.
    pub(crate) fn map(
        &self,
        at: &Attempt<'_>,
        range: PageRange,
        drafts: &mut Drafts,
        work: &mut Work<'_>,
    ) -> Result<Try> {
        let piece = at.piece.intersect(range).ok_or(EFAULT)?;
        let Batch { pfns, maps, .. } = &mut *work.batch;
        let pfns = peek(range, pfns)?;
        let wanted = slots(piece, range);
        let start = range.start_byte() as usize;

        if let Some(want) = self.populate(at) {
            pfns.get_mut(wanted.clone()).ok_or(EFAULT)?.fill(want);
        }
        let mut read = match at.read(range, pfns) {
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
        if !ahead && self.bring_near(at, wanted, start, &read)? {
            return Ok(Try::Movable);
        }
        if let Some(memory) = at.movable.filter(|_| !ahead && at.may_come()) {
            // What was just faulted in or split from a shared page can move now.
            if !all_local(memory, piece, range, &read) {
                return Ok(Try::Movable);
            }
        }
        let near = |memory: &Arc<Memory>| all_near(memory, drafts, piece, range, &read);
        let remote = !self.memory.is_some_and(near);
        if ahead && remote {
            // What did not come is not asked for yet.
            return Ok(Try::Remote(piece.end()));
        }
        if !self.enter(at, range, &read, drafts, maps)? {
            return Ok(Try::Collision);
        }
        work.served.brought = work.served.brought.hull(range);
        if let Some(memory) = self.memory {
            touch(memory, maps, self.context.space.key());
        }
        Ok(if remote {
            Try::Remote(piece.end())
        } else {
            Try::Done(piece.end())
        })
    }

    /// Returns how what the device asks for is to be faulted in, if it is.
    fn populate(&self, at: &Attempt<'_>) -> Option<PagePfn> {
        match self.request.purpose {
            Purpose::Demand | Purpose::Prepare => Some(self.want()),
            // What would not move is populated where it is, and read in from swap.
            Purpose::Prefetch if at.movable.is_none() || at.moves > 0 => Some(PagePfn::READ),
            Purpose::Prefetch | Purpose::Ahead => None,
        }
    }

    /// Enters what was read, unless it is stale.
    fn enter(
        &self,
        at: &Attempt<'_>,
        range: PageRange,
        read: &Read<'_>,
        drafts: &mut Drafts,
        maps: &mut KVVec<MapRun>,
    ) -> Result<bool> {
        let space = &self.context.space;

        build(range, read, self.memory, drafts, maps);
        // Copies come and go by the window.
        let huge = drafts.is_empty() && matches!(maps.as_slice(), [one] if is_huge(one));
        if !self.reserve(range, huge)? {
            return Ok(false);
        }
        let mut map = space.lock_map();
        // Dirty before anything can fail: it does no harm to a page that is not entered.
        if !map.mark_dirty(read) || sys::should_fail(sys::Site::Retry) {
            return Ok(false);
        }
        if !drafts.accept(&mut map, &space.directory) {
            return Ok(false);
        }
        for run in maps.iter() {
            let kind = Kind {
                huge,
                copy: is_local(run) && is_copy(drafts, run.va >> PAGE_SHIFT, range, read),
                fixed: !vma_info::is_anonymous(at.vma),
            };
            match self.note(&map, run, kind) {
                Err(e) if e == EBUSY || e == EEXIST || e == EAGAIN => {
                    drop(map);
                    space.forget(block_of(range));
                    return Ok(false);
                }
                other => other?,
            }
        }
        if let Err(e) = self.context.install(&map, maps) {
            // Until then the directory only says too much.
            drop(map);
            space.forget(block_of(range));
            // A release took what `prepare` had built, and it has to be built again.
            return if e == EAGAIN { Ok(false) } else { Err(e) };
        }
        Ok(true)
    }

    /// Reserves the memory to enter `range`, as one entry when `huge`. Returns `false` if something
    /// was in the way, which is gone now.
    fn reserve(&self, range: PageRange, huge: bool) -> Result<bool> {
        let Context { space, pmap, .. } = self.context;
        let _charging = sys::Charging::to(self.mm);

        match space.directory.reserve(range, huge) {
            Err(e) if e == EEXIST => {
                space.forget(block_of(range));
                return Ok(false);
            }
            other => other?,
        }
        pmap.prepare(range)?;
        Ok(true)
    }

    /// Notes in the directory that a run is about to be mapped.
    fn note(&self, map: &MapLock<'_>, run: &MapRun, kind: Kind) -> Result {
        let Kind { huge, copy, fixed } = kind;
        let Context { device, space, .. } = self.context;
        let pages = pages_of_run(run).ok_or(EFAULT)?;
        let local = is_local(run);
        let note = Enter {
            holder: if local && !copy {
                device.parts.id as u8
            } else {
                0
            },
            frame: (!copy).then_some(run.addr >> PAGE_SHIFT),
            contexts: self.context.bit(),
            writable: run.flags & bindings::GM_ACCESS_WRITE != 0,
            duplicated: copy,
            fixed,
        };
        space.directory.enter(map, pages, huge, note)?;
        if !local {
            device.parts.stats.remote.add(pages.len_bytes() as usize);
        }
        Ok(())
    }
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
    pfns.get(slots(piece, range))
        .is_some_and(|pfns| pfns.iter().all(|pfn| memory.has(*pfn)))
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
        .all(|(page, pfn)| memory.has(*pfn) || copy_of(drafts, page, *pfn).is_some())
}

/// Returns the page of device memory that is a copy of what was read.
fn copy_of(drafts: &Drafts, page: u64, pfn: PagePfn) -> Option<usize> {
    let frame = pfn.pfn().filter(|_| !pfn.is_writable())?;

    drafts.copy_of(page, frame)
}

/// Returns whether a run from `first` on, of one kind throughout, is of copies.
fn is_copy(drafts: &Drafts, first: u64, range: PageRange, pfns: &[PagePfn]) -> bool {
    let index = first.wrapping_sub(range.first()) as usize;

    pfns.get(index)
        .is_some_and(|pfn| copy_of(drafts, first, *pfn).is_some())
}

fn is_local(run: &MapRun) -> bool {
    run.flags & bindings::GM_MAP_LOCAL != 0
}

/// Returns the first page of a run in device memory, the number of pages, and where they are.
fn local_run(run: &MapRun, space: usize) -> Option<(usize, usize, Spot)> {
    let page = run.va >> PAGE_SHIFT;

    is_local(run).then_some((
        (run.addr >> PAGE_SHIFT) as usize,
        run.nr_pages as usize,
        Spot { space, page },
    ))
}

/// Turns what was read into runs for the driver; what it cannot reach is left out.
fn build(
    range: PageRange,
    pfns: &[PagePfn],
    memory: Option<&Arc<Memory>>,
    drafts: &Drafts,
    maps: &mut KVVec<MapRun>,
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
        let run = MapRun {
            va: page << PAGE_SHIFT,
            addr: (addr as u64) << PAGE_SHIFT,
            nr_pages: 1,
            flags: kind | access,
        };
        push(maps, run, joins);
    }
}

/// Adds a run, to the last one if it continues that and may join it.
fn push(maps: &mut KVVec<MapRun>, run: MapRun, joins: bool) {
    if let Some(last) = maps.last_mut().filter(|_| joins) {
        let len = u64::from(last.nr_pages) << PAGE_SHIFT;
        if last.flags == run.flags && last.va + len == run.va && last.addr + len == run.addr {
            last.nr_pages += run.nr_pages;
            return;
        }
    }
    let full = maps.push_within_capacity(run);
    debug_assert!(full.is_ok());
}

/// Notes that a device maps what of the runs is in its memory.
pub(crate) fn touch(memory: &Memory, maps: &[MapRun], space: usize) {
    memory.touch(maps.iter().filter_map(|run| local_run(run, space)));
}
