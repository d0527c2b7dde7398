// SPDX-License-Identifier: GPL-2.0

//! The memory of one device: its pages, and who gets them.
//!
//! The buddy allocator hands out chunks of 2 MiB. Within a chunk pages are handed out singly, in
//! runs of up to 16, or all at once; [`Chunks`] knows which are in use, and [`Units`] what to evict
//! first.

use crate::{
    device::{
        alloc::Alloc,
        chunk::Chunks,
        dmem::Region,
        mmu::Parts,
        node::Node,
        pools::Pools,
        scratch::Scratch,
        units::Units,
        worker::Worker, //
    },
    prelude::*, //
};
use kernel::{
    gpu::buddy::{
        GpuBuddy,
        GpuBuddyParams, //
    },
    impl_has_work,
    mm::device::pagemap::{
        Cookie,
        Fault,
        FaultResult,
        KeepMappings,
        Operations,
        Owner,
        Pagemap, //
    },
    new_work,
    ptr::Alignment,
    sizes::SZ_2M,
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

/// Serves a fault of the CPU on a page of device memory, by a migration: above this room.
pub(crate) trait CpuFault {
    /// Brings the page home.
    fn cpu_fault(&self, fault: &Fault<'_>) -> FaultResult;
}

impl Operations for Frames {
    const KEEP_MAPPINGS: KeepMappings = sys::KEEP_ANON_VMAS;

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
        self.cpu_fault(fault)
    }
}

/// The memory of a device.
#[pin_data]
pub(crate) struct Memory {
    #[pin]
    pub(crate) map: Pagemap<Frames>,
    pub(super) buddy: GpuBuddy,
    #[pin]
    pub(super) alloc: Mutex<Alloc>,
    /// For evictions, one at a time.
    #[pin]
    pub(crate) scratch: Mutex<Scratch>,
    pub(super) region: Region,
    /// It outlives the memory, so that the worker can say that it has let go of the memory.
    pub(crate) worker: Arc<Worker>,
    #[pin]
    pub(crate) work: Work<Self>,
    pub(crate) hnid: i32,
    /// The last field, because its pages go before the node.
    pub(crate) node: Option<Node>,
}

impl_has_work! {
    impl HasWork<Memory> for Memory { self.work }
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
                    pools: Pools::default(),
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

    pub(crate) fn chunks(&self) -> &Chunks {
        &self.map.data().chunks
    }

    /// Returns the driver's functions and the counters.
    pub(crate) fn parts(&self) -> &Parts {
        &self.map.data().parts
    }

    /// Returns whether what was read of a page says that it is in this memory.
    pub(crate) fn has(&self, pfn: PagePfn) -> bool {
        pfn.pfn().is_some_and(|pfn| self.map.page(pfn).is_some())
    }

    /// Returns the size in pages.
    pub(crate) fn pages(&self) -> usize {
        self.map.pfns().len()
    }

    /// Returns the number of pages in use.
    pub(crate) fn used(&self) -> usize {
        self.chunks().used()
    }

    /// Returns the number of chunks.
    pub(crate) fn nr_chunks(&self) -> usize {
        self.chunks().len()
    }
}
