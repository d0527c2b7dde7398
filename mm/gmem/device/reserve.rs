// SPDX-License-Identifier: GPL-2.0

//! Room that is kept for pinned pages.
//!
//! A process has a pool of chunks on each device where it pinned something, enough for all that it
//! pinned there. Its pinned pages are placed in these chunks and nothing else is. So a page that
//! went home finds its room when it comes back, whatever the device is filled with, and eviction,
//! which takes from the ranking of units, never meets a pinned page: no chunk of a pool is ranked.

use crate::{
    device::{
        chunk::Chunks,
        dmem::Payer,
        memory::{
            Alloc,
            Memory, //
        },
        run::Run,
        units::Spot, //
    },
    reclaim::{
        evict,
        waiting::Waiting, //
    },
    sys, //
};
use kernel::{
    mm::device::PMD_PAGES,
    prelude::*,
    sync::Arc, //
};

/// Whose pool it is: the address of an `mm_struct`.
pub(crate) type Tenant = usize;

/// The chunks of one process.
struct Pool {
    tenant: Tenant,
    /// How many pages have to fit.
    pages: usize,
    chunks: KVec<u32>,
}

impl Pool {
    fn need(&self) -> usize {
        self.pages.div_ceil(PMD_PAGES)
    }
}

/// The pools of one memory.
pub(crate) struct Pools(KVec<Pool>);

impl Pools {
    /// None.
    pub(super) const fn new() -> Self {
        Self(KVec::new())
    }

    fn get(&mut self, tenant: Tenant) -> Option<&mut Pool> {
        self.0.iter_mut().find(|pool| pool.tenant == tenant)
    }

    /// Returns how many pages are kept and not in use.
    pub(super) fn unused(&self, chunks: &Chunks) -> usize {
        let all = self.0.iter().flat_map(|pool| pool.chunks.iter());

        all.map(|chunk| PMD_PAGES - chunks.live(*chunk as usize).min(PMD_PAGES))
            .sum()
    }

    /// Decides whether an empty chunk is given back; a pool keeps what it needs.
    pub(super) fn lets_go(&mut self, tenant: Tenant, chunk: usize) -> bool {
        let Some(pool) = self.get(tenant) else {
            return true;
        };
        if pool.chunks.len() <= pool.need() {
            return false;
        }
        remove_if(&mut pool.chunks, |other| *other == chunk as u32);
        true
    }
}

/// Removes the elements for which `f` is true.
fn remove_if<T>(list: &mut KVec<T>, mut f: impl FnMut(&T) -> bool) {
    let mut i = 0;
    while let Some(element) = list.get(i) {
        if f(element) {
            drop(list.remove(i));
        } else {
            i += 1;
        }
    }
}

impl Memory {
    /// Keeps room for `pages` more pages of `tenant`, for which `payer` pays; evicts others for it.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when that is more than may be pinned of the memory, or more than a limit of `payer`
    /// leaves; `ENOMEM`; `EINTR` (fatal signal). Nothing is kept then.
    pub(crate) fn reserve(self: &Arc<Self>, tenant: Tenant, payer: &Payer, pages: usize) -> Result {
        self.grow_pool(tenant, pages)?;
        while self.lacks_room(tenant) {
            let adopted = if sys::fatal_signal() {
                Err(EINTR)
            } else {
                // No mmap_lock is held.
                let mut waiting = Waiting::unbounded();
                evict::take(self, payer, PMD_PAGES, Spot::default(), &mut waiting)
                    .and_then(|run| self.adopt(tenant, run))
            };
            if let Err(e) = adopted {
                self.unreserve(tenant, pages);
                return Err(if e == ENOSPC { EAGAIN } else { e });
            }
        }
        Ok(())
    }

    /// Keeps room for `pages` fewer pages of `tenant`.
    pub(crate) fn unreserve(&self, tenant: Tenant, pages: usize) {
        let mut alloc = self.alloc.lock();
        let Alloc {
            owned,
            held,
            units,
            pools,
            ..
        } = &mut *alloc;
        let Some(pool) = pools.get(tenant) else {
            return;
        };
        pool.pages = pool.pages.saturating_sub(pages);
        let mut excess = pool.chunks.len() - pool.need().min(pool.chunks.len());
        let all = pool.pages == 0;

        remove_if(&mut pool.chunks, |chunk| {
            let index = *chunk as usize;
            let empty = self.chunks().live(index) == 0;
            if excess == 0 || !(all || empty) {
                return false;
            }
            excess -= 1;
            if let Some(owned) = owned.get_mut(index) {
                if empty {
                    *owned = None;
                    *held -= 1;
                } else if let Some(owned) = owned {
                    // From now on its pages are like all others.
                    owned.pool = None;
                    self.chunks().has_room(index);
                    units.taken(index * PMD_PAGES, PMD_PAGES, Spot::default());
                }
            }
            true
        });
        if all {
            remove_if(&mut pools.0, |pool| pool.tenant == tenant);
        }
    }

    /// Takes `nr` pages in a row of what is kept for `tenant`.
    pub(crate) fn take_reserved(self: &Arc<Self>, tenant: Tenant, nr: usize) -> Option<Run> {
        let mut alloc = self.alloc.lock();
        let chunks = self.chunks();
        let Alloc { pools, taking, .. } = &mut *alloc;
        let found = pools.get(tenant)?.chunks.iter().find_map(|chunk| {
            let chunk = *chunk as usize;
            let live = chunks.live(chunk);
            if nr == PMD_PAGES {
                return (live == 0).then_some((chunk, 0));
            }
            if live + nr > PMD_PAGES {
                return None;
            }
            Some((chunk, chunks.find(taking, chunk, nr)?))
        });
        let (chunk, first) = found?;
        let page = chunk * PMD_PAGES + first;
        Some(Run::take(self, taking, page, nr))
    }

    /// Returns how many pages are kept, for one process or for all.
    pub(crate) fn reserved(&self, tenant: Option<Tenant>) -> usize {
        let alloc = self.alloc.lock();
        let mine = |pool: &&Pool| tenant.is_none_or(|tenant| pool.tenant == tenant);

        alloc
            .pools
            .0
            .iter()
            .filter(mine)
            .map(|pool| pool.pages)
            .sum()
    }

    fn grow_pool(&self, tenant: Tenant, pages: usize) -> Result {
        let most = self.nr_chunks() * sys::pin_percent() / 100;
        let mut alloc = self.alloc.lock();
        let pools = &mut alloc.pools;

        if pools.get(tenant).is_none() {
            let new = Pool {
                tenant,
                pages: 0,
                chunks: KVec::new(),
            };
            pools.0.push(new, GFP_KERNEL)?;
        }
        let Some(pool) = pools.get(tenant) else {
            return Err(ENOMEM);
        };
        let before = pool.pages;
        pool.pages += pages;
        let need = pools.0.iter().map(Pool::need).sum::<usize>();
        let done = if need > most {
            Err(EAGAIN)
        } else {
            let pool = pools.get(tenant).ok_or(ENOMEM)?;
            let more = pool.need().saturating_sub(pool.chunks.len());
            pool.chunks.reserve(more, GFP_KERNEL).map_err(Error::from)
        };
        if done.is_err() {
            if let Some(pool) = pools.get(tenant) {
                pool.pages = before;
            }
            remove_if(&mut pools.0, |pool| pool.pages == 0);
        }
        done
    }

    fn lacks_room(&self, tenant: Tenant) -> bool {
        let mut alloc = self.alloc.lock();

        alloc
            .pools
            .get(tenant)
            .is_some_and(|pool| pool.chunks.len() < pool.need())
    }

    /// Makes a whole chunk part of a pool.
    fn adopt(&self, tenant: Tenant, run: Run) -> Result {
        let chunk = run.first() / PMD_PAGES;
        let mut alloc = self.alloc.lock();
        let Alloc {
            owned,
            units,
            pools,
            ..
        } = &mut *alloc;
        let pool = pools.get(tenant).ok_or(ENOSPC)?;
        let owned = owned
            .get_mut(chunk)
            .and_then(Option::as_mut)
            .ok_or(ENOSPC)?;

        pool.chunks.push(chunk as u32, GFP_KERNEL)?;
        owned.pool = Some(tenant);
        units.forget(chunk);
        drop(alloc);
        // It is empty then, and stays in the pool.
        drop(run);
        Ok(())
    }
}
