// SPDX-License-Identifier: GPL-2.0

//! Who gets pages of a memory: taking them, and giving chunks back.

use crate::{
    device::{
        alloc::{
            Alloc,
            Owned,
            Walk, //
        },
        dmem::{
            Payer,
            Refusal, //
        },
        holds::{
            self,
            MAX_LOOKS, //
        },
        memory::Memory,
        run::Run,
        units::Spot, //
    },
    prelude::*, //
};
use kernel::{
    gpu::buddy::{
        GpuBuddyAllocFlags,
        GpuBuddyAllocMode, //
    },
    ptr::Alignment,
    sizes::SZ_2M, //
};

impl Memory {
    /// Takes `nr` pages in a row, aligned to their number: 512 or a power of two up to 16.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when there are none, or a limit of `payer` is in the way; `ENOMEM`.
    pub(crate) fn take(
        self: &Arc<Self>,
        payer: &Payer,
        nr: usize,
        spot: Spot,
    ) -> Result<Run, Refusal> {
        if sys::should_fail(sys::Site::Alloc) {
            return Err(ENOSPC.into());
        }
        let mut alloc = self.alloc.lock();
        let mut walk = Walk {
            start: alloc.open,
            next: if nr < PMD_PAGES { Some(0) } else { None },
        };
        // Before empty chunks are given back: one that was just emptied is taken again, so that
        // pages that move to and fro use the same memory.
        if let Some((chunk, first)) = self.find(&mut alloc, payer, nr, &mut walk) {
            return Ok(self.taken(&mut alloc, chunk, first, nr, spot));
        }
        let refusal = loop {
            let all = self.drain(&mut alloc);
            match self.grow(&mut alloc, payer) {
                Ok(chunk) => {
                    if nr < PMD_PAGES {
                        alloc.open = chunk;
                        self.chunks().has_room(chunk);
                    }
                    return Ok(self.taken(&mut alloc, chunk, 0, nr, spot));
                }
                Err(refusal) if all => break refusal,
                Err(_) => {}
            }
            drop(alloc);
            alloc = self.alloc.lock();
        };
        drop(alloc);
        // Some of those that are further away may have room.
        while walk.next.is_some() {
            let mut alloc = self.alloc.lock();
            if let Some((chunk, first)) = self.find(&mut alloc, payer, nr, &mut walk) {
                return Ok(self.taken(&mut alloc, chunk, first, nr, spot));
            }
        }
        Err(refusal)
    }

    fn taken(
        self: &Arc<Self>,
        alloc: &mut Alloc,
        chunk: usize,
        first: usize,
        nr: usize,
        spot: Spot,
    ) -> Run {
        let page = chunk * PMD_PAGES + first;
        alloc.units.taken(page, nr, spot);
        Run::take(self, &mut alloc.taking, page, nr)
    }

    /// Gives back to the buddy allocator chunks that are empty, and ends their charge, and those
    /// that pools do not need any more.
    pub(crate) fn return_chunks(&self) {
        while !self.drain(&mut self.alloc.lock()) {}
        while !self.trim() {}
    }

    /// Gives some back; returns whether those were all.
    fn drain(&self, alloc: &mut Alloc) -> bool {
        let Alloc {
            owned,
            taking,
            held,
            units,
            pools,
            ..
        } = alloc;
        self.chunks().drain(taking, |chunk| {
            if let Some(entry) = owned.get_mut(chunk) {
                let pool = entry.as_ref().and_then(|owned| owned.pool);
                if pool.is_some_and(|pool| !pools.lets_go(pool, chunk)) {
                    return;
                }
                if entry.take().is_some() {
                    *held -= 1;
                }
            }
            units.forget(chunk);
        })
    }

    /// Finds room for a few pages in a chunk that is in use already, and that `payer` pays for.
    /// Looks at [`MAX_LOOKS`] chunks only; others that may have some are left to the walk.
    fn find(
        &self,
        alloc: &mut Alloc,
        payer: &Payer,
        nr: usize,
        walk: &mut Walk,
    ) -> Option<(usize, usize)> {
        let chunks = self.chunks();
        let mut looks = 0;
        let found = loop {
            if looks == MAX_LOOKS {
                break None;
            }
            let Some(chunk) = walk.next(chunks, &alloc.taking, nr) else {
                break None;
            };
            looks += 1;
            let owned = alloc.owned.get(chunk).and_then(Option::as_ref);
            let Some(owned) = owned.filter(|owned| owned.pool.is_none()) else {
                chunks.has_no_room(&mut alloc.taking, chunk);
                continue;
            };
            if owned.charge.is_of(payer) {
                if let Some(first) = chunks.look(&mut alloc.taking, chunk, nr) {
                    break Some((chunk, first));
                }
            }
        };
        holds::CHUNKS.note(looks);
        let (chunk, first) = found?;
        // What is left of a chunk that was taken whole.
        alloc.units.split(chunk);
        alloc.open = chunk;
        Some((chunk, first))
    }

    /// Gets one more chunk.
    fn grow(&self, alloc: &mut Alloc, payer: &Payer) -> Result<usize, Refusal> {
        let charge = self.region.charge(payer, SZ_2M)?;
        let block = KBox::pin_init(
            self.buddy.alloc_blocks(
                GpuBuddyAllocMode::Simple,
                SZ_2M as u64,
                Alignment::new::<SZ_2M>(),
                GpuBuddyAllocFlags::default(),
            ),
            GFP_KERNEL,
        )?;
        let offset = block.iter().next().ok_or(ENOSPC)?.offset();
        let chunk = usize::try_from(offset).map_err(Error::from)? / SZ_2M;
        *alloc.owned.get_mut(chunk).ok_or(ENOSPC)? = Some(Owned {
            _block: block,
            charge,
            pool: None,
        });
        alloc.held += 1;
        Ok(chunk)
    }

    /// Returns the number of free pages, or with `whole` of those in chunks that are all free.
    pub(crate) fn free(&self, whole: bool) -> usize {
        let mut alloc = self.alloc.lock();
        if !whole {
            let unused = alloc.pools.unused(self.chunks());
            return self.pages().saturating_sub(self.used() + unused);
        }
        self.drain(&mut alloc);
        (self.nr_chunks() - alloc.held) * PMD_PAGES
    }
}
