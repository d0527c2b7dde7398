// SPDX-License-Identifier: GPL-2.0

//! The functions of `include/linux/gmem.h`, which says what callers promise.

use crate::{
    abi::{
        dead,
        debugfs,
        hmadvise, //
    },
    advice::attributes_tree,
    device::{
        memory::Memory,
        mmu::Mmu,
        node::Speed,
        registry::{
            Description,
            Device,
            DEVICES, //
        }, //
    },
    fault::{
        readahead,
        serve::{
            self,
            Purpose,
            Request, //
        }, //
    },
    range::PageRange,
    reclaim::host_room,
    space::{
        address_space::Space,
        context::Context,
        replicas,
        spaces::SPACES, //
    },
    sys, //
};
use kernel::{
    bindings,
    error::from_result,
    mm::MmWithUser,
    prelude::*,
    str::{
        CStr,
        CString, //
    },
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

/// How often an attach is tried again because another thread attached at the same moment.
const MAX_ATTACH_RACES: usize = 64;

/// Makes the lists. Called once at boot, before anything else.
///
/// # Safety
///
/// Called once, during boot.
#[export]
pub(crate) unsafe extern "C" fn gmem_init() -> c_int {
    // SAFETY: Called once, before any other use.
    unsafe {
        DEVICES.init();
        SPACES.init();
        attributes_tree::ADVICE.init();
        host_room::FILLING.init();
        debugfs::ROOT.init();
    }
    debugfs::init();
    0
}

/// Gives empty chunks of device memory back, for the worker.
///
/// # Safety
///
/// Called by a worker, without locks.
#[export]
pub(crate) unsafe extern "C" fn gmem_return_chunks() {
    dead::return_chunks();
}

/// Drops the copies of a file that somebody wants to write, for the worker.
///
/// # Safety
///
/// Called by a worker, without locks.
#[export]
pub(crate) unsafe extern "C" fn gmem_drop_leased(lease: *mut bindings::gmem_lease) {
    replicas::drop_file(|other| other.is(lease));
}

pub(super) fn enabled() -> Result {
    // SAFETY: Written during early boot only.
    if unsafe { bindings::gmem_enabled } {
        Ok(())
    } else {
        Err(sys::eopnotsupp())
    }
}

/// Borrows a handle that a driver holds.
///
/// # Safety
///
/// `ptr` was handed out by [`Arc::into_raw`] and is not given back before the result is dropped.
pub(super) unsafe fn borrow<'a, T>(ptr: *const T) -> Result<ArcBorrow<'a, T>> {
    if ptr.is_null() {
        return Err(EINVAL);
    }
    // SAFETY: By the safety requirements.
    Ok(unsafe { ArcBorrow::from_raw(ptr) })
}

/// gm_dev_create - register a device
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_dev_create(
    desc: *const bindings::gm_dev_desc,
    new: *mut *mut bindings::gm_dev,
) -> c_int {
    from_result(|| {
        enabled()?;
        // SAFETY: The driver passes a valid description or NULL.
        let desc = unsafe { desc.as_ref() }.ok_or(EINVAL)?;
        if new.is_null() || desc.name.is_null() {
            return Err(EINVAL);
        }
        // SAFETY: The driver passes a string, and keeps its table.
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
        // SAFETY: The driver passes a device or NULL.
        if !unsafe { bindings::gmem_dma_direct(desc.dev) } {
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
            // SAFETY: The driver passes a device or NULL.
            parent: (!desc.dev.is_null())
                .then(|| unsafe { kernel::device::Device::get_device(desc.dev) }),
            speed: Speed {
                bandwidth: desc.bandwidth,
                latency: desc.latency,
            },
        })?;
        // SAFETY: `new` is valid for a write.
        unsafe { *new = Arc::into_raw(device).cast_mut().cast() };
        Ok(0)
    })
}

/// gm_dev_destroy - unregister a device
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_dev_destroy(dev: *mut bindings::gm_dev) {
    if dev.is_null() {
        return;
    }
    // SAFETY: The driver gives its reference back.
    let device = unsafe { Arc::from_raw(dev.cast_const().cast::<Device>()) };
    device.destroy();
}

/// gm_dev_dead - declare a device dead
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_dev_dead(dev: *mut bindings::gm_dev) {
    // SAFETY: The driver holds the device.
    if let Ok(device) = unsafe { borrow(dev.cast_const().cast::<Device>()) } {
        device.die();
    }
}

/// gm_dev_register_physmem - hand over the memory of a device
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_dev_register_physmem(
    dev: *mut bindings::gm_dev,
    size: u64,
    type_: bindings::gm_memory_type,
) -> c_int {
    from_result(|| {
        // SAFETY: The driver holds the device.
        let device = unsafe { borrow(dev.cast_const().cast::<Device>()) }?;
        if type_ != bindings::gm_memory_type_GM_MEMORY_PRIVATE {
            return Err(sys::eopnotsupp());
        }
        device.register_memory(usize::try_from(size)?)?;
        device.with_memory(Memory::hnid).ok_or(ENODEV)
    })
}

/// gm_dev_unregister_physmem - take the memory of a device back
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_dev_unregister_physmem(dev: *mut bindings::gm_dev) -> c_int {
    from_result(|| {
        // SAFETY: The driver holds the device.
        let device = unsafe { borrow(dev.cast_const().cast::<Device>()) }?;
        device.unregister_memory()?;
        Ok(0)
    })
}

/// gm_dev_hnid - node id of a device's memory
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_dev_hnid(dev: *mut bindings::gm_dev) -> c_int {
    from_result(|| {
        // SAFETY: The driver holds the device.
        let device = unsafe { borrow(dev.cast_const().cast::<Device>()) }?;
        device.with_memory(Memory::hnid).ok_or(ENODEV)
    })
}

/// gm_dev_get_stats - read the counters of a device
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_dev_get_stats(
    dev: *mut bindings::gm_dev,
    stats: *mut bindings::gm_dev_stats,
) {
    // SAFETY: The driver holds the device.
    let device = unsafe { borrow(dev.cast_const().cast::<Device>()) };
    if let Ok(device) = device {
        // SAFETY: The driver passes memory for the answer.
        unsafe { *stats = device.stats() };
    }
}

/// gm_as_get_current - the mirror address space of the calling process
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_as_get_current(
    whole: bool,
    as_: *mut *mut bindings::gm_as,
) -> c_int {
    from_result(|| {
        enabled()?;
        let task = kernel::current!();
        let space = Space::get(task.mm().ok_or(EINVAL)?)?;
        if whole {
            space.set_whole();
        }
        // SAFETY: The driver passes memory for the answer.
        unsafe { *as_ = Arc::into_raw(space).cast_mut().cast() };
        Ok(0)
    })
}

/// gm_as_put - give an address space back
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_as_put(as_: *mut bindings::gm_as) {
    if as_.is_null() {
        return;
    }
    // SAFETY: The driver gives its reference back.
    let space = unsafe { Arc::from_raw(as_.cast_const().cast::<Space>()) };
    space.put();
}

/// gm_as_attach - attach a device to an address space
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_as_attach(
    as_: *mut bindings::gm_as,
    dev: *mut bindings::gm_dev,
    file_data: *mut c_void,
    ctx: *mut *mut bindings::gm_context,
) -> c_int {
    from_result(|| {
        // SAFETY: The driver holds both.
        let (space, device) = unsafe {
            (
                borrow(as_.cast_const().cast::<Space>())?,
                borrow(dev.cast_const().cast::<Device>())?,
            )
        };
        for _ in 0..MAX_ATTACH_RACES {
            // SAFETY: `file_data` is the driver's own.
            let pmap = unsafe { device.parts.mmu.pmap_create(file_data) }?;
            match Context::new(space.into(), device.into(), pmap) {
                Err(e) if e == EAGAIN => continue,
                Err(e) => return Err(e),
                Ok(context) => {
                    // SAFETY: The driver passes memory for the answer.
                    unsafe { *ctx = Arc::into_raw(context).cast_mut().cast() };
                    return Ok(0);
                }
            }
        }
        Err(EAGAIN)
    })
}

/// gm_as_detach - detach a device from an address space
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_as_detach(ctx: *mut bindings::gm_context) {
    if ctx.is_null() {
        return;
    }
    // SAFETY: The driver gives its reference back.
    let context = unsafe { Arc::from_raw(ctx.cast_const().cast::<Context>()) };
    context.detach();
}

/// gm_dev_fault - resolve a device fault, or prepare a range
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_dev_fault(
    ctx: *mut bindings::gm_context,
    addr: u64,
    len: u64,
    access: u32,
    hint: bindings::gm_fault_hint,
) -> c_int {
    from_result(|| {
        // SAFETY: The driver holds the context.
        let context = unsafe { borrow(ctx.cast_const().cast::<Context>()) }?;
        // What a standalone space maps is entered by its owner.
        context.space.mm()?;
        let range = PageRange::from_bytes(addr, len.max(1)).ok_or(EFAULT)?;
        let purpose = if hint == bindings::gm_fault_hint_GM_FAULT_PREPARE {
            Purpose::Prepare
        } else {
            Purpose::Demand
        };
        let request = Request {
            range,
            write: access & bindings::GM_ACCESS_WRITE != 0,
            purpose,
        };
        let served = serve::serve(&context, request)?;
        if purpose == Purpose::Demand {
            readahead::faulted(context.into(), served, request.write);
        }
        Ok(0)
    })
}

/// Moves a range of any process to a node, as `MADV_PREFETCH` of hmadvise(2) does.
///
/// # Safety
///
/// `mm` is a process that has users.
#[export]
pub(crate) unsafe extern "C" fn gmem_prefetch(
    mm: *mut bindings::mm_struct,
    hnid: c_int,
    start: usize,
    len: usize,
) -> c_int {
    from_result(|| {
        // SAFETY: By the safety requirements.
        let mm = unsafe { MmWithUser::from_raw(mm) };
        hmadvise::hmadvise(mm, hnid, start, len, bindings::MADV_PREFETCH as c_int)?;
        Ok(0)
    })
}

/// hmadvise(2), called by the shim.
///
/// # Safety
///
/// Called by a system call.
#[export]
pub(crate) unsafe extern "C" fn gmem_hmadvise(
    hnid: c_int,
    start: usize,
    len: usize,
    behavior: c_int,
) -> isize {
    let result = kernel::current!()
        .mm()
        .ok_or(EINVAL)
        .and_then(|mm| hmadvise::hmadvise(mm, hnid, start, len, behavior));
    match result {
        Ok(()) => 0,
        Err(e) => e.to_errno() as isize,
    }
}
