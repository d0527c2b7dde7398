// SPDX-License-Identifier: GPL-2.0

//! Host pages of which devices may have copies: nobody writes them without a notification.

use crate::prelude::*;

/// Copies are made of this many pages, 64 KiB, aligned: the run in which device memory is taken.
pub(crate) const WINDOW: usize = 1 << WINDOW_ORDER;
pub(crate) const WINDOW_ORDER: u32 = 4;

/// The guarantee that a file is not written, which ends when somebody wants to.
///
/// # Invariants
///
/// The pointer is valid and we are counted as a user.
pub(crate) struct Lease(NonNull<bindings::gmem_lease>);

// SAFETY: The C side locks for itself.
unsafe impl Send for Lease {}
// SAFETY: As above.
unsafe impl Sync for Lease {}

impl Lease {
    /// Returns the guarantee for the file that is mapped at `addr`, in bytes, if there can be one:
    /// nobody may have the file open for writing, or it must be sealed.
    ///
    /// Opens files, so mmap_lock must not be held.
    pub(crate) fn of(mm: &MmWithUser, addr: usize) -> Option<Self> {
        // SAFETY: `mm` is alive.
        let lease = unsafe { bindings::gmem_lease_get(mm.as_raw(), addr) };

        // INVARIANT: The function counted us.
        NonNull::new(lease).map(Self)
    }

    /// Returns whether somebody wants to write the file. To be asked under the map lock: the copies
    /// that are made before are found and dropped.
    pub(crate) fn is_broken(&self) -> bool {
        // SAFETY: By the type invariants.
        unsafe { bindings::gmem_lease_broken(self.0.as_ptr()) }
    }

    /// Returns whether `vma` maps the file.
    pub(crate) fn covers(&self, vma: &VmaRef) -> bool {
        // SAFETY: By the type invariants; the VMA is valid.
        unsafe { bindings::gmem_lease_covers(self.0.as_ptr(), vma.as_ptr()) }
    }

    /// Returns whether this is what C calls `lease`.
    pub(crate) fn is(&self, lease: *const bindings::gmem_lease) -> bool {
        core::ptr::eq(self.0.as_ptr(), lease)
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        // SAFETY: By the type invariants.
        unsafe { bindings::gmem_lease_hold(self.0.as_ptr()) };
        // INVARIANT: Just counted.
        Self(self.0)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::gmem_lease_put(self.0.as_ptr()) };
    }
}

/// The host pages of a window, by the place in it, each with a reference that keeps it from being
/// written where it is mapped.
///
/// # Invariants
///
/// A frame is 0 or that of a page to whose folio we hold a reference, taken by `gmem_originals()`
/// with the lease.
pub(crate) struct Originals {
    frames: [usize; WINDOW],
    lease: Option<Lease>,
}

impl Originals {
    /// Returns the page frames; 0 where there is none.
    pub(crate) fn frames(&self) -> [usize; WINDOW] {
        self.frames
    }

    /// Returns the page frame at a place of the window, if there is one.
    pub(crate) fn frame(&self, index: usize) -> Option<usize> {
        self.frames.get(index).copied().filter(|frame| *frame != 0)
    }

    /// Returns how many there are.
    pub(crate) fn count(&self) -> usize {
        self.frames.iter().filter(|frame| **frame != 0).count()
    }

    /// Returns the lease of the file that the pages are of.
    pub(crate) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }
}

impl Drop for Originals {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; the references are ours to give back.
        unsafe {
            bindings::gmem_originals_put(
                lease_ptr(self.lease.as_ref()),
                self.frames.as_mut_ptr(),
                WINDOW,
            );
        }
    }
}

fn lease_ptr(lease: Option<&Lease>) -> *mut bindings::gmem_lease {
    lease.map_or(core::ptr::null_mut(), |lease| lease.0.as_ptr())
}

/// Takes those pages of `range`, which lies inside the VMA and in one window, that can have copies.
///
/// Anonymous pages are write-protected for it; `lease` covers the VMA of a file. Sends
/// notifications, so the map lock must not be held. `may_drain` says that the lists of other CPUs
/// may be emptied, which is waited for, and becomes `false` when they were.
pub(crate) fn take(
    vma: &MmapVma,
    range: PageRange,
    lease: Option<&Lease>,
    may_drain: &mut bool,
) -> Originals {
    let mut originals = Originals {
        frames: [0; WINDOW],
        lease: lease.cloned(),
    };
    let first = range.first() as usize & (WINDOW - 1);
    let count = (range.count() as usize).min(WINDOW - first);
    if let Some(frames) = originals.frames.get_mut(first..first + count) {
        // INVARIANT: The function takes a reference for each frame that it returns.
        // SAFETY: The VMA is valid and mmap_lock held, as `vma` shows; there is room for all
        // frames.
        unsafe {
            bindings::gmem_originals(
                vma.as_ptr(),
                (range.first() << PAGE_SHIFT) as usize,
                frames.len(),
                lease_ptr(lease),
                frames.as_mut_ptr(),
                may_drain,
            );
        }
    }
    originals
}
