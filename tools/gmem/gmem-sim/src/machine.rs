// SPDX-License-Identifier: MIT OR GPL-2.0
//! A device: its slots, what is in them, and what was used since it was asked.

use std::collections::HashMap;

use crate::policy::{Key, Search, Seen, Unit, Verdict};
use crate::replacement::Replacement;
use crate::run::Moved;

/// A device whose memory is managed by `P`.
pub struct Machine<P> {
    policy: P,
    /// Tells the policy about every use, as no kernel can.
    all_seeing: bool,
    blocks: Vec<Option<u32>>,
    used: Vec<bool>,
    slot_of: HashMap<u32, u32>,
    free: Vec<u32>,
    moved: Moved,
}

impl<P: Replacement> Machine<P> {
    /// An empty device with so many slots.
    pub fn new(slots: u32, policy: P, all_seeing: bool) -> Self {
        Self {
            policy,
            all_seeing,
            blocks: vec![None; slots as usize],
            used: vec![false; slots as usize],
            slot_of: HashMap::new(),
            free: (0..slots).rev().collect(),
            moved: Moved::default(),
        }
    }

    /// The device uses a block.
    pub fn touch(&mut self, block: u32) {
        let slot = match self.slot_of.get(&block) {
            Some(&slot) => {
                if self.all_seeing {
                    self.policy.used(Unit::slot(slot));
                }
                slot
            }
            None => match self.room() {
                Some(slot) => {
                    self.fill(slot, block);
                    slot
                }
                // Memory without a slot: everything is remote.
                None => {
                    self.moved.remote += 1;
                    return;
                }
            },
        };
        self.used[slot as usize] = true;
    }

    /// The end: what was moved.
    pub fn finish(self) -> Moved {
        self.moved
    }

    fn fill(&mut self, slot: u32, block: u32) {
        self.blocks[slot as usize] = Some(block);
        self.slot_of.insert(block, slot);
        self.moved.to_device += 1;
        let key = Key::new(0, u64::from(block) * 16);
        self.policy.insert(Unit::slot(slot), key);
    }

    fn room(&mut self) -> Option<u32> {
        let mut search = Search::new(1);
        while self.free.is_empty() {
            let unit = self.policy.candidate(&mut search)?;
            let slot = unit.first_slot() as usize;
            let seen = match (self.blocks[slot], std::mem::take(&mut self.used[slot])) {
                (None, _) => Seen::Gone,
                (Some(_), true) => Seen::Used,
                (Some(_), false) => Seen::Idle,
            };
            self.moved.asked += 1;
            match self.policy.decide(&mut search, unit, seen) {
                Verdict::Keep => {}
                Verdict::Evict { first, nr } => self.evict(first / 16, nr / 16),
                // Blocks come one by one here, so no unit is large.
                Verdict::Split { .. } => self.policy.split(unit),
            }
        }
        self.free.pop()
    }

    fn evict(&mut self, first: usize, slots: usize) {
        for slot in (first..first + slots).rev() {
            if let Some(block) = self.blocks.get_mut(slot).and_then(Option::take) {
                self.used[slot] = false;
                self.slot_of.remove(&block);
                self.policy.remove(Unit::slot(slot as u32));
                self.free.push(slot as u32);
                self.moved.to_host += 1;
            }
        }
    }
}
