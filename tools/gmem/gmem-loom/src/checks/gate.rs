// SPDX-License-Identifier: MIT OR GPL-2.0
// Checks of a gate.

use super::subject::Gate;
use kernel::prelude::PinInit;
use loom::{cell::UnsafeCell, thread};
use std::sync::Arc;

pub(crate) const ALL: &[crate::Check] = &[
    nobody_is_inside_a_closed_gate,
    two_may_close_for_ever,
    it_opens_again,
    closed_for_ever_stays_so,
];

struct House {
    gate: Gate,
    /// Read inside, and gone after the gate was closed.
    table: UnsafeCell<bool>,
}

impl House {
    fn new() -> Arc<Self> {
        let house = Self {
            gate: Gate::new().make(),
            table: UnsafeCell::new(true),
        };
        // Touches the atomic.
        assert!(!house.gate.is_closed_for_ever());
        Arc::new(house)
    }

    /// Returns whether the gate was open.
    fn visit(&self) -> bool {
        self.gate.enter().is_ok_and(|_inside| {
            // SAFETY: Loom finds who else is there.
            let there = self.table.with(|table| unsafe { *table });
            assert!(there, "inside after it was closed");
            true
        })
    }

    fn set(&self, there: bool) {
        // SAFETY: As in `visit`.
        self.table.with_mut(|table| unsafe { *table = there });
    }

    fn end(&self) {
        self.gate.close_for_ever();
        assert!(self.gate.is_closed_for_ever());
        assert!(self.gate.enter().is_err());
    }
}

fn visitor(house: &Arc<House>) -> thread::JoinHandle<bool> {
    let house = house.clone();
    thread::spawn(move || house.visit())
}

fn nobody_is_inside_a_closed_gate() {
    let house = House::new();
    let visitors = [0; 2].map(|_| visitor(&house));
    house.end();
    house.set(false);
    visitors.into_iter().for_each(|visitor| _ = visitor.join().unwrap());
}

fn two_may_close_for_ever() {
    let house = House::new();
    let other = {
        let house = house.clone();
        thread::spawn(move || {
            house.visit();
            house.end();
        })
    };
    house.end();
    house.end();
    other.join().unwrap();
}

fn it_opens_again() {
    let house = House::new();
    let other = visitor(&house);
    house.gate.close().unwrap();
    assert!(house.gate.close().is_err(), "closed once only");
    house.set(false);
    assert!(!house.visit());
    house.set(true);
    house.gate.open();
    assert!(house.visit());
    other.join().unwrap();
}

fn closed_for_ever_stays_so() {
    let house = House::new();
    let other = {
        let house = house.clone();
        thread::spawn(move || {
            if house.gate.close().is_ok() {
                house.gate.open();
            }
        })
    };
    house.end();
    other.join().unwrap();
    assert!(!house.visit());
}
