// SPDX-License-Identifier: GPL-2.0

//! A gate: whether users may come in, and how many are inside.
//!
//! Three things have one. The functions of a driver are called by who is inside the first, and none
//! is once it was closed for ever, although pages of the device remain. Work on a device, which its
//! memory must outlive, is inside the second; faults of a context are inside the third.

use kernel::{
    new_condvar,
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        CondVar,
        SpinLock,
        SpinLockGuard, //
    }, //
};

/// Nobody comes in until the gate is opened again.
const CLOSED: usize = 1 << (usize::BITS - 1);
/// Nobody ever comes in again.
const FOR_EVER: usize = 1 << (usize::BITS - 2);
/// How many are inside.
const INSIDE: usize = FOR_EVER - 1;

/// A gate.
#[pin_data]
pub(crate) struct Gate {
    /// [`INSIDE`], and the two flags, which change under `changing`.
    state: Atomic<usize>,
    #[pin]
    changing: SpinLock<()>,
    /// The last one left a gate that is closed.
    #[pin]
    empty: CondVar,
}

/// Proof that somebody is inside.
pub(crate) struct Inside<'a>(&'a Gate);

impl Gate {
    /// Makes a gate that is open.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state: Atomic::new(0),
            changing <- new_spinlock!((), "gmem_gate"),
            empty <- new_condvar!("gmem_gate_empty"),
        })
    }

    /// Goes in.
    ///
    /// # Errors
    ///
    /// `ENODEV` when the gate is closed.
    #[inline]
    pub(crate) fn enter(&self) -> Result<Inside<'_>> {
        if self.state.fetch_add(1usize, Full) & !INSIDE == 0 {
            return Ok(Inside(self));
        }
        self.leave_closed();
        Err(ENODEV)
    }

    /// Returns whether the gate was closed for ever.
    pub(crate) fn is_closed_for_ever(&self) -> bool {
        self.state.load(Relaxed) & FOR_EVER != 0
    }

    /// Closes the gate and waits for those inside. The caller is not.
    ///
    /// # Errors
    ///
    /// `ENODEV` when it was closed before.
    pub(crate) fn close(&self) -> Result {
        let changing = self.changing.lock();
        if self.state.load(Relaxed) & !INSIDE != 0 {
            return Err(ENODEV);
        }
        self.wait(CLOSED, changing);
        Ok(())
    }

    /// Closes the gate for ever, whoever closed it before, and waits for those inside. The caller
    /// is not.
    pub(crate) fn close_for_ever(&self) {
        let changing = self.changing.lock();
        let is_new = !self.is_closed_for_ever();
        self.wait(if is_new { FOR_EVER } else { 0 }, changing);
    }

    fn wait(&self, flag: usize, mut changing: SpinLockGuard<'_, ()>) {
        // Pairs with who left before there was a flag; who leaves later has the lock.
        self.state.fetch_add(flag, Full);
        while self.state.load(Relaxed) & INSIDE != 0 {
            self.empty.wait(&mut changing);
        }
    }

    /// Opens what [`Self::close`] closed, unless it is closed for ever.
    pub(crate) fn open(&self) {
        let _changing = self.changing.lock();
        self.state.fetch_sub(CLOSED, Full);
    }
}

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        let gate = self.0;
        let mut old = gate.state.load(Relaxed);
        while old & !INSIDE == 0 {
            match gate.state.cmpxchg(old, old - 1, Full) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
        gate.leave_closed();
    }
}

impl Gate {
    /// Leaves a gate that somebody closes. Who waits may free it once nobody is inside, and needs
    /// the lock to see that.
    #[cold]
    fn leave_closed(&self) {
        let _changing = self.changing.lock();
        if self.state.fetch_sub(1usize, Full) & INSIDE == 1 {
            self.empty.notify_all();
        }
    }
}
