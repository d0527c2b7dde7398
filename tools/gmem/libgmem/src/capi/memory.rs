// SPDX-License-Identifier: MIT OR GPL-2.0

use std::ffi::{c_char, c_int, c_void, CStr};
use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::ptr::NonNull;

use super::{code, positive};
use crate::node::{discard_raw, prefetch_raw};
use crate::sys::mem::{HUGE_SIZE, PAGE_SIZE};
use crate::{FileMap, Gmem, Node};

/// 1 if this kernel has GMEM and it is switched on, else 0.
///
/// Without it all memory functions work on plain memory.
#[no_mangle]
pub extern "C" fn gmem_available() -> c_int {
    crate::available().into()
}

/// Zeroed memory for the CPU and all devices; NULL with errno when there is none.
///
/// A page and more starts at a page, 2 MiB and more at a multiple of 2 MiB.
#[no_mangle]
pub extern "C" fn gmem_alloc(size: usize) -> *mut c_void {
    let align = match size {
        HUGE_SIZE.. => HUGE_SIZE,
        PAGE_SIZE.. => PAGE_SIZE,
        _ => 16,
    };
    let memory = Gmem.heap().alloc_zeroed(size, align);
    if memory.is_null() {
        // SAFETY: The C library returns a valid pointer to this thread's errno.
        unsafe { *libc::__errno_location() = libc::ENOMEM };
    }
    memory.cast()
}

/// Gives memory of gmem_alloc() back; NULL does nothing.
///
/// # Safety
///
/// `memory` is NULL or came from gmem_alloc(), and no job works on it.
#[no_mangle]
pub unsafe extern "C" fn gmem_free(memory: *mut c_void) {
    // SAFETY: The caller's promise.
    unsafe { Gmem.heap().free(memory.cast()) }
}

/// Moves the pages that hold the range to a node: a device's, or 0 for home.
///
/// On success all of them were there, and mapped, at some instant of the call.
#[no_mangle]
pub extern "C" fn gmem_prefetch(addr: *const c_void, size: usize, node: c_int) -> c_int {
    code(prefetch_raw(addr as usize, size, Node(node)))
}

/// Frees the whole pages inside the range; they read as zero then.
///
/// # Safety
///
/// The range belongs to the caller.
#[no_mangle]
pub unsafe extern "C" fn gmem_free_eager(addr: *mut c_void, size: usize) -> c_int {
    // SAFETY: The caller's promise.
    code(unsafe { discard_raw(addr as usize, size) })
}

/// All of a file, to read, for the CPU and all devices; NULL with errno when it cannot be had.
///
/// It is read mostly: devices that read it keep copies.  Its size is stored in `size`.  An empty
/// file has an address, too.
///
/// # Safety
///
/// `size` is valid to write; nobody writes to the file or truncates it while it is mapped.
#[no_mangle]
pub unsafe extern "C" fn gmem_map_file(fd: c_int, size: *mut usize) -> *const c_void {
    let map = if fd < 0 {
        Err(libc::EBADF)
    } else {
        // SAFETY: The file is only borrowed: it is not closed here.
        let file = unsafe { ManuallyDrop::new(File::from_raw_fd(fd)) };
        // SAFETY: The caller's promise.
        unsafe { FileMap::new(&file) }.map_err(|error| positive(&error))
    };
    match map {
        Ok(map) => {
            let (base, len) = map.into_raw();
            // SAFETY: The caller's promise.
            unsafe { *size = len };
            base.cast()
        }
        Err(errno) => {
            // SAFETY: The C library returns a valid pointer to this thread's errno.
            unsafe { *libc::__errno_location() = errno };
            std::ptr::null()
        }
    }
}

/// Unmaps what gmem_map_file() returned; NULL does nothing.
///
/// # Safety
///
/// Address and size are those of gmem_map_file(), and no job works on the file.
#[no_mangle]
pub unsafe extern "C" fn gmem_unmap_file(map: *const c_void, size: usize) {
    if let Some(base) = NonNull::new(map.cast_mut().cast()) {
        // SAFETY: The caller's promise.
        drop(unsafe { FileMap::from_raw(base, size) });
    }
}

/// What an error of this library (negative or positive errno) means and what to do
/// about it.  Never NULL; the text is static.
#[no_mangle]
pub extern "C" fn gmem_strerror(error: c_int) -> *const c_char {
    text(error.saturating_abs()).as_ptr()
}

fn text(errno: c_int) -> &'static CStr {
    match errno {
        0 => c"success",
        libc::ENOSYS => c"this kernel has no GMEM; boot one built with CONFIG_GMEM=y",
        libc::EOPNOTSUPP => {
            c"not supported: GMEM is off (boot without gmem=off), or a stream was given (pass NULL)"
        }
        libc::EINVAL => {
            c"bad argument; the range must be peer-shared memory, the node one that `gmem info` lists"
        }
        libc::ENODEV => c"no such device, or not opened by this process; open it first",
        libc::ENOSPC => c"the range is larger than the node; move it in parts",
        libc::ENOMEM => c"out of memory, or a hole in the range",
        libc::EBUSY => c"some pages are pinned, locked or shared and stay where they are",
        libc::EFAULT => c"the device cannot reach an address; use memory of gmem_alloc()",
        libc::EAGAIN => c"too many jobs are queued, wait for one first; or more was pinned than the limits allow",
        libc::ETIME => c"the job is not complete yet; wait again",
        libc::ENOENT => c"no such device or job; a job's result is taken once",
        libc::EPERM => c"not permitted; after fork(2) open the device again",
        libc::EACCES => c"no access to the device node; ask for its group or mode",
        libc::ECANCELED => c"the job was cancelled because its file was closed",
        libc::EIO => c"the device failed; look at dmesg",
        libc::EPROTO => c"the driver speaks another version; install matching ones",
        _ => c"unexpected error; see errno(3) and dmesg",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zeroed_and_aligned() {
        for size in [1usize, 5000, 3 << 20] {
            let memory = gmem_alloc(size).cast::<u8>();
            assert!(!memory.is_null());
            // SAFETY: New memory of this size.
            let bytes = unsafe { std::slice::from_raw_parts_mut(memory, size) };
            assert!(bytes.iter().all(|&byte| byte == 0));
            bytes.fill(1);
            assert_eq!(gmem_prefetch(memory.cast(), size, 0), 0);
            // SAFETY: Ours.
            assert_eq!(unsafe { gmem_free_eager(memory.cast(), size) }, 0);
            if size >= 5000 {
                assert_eq!((memory as usize % 4096, bytes[0]), (0, 0));
            }
            // SAFETY: Not used any more.
            unsafe { gmem_free(memory.cast()) };
        }
        assert!(gmem_alloc(usize::MAX).is_null());
        assert_eq!(crate::sys::errno(), libc::ENOMEM);
    }

    #[test]
    fn errors_have_texts() {
        assert_eq!(
            text(libc::ETIME),
            c"the job is not complete yet; wait again"
        );
        for error in [-libc::EINVAL, libc::EINVAL, i32::MIN, 4711] {
            // SAFETY: Always a static string.
            let text = unsafe { CStr::from_ptr(gmem_strerror(error)) };
            assert!(text.to_str().unwrap().len() > 10);
        }
    }
}
