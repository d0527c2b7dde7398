// SPDX-License-Identifier: MIT OR GPL-2.0
//! What the simulator asks of a policy: of the kernel's own, and of those it is compared with.

use std::ops::DerefMut;

use crate::policy::{Ghost, Key, Ranking, Search, Seen, Slot, Unit, Verdict};

/// Who leaves a device.
pub trait Replacement {
    /// `unit` was filled with the data that `key` names. What was known about the unit and
    /// units that overlap it is forgotten.
    fn insert(&mut self, unit: Unit, key: Key);

    /// `unit` is empty. Not needed for what [`Seen::Gone`] reports.
    fn remove(&mut self, unit: Unit);

    /// A device asked for a page of `unit`, which was there.
    fn used(&mut self, unit: Unit);

    /// The whole chunk `unit` became 32 units.
    fn split(&mut self, unit: Unit);

    /// The unit to ask the devices about next; `None` when there is none.
    fn candidate(&mut self, search: &mut Search) -> Option<Unit>;

    /// Decides about a candidate.
    fn decide(&mut self, search: &mut Search, unit: Unit, seen: Seen) -> Verdict;
}

impl<S: DerefMut<Target = [Slot]>, G: DerefMut<Target = [Ghost]>> Replacement for Ranking<S, G> {
    fn insert(&mut self, unit: Unit, key: Key) {
        self.insert(unit, key);
    }

    fn remove(&mut self, unit: Unit) {
        self.remove(unit);
    }

    fn used(&mut self, unit: Unit) {
        self.used(unit);
    }

    fn split(&mut self, unit: Unit) {
        self.split(unit);
    }

    fn candidate(&mut self, search: &mut Search) -> Option<Unit> {
        self.candidate(search)
    }

    fn decide(&mut self, search: &mut Search, unit: Unit, seen: Seen) -> Verdict {
        self.decide(search, unit, seen)
    }
}
