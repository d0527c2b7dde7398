// SPDX-License-Identifier: GPL-2.0

//! Charging device memory to cgroups, by the `dmem` controller.
//!
//! Each memory is a region of the controller. A chunk is charged in one piece to the cgroup of the
//! process it was reserved for, whoever does the work, and serves that cgroup only, until it is
//! empty. Without the controller everything here is there and does nothing.

use crate::prelude::*;
use kernel::error::from_err_ptr;

type RawPool = bindings::dmem_cgroup_pool_state;

/// A memory, as the controller knows it.
///
/// # Invariants
///
/// The pointer is NULL or a registered region.
pub(crate) struct Region(*mut bindings::dmem_cgroup_region);

// SAFETY: The controller locks for itself.
unsafe impl Send for Region {}
// SAFETY: As above.
unsafe impl Sync for Region {}

impl Region {
    /// Makes a region of `size` bytes called `gmem/<name>`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(name: &CStr, size: usize) -> Result<Self> {
        // SAFETY: The name is a string; the function copies it.
        let region = unsafe { bindings::gmem_dmem_register(size as u64, name.as_char_ptr()) };

        // INVARIANT: As the function promises.
        Ok(Self(from_err_ptr(region)?))
    }

    /// Charges `size` bytes to `payer`.
    ///
    /// # Errors
    ///
    /// With a limit: it would be exceeded. Without: `ENOMEM`, or `ENODEV` when the region is gone.
    pub(crate) fn charge(&self, payer: &Payer, size: usize) -> Result<Charge, Refusal> {
        let (mut pool, mut limit) = (core::ptr::null_mut(), core::ptr::null_mut());
        // SAFETY: By the type invariants; the pointers are valid for writes.
        let result = to_result(unsafe {
            bindings::gmem_dmem_charge(self.0, size as u64, payer.0, &mut pool, &mut limit)
        });
        match result {
            // INVARIANT: Just charged.
            Ok(()) => Ok(Charge {
                pool,
                payer: payer.id(),
                size,
            }),
            Err(e) => Err(Refusal {
                error: if limit.is_null() { e } else { ENOSPC },
                limit: NonNull::new(limit).map(Limit),
            }),
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::gmem_dmem_unregister(self.0) };
    }
}

/// The cgroup that pays.
///
/// # Invariants
///
/// The pointer is NULL or holds a reference.
pub(crate) struct Payer(*mut bindings::cgroup_subsys_state);

impl Payer {
    /// Returns the cgroup of the owner of `mm`.
    ///
    /// # Errors
    ///
    /// `ESRCH` when the process is gone.
    pub(crate) fn of(mm: &Mm) -> Result<Self> {
        // SAFETY: The reference shows that the `mm_struct` is there.
        let css = unsafe { bindings::gmem_dmem_payer(mm.as_raw()) };

        // INVARIANT: As the function promises.
        Ok(Self(from_err_ptr(css)?))
    }

    fn id(&self) -> usize {
        self.0 as usize
    }
}

impl Drop for Payer {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: By the type invariants.
            unsafe { bindings::gmem_dmem_payer_put(self.0) };
        }
    }
}

/// What somebody pays for; dropping it ends that.
///
/// # Invariants
///
/// `pool` is NULL or charged with `size`. The charge holds the cgroup, so that `payer` is that of
/// no other.
pub(crate) struct Charge {
    pool: *mut RawPool,
    payer: usize,
    size: usize,
}

// SAFETY: The controller locks for itself.
unsafe impl Send for Charge {}

impl Charge {
    /// Returns whether `payer` pays.
    pub(crate) fn is_of(&self, payer: &Payer) -> bool {
        self.payer == payer.id()
    }

    /// Returns whether evicting this helps to get below `limit`, or to get room when there is none,
    /// and takes nothing that the payer is guaranteed.
    ///
    /// `low` is what is known of `dmem.low`: see [`Low`].
    pub(crate) fn may_evict(&self, limit: Option<&Limit>, low: &mut Low) -> bool {
        let limit = limit.map_or(core::ptr::null_mut(), |limit| limit.0.as_ptr());
        let mut hit = false;
        // SAFETY: By the type invariants of both; `hit` is valid for a write.
        let may = unsafe {
            bindings::gmem_dmem_may_evict(limit, self.pool, *low == Low::Ignored, &mut hit)
        };
        if hit && *low == Low::Respected {
            *low = Low::Hit;
        }
        may
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; dropped once.
        unsafe { bindings::gmem_dmem_uncharge(self.pool, self.size as u64) };
    }
}

/// How a search for something to evict treats `dmem.low`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Low {
    /// What is below it is left alone.
    Respected,
    /// So it is, and there was some: a search that ignores it will find more.
    Hit,
    /// It does not count.
    Ignored,
}

/// The cgroup whose limit is in the way.
///
/// # Invariants
///
/// The pointer holds a reference.
pub(crate) struct Limit(NonNull<RawPool>);

impl Drop for Limit {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::gmem_dmem_limit_put(self.0.as_ptr()) };
    }
}

/// Why device memory could not be had.
pub(crate) struct Refusal {
    /// `ENOSPC`: eviction can help.
    pub(crate) error: Error,
    /// Whose limit was hit, if it was not for lack of room.
    pub(crate) limit: Option<Limit>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, limit: None }
    }
}

/// Asks for empty chunks to be given back soon. Callable anywhere.
pub(crate) fn return_soon() {
    // SAFETY: A plain call.
    unsafe { bindings::gmem_return_soon() };
}
