// SPDX-License-Identifier: MIT OR GPL-2.0
//! Raw system calls and structures, the only layer that names numbers.
//!
//! The functions return the positive errno in `Err`.

pub mod event;
pub mod hmm;
pub mod lock;
pub mod mem;
pub mod npu;

/// A positive errno.
pub type Errno = i32;

/// The errno of the system call that failed last on this thread.
pub fn errno() -> Errno {
    // SAFETY: The C library returns a valid pointer to this thread's errno.
    unsafe { *libc::__errno_location() }
}

/// Turns the result convention of the C library into a `Result`.
pub fn check(ret: libc::c_long) -> Result<libc::c_long, Errno> {
    if ret == -1 {
        Err(errno())
    } else {
        Ok(ret)
    }
}

/// Number of an ioctl: `_IOC(dir, magic, nr, size)`.
///
/// The layout is the generic one that x86-64 and arm64 share.
pub const fn ioc(dir: u64, magic: u8, nr: u8, size: usize) -> u64 {
    dir << 30 | (size as u64) << 16 | (magic as u64) << 8 | nr as u64
}

/// `_IOC_READ`: the kernel writes the structure.
pub const IOC_READ: u64 = 2;
/// `_IOC_READ | _IOC_WRITE`.
pub const IOC_READWRITE: u64 = 3;
