// SPDX-License-Identifier: GPL-2.0

//! Faults of the CPU on pages of device memory.

use crate::{
    bindings,
    error::to_result,
    mm::{
        device::vma::MmapVma,
        virt::VmaRef, //
    },
    prelude::*, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

/// A CPU fault on a device page.
///
/// # Invariants
///
/// `vmf` is valid, its page is a device-private page that is locked and referenced for the
/// lifetime of the value, and mmap_lock is held.
pub struct Fault<'a> {
    pub(super) vmf: NonNull<bindings::vm_fault>,
    pub(super) _p: PhantomData<&'a VmaRef>,
}

impl<'a> Fault<'a> {
    /// Returns the VMA.
    pub fn vma(&self) -> &'a MmapVma {
        // SAFETY: By the type invariants; mmap_lock keeps the VMA.
        unsafe { MmapVma::from_ref(VmaRef::from_raw(bindings::vm_fault_vma(self.vmf.as_ptr()))) }
    }

    /// Returns the address, in bytes.
    pub fn address(&self) -> usize {
        // SAFETY: By the type invariants.
        unsafe { bindings::vm_fault_address(self.vmf.as_ptr()) }
    }

    /// Returns the order of the folio that the faulting page is part of.
    pub fn order(&self) -> u32 {
        // SAFETY: By the type invariants; the folio is locked and cannot be split.
        unsafe { bindings::folio_order(bindings::pfn_folio(bindings::page_pfn(self.page()))) }
    }

    /// Returns whether the process maps the faulting page as part of a huge page.
    pub fn is_huge(&self) -> bool {
        // SAFETY: By the type invariants.
        unsafe { (*self.vmf.as_ptr()).pte.is_null() && self.order() > 0 }
    }

    /// Splits the folio of the faulting page into base pages, so that they can move one by one.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when somebody else uses the folio, `ENOMEM`.
    pub fn split(&self) -> Result {
        // SAFETY: By the type invariants the folio is locked, and referenced once by the fault;
        // both stay with the page, so that the invariants go on to hold.
        to_result(unsafe { bindings::split_huge_page(self.page()) })
    }

    pub(in super::super) fn page(&self) -> *mut bindings::page {
        // SAFETY: By the type invariants.
        unsafe { bindings::vm_fault_page(self.vmf.as_ptr()) }
    }
}

/// Answer to a CPU fault.
#[repr(u32)]
pub enum FaultResult {
    /// The page is home, or the CPU shall try the access again.
    Done = 0,
    /// No host memory.
    NoMemory = bindings::vm_fault_reason_VM_FAULT_OOM,
    /// The page cannot be brought home.
    Bus = bindings::vm_fault_reason_VM_FAULT_SIGBUS,
    /// The contents of the page are lost.
    Poisoned = bindings::vm_fault_reason_VM_FAULT_HWPOISON,
}
