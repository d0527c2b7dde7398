// SPDX-License-Identifier: GPL-2.0

//! Host folios for pages that leave a device. All are locked, and dirty.

use crate::prelude::*;
use core::ptr::null_mut;

/// Returns whether the host can give so many pages and is not short of memory then.
pub(crate) fn host_has_room(pages: usize) -> bool {
    // SAFETY: Reads counters.
    unsafe { bindings::gmem_host_has_room(pages) }
}

/// Takes over what `alloc` returns: a locked folio of `order`, of which it stores the first frame,
/// or NULL.
#[inline]
fn take_over(
    order: u32,
    alloc: impl FnOnce(&mut usize) -> *mut bindings::folio,
) -> Result<LockedFolio> {
    let mut pfn = 0;
    let folio = NonNull::new(alloc(&mut pfn)).ok_or(ENOMEM)?;
    // SAFETY: It was allocated with this order and locked for us.
    Ok(unsafe { LockedFolio::from_parts(folio, pfn, order) })
}

/// Allocates a folio for `addr` of `vma` by the rules of a page fault, but on `node` if that is
/// given and has room.
///
/// # Errors
///
/// `ENOMEM`. Order 0 may have invoked the OOM killer, larger orders never do.
#[inline]
pub(crate) fn home(
    order: u32,
    vma: &VmaRef,
    addr: usize,
    node: Option<i32>,
) -> Result<LockedFolio> {
    let nid = node.unwrap_or(bindings::NUMA_NO_NODE);

    take_over(order, |pfn| {
        // SAFETY: `vma` is valid; the function may sleep and so may the holder of a `VmaRef`.
        unsafe { bindings::gmem_home_folio_alloc(order, vma.as_ptr(), addr, nid, pfn) }
    })
}

/// Allocates a folio to evict to, with some effort but never with an OOM kill.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn evict(order: u32) -> Result<LockedFolio> {
    take_over(order, |pfn| {
        // SAFETY: An allocation that may sleep.
        unsafe { bindings::gmem_evict_folio_alloc(order, pfn) }
    })
}

/// Host folios of one page, allocated some at a time, which costs a fraction of one by one.
///
/// Dropping it gives back what nobody took.
///
/// # Invariants
///
/// The elements `next..len` of `folios` are locked folios that are owned by this value, with one
/// reference each and the page frames in `pfns`.
pub(crate) struct FolioStock {
    folios: [*mut bindings::folio; Self::MAX],
    pfns: [usize; Self::MAX],
    next: usize,
    len: usize,
}

impl FolioStock {
    /// So many are allocated at a time at most.
    const MAX: usize = 16;

    /// Makes an empty stock.
    #[inline]
    pub(crate) const fn new() -> Self {
        // INVARIANT: There are no elements.
        Self {
            folios: [null_mut(); Self::MAX],
            pfns: [0; Self::MAX],
            next: 0,
            len: 0,
        }
    }

    /// Takes a folio for `addr` of `vma`, as [`home`] does; `left` are needed
    /// in all, this one included. All that are taken from one stock name the same node.
    ///
    /// # Errors
    ///
    /// As [`home`].
    #[inline]
    pub(crate) fn home(
        &mut self,
        vma: &VmaRef,
        addr: usize,
        left: usize,
        node: Option<i32>,
    ) -> Result<LockedFolio> {
        let nid = node.unwrap_or(bindings::NUMA_NO_NODE);

        self.take(left, |nr, folios, pfns| {
            // SAFETY: Both arrays have `nr` elements; `vma` is valid; the function may sleep and so
            // may the holder of a `VmaRef`.
            unsafe { bindings::gmem_home_folios_alloc(vma.as_ptr(), addr, nid, nr, folios, pfns) }
        })
    }

    /// Takes a folio to evict to, as [`evict`] does; `left` are needed in all,
    /// this one included.
    ///
    /// # Errors
    ///
    /// As [`evict`].
    #[inline]
    pub(crate) fn evict(&mut self, left: usize) -> Result<LockedFolio> {
        self.take(left, |nr, folios, pfns| {
            // SAFETY: Both arrays have `nr` elements; an allocation that may sleep.
            unsafe { bindings::gmem_evict_folios_alloc(nr, folios, pfns) }
        })
    }

    /// Takes a folio; if there is none, `alloc` fills the arrays and returns how many it got.
    #[inline]
    fn take(
        &mut self,
        left: usize,
        alloc: impl FnOnce(usize, *mut *mut bindings::folio, *mut usize) -> usize,
    ) -> Result<LockedFolio> {
        if self.next >= self.len {
            let nr = left.clamp(1, Self::MAX);
            self.next = 0;
            // INVARIANT: These were locked and allocated for us.
            self.len = alloc(nr, self.folios.as_mut_ptr(), self.pfns.as_mut_ptr()).min(nr);
        }
        self.pop().ok_or(ENOMEM)
    }

    #[inline]
    fn pop(&mut self) -> Option<LockedFolio> {
        if self.next >= self.len {
            return None;
        }
        let folio = NonNull::new(*self.folios.get(self.next)?)?;
        let pfn = *self.pfns.get(self.next)?;
        // INVARIANT: The element is not ours any more.
        self.next += 1;
        // SAFETY: The lock and the reference were ours by the type invariants, and pass on.
        Some(unsafe { LockedFolio::from_parts(folio, pfn, 0) })
    }
}

impl Drop for FolioStock {
    #[inline]
    fn drop(&mut self) {
        while let Some(folio) = self.pop() {
            drop(folio);
        }
    }
}
