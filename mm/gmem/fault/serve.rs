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
    advice::{
        attributes::Attributes,
        attributes_tree::{
            self,
            Advice, //
        }, //
    },
    device::{
        dmem::Payer,
        memory::Memory, //
    },
    fault::{
        batch::Batch,
        migrate::{
            Brought,
            Wanted, //
        }, //
    },
    policy::fault_size,
    range::{
        PageRange,
        BLOCK_PAGES, //
    },
    replica::{
        replicas::Drafts,
        source::Lease, //
    },
    space::{
        address_space::Watch,
        context::Context,
        mapping::{
            self,
            policy_allows, //
        }, //
    },
    sys, //
};
use kernel::{
    bindings,
    mm::{
        device::{
            mmap::{
                MmapGuard,
                StillGuard, //
            },
            vma as vma_info, //
        },
        virt::VmaRef,
        MmWithUser, //
    },
    prelude::*,
    sync::Arc, //
};

/// How often a block is tried again because the CPU page table changed meanwhile.
const MAX_COLLISIONS: usize = 100;

/// After so many tries others are kept from changing it.
const MAX_SHARED_TRIES: usize = 8;

/// After so many tries no copies are made any more: they might push each other out.
const MAX_COPY_TRIES: usize = 16;

/// How often pages are brought to the device before they are mapped where they are: the first try
/// may find pages in swap or shared by COW, which the read behind it makes movable.
pub(crate) const MAX_MOVES: usize = 3;

/// Why a range is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The device waits for it.
    Demand,
    /// A launch will use it.
    Prepare,
    /// A program asked to have it there: exactly the range, and nowhere else.
    Prefetch,
    /// The device will probably ask for it: what exists and can come is brought.
    Ahead,
}

impl Purpose {
    /// Does the device wait for it, or will a launch fail without?
    pub(crate) fn is_demand(self) -> bool {
        matches!(self, Self::Demand | Self::Prepare)
    }
}

/// What a device wants.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) range: PageRange,
    pub(crate) write: bool,
    pub(crate) purpose: Purpose,
}

/// What a request came to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Served {
    /// The pages that the device has now, those around the request included: from the first one to
    /// the last.
    pub(crate) brought: PageRange,
    /// Where the last of them lie: pages of one mapping for which the same was advised.
    pub(crate) around: PageRange,
}

/// Serves a request.
///
/// # Errors
///
/// - `EFAULT`: no mapping, one that is not shared with devices, or a page that cannot be had,
/// - `EPERM`: no permission,
/// - `EBUSY`: (prefetch) a page could only be mapped remotely,
/// - `ENOSPC`: (prefetch) the device has no room,
/// - `ENOMEM`, `EIO` (a copy failed), `EINTR` (fatal signal), `ESRCH` (the process is gone),
///   `ENODEV` (the device or the context is going away), `EAGAIN` (too many collisions).
pub(crate) fn serve(context: &Context, request: Request) -> Result<Served> {
    let device = &context.device;
    let entered = device.enter()?;
    let mut faulting = context.enter()?;
    if !device.reach.covers(request.range) {
        return Err(EFAULT);
    }
    let mm = context.space.mm()?.mmget_not_zero().ok_or(ESRCH)?;
    // The last reference may be ours; tearing an mm down here would wait for ourselves.
    let mm = MmWithUser::into_mmput_async(mm);
    let payer = Payer::of(&mm)?;
    let mut result = Ok(());
    faulting.batch()?.may_drain = true;
    let part = Part {
        context,
        mm: &mm,
        memory: entered.memory(),
        payer: &payer,
        advice: Advice::find(&mm),
        request,
    };

    for block in request.range.blocks() {
        let mut next = block.first();
        while let Some(rest) = PageRange::new(next, block.end()).filter(|rest| !rest.is_empty()) {
            match part.serve(rest, faulting.batch()?) {
                Ok(end) => next = end,
                Err((e, Some(end))) if !request.purpose.is_demand() && e == EBUSY => {
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

    let batch = faulting.batch()?;
    let waited = core::mem::take(&mut batch.waiting.waited);
    let served = core::mem::take(&mut batch.served);
    if request.purpose == Purpose::Ahead {
        return result.map(|()| served);
    }
    let access = if request.write { 3 } else { 1 };
    sys::count(sys::Event::Fault, 1);
    let stats = &device.parts.stats;
    stats.faults.add(1);
    if request.purpose.is_demand() {
        stats.demands.add(1);
        stats.waits.add(usize::from(waited));
    }
    sys::trace_fault(
        device.parts.id,
        request.range.start_byte() as usize,
        request.range.len_bytes() as usize,
        access,
        &result,
    );
    result.map(|()| served)
}

/// An error, and where to go on when it does not end the request.
type Stop = (Error, Option<u64>);

/// What stays the same for all blocks of a request.
pub(crate) struct Part<'a> {
    pub(crate) context: &'a Context,
    pub(crate) mm: &'a MmWithUser,
    pub(crate) memory: Option<&'a Arc<Memory>>,
    pub(crate) payer: &'a Payer,
    pub(crate) advice: Option<Arc<Advice>>,
    pub(crate) request: Request,
}

/// Whether a try may make copies.
struct Copying<'a> {
    wanted: bool,
    lease: Option<&'a Lease>,
}

/// What one try came to.
pub(crate) enum Try {
    /// All pages up to here are mapped.
    Done(u64),
    /// As `Done`, but some of them remotely.
    Remote(u64),
    /// The page table changed: the same again.
    Collision,
    /// Pages became movable: move them.
    Movable,
    /// As [`Brought::Pause`].
    Pause,
}

impl Part<'_> {
    /// Serves the pages of `rest`, which is inside one block, that are in one VMA; returns where
    /// to go on.
    fn serve(&self, rest: PageRange, batch: &mut Batch) -> core::result::Result<u64, Stop> {
        let watch = self.context.space.watch(rest).map_err(|e| match e {
            // hmadvise() tells of a hole in its own way.
            e if e == EFAULT && self.request.purpose == Purpose::Prefetch => (ENOMEM, None),
            e => (e, None),
        })?;
        let lease = self
            .copying(self.attributes(rest.first()).1)
            .filter(|_| self.request.purpose != Purpose::Ahead)
            .and_then(|_| Lease::of(self.mm, rest.start_byte() as usize));
        let (mut moves, mut tries) = (0, 0);

        batch.waiting.begin();
        while tries < MAX_COLLISIONS {
            let copying = Copying {
                wanted: tries < MAX_COPY_TRIES,
                lease: lease.as_ref(),
            };
            let mmap = if tries < MAX_SHARED_TRIES {
                MmapGuard::Shared(self.mm.mmap_read_lock())
            } else if self.request.purpose == Purpose::Ahead {
                // Readahead: no access waits for it.
                break;
            } else {
                MmapGuard::Still(StillGuard::hold(self.mm).map_err(|e| (e, None))?)
            };
            batch.waiting.renew();
            match self.attempt(rest, &mmap, &watch, copying, moves, batch) {
                Ok(Try::Done(end)) => return Ok(end),
                Ok(Try::Remote(end)) if !self.request.purpose.is_demand() => {
                    return Err((EBUSY, Some(end)));
                }
                Ok(Try::Remote(end)) => return Ok(end),
                Ok(Try::Movable) => {
                    moves += 1;
                    tries += 1;
                }
                Ok(Try::Collision) => tries += 1,
                // Not a collision: the number of pauses is bounded by itself.
                Ok(Try::Pause) => {}
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
        mmap: &MmapGuard<'_>,
        watch: &Watch,
        copying: Copying<'_>,
        moves: usize,
        batch: &mut Batch,
    ) -> Result<Try> {
        let space = &self.context.space;
        // hmadvise() tells of a hole in its own way.
        let hole = match self.request.purpose {
            Purpose::Prefetch => ENOMEM,
            _ => EFAULT,
        };
        let vma = vma_info::first_in(mmap, rest.start_byte() as usize, rest.end_byte() as usize)
            .ok_or(hole)?;
        // hmadvise(2) takes this lock, too, and so sees the result of this attempt.
        let _block = space.lock_block(rest);
        let (advised, attributes) = self.attributes(rest.first());
        // What was advised about one page holds for no other one.
        let vma_pages = mapping::pages_of(vma).intersect(advised).ok_or(hole)?;
        let piece = rest
            .intersect(vma_pages)
            .filter(|piece| piece.first() == rest.first())
            .ok_or(hole)?;
        self.check(vma)?;
        batch.served.around = vma_pages;

        let lease = copying
            .lease
            .filter(|lease| lease.covers(vma) && !lease.is_broken());
        let can_copy = vma_info::is_anonymous(vma) || lease.is_some();
        let copies = self
            .copying(attributes)
            .filter(|_| copying.wanted && can_copy);
        let ahead = self.request.purpose == Purpose::Ahead;
        if let Some(memory) = copies.filter(|_| !ahead) {
            return self.map_copies(memory, vma, piece, vma_pages, watch, mmap, lease, batch);
        }

        // A prefetch says by itself where the pages go, and advice comes before a memory policy.
        let movable = self.memory.filter(|memory| {
            vma_info::is_anonymous(vma)
                && vma.flags() & vma_info::VM_LOCKED == 0
                && (self.request.purpose == Purpose::Prefetch
                    || (attributes.belongs_to(self.context.device.parts.id)
                        && (attributes.names_place() || policy_allows(space, vma, piece, memory))))
        });
        let range = self.choose(piece, vma_pages, vma, movable.is_some())?;
        let mut none = Drafts::none();
        let Some(memory) = movable.filter(|_| !(ahead && copies.is_some())) else {
            if ahead {
                return Ok(Try::Remote(piece.end()));
            }
            return self.map(piece, range, watch, mmap, None, &mut none, moves, batch);
        };
        let pinned = attributes.pinned == Some(self.context.device.parts.id);
        let wanted = Wanted {
            memory,
            pool: pinned.then(|| attributes_tree::key(self.mm)),
            vma,
            watch,
            mmap,
            piece,
            range,
            moves,
        };
        match self.bring(&wanted, batch)? {
            Brought::Map { range, moves } => {
                self.map(piece, range, watch, mmap, movable, &mut none, moves, batch)
            }
            Brought::Stay(range) => {
                self.map(piece, range, watch, mmap, None, &mut none, moves, batch)
            }
            Brought::Collision => Ok(Try::Collision),
            Brought::Again => Ok(Try::Movable),
            Brought::Pause => Ok(Try::Pause),
        }
    }

    /// Returns the memory if the device is to have a copy of a page: it reads what is read mostly,
    /// and neither is there another place for the page nor was the device told to use it where it
    /// is.
    fn copying(&self, attributes: Attributes) -> Option<&Arc<Memory>> {
        let placed = attributes.pinned.is_some()
            || (attributes.is_accessed_by(self.context.device.parts.id)
                && self.request.purpose != Purpose::Prefetch);
        self.memory
            .filter(|_| attributes.read_mostly && !placed && !self.request.write)
    }

    /// Returns what was advised about a page, and the pages around it for which that is the same.
    fn attributes(&self, page: u64) -> (PageRange, Attributes) {
        match &self.advice {
            Some(advice) => advice.at(page),
            None => (PageRange::ALL, Attributes::NONE),
        }
    }

    /// Checks that the device may use the VMA as it wants.
    fn check(&self, vma: &VmaRef) -> Result {
        let flags = vma.flags();
        let shared = flags & sys::VM_PEER_SHARED != 0 || self.context.space.is_whole();
        let wants = if self.request.write {
            bindings::VM_READ | bindings::VM_WRITE
        } else {
            bindings::VM_READ
        };
        if !shared || !sys::is_ordinary(vma) {
            Err(EFAULT)
        } else if flags & wants != wants {
            Err(EPERM)
        } else {
            Ok(())
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
        if !self.request.purpose.is_demand() || !movable {
            return Ok(piece);
        }
        let room = self.memory.map_or(0, |memory| memory.pages() as u64);
        let fault = fault_size::Fault {
            page: piece.first(),
            vma: vma_pages,
            hint: piece,
            huge_allowed: vma_info::thp_allowed(vma),
            room: room.min(BLOCK_PAGES),
            // What is large now has to be taken apart when memory runs out.
            scarce: self
                .memory
                .is_some_and(|memory| memory.used() * 10 > memory.pages()),
            // Where others leave piece by piece, a walk comes so, too.
            expected: self.memory.is_some_and(|memory| !memory.worker.is_scarce())
                && self.context.walks.expect(piece.first()),
        };
        Ok(fault.choose().ok_or(EFAULT)?.range)
    }
}
