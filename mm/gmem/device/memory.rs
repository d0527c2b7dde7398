// SPDX-License-Identifier: GPL-2.0

//! The memory of one device: its pages, and who gets them.
//!
//! The buddy allocator hands out chunks of 2 MiB. Within a chunk pages are handed out singly, in
//! runs of up to 16, or all at once; [`Chunks`] knows which are in use, and [`Units`] what to evict
//! first.

use crate::{
    device::{
        chunk::{
            Chunks,
            Taking, //
        },
        dmem::{
            Charge,
            Limit,
            Low,
            Payer,
            Refusal,
            Region, //
        },
        holds::{
            self,
            MAX_LOOKS, //
        },
        node::Node,
        registry::Parts,
        reserve::{
            PoolId,
            Pools, //
        },
        run::Run,
        units::{
            Spot,
            Units, //
        }, //
    },
    fault::{
        batch::Scratch,
        to_host, //
    },
    policy::{
        unit::SLOT_PAGES,
        Search,
        Seen,
        Unit,
        Verdict, //
    },
    reclaim::worker::Worker,
    sys, //
};
use core::ops::Range;
use kernel::{
    gpu::buddy::{
        AllocatedBlocks,
        GpuBuddy,
        GpuBuddyAllocFlags,
        GpuBuddyAllocMode,
        GpuBuddyParams, //
    },
    mm::device::{
        pagemap::{
            Cookie,
            Fault,
            FaultResult,
            Operations,
            Owner,
            Pagemap, //
        },
        PMD_PAGES, //
    },
    new_mutex,
    new_work,
    page::PAGE_SHIFT,
    prelude::*,
    ptr::Alignment,
    sizes::SZ_2M,
    str::CStr,
    sync::{
        Arc,
        Mutex, //
    },
    workqueue::Work, //
};

/// Says of device pages that GMEM manages them, on whichever device.
pub(crate) static COOKIE: Cookie<Frames> = Cookie::new();

/// The owner of all GMEM pages.
pub(crate) fn owner() -> Owner {
    COOKIE.owner()
}

/// What the page callbacks need: reachable from a page, hence without a lock.
pub(crate) struct Frames {
    pub(crate) parts: Parts,
    pub(crate) chunks: Chunks,
}

impl Operations for Frames {
    fn folio_free(&self, page: usize, order: u32) {
        self.chunks.put(page, 1usize.wrapping_shl(order));
    }

    fn hold(&self, pages: &Range<usize>) {
        self.chunks.hold(pages.start);
    }

    fn release(&self, pages: &Range<usize>) {
        self.chunks.release(pages.start);
    }

    fn migrate_to_ram(&self, fault: &Fault<'_>) -> FaultResult {
        to_host::cpu_fault(fault, &self.parts.mmu)
    }
}

/// A chunk that is ours.
pub(super) struct Owned {
    _block: Pin<KBox<AllocatedBlocks>>,
    charge: Charge,
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
    open: usize,
    /// Where to look next for a chunk that counts against a limit.
    pub(super) hand: usize,
    pub(super) pools: Pools,
}

/// A walk over the chunks that may have room, from one on and round to it again.
struct Walk {
    start: usize,
    /// How far it is from there to where to go on; [`None`] at the end.
    next: Option<usize>,
}

impl Walk {
    fn next(&mut self, chunks: &Chunks, taking: &Taking, nr: usize) -> Option<usize> {
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

/// The memory of a device.
#[pin_data]
pub(crate) struct Memory {
    #[pin]
    pub(crate) map: Pagemap<Frames>,
    buddy: GpuBuddy,
    #[pin]
    pub(super) alloc: Mutex<Alloc>,
    /// For evictions, one at a time.
    #[pin]
    pub(crate) scratch: Mutex<Scratch>,
    region: Region,
    /// It outlives the memory, so that the worker can say that it has let go of the memory.
    pub(crate) worker: Arc<Worker>,
    #[pin]
    pub(crate) work: Work<Self>,
    hnid: i32,
    /// The last field, because its pages go before the node.
    node: Option<Node>,
}

impl Memory {
    /// Makes pages for `size` bytes of memory, a multiple of 2 MiB, on a node or, without one, on
    /// the caller's; `substitute` is the number it goes by then.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a bad size, `ENOMEM`, `ERANGE` when no physical address range is free.
    pub(crate) fn new(
        parts: Parts,
        name: &CStr,
        size: usize,
        substitute: i32,
        node: Option<Node>,
    ) -> Result<Arc<Self>> {
        if size == 0 || size % SZ_2M != 0 {
            return Err(EINVAL);
        }
        let nr = size / SZ_2M;
        let buddy = GpuBuddy::new(GpuBuddyParams {
            base_offset: 0,
            size: size as u64,
            chunk_size: Alignment::new::<SZ_2M>(),
        })?;
        let (chunks, taking) = Chunks::new(nr)?;
        let region = Region::new(name, size)?;
        let mut owned = KVVec::with_capacity(nr, GFP_KERNEL)?;
        for _ in 0..nr {
            owned.push(None, GFP_KERNEL)?;
        }
        let units = Units::new(nr)?;
        let scratch = Scratch::for_chunk()?;
        let nid = node.as_ref().map(Node::id);
        Arc::pin_init(
            try_pin_init!(Self {
                map <- Pagemap::new(
                    c"gmem",
                    size >> PAGE_SHIFT,
                    nid,
                    &COOKIE,
                    Frames { parts, chunks }
                ),
                buddy,
                alloc <- new_mutex!(Alloc {
                    owned,
                    taking,
                    held: 0,
                    units,
                    open: 0,
                    hand: 0,
                    pools: Pools::new(),
                }, "gmem_device_memory"),
                scratch <- new_mutex!(scratch, "gmem_evict_scratch"),
                region,
                worker: Arc::pin_init(Worker::new(), GFP_KERNEL)?,
                work <- new_work!("gmem_evict"),
                hnid: nid.unwrap_or(substitute),
                node,
            }),
            GFP_KERNEL,
        )
    }

    pub(super) fn chunks(&self) -> &Chunks {
        &self.map.data().chunks
    }

    /// Returns the driver's functions and the counters.
    pub(crate) fn parts(&self) -> &Parts {
        &self.map.data().parts
    }

    /// Returns the number of the memory's node.
    pub(crate) fn hnid(&self) -> i32 {
        self.hnid
    }

    /// Returns the node, if there was one left.
    pub(super) fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// Returns the size in pages.
    pub(crate) fn pages(&self) -> usize {
        self.map.pfns().len()
    }

    /// Returns the number of pages in use.
    pub(crate) fn used(&self) -> usize {
        self.chunks().used()
    }

    /// Returns the number of pages in use in the chunk that `page` is in.
    pub(crate) fn chunk_used(&self, page: usize) -> usize {
        self.chunks().live(page / PMD_PAGES)
    }

    /// Returns whether there are copies in the chunk that `page` is in.
    pub(crate) fn has_copies(&self, page: usize) -> bool {
        self.chunks().has_copies(page)
    }

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

    /// Returns whether what is in the chunk of `page` may leave to make room for `payer`: what
    /// `dmem.min` guarantees to others is left alone, and what `dmem.low` does according to `low`.
    pub(crate) fn may_leave(&self, page: usize, payer: Option<&Payer>, low: &mut Low) -> bool {
        let alloc = self.alloc.lock();
        let owned = alloc.owned.get(page / PMD_PAGES).and_then(Option::as_ref);

        owned.is_some_and(|owned| match payer {
            _ if owned.pool.is_some() => false,
            Some(payer) => owned.charge.is_of(payer),
            None => owned.charge.may_evict(None, low),
        })
    }

    /// Returns the units of the chunk at `page`, and where they were mapped last.
    pub(crate) fn units_of(&self, page: usize) -> impl Iterator<Item = (Unit, Spot)> + use<'_> {
        let chunk = page / PMD_PAGES;
        let mut next = Some(chunk * PMD_PAGES);
        core::iter::from_fn(move || {
            let (unit, spot) = self.alloc.lock().units.at(next?);
            let end = unit.first_page() + unit.pages();
            next = Some(end).filter(|end| end / PMD_PAGES == chunk);
            Some((unit, spot))
        })
    }

    /// Returns whether any of `nr` pages of one chunk is in use.
    pub(crate) fn is_used(&self, page: usize, nr: usize) -> bool {
        self.chunks().is_used(page, nr)
    }

    /// Notes that a device maps pages of the memory: for each run its first page, their number, and
    /// where.
    pub(crate) fn touch(&self, runs: impl Iterator<Item = (usize, usize, Spot)>) {
        let mut alloc = self.alloc.lock();
        for (first, nr, spot) in runs {
            let mut i = 0;
            while i < nr {
                let page = first + i;
                alloc.units.touch(page, spot.after(i));
                i += SLOT_PAGES - page % SLOT_PAGES;
            }
        }
    }

    /// Returns the unit to ask the devices about next, and where it was mapped last.
    pub(crate) fn candidate(&self, search: &mut Search) -> Option<(Unit, Spot)> {
        let mut alloc = self.alloc.lock();
        let unit = alloc.units.candidate(search)?;

        Some((unit, alloc.units.spot(unit)))
    }

    /// Decides about it.
    pub(crate) fn decide(&self, search: &mut Search, unit: Unit, seen: Seen) -> Verdict {
        self.alloc.lock().units.decide(search, unit, seen)
    }

    /// Notes that nothing came for a while.
    pub(crate) fn rest(&self) {
        self.alloc.lock().units.rest();
    }

    /// Notes that the huge folio at `page` was taken apart.
    pub(crate) fn split(&self, page: usize) {
        self.alloc.lock().units.split(page / PMD_PAGES);
    }

    /// Returns the number of chunks.
    pub(crate) fn nr_chunks(&self) -> usize {
        self.chunks().len()
    }
}
