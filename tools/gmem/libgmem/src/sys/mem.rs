// SPDX-License-Identifier: MIT OR GPL-2.0
//! Mappings and `hmadvise(2)`.

use super::{check, Errno};

/// `mmap(2)`: the mapping is shared with the devices that attach.
pub const MAP_PEER_SHARED: libc::c_int = 0x20_0000;
/// Number of `hmadvise(2)` on x86-64, arm64 and in the generic table.
pub const SYS_HMADVISE: libc::c_long = 472;
/// Throw the pages away; what is read next is zero.
pub const MADV_DONTNEED: i32 = 4;
/// Move the range to the node and map it there.
pub const MADV_PREFETCH: i32 = 0x1000;
/// Keep room for the range on the node's device, and move it there.
pub const MADV_PINNED: i32 = 0x1001;
/// Keep no room.
pub const MADV_UNPINNED: i32 = 0x1002;
/// Faults place the range on the node.
pub const MADV_PREFERRED_NODE: i32 = 0x1003;
/// No node is preferred.
pub const MADV_NO_PREFERRED_NODE: i32 = 0x1004;
/// The range is read much more than written.
pub const MADV_READ_MOSTLY: i32 = 0x1005;
/// It is not.
pub const MADV_NO_READ_MOSTLY: i32 = 0x1006;
/// The node's device uses the range where it is.
pub const MADV_ACCESSED_BY: i32 = 0x1007;
/// It does not.
pub const MADV_NO_ACCESSED_BY: i32 = 0x1008;

/// Size of a base page.  GMEM depends on architectures where it is 4 KiB here.
pub const PAGE_SIZE: usize = 4096;
/// Size of a large page.
pub const HUGE_SIZE: usize = 2 << 20;

/// `hmadvise(2)`.
///
/// Behaviours this function accepts never change the content of live objects
/// except [`MADV_DONTNEED`], which zeroes the range: the caller owns it.
///
/// # Safety
///
/// With [`MADV_DONTNEED`] nothing but plain bytes may live in the range.
pub unsafe fn hmadvise(node: i32, start: usize, len: usize, behavior: i32) -> Result<(), Errno> {
    // SAFETY: The kernel checks all arguments; the content is the caller's duty.
    check(unsafe { libc::syscall(SYS_HMADVISE, node, start, len, behavior) }).map(|_| ())
}

/// Moves a range to a node; unlike other behaviours this can do no harm.
pub fn prefetch(node: i32, start: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: Moving pages does not change what they hold.
    unsafe { hmadvise(node, start, len, MADV_PREFETCH) }
}

/// Advises about a range; `behavior` is not [`MADV_DONTNEED`], which is refused.
pub fn hint(node: i32, start: usize, len: usize, behavior: i32) -> Result<(), Errno> {
    if behavior == MADV_DONTNEED {
        return Err(libc::EINVAL);
    }
    // SAFETY: No other behaviour changes what the range holds.
    unsafe { hmadvise(node, start, len, behavior) }
}

/// Maps `len` bytes of fresh zeroed memory with extra `flags`.
pub fn map(len: usize, prot: libc::c_int, flags: libc::c_int) -> Result<*mut u8, Errno> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags;
    // SAFETY: A mapping at an address of the kernel's choice touches nothing.
    let addr = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0) };
    if addr == libc::MAP_FAILED {
        Err(super::errno())
    } else {
        Ok(addr.cast())
    }
}

/// Maps `len` bytes of a file to read, shared with the devices.
pub fn map_file(fd: libc::c_int, len: usize) -> Result<*mut u8, Errno> {
    let flags = libc::MAP_SHARED | MAP_PEER_SHARED;
    // SAFETY: A mapping at an address of the kernel's choice touches nothing.
    let addr = unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, flags, fd, 0) };
    if addr == libc::MAP_FAILED {
        Err(super::errno())
    } else {
        Ok(addr.cast())
    }
}

/// As [`map()`], aligned to `align` (a power of two, at least a page).
pub fn map_aligned(
    len: usize,
    align: usize,
    prot: libc::c_int,
    flags: libc::c_int,
) -> Result<*mut u8, Errno> {
    let wide = len.checked_add(align).ok_or(libc::ENOMEM)?;
    let base = map(wide, prot, flags)?;
    let head = base.align_offset(align);
    // SAFETY: Head and tail are inside the mapping just made and unused.
    unsafe {
        if head > 0 {
            unmap(base, head)?;
        }
        let start = base.add(head);
        if align > head {
            unmap(start.add(len), align - head)?;
        }
        Ok(start)
    }
}

/// `munmap(2)`.
///
/// # Safety
///
/// The caller owns the range and nothing refers to it any more.
pub unsafe fn unmap(addr: *mut u8, len: usize) -> Result<(), Errno> {
    // SAFETY: The caller's promise.
    check(unsafe { libc::munmap(addr.cast(), len) }.into()).map(|_| ())
}

/// `mremap(2)` with `MREMAP_MAYMOVE`.
///
/// # Safety
///
/// The caller owns the mapping and forgets the old address on success.
pub unsafe fn remap(addr: *mut u8, old: usize, new: usize) -> Result<*mut u8, Errno> {
    // SAFETY: The caller's promise.
    let moved = unsafe { libc::mremap(addr.cast(), old, new, libc::MREMAP_MAYMOVE) };
    if moved == libc::MAP_FAILED {
        Err(super::errno())
    } else {
        Ok(moved.cast())
    }
}

/// Makes a reserved range readable and writable.
///
/// # Safety
///
/// The caller owns the range.
pub unsafe fn commit(addr: *mut u8, len: usize) -> Result<(), Errno> {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: The caller's promise.
    check(unsafe { libc::mprotect(addr.cast(), len, prot) }.into()).map(|_| ())
}

/// `madvise(2)`.
///
/// # Safety
///
/// The caller owns the range and bears what the advice does to its content.
pub unsafe fn madvise(addr: *mut u8, len: usize, advice: libc::c_int) -> Result<(), Errno> {
    // SAFETY: The caller's promise.
    check(unsafe { libc::madvise(addr.cast(), len, advice) }.into()).map(|_| ())
}
