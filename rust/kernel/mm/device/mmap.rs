// SPDX-License-Identifier: GPL-2.0

//! Keeping the mappings of a process as they are.
//!
//! C header: [`include/linux/mmap_lock.h`](srctree/include/linux/mmap_lock.h)

use super::vma::first_in;
use crate::{
    bindings,
    error::to_result,
    mm::{
        MmWithUser,
        MmapReadGuard, //
    },
    prelude::*,
    types::NotThreadSafe, //
};

/// A proof that mmap_lock is held.
///
/// # Safety
///
/// As long as a value lives, mmap_lock of [`Self::mm`] is held, for reading or for writing.
pub unsafe trait MmapLocked {
    /// Returns the address space whose lock is held.
    fn mm(&self) -> &MmWithUser;
}

// SAFETY: That is what it guards.
unsafe impl MmapLocked for MmapReadGuard<'_> {
    fn mm(&self) -> &MmWithUser {
        self.mm
    }
}

/// Proof that nobody else uses the mappings of a process: mmap_lock is held for writing, and so is
/// the lock of each VMA.
///
/// What still changes the page table comes from elsewhere: reclaim, migration, eviction.
///
/// # Invariants
///
/// mmap_lock of `mm`, and all its VMAs, are locked for writing.
pub struct StillGuard<'a> {
    mm: &'a MmWithUser,
    // mmap_lock must be released by the thread that took it.
    _nts: NotThreadSafe,
}

// SAFETY: By the type invariants.
unsafe impl MmapLocked for StillGuard<'_> {
    fn mm(&self) -> &MmWithUser {
        self.mm
    }
}

impl<'a> StillGuard<'a> {
    /// Locks mmap_lock and all VMAs for writing. It takes as long as a fork does, and is for who
    /// failed too often with mmap_lock held for reading.
    ///
    /// # Errors
    ///
    /// `EINTR` when a fatal signal arrives.
    pub fn hold(mm: &'a MmWithUser) -> Result<Self> {
        // SAFETY: `mm` is alive.
        to_result(unsafe { bindings::mmap_write_lock_killable(mm.as_raw()) })?;
        // INVARIANT: Locked above, and the VMAs below, before anybody else has the value.
        let this = Self {
            mm,
            _nts: NotThreadSafe,
        };
        let mut next = 0;
        while let Some(vma) = first_in(&this, next..usize::MAX) {
            // SAFETY: mmap_lock is held for writing, so that the VMA stays.
            to_result(unsafe { bindings::vma_start_write_killable(vma.as_ptr()) })?;
            next = vma.end();
        }
        Ok(this)
    }
}

impl Drop for StillGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants. This unlocks the VMAs, too.
        unsafe { bindings::mmap_write_unlock(self.mm.as_raw()) };
    }
}

/// mmap_lock, held for reading or for writing.
pub enum MmapGuard<'a> {
    /// For reading.
    Shared(MmapReadGuard<'a>),
    /// For writing, with all VMAs locked.
    Still(StillGuard<'a>),
}

// SAFETY: Both hold it.
unsafe impl MmapLocked for MmapGuard<'_> {
    fn mm(&self) -> &MmWithUser {
        match self {
            Self::Shared(guard) => guard.mm(),
            Self::Still(guard) => guard.mm(),
        }
    }
}
