// SPDX-License-Identifier: GPL-2.0

//! Scratch memory for migrations and faults.

use crate::prelude::*;
use kernel::{
    alloc::Flags,
    mm::device::migrate::Arrays, //
};

/// Scratch memory to bring pages home.
pub(crate) struct Scratch {
    pub(crate) arrays: Arrays,
    pub(crate) runs: Runs,
}

impl Scratch {
    /// Makes scratch memory for so many pages of a VMA.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(pages: usize) -> Result<Self> {
        Ok(Self {
            arrays: Arrays::new(pages, GFP_KERNEL)?,
            runs: Runs::new(pages, GFP_KERNEL)?,
        })
    }

    /// Makes scratch memory for a chunk of device memory. Preallocated: eviction may run when the
    /// host is out of memory.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn for_chunk() -> Result<Self> {
        Ok(Self {
            arrays: Arrays::for_pagemap(PMD_PAGES)?,
            runs: Runs::new(PMD_PAGES, GFP_KERNEL)?,
        })
    }
}

/// A list of copies, as long as it has to be at most.
pub(crate) struct Runs(KVVec<CopyRun>);

impl Runs {
    /// Makes an empty list for a range of so many pages.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(pages: usize, flags: Flags) -> Result<Self> {
        Ok(Self(KVVec::with_capacity(pages, flags)?))
    }

    /// Empties the list.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a copy; one that continues the last one makes it longer.
    ///
    /// A list holds at most one element a page of a block, which is its capacity.
    #[inline]
    pub(crate) fn push(&mut self, dev_addr: u64, other: u64, len: u64) {
        if let Some(last) = self.0.last_mut() {
            if last.dev_addr.wrapping_add(last.len) == dev_addr
                && last.other.wrapping_add(last.len) == other
            {
                last.len = last.len.wrapping_add(len);
                return;
            }
        }
        let full = self.0.push_within_capacity(CopyRun {
            dev_addr,
            other,
            len,
        });
        debug_assert!(full.is_ok());
    }

    /// Returns the copies.
    pub(crate) fn as_slice(&self) -> &[CopyRun] {
        &self.0
    }
}

/// Scratch memory for one block. Allocated in base pages: no order above 0 is needed, and no OOM
/// kill for it.
pub(crate) struct Batch {
    pub(crate) arrays: Arrays,
    pub(crate) pfns: KVVec<PagePfn>,
    pub(crate) maps: KVVec<MapRun>,
    pub(crate) runs: Runs,
}

impl Batch {
    /// Makes scratch memory.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(flags: Flags) -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self {
                arrays: Arrays::new(PMD_PAGES, flags)?,
                pfns: KVVec::from_elem(PagePfn::PEEK, PMD_PAGES, flags)?,
                maps: KVVec::with_capacity(PMD_PAGES, flags)?,
                runs: Runs::new(PMD_PAGES, flags)?,
            },
            flags,
        )?)
    }
}

/// The scratch memory of so many faults is kept for others to come.
const MAX_SPARES: usize = 4;

/// Scratch memory that no fault uses, and how many faults wait for some.
struct Idle {
    batches: KVec<KBox<Batch>>,
    starved: usize,
}

/// Scratch memory of a context. The first is preallocated: a fault that finds none, and can
/// allocate none, waits for that one.
#[pin_data]
pub(crate) struct Spares {
    #[pin]
    idle: Mutex<Idle>,
    #[pin]
    returned: CondVar,
}

impl Spares {
    /// Makes scratch memory for one fault.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            idle <- {
                let mut batches = KVec::with_capacity(MAX_SPARES, GFP_KERNEL_ACCOUNT)?;
                batches.push(Batch::new(GFP_KERNEL_ACCOUNT)?, GFP_KERNEL_ACCOUNT)?;
                new_mutex!(Idle { batches, starved: 0 }, "gmem_spares")
            },
            returned <- new_condvar!("gmem_spare_returned"),
        }? Error)
    }

    /// Lends scratch memory to `f`. Waits for another fault when there is no memory for more.
    pub(crate) fn lend<R>(&self, f: impl FnOnce(&mut Batch) -> R) -> R {
        let mut batch = self.take();
        let result = f(&mut batch);
        let mut idle = self.idle.lock();
        // There are enough if it does not fit.
        let _ = idle.batches.push_within_capacity(batch);
        if idle.starved > 0 {
            self.returned.notify_one();
        }
        result
    }

    fn take(&self) -> KBox<Batch> {
        loop {
            if let Some(batch) = self.idle.lock().batches.pop() {
                return batch;
            }
            if let Ok(batch) = Batch::new(GFP_NOWAIT) {
                return batch;
            }
            let mut idle = self.idle.lock();
            if idle.batches.is_empty() {
                idle.starved += 1;
                self.returned.wait(&mut idle);
                idle.starved -= 1;
            }
        }
    }
}
