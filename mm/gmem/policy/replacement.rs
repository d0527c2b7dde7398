// SPDX-License-Identifier: GPL-2.0

//! The order in which [`Ranking`] lets units go.

use crate::policy::{
    ghost,
    ranking::{
        List,
        Ranking,
        Slot, //
    },
    Ghost,
    Key,
    Search,
    Seen,
    Unit,
    Verdict, //
};
use core::ops::DerefMut;

impl<S: DerefMut<Target = [Slot]>, G: DerefMut<Target = [Ghost]>> Ranking<S, G> {
    /// `unit` was filled with the data that `key` names. What was known about the unit and
    /// units that overlap it is forgotten.
    pub(crate) fn insert(&mut self, unit: Unit, key: Key) {
        if self.known(unit).is_some_and(|slot| slot.key == key) {
            // It is filled piece by piece.
            return self.used(unit);
        }
        self.remove(unit);
        self.now = self.now.wrapping_add(unit.slots());
        let distance = (0..unit.slots())
            .filter_map(|i| ghost::take(&mut self.ghosts, key.after(i)))
            .map(|last| self.now.wrapping_sub(last))
            .min();
        let hot = match distance {
            Some(distance) => self.challenge(unit, distance),
            None => self.hot_slots.saturating_add(unit.slots()) <= self.hot_max(),
        };
        let slot = Slot {
            list: if hot { List::Hot } else { List::Cold },
            fresh: true,
            key,
            stamp: self.now,
            ..Slot::default()
        };
        self.push(unit, slot);
    }

    /// `unit` is empty. Not needed for what [`Seen::Gone`] reports.
    pub(crate) fn remove(&mut self, unit: Unit) {
        let chunk = unit.around();
        self.pull(chunk);
        for at in (unit.first_slot()..).take(unit.slots() as usize) {
            self.pull(Unit::slot(at));
        }
    }

    /// A device asked for a page of `unit`, which was there.
    pub(crate) fn used(&mut self, unit: Unit) {
        let whole = unit.around();
        let unit = if self.known(whole).is_some() {
            whole
        } else {
            unit
        };
        // A young one is asked for because it came.
        if self.known(unit).is_some_and(|slot| !self.is_young(&slot)) {
            if let Some(slot) = self.get(unit.first_slot()) {
                slot.asked = true;
            }
        }
    }

    /// The whole chunk `unit` became 32 units.
    pub(crate) fn split(&mut self, unit: Unit) {
        let Some(slot) = self.pull(unit.around()) else {
            return;
        };
        let chunk = unit.around();
        for i in 0..chunk.slots() {
            let part = Slot {
                key: slot.key.after(i),
                fresh: false,
                asked: false,
                credit: 0,
                ..slot
            };
            self.push(Unit::slot(chunk.first_slot().saturating_add(i)), part);
        }
    }

    /// The unit to ask the devices about next; `None` when there is none.
    pub(crate) fn candidate(&mut self, search: &mut Search) -> Option<Unit> {
        let hot = self.hot.oldest().and_then(|at| self.unit(at));
        let cold = self.cold.oldest().and_then(|at| self.unit(at));

        if search.ahead {
            if search.cold_is_young {
                return None;
            }
            // A search that may come to nothing leaves the hot list in peace: one that is looked
            // at too often looks idle.
            let young =
                cold.filter(|unit| self.known(*unit).is_some_and(|slot| self.is_young(&slot)));
            if young.is_some() {
                return young;
            }
        }
        // A look at the front of the hot list keeps it in order.
        hot.filter(|_| search.hot_tests > 0 || search.cold_is_young)
            .or(cold)
            .or(hot)
    }

    /// Decides about a candidate.
    pub(crate) fn decide(&mut self, search: &mut Search, unit: Unit, seen: Seen) -> Verdict {
        let Some(slot) = self.known(unit) else {
            return Verdict::Keep;
        };
        let seen = match seen {
            Seen::Idle if slot.asked => Seen::Used,
            other => other,
        };
        let now = self.now;

        // Which parts of it are used? Whoever wants a part of it wants to know.
        let mixed = unit.is_whole() && !search.wants_chunk() && !slot.fresh;

        match (slot.list, seen) {
            (_, Seen::Used) if mixed && search.pass() => {
                return Verdict::Split {
                    first: unit.first_page(),
                };
            }
            (_, Seen::Gone) => self.remove(unit),
            (list, Seen::Stuck) => {
                search.pass();
                // The other list may have one that can leave.
                search.hot_tests = u32::from(list == List::Cold);
                search.stuck |= list == List::Cold;
                self.put(unit, list, |slot| slot.stamp = now);
            }
            (List::Hot, Seen::Used) if search.pass() => {
                search.hot_tests = search.hot_tests.saturating_sub(1);
                self.earn(unit);
            }
            (List::Hot, Seen::Idle) if slot.credit > 0 && search.pass() => {
                search.hot_tests = search.hot_tests.saturating_sub(1);
                self.pay(unit);
            }
            (List::Hot, Seen::Idle)
                if self.cold.oldest().is_some() && !search.stuck && !search.cold_is_young =>
            {
                search.hot_tests = 0;
                if let Some(slot) = self.get(unit.first_slot()) {
                    slot.idle = true;
                }
            }
            (List::Cold, Seen::Idle) if self.is_young(&slot) && search.pass() => {
                self.put(unit, List::Cold, |_| {});
                search.cold_is_young = self.cold_is_young();
            }
            (List::Cold, Seen::Used) if search.pass() => self.prove(unit, &slot),
            _ => {
                search.cold_is_young = false;
                return self.evict(search, unit);
            }
        }
        Verdict::Keep
    }

    /// Nothing came for a while: what came last was used by now, or will not be.
    pub(crate) fn rest(&mut self) {
        self.now = self.now.wrapping_add(self.young_max());
    }
}
