// SPDX-License-Identifier: GPL-2.0

//! What only a driver can do: the functions GMEM calls.

use super::{
    Access,
    Fence,
    HostRun,
    Map,
    PeerRun,
    VaRange,
    ZeroRun, //
};
use crate::{
    error::VTABLE_DEFAULT_ERROR,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
};

/// The machine-dependent half of a device.
///
/// GMEM calls these functions; the driver never does. Each says in which context it runs:
///
/// - *Sleepable*: may sleep and allocate. The mmap lock (read), block locks and folio locks may be
///   held: it must not touch user memory, take an mmap lock or call back into GMEM.
/// - *Map lock*: the map lock of the address space is held. It may take the driver's own mutexes,
///   but may not allocate, fault, take an mmap lock, or wait for anything that does one of these,
///   in particular not for a job that is itself inside [`Context::fault`](super::Context::fault).
///
/// The optional functions are those with a body here; GMEM is told which ones a driver overrides.
///
/// The functions pass addresses. Safe code cannot reach host memory through one: only the device
/// does, and its driver is responsible for it. So it is for an emulated device: see
/// [`soft`](super::soft).
/// See `struct gm_mmu` in [`include/linux/gmem.h`](srctree/include/linux/gmem.h).
#[vtable]
pub trait Mmu: Sized + 'static {
    /// The driver's description of one device.
    type DevData: Send + Sync + 'static;

    /// The page table of one context.
    type Pmap: Send + Sync + 'static;

    /// What the driver hands from [`AddressSpace::attach`](super::AddressSpace::attach) to
    /// [`pmap_create`](Self::pmap_create).
    type FileData;

    /// The functions take the addresses of host pages for physical ones, so that a device with a
    /// DMA mask is refused.
    const PHYSICAL: bool = false;

    /// Reserves a range in the operating system of the device. Sleepable.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when the range is taken there.
    fn peer_va_alloc_fixed(_pmap: &Self::Pmap, _range: VaRange, _access: Access) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Gives a reserved range back. Sleepable.
    fn peer_va_free(_pmap: &Self::Pmap, _range: VaRange) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Makes an empty page table for a context. Called once, during
    /// [`AddressSpace::attach`](super::AddressSpace::attach). Sleepable.
    fn pmap_create(
        dev: ArcBorrow<'_, Self::DevData>,
        file: &Self::FileData,
    ) -> Result<Arc<Self::Pmap>>;

    /// Ends a page table; all its entries were released before. Sleepable.
    ///
    /// The memory goes when the context drops its reference.
    fn pmap_destroy(_pmap: &Self::Pmap) {}

    /// Builds the page-table pages for a range, so that [`pmap_enter`](Self::pmap_enter) has
    /// nothing to allocate. Idempotent. Sleepable.
    fn pmap_prepare(pmap: &Self::Pmap, range: VaRange) -> Result;

    /// Enters runs of pages; replaces what was there. Map lock.
    ///
    /// # Errors
    ///
    /// Only `EFAULT`, for a dead device, having entered nothing.
    fn pmap_enter(pmap: &Self::Pmap, maps: &[Map]) -> Result;

    /// Removes all entries of a range; an entry larger than the range goes whole. Cached
    /// translations may survive until the next flush. Map lock.
    fn pmap_release(pmap: &Self::Pmap, range: VaRange);

    /// Reduces the entries of a range to `access`. Map lock.
    fn pmap_protect(_pmap: &Self::Pmap, _range: VaRange, _access: Access) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Tests and clears the accessed bits of a range; returns whether one was set. Map lock.
    fn pmap_age(_pmap: &Self::Pmap, _range: VaRange) -> bool {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Drops all cached translations of a range and waits until no access through one is in
    /// flight. Map lock.
    fn tlb_invl(pmap: &Self::Pmap, range: VaRange);

    /// Starts dropping the cached translations of some ranges. Returns a cookie for
    /// [`tlb_invl_wait`](Self::tlb_invl_wait). Map lock.
    ///
    /// A driver overrides both functions or none.
    fn tlb_invl_start(_pmap: &Self::Pmap, _ranges: &[VaRange]) -> u64 {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Waits until what the cookie stands for is done and no access is in flight. Map lock: it may
    /// sleep, but not for anything that allocates or faults.
    fn tlb_invl_wait(_pmap: &Self::Pmap, _cookie: u64) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Fills device memory with zeroes. Sleepable.
    fn prepare_page(dev: &Self::DevData, runs: &[ZeroRun]) -> Result<Fence>;

    /// Copies from host memory to the device. Sleepable.
    fn copy_to_dev(dev: &Self::DevData, runs: &[HostRun]) -> Result<Fence>;

    /// Copies from the device to host memory. Sleepable.
    fn copy_from_dev(dev: &Self::DevData, runs: &[HostRun]) -> Result<Fence>;

    /// Copies from another device's memory; both devices use this `Mmu`. Sleepable.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` when these two cannot: GMEM then copies through host memory.
    fn copy_peer(_dev: &Self::DevData, _src: &Self::DevData, _runs: &[PeerRun]) -> Result<Fence> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Waits for a fence that one of the four functions above returned; the result is that of the
    /// work. Never called for [`Fence::DONE`]. Sleepable.
    fn fence_wait(_dev: &Self::DevData, _fence: Fence) -> Result {
        Ok(())
    }

    /// Finds `len` bytes of device memory, for devices whose firmware allocates; returns the
    /// offset. Sleepable.
    fn alloc_page(_dev: &Self::DevData, _len: u64) -> Result<u64> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The counterpart of [`alloc_page`](Self::alloc_page). Sleepable.
    fn free_page(_dev: &Self::DevData, _dev_addr: u64, _len: u64) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Keeps the device from all memory: what its page tables still have is not released any more.
    /// Called by [`Device::dead`](super::Device::dead) before that takes effect. Sleepable.
    fn dying(_dev: &Self::DevData) {}
}
