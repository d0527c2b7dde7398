// SPDX-License-Identifier: GPL-2.0

//! Device memory made of host memory.

use crate::{
    alloc::flags::__GFP_ZERO,
    bindings,
    gmem::{
        HostRun,
        PeerRun,
        ZeroRun, //
    },
    page::PAGE_SIZE,
    prelude::*, //
};
use core::ptr::NonNull;

/// The memory of an emulated device.
///
/// It behaves like the memory of a real one: accesses from several places at the same time are
/// allowed, and what they see of each other is what the processor gives.
///
/// # Invariants
///
/// `base` points to `size` bytes that `_alloc` owns. No reference to them exists; they are reached
/// by C functions only.
pub struct Memory {
    base: NonNull<u8>,
    size: usize,
    _alloc: VVec<u64>,
}

// SAFETY: The bytes may be reached from any thread.
unsafe impl Send for Memory {}
// SAFETY: All accesses follow the rules of the kernel's C code, where racing accesses to plain
// bytes are allowed.
unsafe impl Sync for Memory {}

/// Returns what the kernel calls a physical address.
fn host(addr: u64) -> *mut u8 {
    // SAFETY: Computes an address.
    unsafe { bindings::phys_to_virt(addr) }.cast()
}

/// Copies whole pages, as the copy engine of a device does.
///
/// # Safety
///
/// `dst` and `src` are page aligned and valid for `len` bytes, a multiple of the page size.
unsafe fn copy_pages(dst: *mut u8, src: *mut u8, len: usize) {
    for offset in (0..len).step_by(PAGE_SIZE) {
        let (dst, src) = (dst.wrapping_add(offset), src.wrapping_add(offset));
        // SAFETY: The caller has both pages.
        unsafe { bindings::copy_page_shared(dst.cast(), src.cast()) };
    }
}

impl Memory {
    /// Allocates zeroed memory.
    ///
    /// # Errors
    ///
    /// `EINVAL` when `size` is 0 or not a multiple of the page size, `ENOMEM`.
    pub fn new(size: usize) -> Result<Self> {
        if size == 0 || size % PAGE_SIZE != 0 {
            return Err(EINVAL);
        }
        let mut alloc = VVec::with_capacity(size / size_of::<u64>(), GFP_KERNEL | __GFP_ZERO)?;
        let base = NonNull::new(alloc.as_mut_ptr()).ok_or(ENOMEM)?.cast();
        // INVARIANT: The vector has no elements and is never touched again, so nothing refers to
        // its buffer, which has room for `size` bytes.
        Ok(Self {
            base,
            size,
            _alloc: alloc,
        })
    }

    /// Size in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Returns a pointer to `len` valid bytes at `offset`.
    #[inline]
    fn at(&self, offset: u64, len: usize) -> Result<*mut u8> {
        let offset = usize::try_from(offset).map_err(|_| ERANGE)?;
        match offset.checked_add(len) {
            // The address does not wrap, because `base + size` does not.
            Some(end) if end <= self.size => Ok(self.base.as_ptr().wrapping_add(offset)),
            _ => Err(ERANGE),
        }
    }

    /// Copies bytes out.
    ///
    /// # Errors
    ///
    /// `ERANGE` outside of the memory; so for all methods.
    pub fn load_bytes(&self, offset: u64, buf: &mut [u8]) -> Result {
        // SAFETY: This is no host memory.
        unsafe { read(Target::Local(offset), self, buf) }
    }

    /// Copies bytes in.
    pub fn store_bytes(&self, offset: u64, buf: &[u8]) -> Result {
        // SAFETY: This is no host memory.
        unsafe { write(Target::Local(offset), self, buf) }
    }

    /// Sets bytes.
    pub fn set_bytes(&self, offset: u64, len: usize, byte: u8) -> Result {
        // SAFETY: This is no host memory.
        unsafe { fill(Target::Local(offset), self, len, byte) }
    }
}

impl ZeroRun {
    /// Fills the run in `memory` with zeroes.
    ///
    /// # Errors
    ///
    /// `ERANGE` when it is not inside; so for the methods of the other runs.
    pub fn zero(&self, memory: &Memory) -> Result {
        let len = usize::try_from(self.len()).map_err(|_| ERANGE)?;
        memory.set_bytes(self.dev_addr(), len, 0)
    }
}

impl HostRun {
    /// Copies the run from host memory to `memory`; for devices without a DMA mask.
    #[inline]
    pub(super) fn copy_to_dev(&self, memory: &Memory) -> Result {
        let len = usize::try_from(self.len()).map_err(|_| ERANGE)?;
        let dst = memory.at(self.dev_addr(), len)?;
        // SAFETY: `dst` is valid by `at`. By the type invariant the host memory stays during the
        // call, and its address is physical because the device has no DMA mask. Runs are made of
        // whole pages, and `base` is page aligned.
        unsafe { copy_pages(dst, host(self.host_addr()), len) };
        Ok(())
    }

    /// Copies the run from `memory` to host memory; for devices without a DMA mask.
    #[inline]
    pub(super) fn copy_from_dev(&self, memory: &Memory) -> Result {
        let len = usize::try_from(self.len()).map_err(|_| ERANGE)?;
        let src = memory.at(self.dev_addr(), len)?;
        // SAFETY: As in `copy_to_dev`.
        unsafe { copy_pages(host(self.host_addr()), src, len) };
        Ok(())
    }
}

impl PeerRun {
    /// Copies the run from `src` to `dst`.
    pub fn copy(&self, dst: &Memory, src: &Memory) -> Result {
        let len = usize::try_from(self.len()).map_err(|_| ERANGE)?;
        let to = dst.at(self.dev_addr(), len)?;
        let from = src.at(self.src_addr(), len)?;
        // SAFETY: Both are valid by `at`; they are of different allocations or, if the driver
        // mixed them up, the copied bytes are unspecified, as for any racing access.
        unsafe { copy_pages(to, from, len) };
        Ok(())
    }
}

/// Where a [`Translation`](super::Translation) leads.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// Offset in device memory.
    Local(u64),
    /// Physical address.
    Host(u64),
}

impl Target {
    /// Returns a pointer to `len` bytes there, which are valid as long as the memory stays.
    fn at(self, memory: &Memory, len: usize) -> Result<*mut u8> {
        match self {
            Self::Local(offset) => memory.at(offset, len),
            Self::Host(addr) => Ok(host(addr)),
        }
    }
}

/// Access to at most a page through a target.
///
/// # Safety
///
/// For `Target::Host`: host memory at this address, as long as the access, stays in place during
/// the call.
pub(super) unsafe fn read(target: Target, memory: &Memory, buf: &mut [u8]) -> Result {
    let src = target.at(memory, buf.len())?;
    // SAFETY: Device memory was checked by `at`, and the caller keeps host memory in place.
    unsafe { bindings::memcpy_shared(buf.as_mut_ptr().cast(), src.cast(), buf.len()) };
    Ok(())
}

/// # Safety
///
/// As for [`read`].
pub(super) unsafe fn write(target: Target, memory: &Memory, buf: &[u8]) -> Result {
    let dst = target.at(memory, buf.len())?;
    // SAFETY: Device memory was checked by `at`, and the caller keeps host memory in place.
    unsafe { bindings::memcpy_shared(dst.cast(), buf.as_ptr().cast(), buf.len()) };
    Ok(())
}

/// # Safety
///
/// As for [`read`].
pub(super) unsafe fn fill(target: Target, memory: &Memory, len: usize, byte: u8) -> Result {
    let dst = target.at(memory, len)?;
    // SAFETY: Device memory was checked by `at`, and the caller keeps host memory in place.
    unsafe { bindings::memset_shared(dst.cast(), c_int::from(byte), len) };
    Ok(())
}

/// # Safety
///
/// As for [`read`].
pub(super) unsafe fn add(target: Target, memory: &Memory, value: u64) -> Result {
    let dst = target.at(memory, size_of::<u64>())?;
    if dst.addr() % 8 != 0 {
        return Err(EINVAL);
    }
    // SAFETY: Device memory was checked by `at`, and the caller keeps host memory in place. It is
    // aligned.
    unsafe { bindings::atomic64_add(value as i64, dst.cast()) };
    Ok(())
}
