// SPDX-License-Identifier: MIT OR GPL-2.0
//! eventfd and epoll.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{check, Errno};

/// A new eventfd with count 0.
pub fn eventfd() -> Result<OwnedFd, Errno> {
    // SAFETY: No pointers.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }.into())?;
    // SAFETY: The descriptor is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A new epoll instance.
pub fn epoll() -> Result<OwnedFd, Errno> {
    // SAFETY: No pointers.
    let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }.into())?;
    // SAFETY: The descriptor is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Arms `fd`: the next time it is readable, [`epoll_wait()`] returns `token` once.
pub fn epoll_arm(epoll: BorrowedFd<'_>, fd: BorrowedFd<'_>, token: u64) -> Result<(), Errno> {
    let mut event = libc::epoll_event {
        events: (libc::EPOLLIN | libc::EPOLLONESHOT) as u32,
        u64: token,
    };
    let mut ctl = |op| {
        // SAFETY: `event` is valid for the call.
        check(
            unsafe { libc::epoll_ctl(epoll.as_raw_fd(), op, fd.as_raw_fd(), &raw mut event) }
                .into(),
        )
    };
    match ctl(libc::EPOLL_CTL_ADD) {
        Err(libc::EEXIST) => ctl(libc::EPOLL_CTL_MOD).map(|_| ()),
        other => other.map(|_| ()),
    }
}

/// Waits for one armed descriptor and returns its token.
pub fn epoll_wait(epoll: BorrowedFd<'_>) -> Result<u64, Errno> {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    loop {
        // SAFETY: Room for one event.
        match check(unsafe { libc::epoll_wait(epoll.as_raw_fd(), &raw mut event, 1, -1) }.into()) {
            Ok(0) | Err(libc::EINTR) => continue,
            Ok(_) => return Ok(event.u64),
            Err(errno) => return Err(errno),
        }
    }
}
