// SPDX-License-Identifier: GPL-2.0

//! Device-private memory: pages that the CPU cannot reach but that processes own.
//!
//! C header: [`include/linux/memremap.h`](srctree/include/linux/memremap.h)

use super::folio::LockedFolio;
use crate::{
    bindings::{
        self,
        anon_vma, //
    },
    error::{
        from_err_ptr,
        from_result, //
    },
    page::PAGE_SHIFT,
    prelude::*,
    str::CStr,
    types::Opaque, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ops::Range,
    ptr::NonNull, //
};

mod fault;

pub use fault::{
    Fault,
    FaultResult, //
};

/// Its address says that a `T` manages device pages; see `dev_pagemap.owner`.
///
/// It has interior mutability, so that the compiler cannot merge two of them.
pub struct Cookie<T>(UnsafeCell<u8>, PhantomData<fn() -> T>);

// SAFETY: Nobody looks into it.
unsafe impl<T> Sync for Cookie<T> {}

impl<T> Cookie<T> {
    /// Makes a cookie.
    #[expect(clippy::new_without_default, reason = "it is for a static")]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(0), PhantomData)
    }

    /// Returns the owner of the pages.
    pub const fn owner(&'static self) -> Owner {
        Owner(self.0.get())
    }
}

/// Who manages device pages: the address of a [`Cookie`].
#[derive(Clone, Copy)]
pub struct Owner(*mut u8);

impl Owner {
    /// Returns the owner as the core knows it.
    pub fn as_raw(self) -> *mut c_void {
        self.0.cast()
    }
}

/// Keeps what finds the mappings of pages that are unmapped without an mmap_lock, until they are
/// mapped again.
pub struct KeepMappings {
    /// Holds in the second slice, all NULL, what finds the mappings of the frames in the first,
    /// which are in a row. The frame of a page for which that cannot be becomes the number, that of
    /// a page that nobody can lock.
    ///
    /// # Safety
    ///
    /// Both slices have the same length, the frames have pages, and none that is free is used
    /// again meanwhile.
    pub hold: unsafe fn(&mut [usize], &mut [*mut anon_vma], usize),
    /// Ends `hold`.
    ///
    /// # Safety
    ///
    /// The slice is as `hold` left it, and not used any more.
    pub put: unsafe fn(&mut [*mut anon_vma]),
}

/// What the manager of device memory does.
pub trait Operations: Send + Sync {
    /// How [`Migration::from_pagemap`](super::migrate::Migration::from_pagemap) keeps mappings.
    const KEEP_MAPPINGS: KeepMappings;

    /// Takes back the folio of `1 << order` pages that starts at page `page` of the memory.
    ///
    /// May be called with interrupts off and under page-table locks.
    fn folio_free(&self, page: usize, order: u32);

    /// Stops handing out free pages of the range, which lies in one block of 2 MiB, until
    /// [`Self::release`]: the core looks at each page twice and must not find another page the
    /// second time. Calls nest.
    fn hold(&self, pages: &Range<usize>);

    /// Ends [`Self::hold`].
    fn release(&self, pages: &Range<usize>);

    /// Brings a page home that the CPU touched.
    fn migrate_to_ram(&self, fault: &Fault<'_>) -> FaultResult;

    /// Says what becomes of `nr` pages, from page `page` of the memory on, that are reported to be
    /// broken.
    ///
    /// The frames of private memory only name pages: there are no bytes behind them that the CPU
    /// could find broken, so such a report is a mistake or a test. It is refused and the pages stay
    /// as they are. A device that loses bytes tells its driver. There always is an answer, because
    /// without one the core takes the pages for those of a DAX file, which they are not.
    ///
    /// # Errors
    ///
    /// `ENXIO` when nothing was done. Not `EOPNOTSUPP`, which asks the core to act.
    fn memory_failure(&self, _page: usize, _nr: usize) -> Result {
        Err(ENXIO)
    }
}

/// A range of physical addresses, in bytes. The core may have rounded its size up.
#[derive(Clone, Copy)]
struct Region {
    start: bindings::resource_size_t,
    size: usize,
}

/// A range of device-private memory.
///
/// # Invariants
///
/// `pgmap` describes the frames of `region`, the first of which are `pfns`; they are mapped, and
/// the region is ours, for as long as the value lives. Its owner is a `Cookie<T>`, and a
/// `dev_pagemap` with such an owner is that of a `Pagemap<T>`.
#[pin_data(PinnedDrop)]
pub struct Pagemap<T: Operations> {
    #[pin]
    pgmap: Opaque<bindings::dev_pagemap>,
    data: T,
    pfns: Range<usize>,
    region: Region,
    /// A folio that stays locked, so that the core passes it over.
    stranger: LockedFolio,
}

// SAFETY: The pagemap may be used and torn down by any thread, and so may a locked folio that is
// only asked for its number; `T` is `Send`.
unsafe impl<T: Operations> Send for Pagemap<T> {}
// SAFETY: All methods may be called concurrently; `T` is `Sync`.
unsafe impl<T: Operations> Sync for Pagemap<T> {}

impl<T: Operations> Pagemap<T> {
    const OPS: bindings::dev_pagemap_ops = bindings::dev_pagemap_ops {
        folio_free: Some(Self::folio_free_callback),
        migrate_to_ram: Some(Self::migrate_to_ram_callback),
        memory_failure: Some(Self::memory_failure_callback),
        // A piece of a folio belongs where the whole did: the core's default.
        folio_split: None,
    };

    /// Makes pages for `nr_pages` pages of device memory, on node `nid`, which is online, or on the
    /// node nearest to the caller.
    ///
    /// # Errors
    ///
    /// `ERANGE` when no physical address range is free, `ENOMEM`.
    pub fn new(
        name: &'static CStr,
        nr_pages: usize,
        nid: Option<i32>,
        cookie: &'static Cookie<T>,
        data: T,
    ) -> impl PinInit<Self, Error> {
        let init = move |slot: *mut Self| -> Result {
            let size = nr_pages.checked_shl(PAGE_SHIFT as u32).ok_or(EINVAL)?;
            let stranger = LockedFolio::alloc_kept()?;
            // SAFETY: Plain call; `name` is static, as the resource keeps it.
            let res =
                from_err_ptr(unsafe { bindings::request_device_region(size, name.as_char_ptr()) })?;
            // SAFETY: The resource was just created.
            let (start, end) = unsafe { ((*res).start, (*res).end) };
            let region = Region {
                start,
                size: end.wrapping_sub(start).wrapping_add(1) as usize,
            };
            let first = (start >> PAGE_SHIFT) as usize;
            // SAFETY: `slot` is valid for writes and pinned. All fields but `pgmap` are written
            // in full; of `pgmap` all but what memremap_pages() fills in itself.
            let pgmap = unsafe {
                (&raw mut (*slot).data).write(data);
                (&raw mut (*slot).pfns).write(first..first.wrapping_add(nr_pages));
                (&raw mut (*slot).region).write(region);
                (&raw mut (*slot).stranger).write(stranger);
                let pgmap = (&raw mut (*slot).pgmap).cast::<bindings::dev_pagemap>();
                bindings::dev_pagemap_init_private(pgmap, res, &Self::OPS, cookie.owner().as_raw());
                pgmap
            };
            let nid = nid.unwrap_or(bindings::NUMA_NO_NODE);
            // SAFETY: `pgmap` is initialized and pinned.
            match from_err_ptr(unsafe { bindings::memremap_pages(pgmap, nid) }) {
                Ok(_) => Ok(()),
                Err(e) => {
                    // SAFETY: The fields were written above; the region was requested above.
                    unsafe {
                        core::ptr::drop_in_place(&raw mut (*slot).data);
                        core::ptr::drop_in_place(&raw mut (*slot).pfns);
                        core::ptr::drop_in_place(&raw mut (*slot).stranger);
                        release(region);
                    }
                    Err(e)
                }
            }
        };

        // SAFETY: On success all fields are initialized; on error nothing stays behind.
        unsafe { pin_init::pin_init_from_closure(init) }
    }

    /// Returns the manager.
    pub fn data(&self) -> &T {
        &self.data
    }

    /// Returns a folio that stays locked. The core leaves a page alone whose frame is replaced by
    /// that of this folio.
    pub(super) fn stranger(&self) -> &LockedFolio {
        &self.stranger
    }

    /// Returns the page frames.
    pub fn pfns(&self) -> Range<usize> {
        self.pfns.clone()
    }

    /// Returns the frame of page `page` of the memory.
    pub fn pfn(&self, page: usize) -> Option<usize> {
        (page < self.pfns.len()).then_some(self.pfns.start.wrapping_add(page))
    }

    /// Returns which page of the memory `pfn` is.
    pub fn page(&self, pfn: usize) -> Option<usize> {
        self.pfns
            .contains(&pfn)
            .then_some(pfn.wrapping_sub(self.pfns.start))
    }

    /// Makes a locked folio of `1 << order` pages from pages that are free.
    ///
    /// Returns [`None`] when the pages are not all inside the memory, or not aligned to their
    /// number.
    ///
    /// # Safety
    ///
    /// The pages are free: none was made part of a folio since the memory was made, or since
    /// [`Operations::folio_free`] was last called for it; and none was free, or became so, since
    /// [`Operations::hold`] was called for it and not yet [`Operations::release`].
    pub unsafe fn folio(&self, page: usize, order: u32) -> Option<LockedFolio> {
        let pfn = self.pfn(page)?;
        let others = 1usize.checked_shl(order)?.checked_sub(1)?;
        self.pfn(page.checked_add(others)?)?;
        if pfn & others != 0 {
            return None;
        }
        // SAFETY: The frames are inside the pagemap, and the caller knows that they are free.
        // They may have been the tail of a larger folio, so nothing is asked of them before.
        let folio = unsafe {
            let page = bindings::pfn_to_page(pfn);
            bindings::zone_device_page_init(page, self.pgmap.get(), order);
            if order > 0 {
                bindings::folio_set_large_rmappable(page.cast());
            }
            NonNull::new(page.cast())?
        };
        // SAFETY: The page starts a folio now, which is locked and has one reference.
        Some(unsafe { LockedFolio::from_parts(folio, pfn, order) })
    }

    /// Returns the memory that a page is in, if it has that cookie.
    ///
    /// # Safety
    ///
    /// `pfn` is a page of device memory, to which there is a reference as long as the result is
    /// used.
    pub(super) unsafe fn of<'a>(pfn: usize, cookie: &'static Cookie<T>) -> Option<&'a Self> {
        // SAFETY: The caller has a reference to the page, which keeps its folio and the pagemap.
        let (pgmap, owner) = unsafe {
            let pgmap = bindings::folio_pgmap(bindings::pfn_folio(pfn));
            (pgmap, (*pgmap).owner)
        };

        // SAFETY: By the type invariants; no cookie of another type has the address.
        (owner == cookie.owner().as_raw()).then(|| unsafe { Self::from_pgmap(pgmap) })
    }

    /// # Safety
    ///
    /// `pgmap` is the `pgmap` field of a live `Self`.
    unsafe fn from_pgmap<'a>(pgmap: *mut bindings::dev_pagemap) -> &'a Self {
        let inner = Opaque::cast_from(pgmap);
        // SAFETY: It is the field of a live `Self`, and was found by a page: pages exist only after
        // all fields were initialized.
        unsafe { &*crate::container_of!(inner, Self, pgmap) }
    }

    /// # Safety
    ///
    /// Called by the core for a folio of this pagemap whose last reference was dropped.
    unsafe extern "C" fn folio_free_callback(folio: *mut bindings::folio) {
        // SAFETY: The core passes a folio that it does not use any more, and its pagemap is live as
        // long as this has not returned.
        let (this, pfn, order) = unsafe {
            (
                Self::from_pgmap(bindings::folio_pgmap(folio)),
                bindings::folio_pfn(folio),
                bindings::folio_order(folio),
            )
        };

        if let Some(page) = this.page(pfn) {
            this.data.folio_free(page, order);
        }
    }

    /// # Safety
    ///
    /// Called by the core with a fault on a page of this pagemap, locked and referenced.
    unsafe extern "C" fn migrate_to_ram_callback(
        vmf: *mut bindings::vm_fault,
    ) -> bindings::vm_fault_t {
        let Some(vmf) = NonNull::new(vmf) else {
            return bindings::vm_fault_reason_VM_FAULT_SIGBUS;
        };
        // INVARIANT: The core locked and referenced the page before it called us under mmap_lock.
        let fault = Fault {
            vmf,
            _p: PhantomData,
        };
        // SAFETY: The faulting page belongs to this pagemap.
        let this = unsafe {
            let folio = bindings::pfn_folio(bindings::page_pfn(fault.page()));
            Self::from_pgmap(bindings::folio_pgmap(folio))
        };

        this.data.migrate_to_ram(&fault) as bindings::vm_fault_t
    }

    /// # Safety
    ///
    /// Called by the core with a range of frames of this pagemap, which a reference keeps alive.
    unsafe extern "C" fn memory_failure_callback(
        pgmap: *mut bindings::dev_pagemap,
        pfn: usize,
        nr_pages: usize,
        _flags: c_int,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The core keeps the pagemap, whose functions are those of `Self`.
            let this = unsafe { Self::from_pgmap(pgmap) };
            let page = this.page(pfn).ok_or(ENXIO)?;

            this.data.memory_failure(page, nr_pages)?;
            Ok(0)
        })
    }
}

/// # Safety
///
/// The region was requested and nothing uses it.
unsafe fn release(region: Region) {
    // SAFETY: The caller requested the region, and gives it up here.
    unsafe { bindings::release_device_region(region.start, region.size) };
}

#[pinned_drop]
impl<T: Operations> PinnedDrop for Pagemap<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Mapped by the type invariants; the call waits for the last page reference.
        unsafe {
            bindings::memunmap_pages(self.pgmap.get());
            release(self.region);
        }
    }
}
