// SPDX-License-Identifier: GPL-2.0

//! Locked folios that will be the destination of a migration.
//!
//! C header: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::{
    bindings,
    mm::virt::VmaRef,
    prelude::*, //
};
use core::ptr::NonNull;

/// Returns whether the host can give so many pages and is not short of memory then.
pub fn host_has_room(pages: usize) -> bool {
    // SAFETY: Reads counters.
    unsafe { bindings::host_has_room(pages) }
}

/// A folio that is locked and of which one reference is held.
///
/// Dropping it unlocks the folio and gives the reference back.
///
/// # Invariants
///
/// The pointer is valid; this value owns the folio lock and one reference. `pfn` and `order` are
/// those of the folio, which cannot change while it is locked and nobody else knows it.
pub struct LockedFolio {
    folio: NonNull<bindings::folio>,
    pfn: usize,
    order: u32,
}

impl LockedFolio {
    /// Takes over a folio.
    ///
    /// # Safety
    ///
    /// `folio` is locked by the caller, who owns a reference; both pass to the new value.
    pub(super) unsafe fn from_raw(folio: NonNull<bindings::folio>) -> Self {
        // SAFETY: The caller has a reference, so the folio is valid.
        let (pfn, order) = unsafe {
            (
                bindings::folio_pfn(folio.as_ptr()),
                bindings::folio_order(folio.as_ptr()),
            )
        };
        // INVARIANT: The caller passes on the lock and the reference.
        Self { folio, pfn, order }
    }

    /// As [`Self::from_raw`], for a folio of which the first frame and the order are known.
    ///
    /// # Safety
    ///
    /// As [`Self::from_raw`]; `pfn` and `order` are those of the folio.
    #[inline]
    pub(super) unsafe fn from_parts(
        folio: NonNull<bindings::folio>,
        pfn: usize,
        order: u32,
    ) -> Self {
        // INVARIANT: As in `from_raw`; the caller knows the frame and the order.
        Self { folio, pfn, order }
    }

    /// Gives up ownership without unlocking.
    pub(super) fn into_raw(self) -> NonNull<bindings::folio> {
        let folio = self.folio;
        core::mem::forget(self);
        folio
    }

    /// Takes over what `alloc` returns: a locked folio of `order`, of which it stores the first
    /// frame, or NULL.
    #[inline]
    fn from_new(
        order: u32,
        alloc: impl FnOnce(&mut usize) -> *mut bindings::folio,
    ) -> Result<Self> {
        let mut pfn = 0;
        let folio = NonNull::new(alloc(&mut pfn)).ok_or(ENOMEM)?;
        // INVARIANT: It was allocated with this order and locked for us.
        Ok(Self { folio, pfn, order })
    }

    /// Allocates a host folio for `addr` of `vma` by the rules of a page fault, but on `node` if
    /// that is given and has room. It is dirty.
    ///
    /// # Errors
    ///
    /// `ENOMEM`. Order 0 may have invoked the OOM killer, larger orders never do.
    #[inline]
    pub fn alloc_home(order: u32, vma: &VmaRef, addr: usize, node: Option<i32>) -> Result<Self> {
        let nid = node.unwrap_or(bindings::NUMA_NO_NODE);

        Self::from_new(order, |pfn| {
            // SAFETY: `vma` is valid; the function may sleep and so may the holder of a `VmaRef`.
            unsafe { bindings::home_folio_alloc(order, vma.as_ptr(), addr, nid, pfn) }
        })
    }

    /// Allocates a host folio to evict to, with some effort but never with an OOM kill. It is
    /// dirty.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn alloc_evict(order: u32) -> Result<Self> {
        Self::from_new(order, |pfn| {
            // SAFETY: An allocation that may sleep.
            unsafe { bindings::evict_folio_alloc(order, pfn) }
        })
    }

    /// Allocates a host folio of one page that is kept for long, outside of movable memory.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn alloc_kept() -> Result<Self> {
        Self::from_new(0, |pfn| {
            // SAFETY: An allocation that may sleep.
            unsafe { bindings::kept_folio_alloc(pfn) }
        })
    }

    /// Returns the first page frame of the folio.
    #[inline]
    pub fn pfn(&self) -> usize {
        self.pfn
    }

    /// Returns the order of the folio.
    #[inline]
    pub fn order(&self) -> u32 {
        self.order
    }
}

impl Drop for LockedFolio {
    fn drop(&mut self) {
        // SAFETY: We own the lock and a reference by the type invariants; both end here.
        unsafe {
            bindings::folio_unlock(self.folio.as_ptr());
            bindings::folio_put(self.folio.as_ptr());
        }
    }
}
