// SPDX-License-Identifier: MIT OR GPL-2.0

use std::ffi::c_int;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd};

use super::positive;
use crate::sys::npu::{self, Cmd, Info, Wait};
use crate::sys::Errno;
use crate::Npu;

/// How many NPUs there are.
#[no_mangle]
pub extern "C" fn gmem_npu_count() -> c_int {
    crate::list().len().try_into().unwrap_or(c_int::MAX)
}

/// Opens NPU number `index`; returns a file descriptor, to be closed with close(2).
#[no_mangle]
pub extern "C" fn gmem_npu_open(index: c_int) -> c_int {
    let Ok(index) = usize::try_from(index) else {
        return -libc::EINVAL;
    };
    let opened = Npu::open(index).and_then(|npu| npu.into_fd());
    match opened {
        Ok(fd) => OwnedFd::into_raw_fd(fd),
        Err(error) => -positive(&error),
    }
}

fn file<'a>(npu: c_int) -> Result<BorrowedFd<'a>, Errno> {
    if npu < 0 {
        return Err(libc::EBADF);
    }
    // SAFETY: Not -1; a number that is not open makes the ioctl fail.
    Ok(unsafe { BorrowedFd::borrow_raw(npu) })
}

fn status(result: Result<(), Errno>) -> c_int {
    result.map_or_else(|errno| -errno, |()| 0)
}

/// What the NPU is and has done.
///
/// # Safety
///
/// `info` can be written.
#[no_mangle]
pub unsafe extern "C" fn gmem_npu_info(npu: c_int, info: *mut Info) -> c_int {
    let found = file(npu).and_then(npu::info);
    // SAFETY: The caller's promise.
    status(found.map(|found| unsafe { info.write(found) }))
}

/// Queues `count` commands, which run in order.  `*job` names them for
/// gmem_npu_wait(); `eventfd` is signalled at the end, or -1.
///
/// # Safety
///
/// `cmds` holds `count` commands, `job` can be written, and the memory that the
/// commands name is left alone until the end.
#[no_mangle]
pub unsafe extern "C" fn gmem_npu_submit(
    npu: c_int,
    cmds: *const Cmd,
    count: usize,
    eventfd: c_int,
    job: *mut u64,
) -> c_int {
    if cmds.is_null() || job.is_null() || count == 0 {
        return -libc::EINVAL;
    }
    // SAFETY: The caller's promise.
    let cmds = unsafe { std::slice::from_raw_parts(cmds, count) };
    let event = (eventfd >= 0).then(|| file(eventfd)).transpose();
    let submitted = event.and_then(|event| {
        // SAFETY: The caller's promise.
        unsafe { npu::submit(file(npu)?, cmds, event) }
    });
    // SAFETY: The caller's promise.
    status(submitted.map(|number| unsafe { job.write(number) }))
}

/// Waits for a job and takes its result; `timeout_ns` 0 polls, negative waits for
/// ever.  Returns 0, -ETIME while it runs, or why it failed; then `*result`, if
/// not NULL, says which command and address.
///
/// # Safety
///
/// `result` is NULL or can be written.
#[no_mangle]
pub unsafe extern "C" fn gmem_npu_wait(
    npu: c_int,
    job: u64,
    timeout_ns: i64,
    result: *mut Wait,
) -> c_int {
    match file(npu).and_then(|npu| npu::wait(npu, job, timeout_ns)) {
        Ok(done) => {
            if !result.is_null() {
                // SAFETY: The caller's promise.
                unsafe { result.write(done) };
            }
            done.status
        }
        Err(errno) => -errno,
    }
}

/// Queues commands and waits for their end, as gmem_npu_submit() and
/// gmem_npu_wait() do.
///
/// # Safety
///
/// As for both.
#[no_mangle]
pub unsafe extern "C" fn gmem_npu_run(
    npu: c_int,
    cmds: *const Cmd,
    count: usize,
    result: *mut Wait,
) -> c_int {
    let mut job = 0;
    // SAFETY: The caller's promise.
    let submitted = unsafe { gmem_npu_submit(npu, cmds, count, -1, &raw mut job) };
    if submitted != 0 {
        return submitted;
    }
    loop {
        // SAFETY: The caller's promise.
        match unsafe { gmem_npu_wait(npu, job, -1, result) } {
            interrupted if interrupted == -libc::EINTR => continue,
            status => return status,
        }
    }
}

impl Npu {
    fn into_fd(self) -> crate::Result<OwnedFd> {
        use std::os::fd::AsFd;
        self.as_fd().try_clone_to_owned().map_err(|error| {
            let errno = error.raw_os_error().unwrap_or(libc::EMFILE);
            crate::Error::System { call: "dup", errno }
        })
    }
}
