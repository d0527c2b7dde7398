// SPDX-License-Identifier: GPL-2.0

//! Event file descriptors, to tell a process that a job is complete.
//!
//! C header: [`include/linux/eventfd.h`](srctree/include/linux/eventfd.h)

use crate::{
    bindings,
    error::from_err_ptr,
    prelude::*, //
};
use core::ptr::NonNull;

/// A reference to the object behind an event file descriptor.
///
/// # Invariants
///
/// The pointer is a valid `struct eventfd_ctx` of which this value owns a reference.
pub struct EventFd(NonNull<bindings::eventfd_ctx>);

// SAFETY: A reference may be used and put from any thread.
unsafe impl Send for EventFd {}
// SAFETY: `eventfd_signal()` does its own locking.
unsafe impl Sync for EventFd {}

impl EventFd {
    /// Looks a file descriptor of the current process up.
    ///
    /// # Errors
    ///
    /// `EBADF` when it is not open, `EINVAL` when it is something else.
    pub fn from_fd(fd: i32) -> Result<Self> {
        // SAFETY: Any number may be passed.
        let ctx = from_err_ptr(unsafe { bindings::eventfd_ctx_fdget(fd) })?;
        // INVARIANT: The function returned a reference that is ours.
        Ok(Self(NonNull::new(ctx).ok_or(EBADF)?))
    }

    /// Adds one to the counter and wakes who waits.
    pub fn signal(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::eventfd_signal(self.0.as_ptr()) };
    }
}

impl Drop for EventFd {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; the reference is not used afterwards.
        unsafe { bindings::eventfd_ctx_put(self.0.as_ptr()) };
    }
}
