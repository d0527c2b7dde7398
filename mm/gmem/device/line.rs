// SPDX-License-Identifier: GPL-2.0

//! The line to a driver: whether its functions may be called, and how many calls run.
//!
//! The pages of a device can outlive it, and everybody who meets such a page would call the driver.
//! Each call therefore is made while a [`Call`] exists, and none exists once the line was cut.

use kernel::{
    new_condvar,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        CondVar,
        Mutex, //
    }, //
};

/// No call begins any more.
const CUT: usize = 1 << (usize::BITS - 1);

/// The line to one driver.
#[pin_data]
pub(crate) struct Line {
    /// How many calls run, and [`CUT`].
    state: Atomic<usize>,
    #[pin]
    waiting: Mutex<()>,
    /// The last call ended after the line was cut.
    #[pin]
    quiet: CondVar,
}

/// Proof that functions of the driver may be called.
pub(crate) struct Call<'a>(&'a Line);

impl Line {
    /// Makes a line that is open.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state: Atomic::new(0),
            waiting <- new_mutex!((), "gmem_line"),
            quiet <- new_condvar!("gmem_line_quiet"),
        })
    }

    /// Begins a call.
    ///
    /// # Errors
    ///
    /// `ENODEV` when the line was cut.
    #[inline]
    pub(crate) fn call(&self) -> Result<Call<'_>> {
        let mut old = self.state.load(Relaxed);
        loop {
            if old & CUT != 0 {
                return Err(ENODEV);
            }
            match self.state.cmpxchg(old, old + 1, Full) {
                Ok(_) => return Ok(Call(self)),
                Err(now) => old = now,
            }
        }
    }

    /// Returns whether the line was cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.state.load(Relaxed) & CUT != 0
    }

    /// Cuts the line and waits for the calls that run. The caller is in none of them.
    pub(crate) fn cut(&self) {
        let mut waiting = self.waiting.lock();
        if !self.is_cut() {
            self.state.fetch_add(CUT, Full);
        }
        // Pairs with the end of a call that nobody waited for.
        while self.state.load(Acquire) != CUT {
            self.quiet.wait(&mut waiting);
        }
    }
}

impl Drop for Call<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.0.state.fetch_sub(1usize, Full) == CUT + 1 {
            // With the lock, so that who waits either saw the new number or sleeps.
            let _waiting = self.0.waiting.lock();
            self.0.quiet.notify_all();
        }
    }
}
