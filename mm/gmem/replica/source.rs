// SPDX-License-Identifier: GPL-2.0

//! Host pages of which devices may have copies: nobody writes them without a notification.

use crate::range::PageRange;
use core::{
    num::NonZeroUsize,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    mm::{
        virt::VmaRef,
        MmWithUser, //
    },
    page::PAGE_SHIFT, //
};

/// Copies are made of this many pages, 64 KiB, aligned: the run in which device memory is taken.
pub(crate) const WINDOW: usize = 1 << WINDOW_ORDER;
pub(crate) const WINDOW_ORDER: u32 = 4;

/// The guarantee that a file is not written, which ends when somebody wants to.
///
/// # Invariants
///
/// The pointer is valid and we are counted as a user.
pub(crate) struct Lease(NonNull<bindings::gmem_lease>);

// SAFETY: The C side locks for itself.
unsafe impl Send for Lease {}
// SAFETY: As above.
unsafe impl Sync for Lease {}

impl Lease {
    /// Returns the guarantee for the file that is mapped at `addr`, in bytes, if there can be one:
    /// nobody may have the file open for writing, or it must be sealed.
    ///
    /// Opens files, so mmap_lock must not be held.
    pub(crate) fn of(mm: &MmWithUser, addr: usize) -> Option<Self> {
        // SAFETY: `mm` is alive.
        let lease = unsafe { bindings::gmem_lease_get(mm.as_raw(), addr) };

        // INVARIANT: The function counted us.
        NonNull::new(lease).map(Self)
    }

    /// Returns whether somebody wants to write the file. To be asked under the map lock: the copies
    /// that are made before are found and dropped.
    pub(crate) fn is_broken(&self) -> bool {
        // SAFETY: By the type invariants.
        unsafe { bindings::gmem_lease_broken(self.0.as_ptr()) }
    }

    /// Returns whether `vma` maps the file.
    pub(crate) fn covers(&self, vma: &VmaRef) -> bool {
        // SAFETY: By the type invariants; the VMA is valid.
        unsafe { bindings::gmem_lease_covers(self.0.as_ptr(), vma.as_ptr()) }
    }

    /// Returns whether this is what C calls `lease`.
    pub(crate) fn is(&self, lease: *const bindings::gmem_lease) -> bool {
        core::ptr::eq(self.0.as_ptr(), lease)
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        // SAFETY: By the type invariants.
        unsafe { bindings::gmem_lease_hold(self.0.as_ptr()) };
        // INVARIANT: Just counted.
        Self(self.0)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::gmem_lease_put(self.0.as_ptr()) };
    }
}

/// A reference to a host page that keeps it from being written where it is mapped.
///
/// # Invariants
///
/// The value is a page frame to whose folio we hold a reference.
pub(crate) struct Original(NonZeroUsize);

impl Original {
    /// Returns the page frame.
    pub(crate) fn pfn(&self) -> usize {
        self.0.get()
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::folio_put(bindings::pfn_folio(self.0.get())) };
    }
}

/// The originals of a window, by the place in it.
pub(crate) type Originals = [Option<Original>; WINDOW];

/// Takes those pages of `range`, which lies inside the VMA and in one window, that can have copies.
///
/// Anonymous pages are write-protected for it. `is_file` says that a [`Lease`] covers the VMA.
/// Sends notifications, so the map lock must not be held. `may_drain` says that the lists of other
/// CPUs may be emptied, which is waited for, and becomes `false` when they were.
pub(crate) fn take(
    vma: &VmaRef,
    range: PageRange,
    is_file: bool,
    may_drain: &mut bool,
) -> Originals {
    let mut pfns = [0usize; WINDOW];
    let mut originals = [const { None }; WINDOW];
    let first = range.first() as usize & (WINDOW - 1);
    let Some(pfns) = pfns.get_mut(..(range.count() as usize).min(WINDOW - first)) else {
        return originals;
    };
    // SAFETY: The VMA is valid and mmap_lock held, as `vma` shows; there is room for all frames.
    unsafe {
        bindings::gmem_originals(
            vma.as_ptr(),
            (range.first() << PAGE_SHIFT) as usize,
            pfns.len(),
            is_file,
            pfns.as_mut_ptr(),
            may_drain,
        );
    }
    for (original, pfn) in originals.iter_mut().skip(first).zip(pfns.iter()) {
        // INVARIANT: The function took a reference for each frame that it returned.
        *original = NonZeroUsize::new(*pfn).map(Original);
    }
    originals
}
