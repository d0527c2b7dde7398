// SPDX-License-Identifier: MIT OR GPL-2.0
//! The C allocation functions.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use crate::HEAP;

const ALIGN: usize = 16;
const PAGE: usize = gmem::sys::mem::PAGE_SIZE;

fn set_errno(errno: c_int) {
    // SAFETY: The C library returns a valid pointer to this thread's errno.
    unsafe { *libc::__errno_location() = errno };
}

fn done(object: *mut u8) -> *mut c_void {
    if object.is_null() {
        set_errno(libc::ENOMEM);
    }
    object.cast()
}

/// `malloc(3)`.
#[no_mangle]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    done(HEAP.alloc(size, ALIGN))
}

/// `calloc(3)`.
#[no_mangle]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        Some(size) => done(HEAP.alloc_zeroed(size, ALIGN)),
        None => done(null_mut()),
    }
}

/// `free(3)`.
///
/// # Safety
///
/// `object` is null or came from one of the functions here.
#[no_mangle]
pub unsafe extern "C" fn free(object: *mut c_void) {
    // SAFETY: The caller's promise.
    unsafe { HEAP.free(object.cast()) }
}

/// `realloc(3)`; as in the GNU C library, a size of 0 frees.
///
/// # Safety
///
/// As for [`free()`].
#[no_mangle]
pub unsafe extern "C" fn realloc(object: *mut c_void, size: usize) -> *mut c_void {
    if size == 0 && !object.is_null() {
        // SAFETY: The caller's promise.
        unsafe { HEAP.free(object.cast()) };
        return null_mut();
    }
    // SAFETY: The caller's promise.
    done(unsafe { HEAP.realloc(object.cast(), size) })
}

/// `reallocarray(3)`.
///
/// # Safety
///
/// As for [`free()`].
#[no_mangle]
pub unsafe extern "C" fn reallocarray(
    object: *mut c_void,
    count: usize,
    size: usize,
) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: The caller's promise.
        Some(size) => unsafe { realloc(object, size) },
        None => done(null_mut()),
    }
}

/// `memalign(3)`; as in the GNU C library, the alignment is rounded up to a power
/// of two.
#[no_mangle]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    match align.max(ALIGN).checked_next_power_of_two() {
        Some(align) => done(HEAP.alloc(size, align)),
        None => {
            set_errno(libc::EINVAL);
            null_mut()
        }
    }
}

/// `aligned_alloc(3)`.
#[no_mangle]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    if !align.is_power_of_two() {
        set_errno(libc::EINVAL);
        return null_mut();
    }
    memalign(align, size)
}

/// `posix_memalign(3)`.
///
/// # Safety
///
/// `out` can be written.
#[no_mangle]
pub unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || align % size_of::<*mut c_void>() != 0 {
        return libc::EINVAL;
    }
    let object = HEAP.alloc(size, align.max(ALIGN));
    if object.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: The caller's promise.
    unsafe { *out = object.cast() };
    0
}

/// `valloc(3)`.
#[no_mangle]
pub extern "C" fn valloc(size: usize) -> *mut c_void {
    done(HEAP.alloc(size, PAGE))
}

/// `pvalloc(3)`.
#[no_mangle]
pub extern "C" fn pvalloc(size: usize) -> *mut c_void {
    match size.max(1).checked_next_multiple_of(PAGE) {
        Some(size) => done(HEAP.alloc(size, PAGE)),
        None => done(null_mut()),
    }
}

/// `malloc_usable_size(3)`.
///
/// # Safety
///
/// As for [`free()`].
#[no_mangle]
pub unsafe extern "C" fn malloc_usable_size(object: *mut c_void) -> usize {
    // SAFETY: The caller's promise.
    unsafe { HEAP.usable_size(object.cast()) }
}
