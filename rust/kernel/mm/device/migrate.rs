// SPDX-License-Identifier: GPL-2.0

//! Moving pages between host and device memory.
//!
//! C header: [`include/linux/migrate.h`](srctree/include/linux/migrate.h)
//!
//! A migration goes through three states. Dropping it in any of them maps every page again, at its
//! new place or at its old one:
//!
//! 1. a [`Migration`] is made by [`Migration::from_vma`], [`Migration::from_fault`] or
//!    [`Migration::from_pagemap`]: the source pages are unmapped and locked,
//! 2. its owner copies and says with [`Migration::set_dst`] where each page goes,
//! 3. [`Migration::commit`] turns it into a [`Committed`], which says which pages moved. The core
//!    has the destinations now: there is no way to give or to take one any more.

use self::pages::{
    Kind,
    Pages,
    COMPOUND,
    SELECTED,
    SHIFT,
    VALID,
    WRITE, //
};
use super::{
    folio::LockedFolio,
    pagemap::{
        Cookie,
        Fault,
        Operations,
        Owner,
        Pagemap, //
    },
    vma::MmapVma,
    PMD_ORDER,
    PMD_PAGES, //
};
use crate::{
    bindings,
    error::to_result,
    page::{
        PAGE_MASK,
        PAGE_SHIFT, //
    },
    prelude::*, //
};
use core::{
    marker::PhantomData,
    ops::Range,
    ptr::{
        null_mut,
        NonNull, //
    }, //
};

mod arrays;
mod pages;

pub use self::{
    arrays::Arrays,
    pages::{
        Committed,
        Source, //
    }, //
};

/// Which pages of a VMA to take beside those in device-private memory.
#[derive(Clone, Copy)]
pub struct Select {
    /// Host pages and addresses that have none yet.
    pub host: bool,
    /// Take a huge page in one piece when the range covers it.
    pub huge: bool,
}

/// A migration under way: pages are given destinations.
///
/// # Invariants
///
/// The core was not told of the destinations yet.
pub struct Migration<'a> {
    pages: Pages<'a>,
    selected: usize,
    /// Only device pages were collected, so that nobody has to look.
    device_only: bool,
}

impl<'a> Migration<'a> {
    /// Collects `range` (bytes, page aligned) of a VMA.
    ///
    /// Pages that cannot be had now are left out. Must not be called under a lock that an
    /// interval-notifier callback takes.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a VMA of a kind that cannot migrate, or a range that is not inside or not
    /// aligned.
    pub fn from_vma(
        vma: &'a MmapVma,
        range: Range<usize>,
        select: Select,
        owner: Owner,
        arrays: &'a mut Arrays,
    ) -> Result<Self> {
        Self::collect(vma, range, select, owner, arrays, core::ptr::null_mut())
    }

    /// Collects `range` around a CPU fault, whose own page is locked already.
    ///
    /// # Errors
    ///
    /// As [`Self::from_vma`].
    pub fn from_fault(
        fault: &'a Fault<'a>,
        range: Range<usize>,
        select: Select,
        owner: Owner,
        arrays: &'a mut Arrays,
    ) -> Result<Self> {
        Self::collect(fault.vma(), range, select, owner, arrays, fault.page())
    }

    fn collect(
        vma: &'a MmapVma,
        range: Range<usize>,
        select: Select,
        owner: Owner,
        arrays: &'a mut Arrays,
        fault_page: *mut bindings::page,
    ) -> Result<Self> {
        let nr = range.len() >> PAGE_SHIFT;
        // The core rounds both ends down, and would write one element more.
        if (range.start | range.end) & !PAGE_MASK != 0 {
            return Err(EINVAL);
        }
        let (src, dst) = arrays.split(nr).ok_or(EINVAL)?;
        let mut flags = bindings::migrate_vma_direction_MIGRATE_VMA_SELECT_DEVICE_PRIVATE;
        if select.host {
            flags |= bindings::migrate_vma_direction_MIGRATE_VMA_SELECT_SYSTEM;
        }
        if select.huge {
            flags |= bindings::migrate_vma_direction_MIGRATE_VMA_SELECT_COMPOUND;
        }
        dst.fill(0);
        let mut args = bindings::migrate_vma {
            vma: vma.as_ptr(),
            dst: dst.as_mut_ptr(),
            src: src.as_mut_ptr(),
            cpages: 0,
            npages: 0,
            start: range.start,
            end: range.end,
            pgmap_owner: owner.as_raw(),
            flags: flags as c_ulong,
            fault_page,
        };
        // SAFETY: The arrays hold `nr` elements, mmap_lock is held as the type of `vma` shows, and
        // `fault_page` is NULL or a locked device page.
        to_result(unsafe { bindings::migrate_vma_setup(&mut args) })?;

        // INVARIANT: Set up above; `dst` is all 0.
        Ok(Self {
            selected: args.cpages,
            device_only: !select.host,
            pages: Pages {
                kind: Kind::Vma(args),
                src,
                dst,
                _p: PhantomData,
            },
        })
    }

    /// Collects the pages `pages` of device memory, whoever maps them.
    ///
    /// A large folio that does not lie inside the range is left alone.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a range that is not inside 2 MiB of the memory, or longer than the arrays.
    pub fn from_pagemap<T: Operations>(
        pagemap: &'a Pagemap<T>,
        pages: Range<usize>,
        arrays: &'a mut Arrays,
    ) -> Result<Self> {
        let nr = pages.len();
        let start = pagemap.pfn(pages.start).ok_or(EINVAL)?;
        let last = pages.end.checked_sub(1).ok_or(EINVAL)?;
        pagemap.pfn(last).ok_or(EINVAL)?;
        // `Operations::hold()` keeps no more.
        if pages.start / PMD_PAGES != last / PMD_PAGES {
            return Err(EINVAL);
        }
        let (src, dst, held) = arrays.split_held(nr).ok_or(EINVAL)?;
        held.fill(null_mut());
        for (i, src) in src.iter_mut().enumerate() {
            *src = start.wrapping_add(i);
        }
        dst.fill(0);
        let stranger = pagemap.stranger().pfn();
        pagemap.data().hold(&pages);
        // SAFETY: All arrays hold `nr` elements; the frames have pages, of which none that is free
        // is used again.
        let result = to_result(unsafe {
            (T::KEEP_MAPPINGS.hold)(src, held, stranger);
            bindings::migrate_device_pfns(src.as_mut_ptr(), nr)
        });
        pagemap.data().release(&pages);
        if result.is_err() {
            src.fill(0);
        }
        let selected = src.iter().filter(|s| **s & SELECTED != 0).count();
        // INVARIANT: Set up above; `dst` is all 0.
        let this = Self {
            selected,
            device_only: true,
            pages: Pages {
                kind: Kind::Pfns {
                    held,
                    put: T::KEEP_MAPPINGS.put,
                },
                src,
                dst,
                _p: PhantomData,
            },
        };

        result.map(|()| this)
    }

    /// Returns the number of pages of the range.
    pub fn len(&self) -> usize {
        self.pages.src.len()
    }

    /// Returns whether nothing was collected.
    pub fn is_empty(&self) -> bool {
        self.selected == 0
    }

    #[inline]
    fn entry(&self, i: usize) -> usize {
        self.pages.entry(i)
    }

    /// Returns where the bytes of page `i` are.
    #[inline]
    pub fn source(&self, i: usize) -> Source {
        let entry = self.entry(i);
        if entry & SELECTED == 0 {
            return Source::Unselected;
        }
        if entry & VALID == 0 {
            return Source::Hole;
        }
        let pfn = entry >> SHIFT;
        // SAFETY: The page is referenced and locked by the migration.
        let is_device = self.device_only
            || unsafe { bindings::folio_is_device_private(bindings::pfn_folio(pfn)) };
        if is_device {
            Source::Device { pfn }
        } else {
            Source::Host { pfn }
        }
    }

    /// Returns the memory that page `i`, or the huge page that it is a part of, is in: before it is
    /// handed over, if it is device memory with that cookie.
    pub fn pagemap<T: Operations>(
        &self,
        i: usize,
        cookie: &'static Cookie<T>,
    ) -> Option<&Pagemap<T>> {
        let first = if self.is_huge(0) { 0 } else { i };
        let Source::Device { pfn } = self.source(first) else {
            return None;
        };
        // SAFETY: What was collected is referenced until the migration ends.
        unsafe { Pagemap::of(pfn, cookie) }
    }

    /// Returns whether page `i` starts a huge page that moves in one piece.
    #[inline]
    pub fn is_huge(&self, i: usize) -> bool {
        self.entry(i) & (SELECTED | COMPOUND) == SELECTED | COMPOUND
    }

    /// Returns whether the CPU could write page `i`, so that nobody else shares it.
    pub fn is_writable(&self, i: usize) -> bool {
        self.entry(i) & WRITE != 0
    }

    /// Says that page `i`, and the pages after it that the folio covers, go to `folio`.
    ///
    /// Returns `false`, and gives the folio back, when that cannot be: there is no such page, it
    /// has a destination already, or the folio is a huge one and the page does not start a huge
    /// page that is all in the range; nothing is to be copied then.
    #[inline]
    #[must_use]
    pub fn set_dst(&mut self, i: usize, folio: LockedFolio) -> bool {
        let order = folio.order();
        let fits = order == 0
            || (order == PMD_ORDER
                && self.is_huge(i)
                && self.len().checked_sub(i).is_some_and(|n| n >= PMD_PAGES));
        let Some(dst) = self.pages.dst.get_mut(i).filter(|dst| fits && **dst == 0) else {
            return false;
        };
        let huge = if order > 0 { COMPOUND } else { 0 };
        let entry = (folio.pfn() << SHIFT) | VALID | huge;
        // INVARIANT: The element now owns what the folio owned.
        folio.into_raw();
        *dst = entry;
        true
    }

    /// Takes the destination of page `i` back, so that the page stays where it is.
    pub fn take_dst(&mut self, i: usize) -> Option<LockedFolio> {
        let dst = self.pages.dst.get_mut(i)?;
        if *dst & VALID == 0 {
            return None;
        }
        let pfn = core::mem::take(dst) >> SHIFT;
        // SAFETY: By the type invariants the element owned the lock and a reference.
        let folio = NonNull::new(unsafe { bindings::pfn_folio(pfn) })?;
        // SAFETY: As above.
        Some(unsafe { LockedFolio::from_raw(folio) })
    }

    /// Returns the frame that page `i` is going to, when `i` has an element of its own.
    #[inline]
    pub fn dst_pfn(&self, i: usize) -> Option<usize> {
        self.pages.dst_pfn(i)
    }

    /// Hands the pages over to their destinations.
    #[inline]
    pub fn commit(self) -> Committed<'a> {
        let mut pages = self.pages;
        match &mut pages.kind {
            // SAFETY: Set up, and the destinations are locked folios.
            Kind::Vma(args) => unsafe { bindings::migrate_vma_pages(args) },
            // SAFETY: As above.
            Kind::Pfns { .. } => unsafe {
                bindings::migrate_device_pages(
                    pages.src.as_mut_ptr(),
                    pages.dst.as_mut_ptr(),
                    pages.src.len(),
                )
            },
        }
        Committed(pages)
    }
}

/// Splits the folio of page `page` of device memory into base pages, so that they can move one
/// by one.
///
/// # Errors
///
/// `EAGAIN` when it is locked or in use for other things, `EINVAL` for a page outside, `ENOMEM`.
pub fn split_device_folio<T: Operations>(pagemap: &Pagemap<T>, page: usize) -> Result {
    let pfn = pagemap.pfn(page).ok_or(EINVAL)?;

    // SAFETY: A frame of the pagemap has a page. Without a reference it may become part of another
    // folio at any time, which fails the lock or is split instead; with one it stays.
    unsafe {
        let folio = bindings::pfn_folio(pfn);
        if !bindings::folio_try_get(folio) {
            return Ok(());
        }
        let mut result = Err(EAGAIN);
        if bindings::folio_trylock(folio) {
            result = Ok(());
            if bindings::folio_test_large(folio) {
                result = to_result(bindings::split_folio(folio));
            }
            bindings::folio_unlock(folio);
        }
        bindings::folio_put(folio);
        result
    }
}
