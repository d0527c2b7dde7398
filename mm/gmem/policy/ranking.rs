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
pub(super) enum List {
    #[default]
    None,
    Hot,
    Cold,
}

/// What is known of a slot; of a whole chunk, its first slot knows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot {
    pub(super) link: Link,
    pub(super) list: List,
    pub(super) whole: bool,
    /// The use for which it came has not been seen yet.
    pub(super) fresh: bool,
    /// A device asked for it since it was looked at.
    pub(super) asked: bool,
    /// (At the front of the hot list) was idle when it was looked at.
    pub(super) idle: bool,
    /// How often it may be found idle in the hot list and stay.
    pub(super) credit: u8,
    pub(super) key: Key,
    /// When it was last seen in use, or paid for staying.
    pub(super) stamp: u32,
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
    pub(super) slots: S,
    pub(super) ghosts: G,
    pub(super) hot: Lru,
    pub(super) cold: Lru,
    /// Slots that hot units have.
    pub(super) hot_slots: u32,
    pub(super) now: u32,
}

impl<S: DerefMut<Target = [Slot]>, G: DerefMut<Target = [Ghost]>> Ranking<S, G> {
    /// Ranks nothing yet.
    pub(crate) fn new(slots: S, ghosts: G) -> Self {
        Self {
            slots,
            ghosts,
            hot: Lru::default(),
            cold: Lru::default(),
            hot_slots: 0,
            now: 0,
        }
    }

    pub(super) fn hot_max(&self) -> u32 {
        let all = self.slots.len() as u32;
        all.saturating_sub(self.cold_min())
    }

    /// What is not for hot units: two blocks at least, so that one is used while the next comes.
    fn cold_min(&self) -> u32 {
        let all = self.slots.len() as u32;
        (all / COLD_PART).max(2 * CHUNK_SLOTS).min(all / 2)
    }

    pub(super) fn young_max(&self) -> u32 {
        (self.cold_min() / YOUNG_PART).max(1)
    }

    /// Has it come so recently that the device may still be about to use it?
    pub(super) fn is_young(&self, slot: &Slot) -> bool {
        slot.fresh && self.now.wrapping_sub(slot.stamp) < self.young_max()
    }

    pub(super) fn get(&mut self, at: u32) -> Option<&mut Slot> {
        self.slots.get_mut(at as usize)
    }

    /// The unit that begins at a slot, if one does.
    pub(super) fn unit(&self, at: u32) -> Option<Unit> {
        let slot = self.slots.get(at as usize)?;
        match (slot.list, slot.whole) {
            (List::None, _) => None,
            (_, true) => Some(Unit::slot(at).around()),
            (_, false) => Some(Unit::slot(at)),
        }
    }

    /// The unit as it is in a list, or `None`.
    pub(super) fn known(&self, unit: Unit) -> Option<Slot> {
        let slot = *self.slots.get(unit.first_slot() as usize)?;
        (slot.list != List::None && slot.whole == unit.is_whole()).then_some(slot)
    }

    pub(super) fn push(&mut self, unit: Unit, mut slot: Slot) {
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

    pub(super) fn pull(&mut self, unit: Unit) -> Option<Slot> {
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
    pub(super) fn put(&mut self, unit: Unit, list: List, change: impl FnOnce(&mut Slot)) {
        if let Some(mut slot) = self.pull(unit) {
            slot.list = list;
            slot.asked = false;
            change(&mut slot);
            self.push(unit, slot);
        }
    }

    /// Makes room in the hot list for a unit whose uses are `distance` apart, if that makes it
    /// worth more than what is there.
    pub(super) fn challenge(&mut self, unit: Unit, distance: u32) -> bool {
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

    /// A hot unit that was used goes to the end, and earns a credit.
    pub(super) fn earn(&mut self, unit: Unit) {
        let now = self.now;
        self.put(unit, List::Hot, |slot| {
            slot.fresh = false;
            slot.stamp = now;
            slot.credit = slot.credit.saturating_add(1).min(MAX_CREDIT);
        });
    }

    /// A hot unit that was idle goes to the end, for a credit.
    pub(super) fn pay(&mut self, unit: Unit) {
        let now = self.now;
        self.put(unit, List::Hot, |slot| {
            slot.stamp = now;
            slot.credit = slot.credit.saturating_sub(1);
        });
    }

    /// A cold unit was used.
    pub(super) fn prove(&mut self, unit: Unit, slot: &Slot) {
        if slot.fresh {
            // The use that it came for.
            return self.put(unit, List::Cold, |slot| slot.fresh = false);
        }
        let now = self.now;
        let hot = self.challenge(unit, now.wrapping_sub(slot.stamp));
        let list = if hot { List::Hot } else { List::Cold };
        self.put(unit, list, |slot| slot.stamp = now);
    }

    /// Returns whether the front of the cold list is young.
    pub(super) fn cold_is_young(&self) -> bool {
        let front = self.cold.oldest();
        front
            .and_then(|at| self.slots.get(at as usize))
            .is_some_and(|slot| self.is_young(slot))
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

    pub(super) fn evict(&mut self, search: &Search, unit: Unit) -> Verdict {
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
