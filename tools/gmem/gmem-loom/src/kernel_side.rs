// SPDX-License-Identifier: MIT OR GPL-2.0
//! What the files use of the kernel.

/// As `crate::device` of `mm/gmem`.
pub(crate) mod device {
    pub(crate) mod dmem {
        pub(crate) fn return_soon() {}
    }
}

/// As `kernel::mm`.
pub(crate) mod mm {
    pub(crate) mod device {
        /// Two words of pages, not eight, so that there is less to explore.
        pub(crate) const PMD_PAGES: usize = 128;
    }
}

/// As `kernel::page`.
pub(crate) mod page {
    pub(crate) const PAGE_SHIFT: usize = 12;
}

/// As `kernel::processor`.
pub(crate) mod processor {
    pub(crate) fn cpu_relax() {
        loom::thread::yield_now();
    }
}

/// As `kernel::time`.
pub(crate) mod time {
    pub(crate) struct Delta;

    impl Delta {
        pub(crate) fn from_micros(_micros: i64) -> Self {
            Self
        }
    }

    pub(crate) mod delay {
        pub(crate) fn fsleep(_time: super::Delta) {
            loom::thread::yield_now();
        }
    }
}

/// As `kernel::prelude`.
pub(crate) mod prelude {
    #[derive(Debug)]
    pub(crate) struct Error;
    pub(crate) const ENODEV: Error = Error;
    pub(crate) type Result<T = (), E = Error> = core::result::Result<T, E>;

    #[derive(Clone, Copy)]
    pub(crate) struct Flags;
    pub(crate) const GFP_KERNEL: Flags = Flags;

    /// A value is its own initializer here.
    pub(crate) trait PinInit<T> {
        fn make(self) -> T;
    }

    impl<T> PinInit<T> for T {
        fn make(self) -> T {
            self
        }
    }

    macro_rules! pin_init {
        (@ [$($done:tt)*] $field:ident : $value:expr, $($rest:tt)*) => {
            pin_init!(@ [$($done)* $field: $value,] $($rest)*)
        };
        (@ [$($done:tt)*] $field:ident <- $value:expr, $($rest:tt)*) => {
            pin_init!(@ [$($done)* $field: $value,] $($rest)*)
        };
        (@ [$($done:tt)*]) => {
            Self { $($done)* }
        };
        (Self { $($all:tt)* }) => {
            pin_init!(@ [] $($all)*)
        };
    }
    pub(crate) use pin_init;

    pub(crate) struct KVVec<T>(Vec<T>);

    impl<T> KVVec<T> {
        pub(crate) fn with_capacity(nr: usize, _flags: Flags) -> Result<Self> {
            Ok(Self(Vec::with_capacity(nr)))
        }

        pub(crate) fn push(&mut self, value: T, _flags: Flags) -> Result {
            self.0.push(value);
            Ok(())
        }
    }

    impl<T> core::ops::Deref for KVVec<T> {
        type Target = [T];

        fn deref(&self) -> &[T] {
            &self.0
        }
    }
}

/// As `kernel::sync`.
pub(crate) mod sync {
    use crate::prelude::{Flags, PinInit, Result};
    use core::ops::{Deref, DerefMut};

    pub(crate) mod atomic;

    pub(crate) struct Arc<T>(std::sync::Arc<T>);

    impl<T> Arc<T> {
        pub(crate) fn pin_init(init: impl PinInit<T>, _flags: Flags) -> Result<Self> {
            Ok(Self(std::sync::Arc::new(init.make())))
        }
    }

    impl<T> Clone for Arc<T> {
        fn clone(&self) -> Self {
            Self(self.0.clone())
        }
    }

    impl<T> Deref for Arc<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    /// The guard is away while it waits.
    pub(crate) struct Guard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> Guard<'_, T> {
            Guard(Some(self.0.lock().unwrap()))
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().unwrap()
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().unwrap()
        }
    }

    pub(crate) use self::{Guard as SpinLockGuard, Mutex as SpinLock};

    pub(crate) struct CondVar(loom::sync::Condvar);

    impl CondVar {
        pub(crate) fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        pub(crate) fn wait<T>(&self, guard: &mut Guard<'_, T>) {
            guard.0 = guard.0.take().map(|guard| self.0.wait(guard).unwrap());
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

macro_rules! new_mutex {
    ($value:expr $(, $name:literal)?) => {
        kernel::sync::Mutex::new($value)
    };
}

macro_rules! new_condvar {
    ($($name:literal)?) => {
        kernel::sync::CondVar::new()
    };
}

pub(crate) use {new_condvar, new_mutex, new_mutex as new_spinlock};
