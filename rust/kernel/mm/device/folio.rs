// SPDX-License-Identifier: GPL-2.0

//! Locked folios that will be the destination of a migration.
//!
//! C header: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::{
    bindings,
    prelude::*, //
};
use core::ptr::NonNull;

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
    pub unsafe fn from_parts(folio: NonNull<bindings::folio>, pfn: usize, order: u32) -> Self {
        // INVARIANT: As in `from_raw`; the caller knows the frame and the order.
        Self { folio, pfn, order }
    }

    /// Gives up ownership without unlocking.
    pub(super) fn into_raw(self) -> NonNull<bindings::folio> {
        let folio = self.folio;
        core::mem::forget(self);
        folio
    }

    /// Allocates a host folio of one page that is kept for long, outside of movable memory.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn alloc_kept() -> Result<Self> {
        // SAFETY: An allocation that may sleep.
        let folio = unsafe { bindings::folio_alloc(bindings::GFP_KERNEL, 0) };
        let folio = NonNull::new(folio).ok_or(ENOMEM)?;
        // SAFETY: Nobody else knows the folio yet, so that it can be locked without waiting, and
        // its reference is ours.
        unsafe {
            bindings::__folio_set_locked(folio.as_ptr());
            Ok(Self::from_raw(folio))
        }
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
