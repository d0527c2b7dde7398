// SPDX-License-Identifier: GPL-2.0

//! What is asked of a VMA.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use super::mmap::MmapLocked;
use crate::{
    bindings,
    mm::virt::VmaRef, //
};
use core::ops::{
    Deref,
    Range, //
};

/// The VMA is locked into host memory.
pub const VM_LOCKED: usize = 1 << bindings::VMA_LOCKED_BIT;

/// Pages that are missing are supplied by a program (userfaultfd).
pub const VM_UFFD_MISSING: usize = 1 << bindings::VMA_UFFD_MISSING_BIT;

/// A VMA that mmap_lock protects, not only the lock of the VMA itself.
///
/// # Invariants
///
/// mmap_lock is held, at least for reading, as long as there are references to the value.
#[repr(transparent)]
pub struct MmapVma(VmaRef);

impl MmapVma {
    /// Makes the reference of one for which the caller holds mmap_lock.
    ///
    /// # Safety
    ///
    /// The caller holds mmap_lock for as long as the result is used.
    pub(super) unsafe fn from_ref(vma: &VmaRef) -> &Self {
        let vma: *const VmaRef = vma;
        // INVARIANT: The caller holds mmap_lock as long as the result lives.
        // SAFETY: The two types have the same layout.
        unsafe { &*vma.cast::<Self>() }
    }
}

impl Deref for MmapVma {
    type Target = VmaRef;

    fn deref(&self) -> &VmaRef {
        &self.0
    }
}

/// Returns whether the VMA holds anonymous memory only, so that its pages can move to a device.
pub fn is_anonymous(vma: &VmaRef) -> bool {
    // SAFETY: `vma` is a valid VMA.
    unsafe { bindings::vma_is_anonymous(vma.as_ptr()) }
}

/// Returns whether a fault in the VMA may install a huge page.
pub fn thp_allowed(vma: &VmaRef) -> bool {
    // SAFETY: `vma` is a valid VMA.
    unsafe { bindings::vma_thp_allowed(vma.as_ptr()) }
}

/// Returns the first VMA that intersects `range`, in the address space of the guard.
pub fn first_in(guard: &impl MmapLocked, range: Range<usize>) -> Option<&MmapVma> {
    // SAFETY: The guard proves that mmap_lock is held.
    let vma =
        unsafe { bindings::find_vma_intersection(guard.mm().as_raw(), range.start, range.end) };

    if vma.is_null() {
        return None;
    }
    // SAFETY: A valid VMA, which lives as long as mmap_lock is held.
    let vma = unsafe { VmaRef::from_raw(vma) };
    // SAFETY: It is held as long as the guard is borrowed.
    Some(unsafe { MmapVma::from_ref(vma) })
}
