// SPDX-License-Identifier: GPL-2.0

//! Taking from, and giving back to, what a memory keeps for pinned pages.

use crate::{
    device::{
        alloc::Alloc,
        dmem,
        holds::{
            self,
            MAX_LOOKS, //
        },
        memory::Memory,
        pools::{
            remove_if,
            Pool,
            Tenant, //
        },
        run::Run,
        units::Spot, //
    },
    prelude::*, //
};

impl Memory {
    /// Keeps room for `pages` fewer pages of `tenant`.
    ///
    /// The callers hold mmap_lock. So only some chunks are let go of at once, the others soon.
    pub(crate) fn unreserve(&self, tenant: Tenant, pages: usize) {
        {
            let mut alloc = self.alloc.lock();
            let Some(pool) = alloc.pools.get(tenant) else {
                return;
            };
            pool.pages = pool.pages.saturating_sub(pages);
            if pool.pages == 0 {
                // The next process with this number has a pool of its own.
                pool.tenant = None;
            }
            pool.unseen = pool.chunks.len();
        }
        if !self.trim() {
            dmem::return_soon();
        }
    }

    /// Lets go of chunks that are not needed any more: those that are empty, and all where nothing
    /// is pinned. Looks at [`MAX_LOOKS`] only; returns whether those were all.
    pub(crate) fn trim(&self) -> bool {
        let mut alloc = self.alloc.lock();
        let Alloc {
            owned,
            held,
            units,
            pools,
            ..
        } = &mut *alloc;
        let mut looks = 0;

        let done = loop {
            let mut all = pools.all.iter_mut();
            let Some(pool) = all.find(|pool| pool.unseen > 0) else {
                break true;
            };
            while pool.unseen > 0 && pool.chunks.len() > pool.need() && looks < MAX_LOOKS {
                pool.unseen -= 1;
                looks += 1;
                let index = pool.unseen;
                let Some(chunk) = pool.chunks.get(index).map(|chunk| *chunk as usize) else {
                    continue;
                };
                let empty = self.chunks().live(chunk) == 0;
                if !empty && pool.tenant.is_some() {
                    continue;
                }
                if let Some(owned) = owned.get_mut(chunk) {
                    if empty {
                        *owned = None;
                        *held -= 1;
                    } else if let Some(owned) = owned {
                        // From now on its pages are like all others.
                        owned.pool = None;
                        self.chunks().has_room(chunk);
                        units.taken(chunk * PMD_PAGES, PMD_PAGES, Spot::default());
                    }
                }
                pool.remove(index);
            }
            if pool.chunks.len() <= pool.need() {
                pool.unseen = 0;
            }
            if looks >= MAX_LOOKS {
                break false;
            }
        };
        remove_if(&mut pools.all, |pool| {
            pool.tenant.is_none() && pool.chunks.is_empty()
        });
        holds::CHUNKS.note(looks);
        done
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
        let mine = |pool: &&Pool| tenant.is_none() || pool.tenant == tenant;

        let pools = alloc.pools.all.iter();

        pools.filter(mine).map(|pool| pool.pages).sum()
    }

    /// Lets the pool of `tenant` have `pages` more pages; it may lack room for them then.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when that is more than may be pinned of the memory, `ENOMEM`.
    pub(crate) fn grow_pool(&self, tenant: Tenant, pages: usize) -> Result {
        let most = self.nr_chunks() * sys::pin_percent() / 100;
        let mut alloc = self.alloc.lock();
        let pools = &mut alloc.pools;

        if pools.get(tenant).is_none() {
            let new = Pool {
                id: pools.next_id,
                tenant: Some(tenant),
                pages: 0,
                chunks: KVec::new(),
                unseen: 0,
            };
            pools.next_id += 1;
            pools.all.push(new, GFP_KERNEL)?;
        }
        let Some(pool) = pools.get(tenant) else {
            return Err(ENOMEM);
        };
        let before = pool.pages;
        pool.pages += pages;
        let need = pools.all.iter().map(Pool::need).sum::<usize>();
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
            remove_if(&mut pools.all, |pool| {
                pool.pages == 0 && pool.chunks.is_empty()
            });
        }
        done
    }

    /// Returns whether the pool of `tenant` has fewer chunks than it needs.
    pub(crate) fn lacks_room(&self, tenant: Tenant) -> bool {
        let mut alloc = self.alloc.lock();

        let pool = alloc.pools.get(tenant);
        pool.is_some_and(|pool| pool.chunks.len() < pool.need())
    }

    /// Makes a whole chunk part of a pool.
    pub(crate) fn adopt(&self, tenant: Tenant, run: Run) -> Result {
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
        owned.pool = Some(pool.id);
        units.forget(chunk);
        drop(alloc);
        // It is empty then, and stays in the pool.
        drop(run);
        Ok(())
    }
}
