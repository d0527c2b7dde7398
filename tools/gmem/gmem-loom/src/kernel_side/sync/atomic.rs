// SPDX-License-Identifier: MIT OR GPL-2.0
//! As `kernel::sync::atomic`.
//!
//! `Full` is acquire and release here, which is less than the kernel's, that has a barrier on both
//! sides: loom takes such a barrier for more than it is. So what needs the barrier fails its check.

use loom::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::OnceLock;

/// How an operation is ordered.
pub(crate) trait Order {
    const LOAD: Ordering = Ordering::Relaxed;
    const STORE: Ordering = Ordering::Relaxed;
    const BOTH: Ordering;
}

#[derive(Clone, Copy)]
pub(crate) struct Relaxed;
#[derive(Clone, Copy)]
pub(crate) struct Acquire;
#[derive(Clone, Copy)]
pub(crate) struct Release;
#[derive(Clone, Copy)]
pub(crate) struct Full;

impl Order for Relaxed {
    const BOTH: Ordering = Ordering::Relaxed;
}

impl Order for Acquire {
    const LOAD: Ordering = Ordering::Acquire;
    const BOTH: Ordering = Ordering::Acquire;
}

impl Order for Release {
    const STORE: Ordering = Ordering::Release;
    const BOTH: Ordering = Ordering::Release;
}

impl Order for Full {
    const BOTH: Ordering = Ordering::AcqRel;
}

/// A number that has an atomic type.
pub(crate) trait Number: Copy {
    type Atomic;
    fn make(self) -> Self::Atomic;
    fn load(at: &Self::Atomic, order: Ordering) -> Self;
    fn store(at: &Self::Atomic, value: Self, order: Ordering);
    fn swap(at: &Self::Atomic, value: Self, order: Ordering) -> Self;
    fn add(at: &Self::Atomic, value: Self, order: Ordering) -> Self;
    fn sub(at: &Self::Atomic, value: Self, order: Ordering) -> Self;
    fn cas(at: &Self::Atomic, old: Self, new: Self, order: Ordering) -> Result<Self, Self>;
}

macro_rules! numbers {
    ($($number:ty: $atomic:ty,)*) => {$(
        impl Number for $number {
            type Atomic = $atomic;

            fn make(self) -> $atomic {
                <$atomic>::new(self)
            }

            fn load(at: &$atomic, order: Ordering) -> Self {
                at.load(order)
            }

            fn store(at: &$atomic, value: Self, order: Ordering) {
                at.store(value, order);
            }

            fn swap(at: &$atomic, value: Self, order: Ordering) -> Self {
                at.swap(value, order)
            }

            fn add(at: &$atomic, value: Self, order: Ordering) -> Self {
                at.fetch_add(value, order)
            }

            fn sub(at: &$atomic, value: Self, order: Ordering) -> Self {
                at.fetch_sub(value, order)
            }

            fn cas(at: &$atomic, old: Self, new: Self, order: Ordering) -> Result<Self, Self> {
                at.compare_exchange(old, new, order, Ordering::Relaxed)
            }
        }
    )*};
}

numbers! {
    i32: AtomicI32,
    i64: AtomicI64,
    u32: AtomicU32,
    u64: AtomicU64,
    usize: AtomicUsize,
}

/// An atomic number. That of `loom` is made when it is used first, because it cannot be made in a
/// constant: a check touches all of them before it starts threads.
pub(crate) struct Atomic<T: Number> {
    first: T,
    now: OnceLock<T::Atomic>,
}

impl<T: Number> Atomic<T> {
    pub(crate) const fn new(first: T) -> Self {
        Self {
            first,
            now: OnceLock::new(),
        }
    }

    fn at(&self) -> &T::Atomic {
        self.now.get_or_init(|| self.first.make())
    }

    pub(crate) fn load<O: Order>(&self, _: O) -> T {
        T::load(self.at(), O::LOAD)
    }

    pub(crate) fn store<O: Order>(&self, value: T, _: O) {
        T::store(self.at(), value, O::STORE)
    }

    pub(crate) fn xchg<O: Order>(&self, value: T, _: O) -> T {
        T::swap(self.at(), value, O::BOTH)
    }

    pub(crate) fn add<O: Order>(&self, value: T, _: O) {
        T::add(self.at(), value, O::BOTH);
    }

    pub(crate) fn fetch_add<O: Order>(&self, value: T, _: O) -> T {
        T::add(self.at(), value, O::BOTH)
    }

    pub(crate) fn fetch_sub<O: Order>(&self, value: T, _: O) -> T {
        T::sub(self.at(), value, O::BOTH)
    }

    pub(crate) fn cmpxchg<O: Order>(&self, old: T, new: T, _: O) -> Result<T, T> {
        T::cas(self.at(), old, new, O::BOTH)
    }
}
