// SPDX-License-Identifier: MIT OR GPL-2.0

use std::ffi::{c_int, c_ulong, c_void};
use std::sync::{Mutex, PoisonError};

use super::{code, positive};
use crate::node::{discard_raw, prefetch_raw};
use crate::{Error, Node, Npu, Result};

/// The device opened on behalf of the process, and the process it was opened in:
/// a forked child must open its own.
static OPENED: Mutex<Option<(u32, Npu)>> = Mutex::new(None);

fn with_device<T>(f: impl FnOnce(&Npu) -> Result<T>) -> Result<T> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = std::process::id();
    match &*opened {
        Some((owner, npu)) if *owner == pid => f(npu),
        _ => {
            let npu = Npu::open_all()?.swap_remove(0);
            f(&opened.insert((pid, npu)).1)
        }
    }
}

/// Moves the pages that hold the range to node `hnid`.  `stream` must be NULL:
/// the call is synchronous.
#[no_mangle]
#[allow(non_snake_case)]
pub extern "C" fn gmemPrefetch(
    addr: c_ulong,
    size: usize,
    hnid: c_int,
    stream: *mut c_void,
) -> c_int {
    if !stream.is_null() {
        return -libc::EOPNOTSUPP;
    }
    let moved = prefetch_raw(addr as usize, size, Node(hnid));
    // A program of that interface never opens a device itself.
    match moved.as_ref().map_err(Error::errno) {
        Err(libc::ENODEV) if with_device(|_| Ok(())).is_ok() => {
            code(prefetch_raw(addr as usize, size, Node(hnid)))
        }
        _ => code(moved),
    }
}

/// Frees the whole pages inside the range; they read as zero then.  `stream` must
/// be NULL: the call is synchronous.
///
/// # Safety
///
/// The range belongs to the caller.
#[no_mangle]
#[allow(non_snake_case)]
pub unsafe extern "C" fn gmemFreeEager(addr: c_ulong, size: usize, stream: *mut c_void) -> c_int {
    if !stream.is_null() {
        return -libc::EOPNOTSUPP;
    }
    // SAFETY: The caller's promise.
    code(unsafe { discard_raw(addr as usize, size) })
}

/// The node of the first device's memory, for gmemPrefetch().
#[no_mangle]
#[allow(non_snake_case)]
pub extern "C" fn gmemGetNumaId() -> c_int {
    let node = with_device(|npu| npu.node()?.ok_or(Error::NoDevice));
    node.map_or_else(|error| -positive(&error), |node| node.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_refused() {
        let stream = std::ptr::dangling_mut::<c_void>();
        assert_eq!(gmemPrefetch(0, 4096, 0, stream), -libc::EOPNOTSUPP);
        // SAFETY: Refused before anything is touched.
        let freed = unsafe { gmemFreeEager(0, 4096, stream) };
        assert_eq!(freed, -libc::EOPNOTSUPP);
    }

    #[test]
    fn less_than_a_page_frees_nothing() {
        let mut buffer = crate::Buffer::new(8192).unwrap();
        buffer.fill(3);
        let addr = buffer.as_ptr() as c_ulong;
        // SAFETY: Ours.
        unsafe {
            assert_eq!(gmemFreeEager(addr + 1, 4096, std::ptr::null_mut()), 0);
            assert_eq!(
                gmemFreeEager(c_ulong::MAX, usize::MAX, std::ptr::null_mut()),
                -libc::EINVAL
            );
        }
        assert!(buffer.iter().all(|&byte| byte == 3));
        assert_eq!(gmemPrefetch(addr, 8192, 0, std::ptr::null_mut()), 0);
    }

    #[test]
    fn without_a_device_there_is_no_node() {
        if crate::list().is_empty() {
            assert_eq!(gmemGetNumaId(), -libc::ENODEV);
        }
    }
}
