// SPDX-License-Identifier: GPL-2.0

//! The functions of `include/linux/gmem.h` for devices and their memory.

use super::{
    enabled,
    export::{
        exports,
        hand_out, //
    }, //
};
use crate::{
    device::{
        mmu::Mmu,
        node::Speed,
        registry::{
            Description,
            Device, //
        }, //
    },
    prelude::*, //
};
use kernel::{
    bindings::{
        gm_dev,
        gm_dev_desc,
        gm_dev_stats,
        gm_memory_type, //
    },
    device,
    str::CString, //
};

exports! {
    fn gm_dev_create(desc: *const gm_dev_desc, new: *mut *mut gm_dev) -> c_int = create;
    fn gm_dev_destroy(dev: *mut gm_dev) = |device: Arc<Device>| device.destroy();
    fn gm_dev_dead(dev: *mut gm_dev) = |device: ArcBorrow<'_, Device>| device.die();
    fn gm_dev_register_physmem(dev: *mut gm_dev, size: u64, ty: gm_memory_type) -> c_int =
        register_physmem;
    fn gm_dev_unregister_physmem(dev: *mut gm_dev) -> c_int =
        |device: ArcBorrow<'_, Device>| device.unregister_memory();
    fn gm_dev_hnid(dev: *mut gm_dev) -> c_int = hnid;
    fn gm_dev_get_stats(dev: *mut gm_dev, stats: *mut gm_dev_stats) = get_stats;
}

fn create(desc: &gm_dev_desc, new: &mut MaybeUninit<*mut gm_dev>) -> Result {
    enabled()?;
    if desc.name.is_null() {
        return Err(EINVAL);
    }
    // SAFETY: The driver passes a string for the call, and keeps its table and data until
    // gm_dev_destroy() has returned, by which `Mmu::end()` was called.
    let (name, mmu) = unsafe {
        (
            CStr::from_char_ptr(desc.name),
            Mmu::new(desc.mmu, desc.dev_data, desc.owner)?,
        )
    };
    let known = u64::from(bindings::GM_DEV_CAP_REPLAYABLE | bindings::GM_DEV_CAP_ATOMICS);
    if desc.caps & !known != 0 || desc.pgsize_bitmap & (1 << 12) == 0 {
        return Err(EINVAL);
    }
    // SAFETY: The driver passes a device, which it keeps for the call, or NULL.
    let (is_direct, parent) = unsafe {
        (
            bindings::gmem_dma_direct(desc.dev),
            (!desc.dev.is_null()).then(|| device::Device::get_device(desc.dev)),
        )
    };
    if !is_direct {
        return Err(sys::eopnotsupp());
    }
    let end = if desc.va_end == 0 {
        u64::MAX
    } else {
        desc.va_end
    };
    let len = end.checked_sub(desc.va_start).ok_or(EINVAL)?;
    let device = Device::create(Description {
        name: CString::try_from_fmt(fmt!("{name}"))?,
        mmu,
        caps: desc.caps,
        reach: PageRange::from_bytes(desc.va_start, len).ok_or(EINVAL)?,
        parent,
        speed: Speed {
            bandwidth: desc.bandwidth,
            latency: desc.latency,
        },
    })?;
    hand_out(new, device);
    Ok(())
}

fn register_physmem(device: ArcBorrow<'_, Device>, size: u64, ty: gm_memory_type) -> Result<c_int> {
    if ty != bindings::gm_memory_type_GM_MEMORY_PRIVATE {
        return Err(sys::eopnotsupp());
    }
    device.register_memory(usize::try_from(size)?)?;
    hnid(device)
}

fn hnid(device: ArcBorrow<'_, Device>) -> Result<c_int> {
    device.with_memory(|memory| memory.hnid).ok_or(ENODEV)
}

fn get_stats(device: ArcBorrow<'_, Device>, stats: &mut MaybeUninit<gm_dev_stats>) {
    stats.write(device.stats());
}
