// SPDX-License-Identifier: GPL-2.0

//! Room that is kept for pinned pages.
//!
//! A process has a pool of chunks on each device where it pinned something, enough for all that it
//! pinned there. Its pinned pages are placed in these chunks and nothing else is. So a page that
//! went home finds its room when it comes back, whatever the device is filled with, and eviction,
//! which takes from the ranking of units, never meets a pinned page: no chunk of a pool is ranked.

use crate::{
    device::chunk::Chunks,
    prelude::*, //
};

/// Whose pool it is: the address of an `mm_struct`.
pub(crate) type Tenant = usize;

/// Says of a chunk which pool it is in.
pub(super) type PoolId = u64;

/// The chunks of one process.
pub(super) struct Pool {
    pub(super) id: PoolId,
    /// [`None`] when nothing is pinned any more.
    pub(super) tenant: Option<Tenant>,
    /// How many pages have to fit.
    pub(super) pages: usize,
    pub(super) chunks: KVec<u32>,
    /// So many of the chunks were not looked at since pages were unpinned; the first ones.
    pub(super) unseen: usize,
}

impl Pool {
    pub(super) fn need(&self) -> usize {
        self.pages.div_ceil(PMD_PAGES)
    }

    /// Takes the chunk out that is at `index` of the list.
    pub(super) fn remove(&mut self, index: usize) {
        if let Some(last) = self.chunks.pop() {
            if let Some(chunk) = self.chunks.get_mut(index) {
                *chunk = last;
            }
        }
        self.unseen = self.unseen.min(self.chunks.len());
    }
}

/// The pools of one memory.
#[derive(Default)]
pub(crate) struct Pools {
    pub(super) all: KVec<Pool>,
    pub(super) next_id: PoolId,
}

impl Pools {
    pub(super) fn get(&mut self, tenant: Tenant) -> Option<&mut Pool> {
        let mut all = self.all.iter_mut();

        all.find(|pool| pool.tenant == Some(tenant))
    }

    /// Returns how many pages are kept and not in use.
    pub(super) fn unused(&self, chunks: &Chunks) -> usize {
        let all = self.all.iter().flat_map(|pool| pool.chunks.iter());

        all.map(|chunk| PMD_PAGES - chunks.live(*chunk as usize).min(PMD_PAGES))
            .sum()
    }

    /// Decides whether an empty chunk is given back; a pool keeps what it needs.
    pub(super) fn lets_go(&mut self, pool: PoolId, chunk: usize) -> bool {
        let Some(pool) = self.all.iter_mut().find(|other| other.id == pool) else {
            return true;
        };
        if pool.chunks.len() <= pool.need() {
            return false;
        }
        let mut chunks = pool.chunks.iter();
        if let Some(index) = chunks.position(|other| *other == chunk as u32) {
            pool.remove(index);
        }
        true
    }
}

/// Removes the elements for which `f` is true.
pub(super) fn remove_if<T>(list: &mut KVec<T>, mut f: impl FnMut(&T) -> bool) {
    let mut i = 0;
    while let Some(element) = list.get(i) {
        if f(element) {
            drop(list.remove(i));
        } else {
            i += 1;
        }
    }
}
