// SPDX-License-Identifier: MIT OR GPL-2.0
//! Memory nodes and hints.

use crate::operand::Pod;
use crate::sys::{mem, Errno};
use crate::{Error, Result};

/// A memory node: a CPU node, or the memory of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node(pub i32);

impl Node {
    /// CPU node 0: "bring it home".
    pub const HOME: Node = Node(0);
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Whether this kernel has GMEM and it is switched on.
pub fn available() -> bool {
    probe().is_ok()
}

/// As [`available()`], with the reason.
///
/// It asks `hmadvise(2)`: a kernel without GMEM ignores `MAP_PEER_SHARED`
/// silently, so `mmap(2)` cannot tell.
///
/// # Errors
///
/// [`Error::NoGmem`] or [`Error::Off`].
pub fn probe() -> Result<()> {
    // SAFETY: An empty range has no content to lose.
    match unsafe { mem::hmadvise(-1, 0, 0, mem::MADV_DONTNEED) } {
        Err(errno) => match absent(errno) {
            Some(error) => Err(error),
            None => Ok(()),
        },
        Ok(()) => Ok(()),
    }
}

pub(crate) fn absent(errno: Errno) -> Option<Error> {
    match errno {
        libc::ENOSYS => Some(Error::NoGmem),
        libc::EOPNOTSUPP => Some(Error::Off),
        // Sandboxes forbid system calls they do not know.
        libc::EPERM | libc::EACCES => Some(Error::NoGmem),
        _ => None,
    }
}

pub(crate) fn advise_error(node: i32, errno: Errno) -> Error {
    match errno {
        libc::ENOSYS => Error::NoGmem,
        libc::EOPNOTSUPP => Error::Off,
        _ => Error::Advise { node, errno },
    }
}

/// Moves the pages that hold `data` to `node`: on success, all of them were there
/// and mapped for the device at some instant during the call.
///
/// Whole pages move, so neighbours of `data` in its first and last page move too.
/// Without GMEM, memory is always at home: moving it there succeeds.
///
/// # Errors
///
/// [`Error::NoGmem`], [`Error::Off`] or [`Error::Advise`].
pub fn prefetch<T: Pod>(data: &[T], node: Node) -> Result<()> {
    prefetch_raw(data.as_ptr() as usize, size_of_val(data), node)
}

pub(crate) fn prefetch_raw(addr: usize, len: usize, node: Node) -> Result<()> {
    if len == 0 {
        return Ok(());
    }
    let overflow = Error::Advise {
        node: node.0,
        errno: libc::EINVAL,
    };
    let start = addr / mem::PAGE_SIZE * mem::PAGE_SIZE;
    let end = addr.checked_add(len).ok_or(overflow)?;
    match mem::prefetch(node.0, start, end - start) {
        Err(libc::ENOSYS | libc::EOPNOTSUPP) if node == Node::HOME => Ok(()),
        result => result.map_err(|errno| advise_error(node.0, errno)),
    }
}

/// Frees the whole pages inside `data` wherever they are; they read as zero then.
/// No byte outside is touched, and the rest of `data` keeps its content.
///
/// # Errors
///
/// [`Error::Advise`].
pub fn free_eager<T: Pod>(data: &mut [T]) -> Result<()> {
    let len = size_of_val(data);
    // SAFETY: `T` has no padding, and any bytes are a valid value.
    discard(unsafe { std::slice::from_raw_parts_mut(data.as_mut_ptr().cast(), len) })
}

pub(crate) fn discard(bytes: &mut [u8]) -> Result<()> {
    // SAFETY: The bytes are borrowed exclusively, and zero is a valid value.
    unsafe { discard_raw(bytes.as_mut_ptr() as usize, bytes.len()) }
}

/// As [`free_eager()`], by address.
///
/// # Safety
///
/// The caller owns the bytes, and nothing but plain numbers lives there.
pub(crate) unsafe fn discard_raw(addr: usize, len: usize) -> Result<()> {
    let fail = |errno| advise_error(-1, errno);
    let end = addr.checked_add(len).ok_or_else(|| fail(libc::EINVAL))?;
    let end = end / mem::PAGE_SIZE * mem::PAGE_SIZE;
    let start = addr
        .checked_next_multiple_of(mem::PAGE_SIZE)
        .ok_or_else(|| fail(libc::EINVAL))?;
    if start >= end {
        return Ok(());
    }
    // SAFETY: The caller's promise.
    match unsafe { mem::hmadvise(-1, start, end - start, mem::MADV_DONTNEED) } {
        // Plain memory then.
        Err(libc::ENOSYS | libc::EOPNOTSUPP) => {
            // SAFETY: The caller's promise.
            unsafe { mem::madvise(start as *mut u8, end - start, libc::MADV_DONTNEED) }
                .map_err(fail)
        }
        result => result.map_err(fail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Buffer;
    use proptest::prelude::*;

    #[test]
    fn home_is_always_reachable() {
        let buffer = Buffer::new(100_000).unwrap();
        prefetch(&buffer[5000..9000], Node::HOME).unwrap();
        prefetch::<u8>(&[], Node(77)).unwrap();
    }

    #[test]
    fn a_device_node_needs_gmem() {
        if !available() {
            let buffer = Buffer::new(1).unwrap();
            let refused = buffer.prefetch(Node(5));
            assert!(matches!(
                refused,
                Err(Error::NoGmem | Error::Off | Error::Advise { .. })
            ));
        }
    }

    #[test]
    fn an_overflow_is_refused() {
        let refused = prefetch_raw(usize::MAX - 10, 100, Node::HOME);
        assert_eq!(refused.unwrap_err().errno(), libc::EINVAL);
        // SAFETY: Refused before anything is touched.
        let refused = unsafe { discard_raw(usize::MAX, usize::MAX) };
        assert_eq!(refused.unwrap_err().errno(), libc::EINVAL);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn free_eager_stays_inside(start in 0usize..20_000, len in 0usize..20_000) {
            let mut buffer = Buffer::new(40_000).unwrap();
            buffer.fill(0xa5);
            free_eager(&mut buffer[start..start + len]).unwrap();
            let base = buffer.as_ptr() as usize;
            for (i, &byte) in buffer.iter().enumerate() {
                let page = (base + i) / 4096 * 4096;
                let whole = page >= base + start && page + 4096 <= base + start + len;
                prop_assert_eq!(byte, if whole { 0 } else { 0xa5 }, "byte {}", i);
            }
        }
    }
}
