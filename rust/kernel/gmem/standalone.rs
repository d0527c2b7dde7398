// SPDX-License-Identifier: GPL-2.0

//! Address spaces that belong to no process.

use super::{
    Access,
    AddressSpace, //
};
use crate::{
    bindings,
    error::to_result,
    page::{
        Page,
        PAGE_SHIFT, //
    },
    prelude::*,
    sync::Arc, //
};

/// Which free addresses of a standalone [`AddressSpace`] are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Policy {
    /// The lowest gap that is large enough.
    FirstFit = bindings::gm_as_policy_GM_AS_FIRST_FIT,
    /// The smallest gap that is large enough.
    BestFit = bindings::gm_as_policy_GM_AS_BEST_FIT,
    /// The first place behind the previous allocation.
    NextFit = bindings::gm_as_policy_GM_AS_NEXT_FIT,
}

/// Addresses of a standalone [`AddressSpace`]; given back when dropped.
///
/// # Invariants
///
/// The range was taken from `space` and belongs to this value.
pub struct Addresses {
    space: Arc<AddressSpace>,
    va: u64,
    len: u64,
}

/// Host pages that all devices of a standalone [`AddressSpace`] can use; taken away from them when
/// dropped.
///
/// # Invariants
///
/// The pages are mapped in a part of `addresses`, if at all, and nothing else is mapped there.
pub struct Mapping {
    addresses: Addresses,
    pages: KVec<Page>,
}

impl AddressSpace {
    /// Makes an address space that belongs to no process, from `start` to before `end`; 0 is the
    /// end of all addresses. Freed ranges of 1 to 8 times `quantum` bytes are kept for the next
    /// allocation of the same size.
    ///
    /// # Errors
    ///
    /// - `EINVAL` for an empty range, or numbers that are not multiples of the page size
    /// - `EOPNOTSUPP` when GMEM was switched off at boot
    /// - `ENOMEM`
    pub fn standalone(start: u64, end: u64, policy: Policy, quantum: u64) -> Result<Arc<Self>> {
        let mut space = core::ptr::null_mut();
        // SAFETY: `space` is valid for a write.
        to_result(unsafe {
            bindings::gm_as_create(start, end, policy as u32, quantum, &mut space)
        })?;
        // INVARIANT: The function made the address space for us.
        Self::from_raw(space, true)
    }

    /// Takes `len` bytes of addresses, aligned to `align` bytes.
    ///
    /// # Errors
    ///
    /// - `EINVAL` when `len` is 0 or not a multiple of the page size, when `align` is not a power
    ///   of two, or for the address space of a process
    /// - `ENOSPC` when no gap is large enough
    /// - `ENOMEM`
    pub fn alloc(self: &Arc<Self>, len: u64, align: u64) -> Result<Addresses> {
        let mut va = 0;
        // SAFETY: By the type invariant; `va` is valid for a write.
        to_result(unsafe { bindings::gm_as_alloc_va(self.as_raw(), len, align, &mut va) })?;
        let space = self.clone();
        // INVARIANT: Taken just now.
        Ok(Addresses { space, va, len })
    }

    /// Takes the `len` bytes of addresses from `va` on.
    ///
    /// # Errors
    ///
    /// - `EEXIST` when they are not all free
    /// - `EINVAL` when they are not inside the address space or not whole pages, or for the
    ///   address space of a process
    /// - `ENOMEM`
    pub fn reserve(self: &Arc<Self>, va: u64, len: u64) -> Result<Addresses> {
        // SAFETY: By the type invariant.
        to_result(unsafe { bindings::gm_as_reserve_va(self.as_raw(), va, len) })?;
        let space = self.clone();
        // INVARIANT: Taken just now.
        Ok(Addresses { space, va, len })
    }
}

impl Addresses {
    /// The first address.
    pub fn va(&self) -> u64 {
        self.va
    }

    /// Enters pages, one after the other from the first address on, for all attached devices.
    ///
    /// # Errors
    ///
    /// - `ENODEV` when no device is attached
    /// - `EINVAL` for no pages, or more than there are addresses
    /// - `ERANGE` when a device cannot reach the addresses
    /// - `ENOMEM`, or what a function of a driver returned
    pub fn map(self, pages: KVec<Page>, access: Access) -> Result<Mapping> {
        let mut maps = KVec::with_capacity(pages.len(), GFP_KERNEL)?;
        for (page, index) in pages.iter().zip(0u64..) {
            // SAFETY: The page is valid.
            let pfn = unsafe { bindings::page_pfn(page.as_ptr()) };
            maps.push(
                bindings::gm_map {
                    va: self.va.wrapping_add(index << PAGE_SHIFT),
                    // GMEM takes only devices whose DMA addresses are physical.
                    addr: (pfn as u64) << PAGE_SHIFT,
                    nr_pages: 1,
                    flags: access.as_raw(),
                },
                GFP_KERNEL,
            )?;
        }
        let nr = u32::try_from(maps.len())?;
        // SAFETY: By the type invariant; there are `nr` runs. The pages stay until the mapping is
        // dropped, which is after an error now, when nothing is mapped.
        to_result(unsafe { bindings::gm_as_map(self.space.as_raw(), self.va, maps.as_ptr(), nr) })?;
        // INVARIANT: Mapped just now. There was nothing, or the function had failed.
        Ok(Mapping {
            addresses: self,
            pages,
        })
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Nothing is mapped: a `Mapping` is the only way to do that.
        // Were it otherwise, the addresses would stay taken.
        let _ = unsafe { bindings::gm_as_free_va(self.space.as_raw(), self.va, self.len) };
    }
}

impl Mapping {
    /// The first address.
    pub fn va(&self) -> u64 {
        self.addresses.va
    }

    /// The pages.
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let Addresses { space, va, .. } = &self.addresses;
        let len = (self.pages.len() as u64) << PAGE_SHIFT;
        // SAFETY: By the type invariant.
        let unmapped = to_result(unsafe { bindings::gm_as_unmap(space.as_raw(), *va, len) });
        if unmapped.is_err() {
            // Cannot be. But what a device might still use is not freed.
            core::mem::forget(core::mem::take(&mut self.pages));
        }
    }
}

#[cfg(CONFIG_GMEM_KUNIT_TEST)]
mod kunit;
