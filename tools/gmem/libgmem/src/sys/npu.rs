// SPDX-License-Identifier: MIT OR GPL-2.0
//! The ioctls of the sample accelerator, `<drm/npu_stub.h>`.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::{check, ioc, Errno, IOC_READ, IOC_READWRITE};

/// Version of the ABI this library speaks.
pub const ABI_VERSION: u32 = 1;
/// Flag of an NPU: it replays faults.
pub const INFO_FAULTS: u32 = 1;

/// `struct npu_info`: what an NPU is and what it has done.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Version of the driver's ABI.
    pub version: u32,
    /// Number of the NPU.
    pub index: u32,
    /// Heterogeneous node of its memory, -1 without memory.
    pub hnid: i32,
    /// What it can do.
    pub flags: u32,
    /// Bytes of NPU memory.
    pub mem_total: u64,
    /// Bytes not in use now.
    pub mem_free: u64,
    /// Width of the NPU's virtual addresses.
    pub va_bits: u32,
    /// Jobs one file may have queued or running.
    pub max_jobs: u32,
    /// Commands one job may have.
    pub max_cmds: u32,
    /// Zero.
    pub pad: u32,
    /// Device faults that did work.
    pub faults: u64,
    /// Bytes moved to the device.
    pub to_dev: u64,
    /// Bytes moved from the device.
    pub from_dev: u64,
    /// Bytes zero-filled on the device.
    pub zeroed: u64,
    /// Bytes of `to_dev` that came from another device.
    pub peer: u64,
    /// Bytes of `from_dev` that left to make room.
    pub evicted: u64,
    /// Invalidations that removed an entry.
    pub invalidated: u64,
    /// Bytes mapped remotely.
    pub remote: u64,
    /// Jobs of this file queued or running now.
    pub jobs_running: u64,
    /// Jobs of this file completed.
    pub jobs_done: u64,
}

/// Bytes at `dst` become the low byte of `arg[0]`.
pub const OP_FILL: u32 = 1;
/// Bytes from `src0` to `dst`.
pub const OP_COPY: u32 = 2;
/// u32 `dst[i] = src0[i] + src1[i]`.
pub const OP_VADD: u32 = 3;
/// int8 `dst[m][n] = clamp((src0[m][k] * src1[k][n]) >> shift)`, int32 sums;
/// `arg[0] = m | n << 16 | k << 32 | shift << 48`.
pub const OP_GEMM: u32 = 4;
/// u32 `dst[i] = src0[src1[i]]`; `len` is that of `dst`, `arg[0]` the elements of `src0`.
pub const OP_GATHER: u32 = 5;
/// u64 `dst[256] +=` counts of the bytes at `src0`.
pub const OP_HISTOGRAM: u32 = 6;
/// u64 at `dst += arg[0]`, `arg[1]` times.
pub const OP_ATOMIC_ADD: u32 = 7;
/// Read and throw away.
pub const OP_READ: u32 = 8;
/// Stay busy for `arg[0]` microseconds.
pub const OP_NOP: u32 = 9;

/// `struct npu_cmd`: one command.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cmd {
    /// The operation.
    pub op: u32,
    /// Zero.
    pub flags: u32,
    /// Destination address.
    pub dst: u64,
    /// First source.
    pub src0: u64,
    /// Second source.
    pub src1: u64,
    /// Length in bytes.
    pub len: u64,
    /// See the operation.
    pub arg: [u64; 2],
}

/// `struct npu_submit`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Submit {
    cmds: u64,
    nr_cmds: u32,
    eventfd: i32,
    job: u64,
}

/// `struct npu_wait`: the result of a job.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// The job.
    pub job: u64,
    /// Nanoseconds; 0 polls, negative waits for ever.
    pub timeout_ns: i64,
    /// Zero or a negative errno.
    pub status: i32,
    /// Index of the command that failed.
    pub cmd: u32,
    /// The faulting address, or 0.
    pub fault_addr: u64,
}

const MAGIC: u8 = b'N';
const IOC_INFO: u64 = ioc(IOC_READ, MAGIC, 0x40, size_of::<Info>());
const IOC_SUBMIT: u64 = ioc(IOC_READWRITE, MAGIC, 0x41, size_of::<Submit>());
const IOC_WAIT: u64 = ioc(IOC_READWRITE, MAGIC, 0x42, size_of::<Wait>());

/// `NPU_IOC_INFO`.
pub fn info(fd: BorrowedFd<'_>) -> Result<Info, Errno> {
    let mut info = Info::default();
    // SAFETY: The size of the structure is part of the ioctl's number.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), IOC_INFO as _, &raw mut info) }.into())?;
    Ok(info)
}

/// `NPU_IOC_SUBMIT`; returns the number of the job.
///
/// # Safety
///
/// Until the job has ended, no Rust reference may rely on the bytes that the
/// commands write, and the bytes must be valid for any content.
pub unsafe fn submit(
    fd: BorrowedFd<'_>,
    cmds: &[Cmd],
    event: Option<BorrowedFd<'_>>,
) -> Result<u64, Errno> {
    let mut arg = Submit {
        cmds: cmds.as_ptr() as u64,
        nr_cmds: u32::try_from(cmds.len()).map_err(|_| libc::EINVAL)?,
        eventfd: event.map_or(-1, |event| event.as_raw_fd()),
        job: 0,
    };
    // SAFETY: The kernel only reads `cmds`, which outlives the call; what the
    // commands touch is the caller's promise.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), IOC_SUBMIT as _, &raw mut arg) }.into())?;
    Ok(arg.job)
}

/// `NPU_IOC_WAIT`.
pub fn wait(fd: BorrowedFd<'_>, job: u64, timeout_ns: i64) -> Result<Wait, Errno> {
    let mut arg = Wait {
        job,
        timeout_ns,
        ..Wait::default()
    };
    // SAFETY: The size of the structure is part of the ioctl's number.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), IOC_WAIT as _, &raw mut arg) }.into())?;
    Ok(arg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_the_kernels() {
        assert_eq!(size_of::<Info>(), 128);
        assert_eq!(size_of::<Cmd>(), 56);
        assert_eq!(size_of::<Submit>(), 24);
        assert_eq!(size_of::<Wait>(), 32);
        assert_eq!(IOC_INFO, 0x8080_4e40);
        assert_eq!(IOC_SUBMIT, 0xc018_4e41);
        assert_eq!(IOC_WAIT, 0xc020_4e42);
    }
}
