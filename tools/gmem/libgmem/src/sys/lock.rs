// SPDX-License-Identifier: MIT OR GPL-2.0
//! A mutex for the allocator: it allocates nothing and survives `fork(2)`.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// A futex-based mutex around `T`.
///
/// # Invariants
///
/// - `value` is touched only by the thread that holds `state`.
/// - `forker` is not 0 only while [`before_fork()`](Self::before_fork) holds
///   the lock, and then names the thread that called it.
pub struct ForkLock<T> {
    state: AtomicU32,
    forker: AtomicUsize,
    value: UnsafeCell<T>,
}

// SAFETY: The lock serialises all access to `value`.
unsafe impl<T: Send> Sync for ForkLock<T> {}

/// Proof that the lock is held.
pub struct Guard<'a, T> {
    lock: &'a ForkLock<T>,
    release: bool,
}

impl<T> ForkLock<T> {
    /// A free lock.
    pub const fn new(value: T) -> Self {
        Self {
            state: AtomicU32::new(FREE),
            forker: AtomicUsize::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock.
    pub fn lock(&self) -> Guard<'_, T> {
        let free = self
            .state
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed);
        // Other handlers of pthread_atfork() may allocate in the forking thread
        // after ours took the lock; nobody else touches the value then.
        let release = free.is_ok() || (!self.forking_here() && self.lock_slow());
        Guard {
            lock: self,
            release,
        }
    }

    fn forking_here(&self) -> bool {
        let forker = self.forker.load(Ordering::Relaxed);
        forker != 0 && forker == this_thread()
    }

    #[cold]
    fn lock_slow(&self) -> bool {
        for _ in 0..100 {
            if self.state.load(Ordering::Relaxed) == FREE {
                break;
            }
            std::hint::spin_loop();
        }
        while self.state.swap(CONTENDED, Ordering::Acquire) != FREE {
            futex(&self.state, libc::FUTEX_WAIT, CONTENDED);
        }
        true
    }

    fn unlock(&self) {
        if self.state.swap(FREE, Ordering::Release) == CONTENDED {
            futex(&self.state, libc::FUTEX_WAKE, 1);
        }
    }

    /// To be called by the `prepare` handler of `pthread_atfork()`.
    pub fn before_fork(&self) {
        std::mem::forget(self.lock());
        self.forker.store(this_thread(), Ordering::Relaxed);
    }

    /// To be called by the `parent` handler.
    pub fn after_fork_parent(&self) {
        self.forker.store(0, Ordering::Relaxed);
        self.unlock();
    }

    /// To be called by the `child` handler, where this thread is alone.
    pub fn after_fork_child(&self) {
        self.forker.store(0, Ordering::Relaxed);
        self.state.store(FREE, Ordering::Release);
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type's invariants this thread holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: By the type's invariants this thread holds the lock.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        if self.release {
            self.lock.unlock();
        }
    }
}

fn this_thread() -> usize {
    // SAFETY: Always callable; a thread's handle is not 0.
    unsafe { libc::pthread_self() as usize }
}

fn futex(word: &AtomicU32, op: libc::c_int, value: u32) {
    let op = op | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: errno belongs to this thread; the allocator must not change it.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: As above.
    let saved = unsafe { *errno };
    // SAFETY: The word outlives the call; no timeout.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, value, 0usize) };
    // SAFETY: As above.
    unsafe { *errno = saved };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excludes_threads() {
        static LOCK: ForkLock<u64> = ForkLock::new(0);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| (0..50_000).for_each(|_| *LOCK.lock() += 1));
            }
        });
        assert_eq!(*LOCK.lock(), 200_000);
    }

    #[test]
    fn the_forking_thread_may_still_lock() {
        static LOCK: ForkLock<u64> = ForkLock::new(0);
        LOCK.before_fork();
        *LOCK.lock() += 1;
        let other = std::thread::spawn(|| *LOCK.lock() += 10);
        *LOCK.lock() += 1;
        LOCK.after_fork_parent();
        other.join().unwrap();
        assert_eq!(*LOCK.lock(), 12);
    }

    #[test]
    fn the_child_starts_free() {
        static LOCK: ForkLock<u64> = ForkLock::new(7);
        LOCK.before_fork();
        LOCK.after_fork_child();
        let other = std::thread::spawn(|| *LOCK.lock());
        assert_eq!(other.join().unwrap(), 7);
    }
}
