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
    advice::attributes_tree::Advice,
    device::dmem::Payer,
    fault::{
        migrate::{
            Brought,
            Wanted, //
        },
        part::{
            Attempt,
            Part,
            Purpose,
            Request,
            Served,
            Try,
            Work, //
        },
        refault, //
    },
    prelude::*,
    reclaim::waiting::Waiting,
    replica::{
        replicas::Drafts,
        source::Lease, //
    },
    space::{
        address_space::Watch,
        context::Context,
        mapping, //
    }, //
};
use kernel::mm::device::{
    mmap::{
        MmapGuard,
        StillGuard, //
    },
    vma as vma_info, //
};

/// How often a block is tried again because the CPU page table changed meanwhile.
const MAX_COLLISIONS: usize = 100;

/// After so many tries others are kept from changing it.
const MAX_SHARED_TRIES: usize = 8;

/// After so many tries no copies are made any more: they might push each other out.
const MAX_COPY_TRIES: usize = 16;

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
    let _inside = context.gate.enter()?;
    if !context.device.reach.covers(request.range) {
        return Err(EFAULT);
    }
    let mm = context.space.mm()?.mmget_not_zero().ok_or(ESRCH)?;
    // The last reference may be ours; tearing an mm down here would wait for ourselves.
    let mm = MmWithUser::into_mmput_async(mm);
    if let Some(brought) = refault::serve(context, &mm, request) {
        count(context, request, false, &Ok(()));
        // Nothing came, and nothing is to come ahead.
        return Ok(Served {
            brought,
            ..Served::default()
        });
    }
    let entered = context.device.enter()?;
    let payer = Payer::of(&mm)?;
    let part = Part {
        context,
        mm: &mm,
        memory: entered.memory(),
        payer: &payer,
        advice: Advice::find(&mm),
        request,
    };
    context.spares.lend(|batch| {
        let mut work = Work {
            batch,
            waiting: Waiting::new(),
            may_drain: true,
            served: Served::default(),
        };
        let result = part.serve_all(&mut work);

        if request.purpose != Purpose::Ahead {
            count(context, request, work.waiting.waited, &result);
        }
        result.map(|()| work.served)
    })
}

/// Counts the request, and what it came to.
fn count(context: &Context, request: Request, waited: bool, result: &Result) {
    let Request {
        range,
        write,
        purpose,
    } = request;
    let parts = &context.device.parts;
    let access = if write { 3 } else { 1 };

    sys::count(sys::Event::Fault, 1);
    parts.stats.faults.add(1);
    if purpose.is_demand() {
        parts.stats.demands.add(1);
        if waited {
            parts.stats.waits.add(1);
        }
    }
    sys::trace_fault(parts.id, range.bytes(), access, result);
}

/// An error, and where to go on when it does not end the request.
type Stop = (Error, Option<u64>);

/// What a try begins with.
struct Start<'a> {
    mmap: &'a MmapGuard<'a>,
    watch: &'a Watch,
    lease: Option<&'a Lease>,
    /// It may make copies.
    copies: bool,
    moves: usize,
}

impl Part<'_> {
    fn serve_all(&self, work: &mut Work<'_>) -> Result {
        let mut result = Ok(());
        for block in self.request.range.blocks() {
            let mut next = block.first();
            while let Some(rest) = PageRange::new(next, block.end()).filter(|rest| !rest.is_empty())
            {
                match self.serve(rest, work) {
                    Ok(end) => next = end,
                    Err((e, Some(end))) if !self.request.purpose.is_demand() && e == EBUSY => {
                        result = Err(e);
                        next = end;
                    }
                    Err((e, _)) => return Err(e),
                }
            }
        }
        result
    }

    /// hmadvise() tells of a hole in its own way.
    fn hole(&self) -> Error {
        match self.request.purpose {
            Purpose::Prefetch => ENOMEM,
            _ => EFAULT,
        }
    }

    /// Serves the pages of `rest`, which is inside one block, that are in one VMA; returns where
    /// to go on.
    fn serve(&self, rest: PageRange, work: &mut Work<'_>) -> core::result::Result<u64, Stop> {
        let watch = self.context.space.watch(rest);
        let watch = watch.map_err(|e| (if e == EFAULT { self.hole() } else { e }, None))?;
        let lease = self
            .copying(self.attributes(rest.first()).1)
            .filter(|_| self.request.purpose != Purpose::Ahead)
            .and_then(|_| Lease::of(self.mm, rest.start_byte() as usize));
        let (mut moves, mut tries) = (0, 0);

        work.waiting.begin();
        while tries < MAX_COLLISIONS {
            let mmap = if tries < MAX_SHARED_TRIES {
                MmapGuard::Shared(self.mm.mmap_read_lock())
            } else if self.request.purpose == Purpose::Ahead {
                // Readahead: no access waits for it.
                break;
            } else {
                MmapGuard::Still(StillGuard::hold(self.mm).map_err(|e| (e, None))?)
            };
            let start = Start {
                mmap: &mmap,
                watch: &watch,
                lease: lease.as_ref(),
                copies: tries < MAX_COPY_TRIES,
                moves,
            };
            work.waiting.renew();
            match self.attempt(rest, &start, work) {
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

    fn attempt(&self, rest: PageRange, start: &Start<'_>, work: &mut Work<'_>) -> Result<Try> {
        let hole = self.hole();
        let vma = vma_info::first_in(start.mmap, rest.bytes()).ok_or(hole)?;
        // hmadvise(2) takes this lock, too, and so sees the result of this attempt.
        let _block = self.context.space.lock_block(rest);
        let (advised, attributes) = self.attributes(rest.first());
        // What was advised about one page holds for no other one, nor does the device's reach.
        let vma_pages = mapping::pages_of(vma)
            .intersect(advised)
            .and_then(|pages| pages.intersect(self.context.device.reach))
            .ok_or(hole)?;
        let piece = rest
            .intersect(vma_pages)
            .filter(|piece| piece.first() == rest.first())
            .ok_or(hole)?;
        self.check(vma)?;
        work.served.around = vma_pages;

        let lease = start
            .lease
            .filter(|lease| lease.covers(vma) && !lease.is_broken());
        let can_copy = vma_info::is_anonymous(vma) || lease.is_some();
        let copies = self
            .copying(attributes)
            .filter(|_| start.copies && can_copy);
        let at = Attempt {
            mmap: start.mmap,
            watch: start.watch,
            vma,
            vma_pages,
            piece,
            movable: None,
            moves: start.moves,
        };
        let ahead = self.request.purpose == Purpose::Ahead;
        if let Some(memory) = copies.filter(|_| !ahead) {
            return self.map_copies(&at, memory, lease, work);
        }
        let movable = self.movable(vma, piece, attributes);
        let at = Attempt { movable, ..at };
        let range = self.choose(&at)?;
        let Some(memory) = movable.filter(|_| !(ahead && copies.is_some())) else {
            if ahead {
                return Ok(Try::Remote(piece.end()));
            }
            return self.map(&at, range, &mut Drafts::default(), work);
        };
        let pinned = attributes.pinned == Some(self.context.device.parts.id);
        let wanted = Wanted {
            at,
            memory,
            pool: pinned.then(|| sys::key(self.mm)),
            range,
        };
        self.move_and_map(&wanted, work)
    }

    fn move_and_map(&self, wanted: &Wanted<'_>, work: &mut Work<'_>) -> Result<Try> {
        let at = wanted.at;
        let (at, range) = match self.bring(wanted, work)? {
            Brought::Map { range, moves } => (Attempt { moves, ..at }, range),
            Brought::Stay(range) => {
                let movable = None;
                (Attempt { movable, ..at }, range)
            }
            Brought::Collision => return Ok(Try::Collision),
            Brought::Again => return Ok(Try::Movable),
            Brought::Pause => return Ok(Try::Pause),
        };
        self.map(&at, range, &mut Drafts::default(), work)
    }
}
