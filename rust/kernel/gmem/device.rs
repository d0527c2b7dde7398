// SPDX-License-Identifier: GPL-2.0

//! A device that GMEM manages memory for.

use super::{
    vtable::MmuVTable,
    Caps,
    MemoryType,
    Mmu,
    Stats, //
};
use crate::{
    bindings,
    device,
    error::to_result,
    prelude::*,
    sync::Arc, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

/// What a driver says of its device.
pub struct Options<'a> {
    /// The driver's module, pinned while GMEM may call the functions of [`Mmu`].
    pub module: &'static ThisModule,
    /// The device. With a DMA mask, host pages reach the driver as its DMA addresses; without
    /// one it is an emulated device and gets physical addresses.
    pub parent: &'a device::Device,
    /// Short name for messages and debugfs.
    pub name: &'a CStr,
    /// What the device can do.
    pub caps: Caps,
    /// Page sizes that the device's page table can hold, one bit each; `PAGE_SIZE` is among them.
    pub page_sizes: u64,
    /// First virtual address that the device can reach.
    pub va_start: u64,
    /// One past the last, or 0 for "all".
    pub va_end: u64,
    /// Bandwidth of the device's memory as the device sees it, in MB/s, or 0.
    pub bandwidth: u32,
    /// Latency likewise, in ns.
    pub latency: u32,
}

/// A device known to GMEM. Dropping it makes GMEM forget the device: what is on it goes home, or
/// is lost if it cannot.
///
/// # Invariants
///
/// `dev` is a device made by `gm_dev_create()` with the functions of `M` and `data` as its
/// `dev_data`, and not destroyed yet.
pub struct Device<M: Mmu> {
    dev: NonNull<bindings::gm_dev>,
    data: Arc<M::DevData>,
    _mmu: PhantomData<fn() -> M>,
}

// SAFETY: A `gm_dev` may be used and destroyed from any thread, and so may `M::DevData`.
unsafe impl<M: Mmu> Send for Device<M> {}
// SAFETY: GMEM does its own locking, and `M::DevData` is `Sync`.
unsafe impl<M: Mmu> Sync for Device<M> {}

impl<M: Mmu> Device<M> {
    /// Tells GMEM about a device.
    ///
    /// # Errors
    ///
    /// - `EOPNOTSUPP` when GMEM was switched off at boot
    /// - `EINVAL` when `options` make no sense, or for a device with a DMA mask when the functions
    ///   want physical addresses
    /// - `ENOMEM`
    pub fn new(options: Options<'_>, data: Arc<M::DevData>) -> Result<Arc<Self>> {
        // SAFETY: The device is valid; its mask is not taken away or given while it has a driver.
        if M::PHYSICAL && !unsafe { (*options.parent.as_raw()).dma_mask }.is_null() {
            return Err(EINVAL);
        }
        let desc = bindings::gm_dev_desc {
            name: options.name.as_char_ptr(),
            owner: options.module.as_ptr(),
            dev: options.parent.as_raw(),
            mmu: MmuVTable::<M>::build(),
            dev_data: Arc::as_ptr(&data).cast_mut().cast(),
            caps: options.caps.as_raw(),
            pgsize_bitmap: options.page_sizes,
            va_start: options.va_start,
            va_end: options.va_end,
            bandwidth: options.bandwidth,
            latency: options.latency,
        };
        let mut dev = core::ptr::null_mut();

        // SAFETY: `desc` is valid for the call, what it points to is valid or copied, and the
        // functions are those of `M`. `data` lives until after `gm_dev_destroy()`.
        to_result(unsafe { bindings::gm_dev_create(&desc, &mut dev) })?;
        let dev = NonNull::new(dev).ok_or(ENODEV)?;

        // INVARIANT: Made just now. If the allocation fails the value is dropped, which destroys
        // the device.
        let this = Self {
            dev,
            data,
            _mmu: PhantomData,
        };
        Ok(Arc::new(this, GFP_KERNEL)?)
    }

    pub(super) fn as_raw(&self) -> *mut bindings::gm_dev {
        self.dev.as_ptr()
    }

    /// The driver's description of the device.
    pub fn data(&self) -> &Arc<M::DevData> {
        &self.data
    }

    /// Hands `size` bytes of device memory, offsets `0..size`, to GMEM.
    ///
    /// # Errors
    ///
    /// - `EINVAL` for a size that is not a multiple of 2 MiB
    /// - `EBUSY` when memory is registered already
    /// - `ENOMEM`
    pub fn register_physmem(&self, size: u64, ty: MemoryType) -> Result {
        // SAFETY: By the type invariant.
        to_result(unsafe { bindings::gm_dev_register_physmem(self.as_raw(), size, ty as u32) })
    }

    /// Brings all data home and takes the memory back from GMEM.
    ///
    /// # Errors
    ///
    /// `EBUSY` when some page could not leave, `EIO` when the device did not give its bytes,
    /// `ENOMEM`: the memory stays registered. `ENODEV` when there is none, or the device is dead.
    pub fn unregister_physmem(&self) -> Result {
        // SAFETY: By the type invariant.
        to_result(unsafe { bindings::gm_dev_unregister_physmem(self.as_raw()) })
    }

    /// Says that the device will not work any more; the data on it is lost.
    ///
    /// When this returns no function of [`Mmu`] is called any more but
    /// [`pmap_destroy`](Mmu::pmap_destroy), when a context is dropped. What needs the device gets
    /// `ENODEV`, and a process that touches a lost page `SIGBUS`. See `gm_dev_dead()`.
    pub fn dead(&self) {
        M::dying(&self.data);
        // SAFETY: By the type invariant.
        unsafe { bindings::gm_dev_dead(self.as_raw()) };
    }

    /// The heterogeneous node of the device's memory, [`None`] without memory.
    pub fn hnid(&self) -> Option<i32> {
        // SAFETY: By the type invariant.
        let hnid = unsafe { bindings::gm_dev_hnid(self.as_raw()) };
        (hnid >= 0).then_some(hnid)
    }

    /// The device's counters.
    pub fn stats(&self) -> Stats {
        let mut stats = bindings::gm_dev_stats::default();
        // SAFETY: By the type invariant; `stats` is valid for a write.
        unsafe { bindings::gm_dev_get_stats(self.as_raw(), &mut stats) };
        stats.into()
    }
}

impl<M: Mmu> Drop for Device<M> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; nobody uses the device afterwards, because contexts hold
        // references to `Self`. No function is called afterwards either, whatever is still on the
        // device, so that `data` may go.
        unsafe { bindings::gm_dev_destroy(self.as_raw()) };
    }
}
