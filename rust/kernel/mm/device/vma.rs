// SPDX-License-Identifier: GPL-2.0

//! What placement decisions ask of a VMA.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use super::mmap::MmapLocked;
use crate::{
    bindings,
    mm::{
        virt::VmaRef,
        MmWithUser, //
    },
};

/// The VMA is shared with accelerators (`MAP_PEER_SHARED`).
pub const VM_PEER_SHARED: usize = 1 << 43;

/// The VMA is locked into host memory.
pub const VM_LOCKED: usize = 1 << 13;

/// Pages that are missing are supplied by a program (userfaultfd).
pub const VM_UFFD_MISSING: usize = 1 << bindings::VMA_UFFD_MISSING_BIT;

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

/// Returns the first VMA that intersects `[start, end)`.
pub fn first_in<'a>(
    mm: &'a MmWithUser,
    _guard: &'a impl MmapLocked,
    start: usize,
    end: usize,
) -> Option<&'a VmaRef> {
    // SAFETY: The guard proves that mmap_lock is held.
    let vma = unsafe { bindings::find_vma_intersection(mm.as_raw(), start, end) };

    if vma.is_null() {
        return None;
    }
    // SAFETY: A valid VMA, which lives as long as mmap_lock is held.
    Some(unsafe { VmaRef::from_raw(vma) })
}
