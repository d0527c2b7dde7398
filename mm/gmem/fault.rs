// SPDX-License-Identifier: GPL-2.0

//! Device faults.
//!
//! A range is served block by block. Of each block that part is brought to the device which lies
//! in one VMA; then the CPU page table is read, and what it says is entered into the device's
//! page table under the map lock, if nothing changed since it was read.
//!
//! What cannot move - pinned, locked, shared and file pages - is entered as it is: the device
//! reaches host memory remotely.

use crate::{
    block,
    context::Context,
    memory::{
        owner,
        Memory, //
    },
    migrate::Batch,
    move_in,
    range::{
        PageRange,
        BLOCK_PAGES, //
    },
    space::Watch,
    sys,
    table::Enter, //
};
use kernel::{
    bindings,
    mm::{
        device::{
            hmm::{
                self,
                PagePfn, //
            },
            interval_notifier::Sequence,
            vma as vma_info, //
        },
        virt::VmaRef,
        MmWithUser,
        MmapReadGuard, //
    },
    page::PAGE_SHIFT,
    prelude::*,
    sync::Arc, //
};

/// How often a block is tried again because the CPU page table changed meanwhile.
const MAX_COLLISIONS: usize = 1000;

/// How often pages are brought to the device before they are mapped where they are: the first try
/// may find pages in swap or shared by COW, which the read behind it makes movable.
const MAX_MOVES: usize = 3;

/// Why a range is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The device waits for it.
    Demand,
    /// A launch will use it.
    Prepare,
    /// A program asked to have it there: exactly the range, and nowhere else.
    Prefetch,
}

/// What a device wants.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) range: PageRange,
    pub(crate) write: bool,
    pub(crate) purpose: Purpose,
}

/// Serves a request.
///
/// # Errors
///
/// - `EFAULT`: no mapping, one that is not shared with devices, or no permission,
/// - `EBUSY`: (prefetch) a page could only be mapped remotely,
/// - `ENOSPC`: (prefetch) the device has no room,
/// - `ENOMEM`, `EIO` (a copy failed), `EINTR` (fatal signal), `ESRCH` (the process is gone),
///   `ENODEV` (the device or the context is going away), `EAGAIN` (too many collisions).
pub(crate) fn serve(context: &Context, request: Request) -> Result {
    let device = &context.device;
    let _entered = device.enter()?;
    let mut faulting = context.enter()?;
    if !device.reach.covers(request.range) {
        return Err(EFAULT);
    }
    let mm = context.space.mm()?.mmget_not_zero().ok_or(ESRCH)?;
    // The last reference may be ours; tearing an mm down here would wait for ourselves.
    let mm = MmWithUser::into_mmput_async(mm);
    let memory = device.memory();
    let mut result = Ok(());

    for block in request.range.blocks() {
        let mut next = block.first();
        while let Some(rest) = PageRange::new(next, block.end()).filter(|rest| !rest.is_empty()) {
            let part = Part {
                context,
                mm: &mm,
                memory: memory.as_ref(),
                request,
            };
            match part.serve(rest, faulting.batch()?) {
                Ok(end) => next = end,
                Err((e, Some(end))) if request.purpose == Purpose::Prefetch && e == EBUSY => {
                    result = Err(e);
                    next = end;
                }
                Err((e, _)) => {
                    result = Err(e);
                    break;
                }
            }
        }
        if next < block.end() {
            break;
        }
    }

    let access = if request.write { 3 } else { 1 };
    sys::count(sys::Event::Fault, 1);
    device.parts.stats.faults.add(1);
    sys::trace_fault(
        device.parts.id,
        request.range.start_byte() as usize,
        request.range.len_bytes() as usize,
        access,
        &result,
    );
    result
}

/// An error, and where to go on when it does not end the request.
type Stop = (Error, Option<u64>);

/// What stays the same for all blocks of a request.
struct Part<'a> {
    context: &'a Context,
    mm: &'a MmWithUser,
    memory: Option<&'a Arc<Memory>>,
    request: Request,
}

/// What one try came to.
enum Try {
    /// All pages up to here are mapped.
    Done(u64),
    /// As `Done`, but some of them remotely.
    Remote(u64),
    /// The page table changed: the same again.
    Collision,
    /// Pages became movable: move them.
    Movable,
}

impl Part<'_> {
    /// Serves the pages of `rest`, which is inside one block, that are in one VMA; returns where
    /// to go on.
    fn serve(&self, rest: PageRange, batch: &mut Batch) -> core::result::Result<u64, Stop> {
        let watch = self.context.space.watch(rest).map_err(|e| (e, None))?;
        let mut moves = 0;

        for _ in 0..MAX_COLLISIONS {
            match self.attempt(rest, &watch, moves, batch) {
                Ok(Try::Done(end)) => return Ok(end),
                Ok(Try::Remote(end)) if self.request.purpose == Purpose::Prefetch => {
                    return Err((EBUSY, Some(end)));
                }
                Ok(Try::Remote(end)) => return Ok(end),
                Ok(Try::Movable) => moves += 1,
                Ok(Try::Collision) => {}
                Err(e) => return Err((e, None)),
            }
            if sys::fatal_signal() {
                return Err((EINTR, None));
            }
        }
        Err((EAGAIN, None))
    }

    fn attempt(
        &self,
        rest: PageRange,
        watch: &Watch,
        moves: usize,
        batch: &mut Batch,
    ) -> Result<Try> {
        let space = &self.context.space;
        // hmadvise() tells of a hole in its own way.
        let hole = match self.request.purpose {
            Purpose::Prefetch => ENOMEM,
            _ => EFAULT,
        };
        let mmap = self.mm.mmap_read_lock();
        let vma = vma_info::first_in(
            self.mm,
            &mmap,
            rest.start_byte() as usize,
            rest.end_byte() as usize,
        )
        .ok_or(hole)?;
        let vma_pages = crate::home::pages_of(vma);
        let piece = rest
            .intersect(vma_pages)
            .filter(|piece| piece.first() == rest.first())
            .ok_or(hole)?;
        self.check(vma)?;
        let _block = space.lock_block(piece);

        let movable = self
            .memory
            .filter(|_| vma_info::is_anonymous(vma) && vma.flags() & vma_info::VM_LOCKED == 0);
        let range = self.choose(piece, vma_pages, vma, movable.is_some())?;
        let mut failed = Ok(());

        if let Some(memory) = movable {
            let seq = watch.read_begin();
            let pfns = peek(range, batch)?;
            if hmm::read(
                &mmap,
                watch,
                seq,
                range.start_byte() as usize,
                pfns,
                Some(owner()),
            )
            .is_err()
            {
                return Ok(Try::Collision);
            }
            if moves < MAX_MOVES && !all_local(memory, piece, range, pfns) {
                let job = move_in::Job {
                    memory,
                    vma,
                    range,
                    exclusive_only: self.request.write,
                };
                failed = move_in::to_device(&job, batch);
            }
        }
        let moves = match failed {
            Ok(()) => moves,
            Err(e) if self.request.purpose == Purpose::Prefetch || e == EIO => return Err(e),
            // Where there is no room, a device that waits is served remotely.
            Err(_) => MAX_MOVES,
        };
        self.map(piece, range, watch, &mmap, movable, moves, batch)
    }

    /// Checks that the device may use the VMA as it wants.
    fn check(&self, vma: &VmaRef) -> Result {
        let flags = vma.flags();
        let shared = flags & vma_info::VM_PEER_SHARED != 0 || self.context.space.is_whole();
        let wants = if self.request.write {
            bindings::VM_READ | bindings::VM_WRITE
        } else {
            bindings::VM_READ
        };
        if shared && flags & wants == wants {
            Ok(())
        } else {
            Err(EFAULT)
        }
    }

    /// Chooses what to bring to the device for `piece`.
    fn choose(
        &self,
        piece: PageRange,
        vma_pages: PageRange,
        vma: &VmaRef,
        movable: bool,
    ) -> Result<PageRange> {
        if self.request.purpose == Purpose::Prefetch || !movable {
            return Ok(piece);
        }
        let room = self.memory.map_or(0, |memory| memory.pages() as u64);
        let fault = block::Fault {
            page: piece.first(),
            vma: vma_pages,
            hint: piece,
            huge_allowed: vma_info::thp_allowed(vma),
            room: room.min(BLOCK_PAGES),
        };
        Ok(fault.choose().ok_or(EFAULT)?.range)
    }

    /// Reads the page table and enters what it says.
    #[expect(clippy::too_many_arguments)]
    fn map(
        &self,
        piece: PageRange,
        range: PageRange,
        watch: &Watch,
        mmap: &MmapReadGuard<'_>,
        movable: Option<&Arc<Memory>>,
        moves: usize,
        batch: &mut Batch,
    ) -> Result<Try> {
        let start = range.start_byte() as usize;
        let piece = piece.intersect(range).ok_or(EFAULT)?;
        let want = if self.request.write {
            PagePfn::WRITE
        } else {
            PagePfn::READ
        };
        let pfns = peek(range, batch)?;
        let wanted = slots(piece, range);
        let seq = watch.read_begin();

        if self.request.purpose != Purpose::Prefetch {
            pfns.get_mut(wanted.clone()).ok_or(EFAULT)?.fill(want);
        } else if movable.is_none() || moves > 0 {
            // What would not move is populated where it is, and read in from swap.
            pfns.get_mut(wanted.clone())
                .ok_or(EFAULT)?
                .fill(PagePfn::READ);
        }
        match hmm::read(mmap, watch, seq, start, pfns, Some(owner())) {
            Ok(()) => {}
            Err(e) if e == EBUSY => return Ok(Try::Collision),
            // A page that user space would have to supply.
            Err(e) if e == EFAULT && self.request.purpose == Purpose::Prefetch => {
                return Ok(Try::Remote(piece.end()));
            }
            Err(e) if e == EPERM => return Err(EFAULT),
            Err(e) => return Err(e),
        }
        if self.bring_near(wanted.clone(), start, watch, mmap, pfns)? {
            return Ok(Try::Movable);
        }
        if let Some(memory) = movable {
            let local = all_local(memory, piece, range, pfns);
            // What was just faulted in or split from a shared page can move now.
            if !local && moves + 1 < MAX_MOVES {
                return Ok(Try::Movable);
            }
        }
        let remote = match self.memory {
            Some(memory) => !all_local(memory, piece, range, pfns),
            None => true,
        };
        if !self.enter(range, watch, seq, batch)? {
            return Ok(Try::Collision);
        }
        if let (Some(memory), Some(pfn)) = (self.memory, first_local(self.memory, batch)) {
            memory.touch(pfn);
        }
        Ok(if remote {
            Try::Remote(piece.end())
        } else {
            Try::Done(piece.end())
        })
    }

    /// Brings wanted pages home that this device cannot use where they are: on another device, or
    /// shared by COW while it wants to write. Returns whether there were any.
    fn bring_near(
        &self,
        wanted: core::ops::Range<usize>,
        start: usize,
        watch: &Watch,
        mmap: &MmapReadGuard<'_>,
        pfns: &[PagePfn],
    ) -> Result<bool> {
        let write = self.request.write;
        let want = if write { PagePfn::WRITE } else { PagePfn::READ };
        let mut found = false;

        for (i, pfn) in pfns.iter().enumerate() {
            if !wanted.contains(&i) || !pfn.is_device_private() {
                continue;
            }
            let local = pfn
                .pfn()
                .zip(self.memory)
                .is_some_and(|(pfn, memory)| memory.map.page(pfn).is_some());
            if local && (pfn.is_writable() || !write) {
                continue;
            }
            found = true;
            let mut one = [want];
            let seq = watch.read_begin();
            match hmm::read(mmap, watch, seq, start + (i << PAGE_SHIFT), &mut one, None) {
                Ok(()) => {}
                Err(e) if e == EBUSY => return Ok(true),
                Err(e) if e == EPERM => return Err(EFAULT),
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }

    /// Enters what was read at `seq`, unless it is stale.
    fn enter(
        &self,
        range: PageRange,
        watch: &Watch,
        seq: Sequence,
        batch: &mut Batch,
    ) -> Result<bool> {
        let space = &self.context.space;
        let context = self.context;
        let Batch { pfns, maps, .. } = batch;
        let pfns = pfns.get(..range.count() as usize).ok_or(EINVAL)?;

        build(range, pfns, self.memory, maps);
        let huge = matches!(maps.as_slice(), [one] if is_huge(one));
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

        let map = space.lock_map();
        if watch.read_retry(seq) || sys::should_fail(sys::Site::Retry) {
            return Ok(false);
        }
        for run in maps.iter() {
            let local = run.flags & bindings::GM_MAP_LOCAL != 0;
            let writable = run.flags & bindings::GM_ACCESS_WRITE != 0;
            let pages = PageRange::with_count(run.va >> PAGE_SHIFT, u64::from(run.nr_pages))
                .ok_or(EFAULT)?;
            let note = Enter {
                holder: if local {
                    context.device.parts.id as u8
                } else {
                    0
                },
                contexts: context.bit(),
                writable,
                stamp: 0,
            };
            match space.directory.enter(&map, pages, huge, note) {
                Err(e) if e == EBUSY || e == EEXIST || e == EAGAIN => {
                    map.invalidate(&space.directory, block_of(range), true);
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
        for pfn in pfns {
            if pfn.is_writable() && !pfn.is_device_private() {
                pfn.mark_dirty();
            }
        }
        if let Err(e) = context.pmap.enter(maps) {
            map.invalidate(&space.directory, block_of(range), true);
            return Err(e);
        }
        Ok(true)
    }
}

fn block_of(range: PageRange) -> PageRange {
    range.align_out(crate::range::BLOCK_ORDER)
}

/// Returns the elements of the array for `range` that stand for the pages of `piece`.
fn slots(piece: PageRange, range: PageRange) -> core::ops::Range<usize> {
    let first = piece.first().wrapping_sub(range.first()) as usize;

    first..first.wrapping_add(piece.count() as usize)
}

/// Returns the array for `range`, asking for nothing.
fn peek(range: PageRange, batch: &mut Batch) -> Result<&mut [PagePfn]> {
    let pfns = batch.pfns.get_mut(..range.count() as usize).ok_or(EINVAL)?;

    pfns.fill(PagePfn::PEEK);
    Ok(pfns)
}

/// Returns whether all pages of `piece` are in the memory.
fn all_local(memory: &Memory, piece: PageRange, range: PageRange, pfns: &[PagePfn]) -> bool {
    pfns.get(slots(piece, range)).is_some_and(|pfns| {
        pfns.iter()
            .all(|pfn| pfn.pfn().is_some_and(|pfn| memory.map.page(pfn).is_some()))
    })
}

/// Returns the first page of the block that is in the memory, as its number there.
fn first_local(memory: Option<&Arc<Memory>>, batch: &Batch) -> Option<usize> {
    let run = batch
        .maps
        .iter()
        .find(|run| run.flags & bindings::GM_MAP_LOCAL != 0)?;

    memory.map(|_| (run.addr >> PAGE_SHIFT) as usize)
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
    maps: &mut KVec<sys::MapRun>,
) {
    maps.clear();
    for (page, pfn) in (range.first()..range.end()).zip(pfns) {
        let Some(frame) = pfn.pfn() else { continue };
        let local = memory.and_then(|memory| memory.map.page(frame));
        let (addr, kind) = match local {
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
        if let Some(last) = maps.last_mut() {
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
