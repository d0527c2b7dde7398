// SPDX-License-Identifier: MIT OR GPL-2.0
//! Waking futures without a runtime: one thread waits for all eventfds.

use std::collections::HashMap;
use std::future::Future;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::sys::event;
use crate::{Error, Result};

type Wakers = Mutex<HashMap<u64, Waker>>;

static REACTOR: OnceLock<Reactor> = OnceLock::new();

/// The thread that waits.
pub(crate) struct Reactor {
    epoll: OwnedFd,
    wakers: Wakers,
}

/// Names one future to the reactor.
pub(crate) struct Token(u64);

impl Token {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if let Some(reactor) = REACTOR.get() {
            reactor.take(self.0);
        }
    }
}

impl Reactor {
    /// Wakes `waker` when `fd` is readable.
    pub(crate) fn wake_on(fd: BorrowedFd<'_>, token: &Token, waker: &Waker) -> Result<()> {
        let reactor = Self::get()?;
        let mut wakers = reactor
            .wakers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        wakers.insert(token.0, waker.clone());
        event::epoll_arm(reactor.epoll.as_fd(), fd, token.0).map_err(|errno| Error::System {
            call: "epoll_ctl",
            errno,
        })
    }

    fn get() -> Result<&'static Self> {
        if let Some(reactor) = REACTOR.get() {
            return Ok(reactor);
        }
        static START: Mutex<()> = Mutex::new(());
        let _start = START.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reactor) = REACTOR.get() {
            return Ok(reactor);
        }
        let fail = |call, errno| Error::System { call, errno };
        let epoll = event::epoll().map_err(|errno| fail("epoll_create1", errno))?;
        thread::Builder::new()
            .name("gmem-reactor".into())
            .spawn(|| REACTOR.wait_set().run())
            .map_err(|error| fail("clone", error.raw_os_error().unwrap_or(libc::EAGAIN)))?;
        Ok(REACTOR.get_or_init(|| Self {
            epoll,
            wakers: Wakers::default(),
        }))
    }

    fn run(&self) {
        while let Ok(token) = event::epoll_wait(self.epoll.as_fd()) {
            if let Some(waker) = self.take(token) {
                waker.wake();
            }
        }
    }

    fn take(&self, token: u64) -> Option<Waker> {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.remove(&token)
    }
}

/// `OnceLock::wait()`, which this library's oldest compiler lacks: the value is
/// set right after the thread was made.
trait WaitSet {
    fn wait_set(&'static self) -> &'static Reactor;
}

impl WaitSet for OnceLock<Reactor> {
    fn wait_set(&'static self) -> &'static Reactor {
        loop {
            match self.get() {
                Some(reactor) => return reactor,
                None => thread::yield_now(),
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::future::poll_fn;
    use std::io::Write;
    use std::time::Duration;

    fn signal(event: &OwnedFd) {
        let mut file = File::from(event.try_clone().unwrap());
        file.write_all(&1u64.to_ne_bytes()).unwrap();
    }

    fn wait_for(event: &OwnedFd) {
        let (token, mut polls) = (Token::new(), 0);
        block_on(poll_fn(|cx| {
            polls += 1;
            if polls == 2 {
                return Poll::Ready(());
            }
            Reactor::wake_on(event.as_fd(), &token, cx.waker()).unwrap();
            Poll::Pending
        }));
    }

    #[test]
    fn wakes_on_a_later_event() {
        let event = event::eventfd().unwrap();
        thread::scope(|s| {
            s.spawn(|| {
                thread::sleep(Duration::from_millis(20));
                signal(&event);
            });
            wait_for(&event);
        });
    }

    #[test]
    fn an_earlier_event_is_not_lost() {
        let event = event::eventfd().unwrap();
        signal(&event);
        wait_for(&event);
        wait_for(&event);
    }
}
