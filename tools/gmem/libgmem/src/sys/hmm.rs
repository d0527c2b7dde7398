// SPDX-License-Identifier: MIT OR GPL-2.0
//! The ioctls of the kernel's HMM test device, which the benchmark compares
//! with.  It grows its memory by 256 MiB at a time.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::mem::PAGE_SIZE;
use super::{check, ioc, Errno, IOC_READWRITE};

/// `struct hmm_dmirror_cmd`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Cmd {
    addr: u64,
    ptr: u64,
    npages: u64,
    cpages: u64,
    faults: u64,
}

const MIGRATE_TO_DEV: u64 = ioc(IOC_READWRITE, b'H', 2, size_of::<Cmd>());
const MIGRATE_TO_SYS: u64 = ioc(IOC_READWRITE, b'H', 3, size_of::<Cmd>());

fn call(fd: BorrowedFd<'_>, nr: u64, addr: usize, len: usize, out: *mut u8) -> Result<u64, Errno> {
    let mut cmd = Cmd {
        addr: addr as u64,
        ptr: out as u64,
        npages: (len / PAGE_SIZE) as u64,
        ..Cmd::default()
    };
    loop {
        // SAFETY: The size of the structure is part of the ioctl's number; `out`
        // is null or holds `len` bytes, see the callers.
        match check(unsafe { libc::ioctl(fd.as_raw_fd(), nr as _, &raw mut cmd) }.into()) {
            Ok(_) => return Ok(cmd.cpages),
            Err(libc::EINTR) => continue,
            Err(errno) => return Err(errno),
        }
    }
}

/// Moves the pages of `range` to the device, which copies what it then holds to
/// `out`; returns how many pages it holds.
pub fn migrate_to_dev(fd: BorrowedFd<'_>, range: &[u8], out: &mut [u8]) -> Result<u64, Errno> {
    if out.len() < range.len() {
        return Err(libc::EINVAL);
    }
    let addr = range.as_ptr() as usize;
    call(fd, MIGRATE_TO_DEV, addr, range.len(), out.as_mut_ptr())
}

/// Moves the pages of `range` home; returns how many were moved.
pub fn migrate_to_sys(fd: BorrowedFd<'_>, range: &[u8]) -> Result<u64, Errno> {
    let addr = range.as_ptr() as usize;
    call(fd, MIGRATE_TO_SYS, addr, range.len(), std::ptr::null_mut())
}
