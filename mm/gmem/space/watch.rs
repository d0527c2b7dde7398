// SPDX-License-Identifier: GPL-2.0

//! Invalidation: the CPU page table changes, so device page tables let go.
//!
//! The callback arrives under whatever locks the change holds, perhaps in reclaim, and takes the
//! map lock only. Every change is acted on, those of our own migrations too: one device's
//! migration has to take the page from the other devices.

use crate::{
    prelude::*,
    space::{
        address_space::{
            MapLock,
            Space, //
        },
        context::{
            Context,
            MAX_CONTEXTS, //
        },
        directory::Directory, //
    }, //
};
use kernel::mm::device::{
    hmm::Snapshot,
    interval_notifier::{
        Invalidation,
        Operations, //
    },
    vma as vma_info, //
};

/// The subscriber of one chunk of a space.
pub(crate) struct Watcher {
    space: Arc<Space>,
    chunk: PageRange,
}

impl Watcher {
    /// Makes the subscriber of `chunk`.
    pub(crate) fn new(space: Arc<Space>, chunk: PageRange) -> Self {
        Self { space, chunk }
    }

    fn lock(&self, inv: &Invalidation<'_>) -> Option<MapLock<'_>> {
        if inv.is_blockable() {
            Some(self.space.lock_map())
        } else {
            self.space.try_lock_map()
        }
    }
}

impl Operations for Watcher {
    fn invalidate(&self, inv: &Invalidation<'_>) -> bool {
        let Some(mut map) = self.lock(inv) else {
            return false;
        };
        // Who read before enters nothing any more, and who reads now waits until the change is
        // over. So others may have the lock in between.
        inv.set_seq();

        let bytes = inv.range();
        let mut rest = PageRange::from_bytes(bytes.start as u64, bytes.len() as u64)
            .and_then(|range| range.intersect(self.chunk));
        // A change of rights leaves the page where it is.
        let forget = !inv.is_protection();
        while let Some(range) = rest {
            rest = map.invalidate(&self.space.directory, range, forget);
            if rest.is_some() {
                drop(map);
                map = match self.lock(inv) {
                    Some(map) => map,
                    // What is done already does no harm.
                    None => return false,
                };
            }
        }
        true
    }
}

/// Checks that the process has memory in `range`.
///
/// # Errors
///
/// `EFAULT` when not, `ESRCH` when the process is gone.
pub(crate) fn check_mapped(mm: &Mm, range: PageRange) -> Result {
    // The last reference may be ours; tearing an mm down here would wait for ourselves.
    let mm = MmWithUser::into_mmput_async(mm.mmget_not_zero().ok_or(ESRCH)?);
    let mmap = mm.mmap_read_lock();

    let first = vma_info::first_in(&mmap, range.bytes());
    first.map(|_| ()).ok_or(EFAULT)
}

/// What was read of the page table of a process, under one watch.
pub(crate) type Read<'a> = Snapshot<'a, Watcher>;

/// The pages that one context lost: where it has to be flushed.
#[derive(Clone, Copy, Default)]
struct Flush {
    hull: Option<PageRange>,
    seq: Option<u64>,
}

impl Flush {
    fn add(&mut self, pages: PageRange) {
        self.hull = Some(self.hull.unwrap_or_default().hull(pages));
    }
}

impl MapLock<'_> {
    /// Returns whether what was read is still true, and remains so while the lock is held.
    fn keeps(&self, read: &Read<'_>) -> bool {
        let seq = read.sequence();

        self.is_of(&seq.notifier().data().space) && !seq.read_retry()
    }

    /// Notes of pages that were read what is in device memory. Returns `false` if the read is
    /// stale.
    pub(crate) fn look(&self, read: &mut Read<'_>) -> bool {
        if !self.keeps(read) {
            return false;
        }
        // SAFETY: The read is valid under the map lock, and `Watcher::invalidate` takes that before
        // it changes the sequence.
        unsafe { read.look() };
        true
    }

    /// Marks host pages that were read, and that a device may write, as newer than what is in swap
    /// or on disk. Returns `false` if the read is stale.
    pub(crate) fn mark_dirty(&self, read: &Read<'_>) -> bool {
        if !self.keeps(read) {
            return false;
        }
        // SAFETY: As in `look`.
        unsafe { read.mark_dirty() };
        true
    }

    /// Takes the pages of `range` from all contexts; returns when no device uses one any more.
    ///
    /// With `forget` the directory keeps nothing of them. Windows with copies go whole, and are
    /// forgotten. Where there are too many copies for one hold of the lock this stops, and returns
    /// what is left of the range.
    #[must_use]
    pub(crate) fn invalidate(
        &mut self,
        directory: &Directory,
        range: PageRange,
        forget: bool,
    ) -> Option<PageRange> {
        let (windows, rest) = self.copies().windows(range);
        let range = windows.unwrap_or(range);
        let forget = forget || windows.is_some();

        let lost = self.release(|f| directory.invalidate(self, range, forget, f));
        if lost != 0 {
            sys::count(sys::Event::Invalidate, 1);
            sys::trace_invalidate(range.bytes(), u32::from(lost));
        }
        if let Some(windows) = windows {
            let removed = self.copies_mut().remove(windows);
            self.count_copies(removed);
        }
        rest
    }

    /// Takes the pages of `range` from the contexts of one device.
    pub(crate) fn invalidate_on(&self, directory: &Directory, range: PageRange, device: u32) {
        let contexts = self
            .contexts()
            .filter(|context| context.device.parts.id == device)
            .fold(0, |contexts, context| contexts | context.bit());

        self.release(|f| directory.detach(self, range, contexts, f));
    }

    /// Takes everything from one context.
    pub(crate) fn invalidate_context(&self, directory: &Directory, context: &Context) {
        self.release(|f| directory.detach(self, PageRange::ALL, context.bit(), f));
    }

    /// Takes from the contexts what `take` says and flushes them; returns which had something.
    fn release(&self, take: impl FnOnce(&mut dyn FnMut(u16, PageRange))) -> u16 {
        let mut flushes = [Flush::default(); MAX_CONTEXTS];
        let mut all = 0u16;

        take(&mut |lost, pages| {
            all |= lost;
            let mut rest = lost;
            while rest != 0 {
                let index = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                if let (Some(context), Some(flush)) = (self.context(index), flushes.get_mut(index))
                {
                    context.release(self, pages);
                    flush.add(pages);
                }
            }
        });
        if all != 0 {
            self.flush(&mut flushes);
        }
        all
    }

    /// Starts all flushes, then waits for all.
    fn flush(&self, flushes: &mut [Flush; MAX_CONTEXTS]) {
        for (index, flush) in flushes.iter_mut().enumerate() {
            if let (Some(hull), Some(context)) = (flush.hull, self.context(index)) {
                flush.seq = context.flush_start(self, hull);
                context.device.parts.stats.invalidated.add(1);
            }
        }
        for (index, flush) in flushes.iter().enumerate() {
            if let (Some(seq), Some(context)) = (flush.seq, self.context(index)) {
                context.flush_wait(self, seq);
            }
        }
    }
}
