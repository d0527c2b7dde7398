// SPDX-License-Identifier: GPL-2.0

//! What a memory has of its chunks: which are in use, and where to look for room.

use crate::{
    device::{
        chunk::{
            Chunks,
            Taking, //
        },
        dmem::{
            Charge,
            Limit,
            Low, //
        },
        pools::{
            PoolId,
            Pools, //
        },
        units::Units, //
    },
    prelude::*, //
};
use kernel::gpu::buddy::AllocatedBlocks;

/// A chunk that is ours.
pub(super) struct Owned {
    pub(super) _block: Pin<KBox<AllocatedBlocks>>,
    pub(super) charge: Charge,
    /// Whose pinned pages it is kept for.
    pub(super) pool: Option<PoolId>,
}

impl Owned {
    /// Returns whether it counts against a limit and may leave; see [`Charge::may_evict`].
    pub(super) fn may_leave(&self, limit: Option<&Limit>, low: &mut Low) -> bool {
        self.pool.is_none() && self.charge.may_evict(limit, low)
    }
}

/// Which chunks are ours, and in which order they were used.
pub(super) struct Alloc {
    pub(super) owned: KVVec<Option<Owned>>,
    pub(super) taking: Taking,
    /// The number of chunks that are ours.
    pub(super) held: usize,
    pub(super) units: Units,
    /// The chunk that single pages come from, or where to begin to look for one.
    pub(super) open: usize,
    /// Where to look next for a chunk that counts against a limit.
    pub(super) hand: usize,
    pub(super) pools: Pools,
}

/// A walk over the chunks that may have room, from one on and round to it again.
pub(super) struct Walk {
    pub(super) start: usize,
    /// How far it is from there to where to go on; [`None`] at the end.
    pub(super) next: Option<usize>,
}

impl Walk {
    pub(super) fn next(&mut self, chunks: &Chunks, taking: &Taking, nr: usize) -> Option<usize> {
        let way = self.next.take()?;
        let to_end = chunks.len().saturating_sub(self.start);
        let ahead = if way < to_end {
            chunks.with_room(taking, self.start + way, nr)
        } else {
            None
        };
        let chunk = match ahead {
            Some(chunk) => chunk,
            None => chunks
                .with_room(taking, way.saturating_sub(to_end), nr)
                .filter(|chunk| *chunk < self.start)?,
        };
        let way = if chunk >= self.start {
            chunk - self.start
        } else {
            chunk + to_end
        };
        self.next = Some(way + 1);
        Some(chunk)
    }
}
