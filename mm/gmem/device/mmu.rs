// SPDX-License-Identifier: GPL-2.0

//! Calls of a driver's `gm_mmu` functions.
//!
//! The one place that reaches into a driver. A function that is optional and absent is answered
//! here, so that no caller asks for it.

use crate::{
    device::{
        gate::Gate,
        stats::Stats, //
    },
    prelude::*, //
};
use kernel::bindings::{
    gm_copy,
    gm_map, //
};

/// The functions of one device and the driver's pointer that goes with them.
///
/// # Invariants
///
/// `ops` is valid and complete in what is not optional until `calls` is closed for ever: the
/// driver's module is pinned and keeps the table until `gm_dev_destroy()` returned, which closes
/// the gate.
#[derive(Clone)]
pub(crate) struct Mmu {
    ops: NonNull<bindings::gm_mmu>,
    data: *mut c_void,
    owner: *mut bindings::module,
    calls: Arc<Gate>,
}

// SAFETY: The functions may be called from any thread; `data` is only passed through.
unsafe impl Send for Mmu {}
// SAFETY: As above.
unsafe impl Sync for Mmu {}

/// What moves pages of a device: its functions and its counters, without its lifetime.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) id: u32,
    pub(crate) mmu: Mmu,
    pub(crate) stats: Arc<Stats>,
}

/// A page table of a device.
///
/// # Invariants
///
/// `handle` was made by `pmap_create()` of `mmu` and lives until [`Pmap::destroy`].
pub(crate) struct Pmap {
    mmu: Mmu,
    handle: *mut c_void,
    live: Atomic<bool>,
}

// SAFETY: The functions may be called from any thread; the handle is only passed through.
unsafe impl Send for Pmap {}
// SAFETY: As above.
unsafe impl Sync for Pmap {}

/// Calls a data function and waits for its fence.
macro_rules! data_call {
    ($self:ident, $func:ident, $site:expr, $runs:expr $(, $arg:expr)*) => {{
        let runs: &[gm_copy] = $runs;
        if runs.is_empty() {
            return Ok(());
        }
        let _call = $self.calls.enter()?;
        if sys::should_fail($site) {
            return Err(EIO);
        }
        let nr = u32::try_from(runs.len())?;
        let mut fence = 0;
        // SAFETY: By the type invariants, inside the gate; the runs live across the call.
        match unsafe { $self.ops.as_ref() }.$func {
            Some(f) => {
                // SAFETY: As above.
                to_result(unsafe { f($self.data, $($arg,)* runs.as_ptr(), nr, &mut fence) })?
            }
            None => return Err(sys::eopnotsupp()),
        }
        $self.fence_wait(fence)
    }};
}

impl Mmu {
    /// Takes over a table.
    ///
    /// # Errors
    ///
    /// `EINVAL` when a function that is not optional is missing, or half of a pair; `ENOMEM`.
    ///
    /// # Safety
    ///
    /// `ops` is NULL, or valid and usable with `data` until [`Self::end`] returns.
    pub(crate) unsafe fn new(
        ops: *const bindings::gm_mmu,
        data: *mut c_void,
        owner: *mut bindings::module,
    ) -> Result<Self> {
        let ops = NonNull::new(ops.cast_mut()).ok_or(EINVAL)?;
        // SAFETY: It is not NULL, and the caller keeps the table until `end()` returned.
        let table = unsafe { ops.as_ref() };
        let complete = table.pmap_create.is_some()
            && table.pmap_destroy.is_some()
            && table.pmap_prepare.is_some()
            && table.pmap_enter.is_some()
            && table.pmap_release.is_some()
            && table.tlb_invl.is_some()
            && table.prepare_page.is_some()
            && table.copy_to_dev.is_some()
            && table.copy_from_dev.is_some()
            && table.fence_wait.is_some();
        let paired = table.tlb_invl_start.is_some() == table.tlb_invl_wait.is_some()
            && table.alloc_page.is_some() == table.free_page.is_some()
            && table.peer_va_alloc_fixed.is_some() == table.peer_va_free.is_some();

        if complete && paired {
            // INVARIANT: Checked above.
            let calls = Arc::pin_init(Gate::new(), GFP_KERNEL)?;
            Ok(Self {
                ops,
                data,
                owner,
                calls,
            })
        } else {
            Err(EINVAL)
        }
    }

    /// Ends all calls: those that run are waited for, and there are no others, on no copy of the
    /// value. The caller is in none.
    pub(crate) fn end(&self) {
        self.calls.close_for_ever();
    }

    /// Returns whether the calls were ended: the device is dead.
    pub(crate) fn has_ended(&self) -> bool {
        self.calls.is_closed_for_ever()
    }

    /// Waits for a fence, inside a call.
    fn fence_wait(&self, fence: u64) -> Result {
        if fence == 0 {
            return Ok(());
        }
        // SAFETY: By the type invariants.
        match unsafe { self.ops.as_ref() }.fence_wait {
            // SAFETY: As above.
            Some(f) => to_result(unsafe { f(self.data, fence) })?,
            None => return Err(EINVAL),
        }
        // Only now: the device is done with the pages.
        if sys::should_fail(sys::Site::Fence) {
            return Err(EIO);
        }
        Ok(())
    }

    /// Fills device memory with zeroes.
    pub(crate) fn zero(&self, runs: &[gm_copy]) -> Result {
        data_call!(self, prepare_page, sys::Site::CopyTo, runs)
    }

    /// Copies host memory to device memory.
    pub(crate) fn copy_to_dev(&self, runs: &[gm_copy]) -> Result {
        data_call!(self, copy_to_dev, sys::Site::CopyTo, runs)
    }

    /// Copies device memory to host memory.
    pub(crate) fn copy_from_dev(&self, runs: &[gm_copy]) -> Result {
        data_call!(self, copy_from_dev, sys::Site::CopyFrom, runs)
    }

    /// Returns whether the driver can copy from the memory of `src`.
    pub(crate) fn copies_from(&self, src: &Mmu) -> bool {
        let Ok(_call) = self.calls.enter() else {
            return false;
        };
        // SAFETY: By the type invariants, inside the gate.
        self.ops == src.ops && unsafe { self.ops.as_ref() }.copy_peer.is_some()
    }

    /// Copies from the memory of `src`.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` when the two devices have no way to each other.
    pub(crate) fn copy_peer(&self, src: &Mmu, runs: &[gm_copy]) -> Result {
        if self.ops != src.ops {
            return Err(sys::eopnotsupp());
        }
        let _source = src.calls.enter()?;
        data_call!(self, copy_peer, sys::Site::CopyPeer, runs, src.data)
    }

    /// Makes an empty page table.
    ///
    /// # Safety
    ///
    /// `file_data` is what the driver's `pmap_create()` expects.
    pub(crate) unsafe fn pmap_create(&self, file_data: *mut c_void) -> Result<Pmap> {
        let mut handle = core::ptr::null_mut();
        let _call = self.calls.enter()?;
        // SAFETY: By the type invariants, inside the gate.
        let create = unsafe { self.ops.as_ref() }.pmap_create.ok_or(EINVAL)?;
        if sys::should_fail(sys::Site::PmapCreate) {
            return Err(ENOMEM);
        }
        // SAFETY: The driver calls us, so its module is there. A page table keeps it.
        if !unsafe { bindings::try_module_get(self.owner) } {
            return Err(ENODEV);
        }
        // SAFETY: As above; the caller has `file_data` from the driver that gets it.
        if let Err(e) = to_result(unsafe { create(self.data, file_data, &mut handle) }) {
            // SAFETY: Taken above.
            unsafe { bindings::module_put(self.owner) };
            return Err(e);
        }
        // INVARIANT: Just made.
        Ok(Pmap {
            mmu: self.clone(),
            handle,
            live: Atomic::new(true),
        })
    }
}

impl Pmap {
    /// The functions, for the time of a call, and for [`Self::destroy`], which is part of one of
    /// the driver's own.
    fn ops(&self) -> &bindings::gm_mmu {
        // SAFETY: By the type invariants of `Mmu`.
        unsafe { self.mmu.ops.as_ref() }
    }

    /// Builds the page-table pages for a range.
    pub(crate) fn prepare(&self, pages: PageRange) -> Result {
        let _call = self.mmu.calls.enter()?;
        if sys::should_fail(sys::Site::PmapPrepare) {
            return Err(ENOMEM);
        }
        match self.ops().pmap_prepare {
            // SAFETY: By the type invariants.
            Some(f) => to_result(unsafe { f(self.handle, pages.start_byte(), pages.len_bytes()) }),
            None => Ok(()),
        }
    }

    /// Installs runs of pages.
    pub(crate) fn enter(&self, maps: &[gm_map]) -> Result {
        let _call = self.mmu.calls.enter()?;
        let enter = self.ops().pmap_enter.ok_or(EINVAL)?;
        let nr = u32::try_from(maps.len())?;

        if sys::should_fail(sys::Site::PmapEnter) {
            return Err(EIO);
        }
        // SAFETY: By the type invariants; the runs live across the call.
        to_result(unsafe { enter(self.handle, maps.as_ptr(), nr) })
    }

    /// Removes the entries of `pages`.
    ///
    /// A dead device uses none of them.
    pub(crate) fn release(&self, pages: PageRange) {
        let Ok(_call) = self.mmu.calls.enter() else {
            return;
        };
        if let Some(f) = self.ops().pmap_release {
            // SAFETY: By the type invariants.
            unsafe { f(self.handle, pages.start_byte(), pages.len_bytes()) };
        }
    }

    /// Tests and clears the accessed bits of `pages`.
    ///
    /// A device without such bits is taken not to use what it maps.
    pub(crate) fn age(&self, pages: PageRange) -> bool {
        let Ok(_call) = self.mmu.calls.enter() else {
            return false;
        };
        match self.ops().pmap_age {
            // SAFETY: By the type invariants.
            Some(f) => unsafe { f(self.handle, pages.start_byte(), pages.len_bytes()) > 0 },
            None => false,
        }
    }

    /// Starts dropping cached translations of `pages`; [`Self::flush_wait`] finishes.
    ///
    /// Returns the cookie, or [`None`] when the device only has a flush that waits, which is then
    /// done, or is dead.
    pub(crate) fn flush_start(&self, pages: PageRange) -> Option<u64> {
        let _call = self.mmu.calls.enter().ok()?;
        let range = bindings::gm_range {
            va: pages.start_byte(),
            len: pages.len_bytes(),
        };
        let mut seq = 0;
        match self.ops().tlb_invl_start {
            // SAFETY: By the type invariants.
            Some(f) => unsafe {
                f(self.handle, &range, 1, &mut seq);
                Some(seq)
            },
            None => {
                if let Some(f) = self.ops().tlb_invl {
                    // SAFETY: By the type invariants.
                    unsafe { f(self.handle, range.va, range.len) };
                }
                None
            }
        }
    }

    /// Waits until a flush is done.
    pub(crate) fn flush_wait(&self, seq: u64) {
        let Ok(_call) = self.mmu.calls.enter() else {
            return;
        };
        if let Some(f) = self.ops().tlb_invl_wait {
            // SAFETY: By the type invariants.
            unsafe { f(self.handle, seq) };
        }
    }

    /// Gives the page table back to the driver; nothing may be called on it afterwards.
    ///
    /// The owner calls this when no fault runs any more and no notifier can find the page table,
    /// and for the driver, so that its module is there, also when the device is dead.
    pub(crate) fn destroy(&self) {
        if !self.live.xchg(false, Full) {
            return;
        }
        if let Some(f) = self.ops().pmap_destroy {
            // SAFETY: By the type invariants; `live` lets this happen once.
            unsafe { f(self.handle) };
        }
        // SAFETY: Taken when the page table was made.
        unsafe { bindings::module_put(self.mmu.owner) };
    }
}

impl Drop for Pmap {
    fn drop(&mut self) {
        self.destroy();
    }
}

/// The pages of a run.
pub(crate) fn pages_of_run(run: &MapRun) -> Option<PageRange> {
    PageRange::with_count(run.va >> PAGE_SHIFT, u64::from(run.nr_pages))
}

/// Is the run a block that a device may hold in one entry?
pub(crate) fn is_huge(run: &MapRun) -> bool {
    u64::from(run.nr_pages) == BLOCK_PAGES
        && (run.va | run.addr) & ((BLOCK_PAGES << PAGE_SHIFT) - 1) == 0
}
