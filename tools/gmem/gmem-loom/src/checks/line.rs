// SPDX-License-Identifier: MIT OR GPL-2.0
// Checks of the line to a driver.

use super::subject::Line;
use kernel::prelude::PinInit;
use loom::{cell::UnsafeCell, thread};
use std::sync::Arc;

pub(crate) const ALL: &[crate::Check] = &[no_call_outlasts_the_cut, two_may_cut];

struct Driver {
    line: Line,
    /// The table of functions: read in calls, and gone after the cut.
    table: UnsafeCell<bool>,
}

impl Driver {
    fn new() -> Arc<Self> {
        let driver = Self {
            line: Line::new().make(),
            table: UnsafeCell::new(true),
        };
        // Touches the atomic.
        assert!(!driver.line.is_cut());
        Arc::new(driver)
    }

    fn call(&self) {
        if let Ok(_call) = self.line.call() {
            // SAFETY: Loom finds who else is there.
            let there = self.table.with(|table| unsafe { *table });
            assert!(there, "called after the cut");
        }
    }

    fn go(&self) {
        self.line.cut();
        assert!(self.line.call().is_err());
    }
}

fn no_call_outlasts_the_cut() {
    let driver = Driver::new();
    let callers = [0; 2].map(|_| {
        let driver = driver.clone();
        thread::spawn(move || driver.call())
    });
    driver.go();
    // SAFETY: As in `call`.
    driver.table.with_mut(|table| unsafe { *table = false });
    callers.into_iter().for_each(|caller| caller.join().unwrap());
}

fn two_may_cut() {
    let driver = Driver::new();
    let other = {
        let driver = driver.clone();
        thread::spawn(move || {
            driver.call();
            driver.go();
        })
    };
    driver.go();
    driver.go();
    other.join().unwrap();
}
