// SPDX-License-Identifier: GPL-2.0

//! What the kernel tells when the memory of a process changes: the functions of
//! `include/linux/gmem.h` that fork, exit, mremap, munmap and UFFDIO_MOVE call.

use crate::{
    advice::attributes_tree,
    migrate::take_home,
    range::{
        PageRange,
        PAGE_SHIFT, //
    }, //
};
use kernel::{
    bindings,
    error::from_result,
    mm::{
        Mm,
        MmWithUser, //
    },
    prelude::*, //
};

/// The process of a pointer that the kernel passes.
///
/// # Safety
///
/// `mm` is valid until the result is dropped.
unsafe fn process<'a>(mm: *mut bindings::mm_struct) -> &'a Mm {
    // SAFETY: By the safety requirements.
    unsafe { Mm::from_raw(mm) }
}

/// The pages between two addresses that the kernel passes.
fn pages(start: usize, end: usize) -> PageRange {
    PageRange::new(start as u64 >> PAGE_SHIFT, end as u64 >> PAGE_SHIFT).unwrap_or_default()
}

/// Part of a parent's memory became a child's too.
///
/// # Safety
///
/// Called by fork, with valid pointers.
#[export]
pub(crate) unsafe extern "C" fn gmem_advice_forked(
    mm: *mut bindings::mm_struct,
    oldmm: *mut bindings::mm_struct,
    start: usize,
    end: usize,
) {
    // SAFETY: The caller passes valid pointers.
    let (mm, oldmm) = unsafe { (process(mm), process(oldmm)) };
    attributes_tree::forked(mm, oldmm, pages(start, end));
}

/// A process ended.
///
/// # Safety
///
/// Called with a valid pointer.
#[export]
pub(crate) unsafe extern "C" fn __gmem_exit(mm: *mut bindings::mm_struct) {
    // SAFETY: The caller passes a valid pointer.
    attributes_tree::exited(unsafe { process(mm) });
}

/// Pages moved.
///
/// # Safety
///
/// Called with a valid pointer.
#[export]
pub(crate) unsafe extern "C" fn __gmem_mremap(
    mm: *mut bindings::mm_struct,
    from: usize,
    to: usize,
    len: usize,
    keep: bool,
) -> c_int {
    let range = pages(from, from.wrapping_add(len));
    // SAFETY: The caller passes a valid pointer.
    let mm = unsafe { process(mm) };

    from_result(|| {
        attributes_tree::moved(mm, range, to as u64 >> PAGE_SHIFT, keep)?;
        Ok(0)
    })
}

/// Pages are unmapped.
///
/// # Safety
///
/// Called with a valid pointer.
#[export]
pub(crate) unsafe extern "C" fn __gmem_munmap(
    mm: *mut bindings::mm_struct,
    start: usize,
    end: usize,
) {
    // SAFETY: The caller passes a valid pointer.
    attributes_tree::unmapped(unsafe { process(mm) }, pages(start, end));
}

/// Pages could not be moved to other addresses where they are.
///
/// # Safety
///
/// Called with a valid pointer of which the caller holds a user.
#[export]
pub(crate) unsafe extern "C" fn gmem_take_home(
    mm: *mut bindings::mm_struct,
    start: usize,
    len: usize,
) -> bool {
    // SAFETY: The caller passes a valid pointer and holds a user.
    let mm = unsafe { MmWithUser::from_raw(mm) };

    take_home::take_home(mm, pages(start, start.wrapping_add(len)))
}
