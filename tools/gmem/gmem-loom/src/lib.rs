// SPDX-License-Identifier: MIT OR GPL-2.0
//! The kernel files with atomics of their own, run in all orders that the processor may give their
//! memory accesses.
//!
//! `build.rs` takes the files as they are, and once more with each mistake that the checks have to
//! find. What they use of the kernel stands in [`kernel_side`], made of what `loom` watches.
#![cfg(test)]

extern crate self as kernel;

mod kernel_side;

#[allow(unused_imports, reason = "each file uses a part")]
use kernel_side::{
    device, mm, new_condvar, new_mutex, new_spinlock, page, prelude, processor, sync, time,
};

/// What the modules around `chunk.rs` have.
mod super_of_chunk {}

/// What the modules around `gate.rs` have.
mod super_of_gate {}

/// What the modules around `tlb.rs` have.
mod super_of_tlb {
    use crate::sync::atomic::{Atomic, Relaxed};
    use core::marker::PhantomData;

    /// As `soft::Miss`.
    #[derive(Debug)]
    pub(crate) enum Miss {
        Absent,
        Foreign,
    }

    pub(crate) mod translation {
        /// As the copy of an entry, of a page of 4 KiB.
        #[derive(Clone, Copy)]
        pub(crate) struct Word;

        impl Word {
            pub(crate) fn serves(self, _write: bool) -> bool {
                true
            }

            pub(crate) fn is_large(self) -> bool {
                false
            }
        }
    }

    /// As `soft::Translation`.
    pub(crate) struct Translation<'a>(PhantomData<&'a ()>);

    impl<'a> Translation<'a> {
        pub(crate) fn new<T>(_step: &'a T, _word: translation::Word) -> Self {
            Self(PhantomData)
        }
    }

    /// As `soft::PageTable`, with one entry.
    pub(crate) struct PageTable {
        pub(crate) present: Atomic<u32>,
    }

    impl PageTable {
        pub(crate) const SPACE: u64 = 1;

        pub(crate) fn space(&self) -> u64 {
            Self::SPACE
        }

        pub(crate) fn is_used_with<T>(&self, _tlb: &T) -> bool {
            true
        }

        pub(crate) fn translate(&self, _va: u64, _write: bool) -> Result<translation::Word, Miss> {
            match self.present.load(Relaxed) {
                0 => Err(Miss::Absent),
                _ => Ok(translation::Word),
            }
        }
    }
}

/// One thing to check.
type Check = fn();

/// Runs a check in all orders with at most three preemptions, which covers what is known to go
/// wrong in practice and takes a second or two.
fn explore(check: Check) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(check);
}

/// All checks pass.
fn holds(checks: &[Check]) {
    checks.iter().for_each(|check| explore(*check));
}

/// One of the checks fails.
fn is_found(checks: &[Check]) {
    let finds = |check: &Check| {
        let check = *check;
        std::thread::spawn(move || explore(check)).join().is_err()
    };
    assert!(checks.iter().any(finds), "nothing was found");
}

include!(concat!(env!("OUT_DIR"), "/subjects.rs"));
