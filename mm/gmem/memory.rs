// SPDX-License-Identifier: GPL-2.0

//! The memory of one device: its pages, and who gets them.
//!
//! The buddy allocator hands out chunks of 2 MiB. Within a chunk pages are handed out singly, in
//! runs of up to 64, or all at once; [`Chunks`] knows which are in use. Chunks are kept in the
//! order in which a device last asked for one of their pages, so that the front of the list is
//! what to evict first.

use crate::{
    chunk::Chunks,
    device::{
        self,
        Parts, //
    },
    dmem::{
        Charge,
        Limit,
        Low,
        Payer,
        Refusal,
        Region, //
    },
    home,
    lru::{
        Link,
        Lru, //
    },
    sys, //
};
use kernel::{
    gpu::buddy::{
        AllocatedBlocks,
        GpuBuddy,
        GpuBuddyAllocFlags,
        GpuBuddyAllocMode,
        GpuBuddyParams, //
    },
    mm::device::{
        folio::LockedFolio,
        pagemap::{
            Fault,
            FaultResult,
            Operations,
            Owner,
            Pagemap, //
        },
        PMD_ORDER,
        PMD_PAGES, //
    },
    new_mutex,
    page::PAGE_SHIFT,
    prelude::*,
    ptr::Alignment,
    sizes::SZ_2M,
    str::CStr,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// Says of device pages that GMEM manages them, on whichever device.
pub(crate) static OWNER_COOKIE: u8 = 0;

/// The owner of all GMEM pages.
pub(crate) fn owner() -> Owner {
    Owner::new(&OWNER_COOKIE)
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

    fn migrate_to_ram(&self, fault: &Fault<'_>) -> FaultResult {
        home::cpu_fault(fault)
    }
}

/// A chunk that is ours.
struct Owned {
    _block: Pin<KBox<AllocatedBlocks>>,
    charge: Charge,
}

/// Which chunks are ours, and in which order they were used.
struct Alloc {
    owned: KVVec<Option<Owned>>,
    links: KVVec<Link>,
    used: Lru,
    /// The chunk that single pages come from.
    open: Option<usize>,
}

/// Pages that were taken for a migration and are not folios yet.
///
/// Dropping it gives back what [`Run::folio`] did not turn into folios.
pub(crate) struct Run {
    memory: Arc<Memory>,
    first: usize,
    nr: usize,
    /// Pages `taken..nr` of the run are still ours; single pages are taken in ascending order.
    taken: usize,
}

/// The memory of a device.
#[pin_data]
pub(crate) struct Memory {
    #[pin]
    pub(crate) map: Pagemap<Frames>,
    buddy: GpuBuddy,
    #[pin]
    alloc: Mutex<Alloc>,
    region: Region,
}

impl Memory {
    /// Makes pages for `size` bytes of memory, a multiple of 2 MiB.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a bad size, `ENOMEM`, `ERANGE` when no physical address range is free.
    pub(crate) fn new(parts: Parts, name: &CStr, size: usize) -> Result<Arc<Self>> {
        if size == 0 || size % SZ_2M != 0 {
            return Err(EINVAL);
        }
        let nr = size / SZ_2M;
        let buddy = GpuBuddy::new(GpuBuddyParams {
            base_offset: 0,
            size: size as u64,
            chunk_size: Alignment::new::<SZ_2M>(),
        })?;
        let chunks = Chunks::new(nr)?;
        let region = Region::new(name, size)?;
        let mut owned = KVVec::with_capacity(nr, GFP_KERNEL)?;
        let mut links = KVVec::with_capacity(nr, GFP_KERNEL)?;
        for _ in 0..nr {
            owned.push(None, GFP_KERNEL)?;
            links.push(Link::default(), GFP_KERNEL)?;
        }
        Arc::pin_init(
            try_pin_init!(Self {
                map <- Pagemap::new(c"gmem", size >> PAGE_SHIFT, owner(), Frames { parts, chunks }),
                buddy,
                alloc <- new_mutex!(Alloc {
                    owned,
                    links,
                    used: Lru::new(),
                    open: None,
                }, "gmem_device_memory"),
                region,
            }),
            GFP_KERNEL,
        )
    }

    fn chunks(&self) -> &Chunks {
        &self.map.data().chunks
    }

    /// Returns the driver's functions and the counters.
    pub(crate) fn parts(&self) -> &Parts {
        &self.map.data().parts
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

    /// Takes `nr` pages in a row, aligned to their number: 512 or a power of two up to 64.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when there are none, or a limit of `payer` is in the way; `ENOMEM`.
    pub(crate) fn take(self: &Arc<Self>, payer: &Payer, nr: usize) -> Result<Run, Refusal> {
        if sys::should_fail(sys::Site::Alloc) {
            return Err(ENOSPC.into());
        }
        let mut alloc = self.alloc.lock();
        self.drain(&mut alloc);
        if nr < PMD_PAGES {
            if let Some((chunk, first)) = self.find(&mut alloc, payer, nr) {
                return Ok(self.taken(&mut alloc, chunk, first, nr));
            }
        }
        let chunk = self.grow(&mut alloc, payer)?;
        if nr < PMD_PAGES {
            alloc.open = Some(chunk);
        }
        Ok(self.taken(&mut alloc, chunk, 0, nr))
    }

    fn taken(self: &Arc<Self>, alloc: &mut Alloc, chunk: usize, first: usize, nr: usize) -> Run {
        self.chunks().take(chunk, first, nr);
        let Alloc { used, links, .. } = alloc;
        used.move_to_back(links, chunk as u32);
        Run {
            memory: self.clone(),
            first: chunk * PMD_PAGES + first,
            nr,
            taken: 0,
        }
    }

    /// Gives empty chunks back to the buddy allocator, and ends their charge.
    pub(crate) fn return_chunks(&self) {
        self.drain(&mut self.alloc.lock());
    }

    fn drain(&self, alloc: &mut Alloc) {
        let Alloc {
            owned,
            links,
            used,
            open,
        } = alloc;
        self.chunks().drain(|chunk| {
            if let Some(owned) = owned.get_mut(chunk) {
                *owned = None;
            }
            used.remove(links, chunk as u32);
            if *open == Some(chunk) {
                *open = None;
            }
        });
    }

    /// Finds room for a few pages in a chunk that is in use already, and that `payer` pays for.
    fn find(&self, alloc: &mut Alloc, payer: &Payer, nr: usize) -> Option<(usize, usize)> {
        let chunks = self.chunks();
        let Alloc {
            owned,
            links,
            used,
            open,
        } = alloc;
        let fits = |chunk: usize| {
            let paid = owned.get(chunk)?.as_ref()?.charge.is_of(payer);
            if !paid || chunks.live(chunk) + nr > PMD_PAGES {
                return None;
            }
            Some((chunk, chunks.find(chunk, nr)?))
        };
        if let Some(found) = open.and_then(fits) {
            return Some(found);
        }
        let found = used.iter(links).find_map(|chunk| fits(chunk as usize));
        *open = found.map(|(chunk, _)| chunk);
        found
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
        let Alloc {
            owned, links, used, ..
        } = alloc;
        *owned.get_mut(chunk).ok_or(ENOSPC)? = Some(Owned {
            _block: block,
            charge,
        });
        used.push_back(links, chunk as u32);
        Ok(chunk)
    }

    /// Notes that a device asks for a page of the chunk that `page` is in.
    pub(crate) fn touch(&self, page: usize) {
        let mut alloc = self.alloc.lock();
        let Alloc { used, links, .. } = &mut *alloc;
        used.move_to_back(links, (page / PMD_PAGES) as u32);
    }

    /// Returns the first page of the chunk that was not asked for the longest, of those that may be
    /// taken from who pays for them, and moves it to the end, so that the next caller gets the next
    /// one.
    ///
    /// With a limit, of those that count against it. Without, what `dmem.min` guarantees to others
    /// is left alone; when there is nothing else `payer` evicts its own.
    pub(crate) fn victim(&self, limit: Option<&Limit>, payer: &Payer) -> Option<usize> {
        let mut alloc = self.alloc.lock();
        let Alloc {
            owned, links, used, ..
        } = &mut *alloc;
        let oldest = |may: &mut dyn FnMut(&Charge) -> bool| {
            used.iter(links).find(|chunk| {
                let owned = owned.get(*chunk as usize).and_then(Option::as_ref);
                owned.is_some_and(|owned| may(&owned.charge))
            })
        };
        let mut low = Low::Respected;
        let mut found = oldest(&mut |charge| charge.may_evict(limit, &mut low));
        if found.is_none() && low == Low::Hit {
            found = oldest(&mut |charge| charge.may_evict(limit, &mut Low::Ignored));
        }
        if found.is_none() && limit.is_none() {
            found = oldest(&mut |charge| charge.is_of(payer));
        }
        let chunk = found?;
        used.move_to_back(links, chunk);
        Some(chunk as usize * PMD_PAGES)
    }

    /// Returns the first pages of all chunks, in any order, as a list of chunk numbers.
    pub(crate) fn nr_chunks(&self) -> usize {
        self.chunks().len()
    }
}

/// Gives empty chunks back, of all devices.
pub(crate) fn return_chunks() {
    device::for_each(|device| {
        if let Some(memory) = device.memory() {
            memory.return_chunks();
        }
    });
}

impl Run {
    /// Returns the number of pages.
    pub(crate) fn len(&self) -> usize {
        self.nr
    }

    /// Turns the whole run, which must be one chunk, into one huge folio.
    pub(crate) fn huge_folio(&mut self) -> Option<LockedFolio> {
        if self.taken != 0 || self.nr != PMD_PAGES {
            return None;
        }
        let folio = self.memory.map.folio(self.first, PMD_ORDER)?;
        self.taken = self.nr;
        Some(folio)
    }

    /// Turns page `i` of the run into a folio; pages before it that were skipped are given back.
    pub(crate) fn folio(&mut self, i: usize) -> Option<LockedFolio> {
        if i < self.taken || i >= self.nr {
            return None;
        }
        let folio = self.memory.map.folio(self.first + i, 0)?;
        self.give_back(self.taken, i);
        self.taken = i + 1;
        Some(folio)
    }

    fn give_back(&self, from: usize, to: usize) {
        if from < to {
            self.memory.chunks().put(self.first + from, to - from);
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.give_back(self.taken, self.nr);
    }
}
