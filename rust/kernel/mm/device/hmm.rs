// SPDX-License-Identifier: GPL-2.0

//! Reading a CPU page table, with or without faulting.
//!
//! C header: [`include/linux/hmm.h`](srctree/include/linux/hmm.h)

use super::{
    interval_notifier::{
        Operations,
        Sequence, //
    },
    mmap::MmapLocked,
    pagemap::Owner, //
};
use crate::{
    bindings,
    error::to_result,
    page::{
        PAGE_MASK,
        PAGE_SHIFT, //
    },
    prelude::*, //
};
use core::ops::Deref;

const VALID: usize = bindings::hmm_pfn_flags_HMM_PFN_VALID;
const WRITE: usize = bindings::hmm_pfn_flags_HMM_PFN_WRITE;
const ERROR: usize = bindings::hmm_pfn_flags_HMM_PFN_ERROR;
/// A flag of our own: the highest bit of the field for the frame, which no frame number uses.
const PRIVATE: usize = 1 << (bindings::hmm_pfn_flags_HMM_PFN_ORDER_SHIFT - 1);
const PFN_MASK: usize = PRIVATE - 1;

/// One page: on input what is wanted, on output what is there.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct PagePfn(usize);

impl PagePfn {
    /// Input: report the page without faulting it in.
    pub const PEEK: Self = Self(0);
    /// Input: fault the page in for reading.
    pub const READ: Self = Self(VALID);
    /// Input: fault the page in for writing.
    pub const WRITE: Self = Self(VALID | WRITE);

    /// Returns whether a page is there, at least readable.
    pub fn is_valid(self) -> bool {
        self.0 & VALID != 0 && self.0 & ERROR == 0
    }

    /// Returns whether the page may be written.
    pub fn is_writable(self) -> bool {
        self.is_valid() && self.0 & WRITE != 0
    }

    /// Returns the page frame.
    pub fn pfn(self) -> Option<usize> {
        self.is_valid().then_some(self.0 & PFN_MASK)
    }

    /// Returns whether the frame was found to be in device-private memory.
    pub fn is_device_private(self) -> bool {
        self.0 & PRIVATE != 0
    }
}

/// What was read of a page table, one element a page.
///
/// # Invariants
///
/// [`read`] stored the elements after it had taken `seq`, for pages in the range of its
/// subscription. Since then only [`PRIVATE`] was added to them.
pub struct Snapshot<'a, T: Operations> {
    pfns: &'a mut [PagePfn],
    seq: Sequence<'a, T>,
}

impl<T: Operations> Snapshot<'_, T> {
    /// Returns when the read began.
    pub fn sequence(&self) -> &Sequence<'_, T> {
        &self.seq
    }

    /// Marks the frames that the caller knows to be device-private. Returns whether there are
    /// others.
    pub fn note(&mut self, is_private: impl Fn(usize) -> bool) -> bool {
        let mut others = false;

        for pfn in self.pfns.iter_mut() {
            if pfn.pfn().is_some_and(&is_private) {
                pfn.0 |= PRIVATE;
            } else {
                others |= pfn.is_valid();
            }
        }
        others
    }

    /// Finds out which frames are device-private; see [`PagePfn::is_device_private`].
    ///
    /// # Safety
    ///
    /// The pages are still mapped: [`Sequence::read_retry`] returned `false` under the lock under
    /// which the callback calls
    /// [`Invalidation::set_seq`](super::interval_notifier::Invalidation::set_seq), and the lock was
    /// held since. The memory of a device may go as soon as its pages are mapped no more.
    pub unsafe fn look(&mut self) {
        for pfn in self.pfns.iter_mut() {
            let Some(frame) = pfn.pfn() else { continue };
            // SAFETY: HMM returned the frame as a page with a `struct page`, which is never freed
            // while the page is mapped. The caller checked, under its lock, that it still is.
            if unsafe { bindings::folio_is_device_private(bindings::pfn_folio(frame)) } {
                pfn.0 |= PRIVATE;
            }
        }
    }

    /// Marks the contents of host pages that may be written as newer than any copy in swap or on
    /// disk.
    ///
    /// # Safety
    ///
    /// As for [`Self::look`].
    pub unsafe fn mark_dirty(&self) {
        let host = self
            .pfns
            .iter()
            .filter(|pfn| pfn.is_writable() && !pfn.is_device_private());

        for frame in host.filter_map(|pfn| pfn.pfn()) {
            // SAFETY: The caller checked, under its lock, that the page is still mapped.
            unsafe { bindings::folio_mark_dirty(bindings::pfn_folio(frame)) };
        }
    }
}

impl<T: Operations> Deref for Snapshot<'_, T> {
    type Target = [PagePfn];

    fn deref(&self) -> &[PagePfn] {
        self.pfns
    }
}

/// Reads the page table from `start`, one element of `pfns` a page.
///
/// Pages of device memory of `owner` are reported as they are; without an owner, or with another,
/// they are brought home first when the element asks for a fault.
///
/// # Errors
///
/// - `EBUSY`: the range is being invalidated, try again with a new sequence,
/// - `EFAULT`: no VMA, or the page cannot be faulted in,
/// - `EPERM`: a write to memory that is not writable,
/// - `EINVAL`: the guard is that of another address space than the notifier's, or the range is not
///   inside the notifier's, or not page aligned,
/// - `ENOMEM`.
pub fn read<'a, T: Operations>(
    mmap: &impl MmapLocked,
    seq: Sequence<'a, T>,
    start: usize,
    pfns: &'a mut [PagePfn],
    owner: Option<Owner>,
) -> Result<Snapshot<'a, T>> {
    let notifier = seq.notifier();
    let Some(end) = pfns
        .len()
        .checked_shl(PAGE_SHIFT as u32)
        .and_then(|len| start.checked_add(len))
    else {
        return Err(EINVAL);
    };
    // SAFETY: The subscription is valid, and so is the pointer in it, which never changes.
    if unsafe { (*notifier.as_raw()).mm } != mmap.mm().as_raw() {
        return Err(EINVAL);
    }
    if start & !PAGE_MASK != 0 || !notifier.covers(start, end) {
        return Err(EINVAL);
    }
    let mut range = bindings::hmm_range {
        notifier: notifier.as_raw(),
        notifier_seq: seq.as_raw(),
        start,
        end,
        hmm_pfns: pfns.as_mut_ptr().cast(),
        default_flags: 0,
        pfn_flags_mask: VALID | WRITE,
        dev_private_owner: owner.map_or(core::ptr::null_mut(), Owner::as_raw),
    };

    // SAFETY: `range` describes memory that `pfns` owns (`PagePfn` is transparent), mmap_lock is
    // held as the guard shows, which is that of the notifier's address space, and the notifier is
    // inserted.
    to_result(unsafe { bindings::hmm_range_fault(&mut range) })?;

    // INVARIANT: Read just now, of pages that the notifier covers.
    Ok(Snapshot { pfns, seq })
}
