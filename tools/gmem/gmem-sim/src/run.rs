// SPDX-License-Identifier: MIT OR GPL-2.0
//! One trace under one policy.

use std::fmt;
use std::str::FromStr;

use crate::baselines::Queue;
use crate::belady::belady;
use crate::machine::Machine;
use crate::policy::{Ghost, Ranking, Slot};
use crate::replacement::Replacement;
use crate::BLOCK;

/// Blocks that were moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// To the device.
    pub to_device: u64,
    /// Written back to make room.
    pub to_host: u64,
    /// Used where they were, on the host; counts every use.
    pub remote: u64,
    /// Questions to the device whether a block was used.
    pub asked: u64,
}

impl Moved {
    /// All bytes that went one way or the other.
    pub fn bytes(&self) -> u64 {
        (self.to_device + self.to_host + self.remote) * BLOCK
    }
}

/// Who decides what leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// The kernel's.
    Ours,
    /// Least recently used, seeing every use.
    Lru,
    /// In order of arrival, as openEuler.
    Fifo,
    /// In order of allocation, by 2 MiB, as UVM.
    Allocation,
    /// The optimum.
    Belady,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Ours,
        Self::Lru,
        Self::Fifo,
        Self::Allocation,
        Self::Belady,
    ];

    /// The name in commands and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Lru => "lru",
            Self::Fifo => "fifo",
            Self::Allocation => "allocation",
            Self::Belady => "belady",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|p| p.name() == text);
        found.ok_or_else(|| {
            format!("'{text}' is no policy; there are ours, lru, fifo, allocation, belady")
        })
    }
}

/// Replays the use of blocks on a device with memory for `slots` of them.
pub fn simulate(policy: Policy, references: &[u32], slots: u32) -> Moved {
    let empty = |len: u32| vec![Slot::default(); len as usize];
    match policy {
        Policy::Ours => {
            let ghosts = vec![Ghost::default(); slots as usize];
            let ranking = Ranking::new(empty(slots), ghosts);
            replay(Machine::new(slots, ranking, false), references)
        }
        Policy::Lru => replay(Machine::new(slots, Queue::lru(slots), true), references),
        Policy::Fifo => replay(Machine::new(slots, Queue::fifo(slots), false), references),
        Policy::Allocation => {
            let queue = Queue::allocation(slots);
            replay(Machine::new(slots, queue, false), references)
        }
        Policy::Belady => belady(references, slots),
    }
}

fn replay(mut machine: Machine<impl Replacement>, references: &[u32]) -> Moved {
    references.iter().for_each(|&block| machine.touch(block));
    machine.finish()
}
