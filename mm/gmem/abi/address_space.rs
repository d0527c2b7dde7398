// SPDX-License-Identifier: GPL-2.0

//! The functions of `include/linux/gmem.h` for address spaces of no process.

use crate::{
    abi::device::{
        borrow,
        enabled, //
    },
    range::{
        PageRange,
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    space::{
        address_space::Space,
        addresses::Addresses,
        standalone,
        va::Policy, //
    }, //
};
use kernel::{
    bindings,
    error::from_result,
    prelude::*,
    sync::Arc, //
};

/// The pages of a range that a driver passes, in bytes.
fn whole_pages(va: u64, len: u64) -> Result<PageRange> {
    if (va | len) & (PAGE_SIZE - 1) != 0 || len == 0 {
        return Err(EINVAL);
    }
    PageRange::from_bytes(va, len).ok_or(EINVAL)
}

/// gm_as_create - make a standalone address space
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_as_create(
    start: u64,
    end: u64,
    policy: bindings::gm_as_policy,
    quantum: u64,
    as_: *mut *mut bindings::gm_as,
) -> c_int {
    from_result(|| {
        enabled()?;
        let policy = match policy {
            bindings::gm_as_policy_GM_AS_FIRST_FIT => Policy::FirstFit,
            bindings::gm_as_policy_GM_AS_BEST_FIT => Policy::BestFit,
            bindings::gm_as_policy_GM_AS_NEXT_FIT => Policy::NextFit,
            _ => return Err(EINVAL),
        };
        // The end of all addresses is written as 0.
        let end_page = end.wrapping_sub(1) >> PAGE_SHIFT;
        if as_.is_null() || (start | end | quantum) & (PAGE_SIZE - 1) != 0 {
            return Err(EINVAL);
        }
        let whole = PageRange::new(start >> PAGE_SHIFT, end_page + 1).ok_or(EINVAL)?;
        let addresses = Addresses::new(whole, policy, quantum >> PAGE_SHIFT)?;
        let space = Space::standalone(addresses)?;
        // SAFETY: The driver passes memory for the answer.
        unsafe { *as_ = Arc::into_raw(space).cast_mut().cast() };
        Ok(0)
    })
}

/// gm_as_destroy - free a standalone address space
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_as_destroy(as_: *mut bindings::gm_as) -> c_int {
    from_result(|| {
        let raw = as_.cast_const().cast::<Space>();
        // SAFETY: The driver holds the space.
        let space = unsafe { borrow(raw) }?;
        let is_standalone = space.lock_addresses().is_some();
        if !is_standalone {
            return Err(EINVAL);
        }
        if space.lock_map().contexts().next().is_some() {
            return Err(EBUSY);
        }
        // SAFETY: The driver gives its reference back.
        drop(unsafe { Arc::from_raw(raw) });
        Ok(0)
    })
}

/// gm_as_alloc_va - take addresses of a standalone address space
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_as_alloc_va(
    as_: *mut bindings::gm_as,
    len: u64,
    align: u64,
    va: *mut u64,
) -> c_int {
    from_result(|| {
        // SAFETY: The driver holds the space.
        let space = unsafe { borrow(as_.cast_const().cast::<Space>()) }?;
        if va.is_null() || len & (PAGE_SIZE - 1) != 0 || (align != 0 && !align.is_power_of_two()) {
            return Err(EINVAL);
        }
        let order = (align >> PAGE_SHIFT).checked_ilog2().unwrap_or(0);
        let range = standalone::alloc(&space, len >> PAGE_SHIFT, order)?;
        // SAFETY: The driver passes memory for the answer.
        unsafe { *va = range.start_byte() };
        Ok(0)
    })
}

/// gm_as_reserve_va - take given addresses of a standalone address space
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_as_reserve_va(
    as_: *mut bindings::gm_as,
    va: u64,
    len: u64,
) -> c_int {
    from_result(|| {
        // SAFETY: The driver holds the space.
        let space = unsafe { borrow(as_.cast_const().cast::<Space>()) }?;
        standalone::reserve(&space, whole_pages(va, len)?)?;
        Ok(0)
    })
}

/// gm_as_free_va - give addresses of a standalone address space back
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_as_free_va(
    as_: *mut bindings::gm_as,
    va: u64,
    len: u64,
) -> c_int {
    from_result(|| {
        // SAFETY: The driver holds the space.
        let space = unsafe { borrow(as_.cast_const().cast::<Space>()) }?;
        standalone::free(&space, whole_pages(va, len)?)?;
        Ok(0)
    })
}

/// gm_as_map - enter host pages into all contexts of a standalone address space
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_as_map(
    as_: *mut bindings::gm_as,
    va: u64,
    maps: *const bindings::gm_map,
    nr: u32,
) -> c_int {
    from_result(|| {
        // SAFETY: The driver holds the space.
        let space = unsafe { borrow(as_.cast_const().cast::<Space>()) }?;
        if maps.is_null() || va & (PAGE_SIZE - 1) != 0 {
            return Err(EINVAL);
        }
        // SAFETY: The driver passes `nr` runs.
        let maps = unsafe { core::slice::from_raw_parts(maps, nr as usize) };
        standalone::map(&space, va >> PAGE_SHIFT, maps)?;
        Ok(0)
    })
}

/// gm_as_unmap - take pages from all contexts of a standalone address space
///
/// # Safety
///
/// The caller keeps to the header: handles are live, and pointers are valid or NULL.
#[export]
pub(crate) unsafe extern "C" fn gm_as_unmap(as_: *mut bindings::gm_as, va: u64, len: u64) -> c_int {
    from_result(|| {
        // SAFETY: The driver holds the space.
        let space = unsafe { borrow(as_.cast_const().cast::<Space>()) }?;
        standalone::unmap(&space, whole_pages(va, len)?)?;
        Ok(0)
    })
}
