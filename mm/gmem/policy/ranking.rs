// SPDX-License-Identifier: GPL-2.0

//! Which unit of a device's memory is worth least.
//!
//! Least recently used is the wrong question once a job walks over more memory than the device
//! has: what was used longest ago is then what is needed next. The right one is how far apart
//! two uses of a unit are, and so units are in two lists:
//!
//! - *hot*: all but a sixteenth of the memory, or but two blocks if that is more. What comes while
//!   there is room is hot. The list is in the order in which units were last looked at, so its
//!   front is the unit whose last known use is the oldest. A unit that is seen in use goes to
//!   the end and earns a credit; an idle one pays with a credit for going there. So what is used
//!   often stays longer than what was used of late.
//! - *cold*: what came later. It leaves in the order of arrival, unless it proves that it is used
//!   more often than the front of the hot list: by a use while it is cold, or by coming back soon
//!   after it left, which the [`ghost`]s tell. If the time between its two uses is shorter than the
//!   front has been idle, they change places.
//!
//! What came last is young until its use was seen, and leaves only when there is nothing else: the
//! device that asked for it is about to use it.
//!
//! A loop over too much memory never proves anything, so all but a sixteenth of the memory
//! serves it in each round. A hot unit that is not used any more is replaced by the first one
//! that is. A use is noticed when a unit comes to the front of its list, not before: hits cost
//! nothing.
//!
//! Time is counted in slots filled.

use crate::policy::{
    ghost,
    lru::{
        Link,
        Linked,
        Lru, //
    },
    unit::CHUNK_SLOTS,
    Ghost,
    Key,
    Search,
    Seen,
    Unit,
    Verdict, //
};
use core::ops::DerefMut;

/// The part of the memory that is not for hot units.
const COLD_PART: u32 = 16;
/// The part of what is not for hot units that came last, which may be young.
const YOUNG_PART: u32 = 2;
/// How often a hot unit may be found idle before it is the front that others are compared with.
const MAX_CREDIT: u8 = 3;

/// The list that a unit is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum List {
    #[default]
    None,
    Hot,
    Cold,
}

/// What is known of a slot; of a whole chunk, its first slot knows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot {
    link: Link,
    list: List,
    whole: bool,
    /// The use for which it came has not been seen yet.
    fresh: bool,
    /// A device asked for it since it was looked at.
    asked: bool,
    /// (At the front of the hot list) was idle when it was looked at.
    idle: bool,
    /// How often it may be found idle in the hot list and stay.
    credit: u8,
    key: Key,
    /// When it was last seen in use, or paid for staying.
    stamp: u32,
}

impl Linked for Slot {
    fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

/// The rank of all units of one device.
///
/// `S` holds a [`Slot`] for each slot of the memory, `G` about as many [`Ghost`]s.
#[derive(Debug)]
pub(crate) struct Ranking<S, G> {
    slots: S,
    ghosts: G,
    hot: Lru,
    cold: Lru,
    /// Slots that hot units have.
    hot_slots: u32,
    now: u32,
}

impl<S: DerefMut<Target = [Slot]>, G: DerefMut<Target = [Ghost]>> Ranking<S, G> {
    /// Ranks nothing yet.
    pub(crate) const fn new(slots: S, ghosts: G) -> Self {
        Self {
            slots,
            ghosts,
            hot: Lru::new(),
            cold: Lru::new(),
            hot_slots: 0,
            now: 0,
        }
    }

    fn hot_max(&self) -> u32 {
        let all = self.slots.len() as u32;
        all.saturating_sub(self.cold_min())
    }

    /// What is not for hot units: two blocks at least, so that one is used while the next comes.
    fn cold_min(&self) -> u32 {
        let all = self.slots.len() as u32;
        (all / COLD_PART).max(2 * CHUNK_SLOTS).min(all / 2)
    }

    fn young_max(&self) -> u32 {
        (self.cold_min() / YOUNG_PART).max(1)
    }

    /// Has it come so recently that the device may still be about to use it?
    fn is_young(&self, slot: &Slot) -> bool {
        slot.fresh && self.now.wrapping_sub(slot.stamp) < self.young_max()
    }

    fn get(&mut self, at: u32) -> Option<&mut Slot> {
        self.slots.get_mut(at as usize)
    }

    /// The unit that begins at a slot, if one does.
    fn unit(&self, at: u32) -> Option<Unit> {
        let slot = self.slots.get(at as usize)?;
        match (slot.list, slot.whole) {
            (List::None, _) => None,
            (_, true) => Some(Unit::slot(at).around()),
            (_, false) => Some(Unit::slot(at)),
        }
    }

    /// The unit as it is in a list, or `None`.
    fn known(&self, unit: Unit) -> Option<Slot> {
        let slot = *self.slots.get(unit.first_slot() as usize)?;
        (slot.list != List::None && slot.whole == unit.is_whole()).then_some(slot)
    }

    fn push(&mut self, unit: Unit, mut slot: Slot) {
        let at = unit.first_slot();
        slot.link = Link::Out;
        slot.whole = unit.is_whole();
        slot.idle = false;
        let Some(place) = self.slots.get_mut(at as usize) else {
            return;
        };
        *place = slot;
        if slot.list == List::Hot {
            self.hot_slots = self.hot_slots.saturating_add(unit.slots());
            self.hot.push_back(&mut self.slots, at);
        } else {
            self.cold.push_back(&mut self.slots, at);
        }
    }

    fn pull(&mut self, unit: Unit) -> Option<Slot> {
        let slot = self.known(unit)?;
        let at = unit.first_slot();
        if slot.list == List::Hot {
            self.hot_slots = self.hot_slots.saturating_sub(unit.slots());
            self.hot.remove(&mut self.slots, at);
        } else {
            self.cold.remove(&mut self.slots, at);
        }
        *self.get(at)? = Slot::default();
        Some(slot)
    }

    /// Puts a unit to the end of `list`.
    fn put(&mut self, unit: Unit, list: List, change: impl FnOnce(&mut Slot)) {
        if let Some(mut slot) = self.pull(unit) {
            slot.list = list;
            slot.asked = false;
            change(&mut slot);
            self.push(unit, slot);
        }
    }

    /// Makes room in the hot list for a unit whose uses are `distance` apart, if that makes it
    /// worth more than what is there.
    fn challenge(&mut self, unit: Unit, distance: u32) -> bool {
        let max = self.hot_max();
        // A whole chunk may have to replace many slots.
        for _ in 0..unit.slots() {
            if self.hot_slots.saturating_add(unit.slots()) <= max {
                return true;
            }
            let Some(front) = self.hot.oldest().and_then(|at| self.unit(at)) else {
                return false;
            };
            let Some(slot) = self.known(front) else {
                return false;
            };
            if !slot.idle || self.now.wrapping_sub(slot.stamp) <= distance {
                return false;
            }
            self.put(front, List::Cold, |slot| slot.fresh = false);
        }
        self.hot_slots.saturating_add(unit.slots()) <= max
    }

    /// Notes that a unit leaves, and lets the others go first should it not.
    fn leave(&mut self, unit: Unit) {
        if let Some(slot) = self.known(unit) {
            for i in 0..unit.slots() {
                ghost::put(&mut self.ghosts, slot.key.after(i), slot.stamp, self.now);
            }
            // Should the same data come back to the same place, it is new.
            self.put(unit, List::Cold, |slot| slot.key = Key::default());
        }
    }

    fn evict(&mut self, search: &Search, unit: Unit) -> Verdict {
        let out = if search.wants_chunk() {
            unit.around()
        } else {
            unit
        };
        for at in (out.first_slot()..).take(out.slots() as usize) {
            if let Some(unit) = self.unit(at) {
                self.leave(unit);
            }
        }
        Verdict::Evict {
            first: out.first_page(),
            nr: out.pages(),
        }
    }
}

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
                self.put(unit, List::Hot, |slot| {
                    slot.fresh = false;
                    slot.stamp = now;
                    slot.credit = slot.credit.saturating_add(1).min(MAX_CREDIT);
                });
            }
            (List::Hot, Seen::Idle) if slot.credit > 0 && search.pass() => {
                search.hot_tests = search.hot_tests.saturating_sub(1);
                self.put(unit, List::Hot, |slot| {
                    slot.stamp = now;
                    slot.credit = slot.credit.saturating_sub(1);
                });
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
                let front = self
                    .cold
                    .oldest()
                    .and_then(|at| self.slots.get(at as usize));
                search.cold_is_young = front.is_some_and(|slot| self.is_young(slot));
            }
            (List::Cold, Seen::Used) if search.pass() => {
                if slot.fresh {
                    // The use that it came for.
                    self.put(unit, List::Cold, |slot| slot.fresh = false);
                } else {
                    let hot = self.challenge(unit, now.wrapping_sub(slot.stamp));
                    let list = if hot { List::Hot } else { List::Cold };
                    self.put(unit, list, |slot| slot.stamp = now);
                }
            }
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
