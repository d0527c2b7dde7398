// SPDX-License-Identifier: MIT OR GPL-2.0
//! What the kernel's policy is compared with.

use crate::policy::lru::{Link, Lru};
use crate::policy::{Key, Search, Seen, Unit, Verdict};
use crate::replacement::Replacement;

/// Units in one order; the first one leaves.
pub struct Queue {
    links: Vec<Link>,
    order: Lru,
    /// A use counts like an arrival.
    by_use: bool,
    /// Chunks are ordered and leave, instead of slots.
    chunks: bool,
}

impl Queue {
    fn new(slots: u32, by_use: bool, chunks: bool) -> Self {
        Self {
            links: vec![Link::Out; slots as usize],
            order: Lru::default(),
            by_use,
            chunks,
        }
    }

    /// In order of arrival, as openEuler's GMEM.
    pub fn fifo(slots: u32) -> Self {
        Self::new(slots, false, false)
    }

    /// In order of use.  It has to see every use, which no kernel does.
    pub fn lru(slots: u32) -> Self {
        Self::new(slots, true, false)
    }

    /// Chunks of 2 MiB in the order in which something was last allocated in them, as
    /// NVIDIA's UVM.
    pub fn allocation(slots: u32) -> Self {
        Self::new(slots, false, true)
    }

    fn use_again(&mut self, at: u32) {
        if self.order.remove(&mut self.links, at) {
            self.order.push_back(&mut self.links, at);
        }
    }

    fn listed(&self, unit: Unit) -> u32 {
        if self.chunks {
            unit.around().first_slot()
        } else {
            unit.first_slot()
        }
    }
}

impl Replacement for Queue {
    fn insert(&mut self, unit: Unit, _key: Key) {
        let at = self.listed(unit);
        self.order.remove(&mut self.links, at);
        self.order.push_back(&mut self.links, at);
    }

    fn remove(&mut self, unit: Unit) {
        let at = self.listed(unit);
        self.order.remove(&mut self.links, at);
    }

    fn used(&mut self, unit: Unit) {
        if self.by_use {
            let at = self.listed(unit);
            self.use_again(at);
        }
    }

    fn split(&mut self, _unit: Unit) {}

    fn candidate(&mut self, _search: &mut Search) -> Option<Unit> {
        let slot = Unit::slot(self.order.oldest()?);
        Some(if self.chunks { slot.around() } else { slot })
    }

    fn decide(&mut self, _search: &mut Search, unit: Unit, seen: Seen) -> Verdict {
        match seen {
            Seen::Stuck => {
                let at = self.listed(unit);
                self.use_again(at);
                Verdict::Keep
            }
            _ => Verdict::Evict {
                first: unit.first_page(),
                nr: unit.pages(),
            },
        }
    }
}
