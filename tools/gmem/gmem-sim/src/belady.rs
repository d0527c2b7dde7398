// SPDX-License-Identifier: MIT OR GPL-2.0
//! The optimum: what is needed last leaves first.

use std::collections::{BinaryHeap, HashMap};

use crate::run::Moved;

const NEVER: usize = usize::MAX;

/// Moves as little as any policy that brings what it uses can.
pub fn belady(references: &[u32], slots: u32) -> Moved {
    let mut next = vec![NEVER; references.len()];
    let mut later = HashMap::new();
    for (at, &block) in references.iter().enumerate().rev() {
        if let Some(use_) = later.insert(block, at) {
            next[at] = use_;
        }
    }
    let mut moved = Moved::default();
    // On the device, with the next use; the heap also has uses that are past.
    let mut here: HashMap<u32, usize> = HashMap::new();
    let mut order: BinaryHeap<(usize, u32)> = BinaryHeap::new();
    for (&block, &next) in references.iter().zip(&next) {
        if slots == 0 {
            moved.remote += 1;
            continue;
        }
        if here.insert(block, next).is_none() {
            moved.to_device += 1;
            while here.len() > slots as usize {
                let Some((use_, other)) = order.pop() else {
                    break;
                };
                if here.get(&other) == Some(&use_) && other != block {
                    here.remove(&other);
                    moved.to_host += 1;
                }
            }
        }
        order.push((next, block));
    }
    moved
}
