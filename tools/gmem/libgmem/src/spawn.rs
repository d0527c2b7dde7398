// SPDX-License-Identifier: MIT OR GPL-2.0
//! Jobs that own their memory, to wait for or to `.await`.

use std::future::Future;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::executor::{Reactor, Token};
use crate::pending::Pending;
use crate::sys::event;
use crate::{Error, Job, Npu, Result};

/// A running job and the memory it works on.
///
/// Dropping it waits for the job.  It is also a future: its output is the
/// memory and the result of the job.
///
/// # Invariants
///
/// `memory` came from a `Box`; no reference to it exists while the job runs.
#[must_use = "dropping it waits for the job"]
pub struct Spawned<K: 'static> {
    memory: Option<NonNull<K>>,
    pending: Pending,
    event: OwnedFd,
    token: Token,
}

// SAFETY: The value owns the `K` and gives access to it only as a whole.
unsafe impl<K: Send> Send for Spawned<K> {}

// The memory lies in its own allocation and is not moved with the handle.
impl<K> Unpin for Spawned<K> {}

/// A job that was not accepted, with the memory it was given.
#[derive(Debug)]
pub struct Refused<K> {
    /// Why.
    pub error: Error,
    /// What [`Npu::spawn()`] was given.
    pub memory: K,
}

impl<K> From<Refused<K>> for Error {
    fn from(refused: Refused<K>) -> Self {
        refused.error
    }
}

impl Npu {
    /// Queues a job that owns its memory; `build` makes the job from it.
    ///
    /// ```no_run
    /// # use gmem::{block_on, Buffer, Job, Npu};
    /// # fn main() -> gmem::Result<()> {
    /// let npu = Npu::open(0)?;
    /// let job = npu.spawn(Buffer::new(4096)?, |b| Job::new().fill(&mut b[..], 9))?;
    /// let (buffer, result) = block_on(job);
    /// result?;
    /// assert_eq!(buffer[17], 9);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The memory comes back with the error.
    pub fn spawn<K, F>(&self, memory: K, build: F) -> Result<Spawned<K>, Refused<K>>
    where
        K: 'static,
        F: for<'a> FnOnce(&'a mut K) -> Result<Job<'a>>,
    {
        let mut memory = Box::new(memory);
        let event = event::eventfd().map_err(|errno| Error::System {
            call: "eventfd",
            errno,
        });
        let submitted = event.and_then(|event| {
            let job = build(&mut memory)?;
            // SAFETY: `memory` is 'static and stays allocated and untouched until
            // the job has ended, see `Spawned`.
            let pending = unsafe { self.submit_raw(job.commands(), Some(event.as_fd())) }?;
            Ok((pending, event))
        });
        match submitted {
            Ok((pending, event)) => Ok(Spawned {
                memory: Some(NonNull::from(Box::leak(memory))),
                pending,
                event,
                token: Token::new(),
            }),
            Err(error) => Err(Refused {
                error,
                memory: *memory,
            }),
        }
    }
}

impl<K> Spawned<K> {
    /// Waits for the end of the job; gives the memory back with the result.
    pub fn wait(mut self) -> (K, Result<()>) {
        self.take()
    }

    /// Waits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] while the job runs, [`Error::Job`] when it failed.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<()> {
        self.pending.wait(Some(timeout))
    }

    fn take(&mut self) -> (K, Result<()>) {
        let result = self.pending.finish();
        let memory = self.memory.take();
        let memory = memory.expect("a job gives its memory back once");
        // SAFETY: By the type's invariants, and the job has ended.
        (*unsafe { Box::from_raw(memory.as_ptr()) }, result)
    }
}

impl<K> Future for Spawned<K> {
    type Output = (K, Result<()>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.pending.wait(Some(Duration::ZERO)) == Err(Error::TimedOut) {
            // The eventfd stays signalled, so an end before this call is not lost.
            if Reactor::wake_on(self.event.as_fd(), &self.token, cx.waker()).is_ok() {
                return Poll::Pending;
            }
            // No descriptor or thread left for the reactor: wait here.
        }
        Poll::Ready(self.take())
    }
}

impl<K> Drop for Spawned<K> {
    fn drop(&mut self) {
        if self.memory.is_some() {
            drop(self.take());
        }
    }
}

impl<K> std::fmt::Debug for Spawned<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Spawned(job {})", self.pending.id())
    }
}
