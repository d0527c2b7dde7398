// SPDX-License-Identifier: GPL-2.0

//! Reading a CPU page table, with or without faulting.
//!
//! C header: [`include/linux/hmm.h`](srctree/include/linux/hmm.h)

use super::{
    interval_notifier::{
        IntervalNotifier,
        Operations,
        Sequence, //
    },
    mmap::MmapLocked,
    pagemap::Owner, //
};
use crate::{
    bindings,
    error::to_result,
    page::PAGE_SHIFT,
    prelude::*, //
};

const VALID: usize = bindings::hmm_pfn_flags_HMM_PFN_VALID;
const WRITE: usize = bindings::hmm_pfn_flags_HMM_PFN_WRITE;
const ERROR: usize = bindings::hmm_pfn_flags_HMM_PFN_ERROR;
/// Ours: the highest bit of the frame's number, which no frame has.
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

    /// Notes that the frame is in device-private memory, as the caller knows.
    pub fn set_device_private(&mut self) {
        self.0 |= PRIVATE;
    }

    /// Looks whether the frame is in device-private memory; see [`Self::is_device_private`].
    ///
    /// # Safety
    ///
    /// The page is still mapped: the sequence of the read was found to be valid under the lock
    /// under which the callback calls
    /// [`Invalidation::set_seq`](super::interval_notifier::Invalidation::set_seq), and the lock was
    /// held since. The memory of a device may go as soon as its pages are mapped no more.
    pub unsafe fn look(&mut self) {
        let Some(pfn) = self.pfn() else { return };
        // SAFETY: HMM returned the frame as a page with a `struct page`, which is never freed while
        // the page is mapped, and by the safety requirements it still is.
        if unsafe { bindings::folio_is_device_private(bindings::pfn_folio(pfn)) } {
            self.set_device_private();
        }
    }

    /// Marks the contents of the host page as newer than any copy in swap or on disk.
    ///
    /// # Safety
    ///
    /// As for [`Self::look`].
    pub unsafe fn mark_dirty(self) {
        if let Some(pfn) = self.pfn() {
            // SAFETY: The page is still mapped by the safety requirements.
            unsafe { bindings::folio_mark_dirty(bindings::pfn_folio(pfn)) };
        }
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
/// - `EFAULT`: no VMA, or the page cannot be had,
/// - `EPERM`: a write to memory that is not writable,
/// - `EINVAL`: the guard is that of another address space than the notifier's,
/// - `ENOMEM`.
pub fn read<T: Operations>(
    mmap: &impl MmapLocked,
    notifier: &IntervalNotifier<T>,
    seq: Sequence,
    start: usize,
    pfns: &mut [PagePfn],
    owner: Option<Owner>,
) -> Result {
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
    let mut range = bindings::hmm_range {
        notifier: notifier.as_raw(),
        notifier_seq: seq.0,
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
    to_result(unsafe { bindings::hmm_range_fault(&mut range) })
}
