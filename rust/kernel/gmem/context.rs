// SPDX-License-Identifier: GPL-2.0

//! Address spaces and the devices attached to them.

use super::{
    vtable::AttachArgs,
    Access,
    Device,
    Hint,
    Mmu, //
};
use crate::{
    bindings,
    error::to_result,
    prelude::*,
    sync::Arc, //
};
use core::ptr::{
    from_mut,
    NonNull, //
};

/// An address space that devices can be attached to.
///
/// # Invariants
///
/// `space` is valid; if `standalone` this value owns it, else it owns a reference to it.
pub struct AddressSpace {
    space: NonNull<bindings::gm_as>,
    standalone: bool,
}

// SAFETY: A `gm_as` may be used and put from any thread.
unsafe impl Send for AddressSpace {}
// SAFETY: GMEM does its own locking.
unsafe impl Sync for AddressSpace {}

impl AddressSpace {
    /// Returns the address space of the current process: its peer-shared ranges, or all of it if
    /// `whole`.
    ///
    /// # Errors
    ///
    /// `EINVAL` in a kernel thread, `ENOMEM`.
    pub fn current(whole: bool) -> Result<Arc<Self>> {
        let mut space = core::ptr::null_mut();
        // SAFETY: `space` is valid for a write.
        to_result(unsafe { bindings::gm_as_get_current(whole, &mut space) })?;
        // INVARIANT: The function returned a reference that is ours.
        Self::from_raw(space, false)
    }

    pub(super) fn as_raw(&self) -> *mut bindings::gm_as {
        self.space.as_ptr()
    }

    pub(super) fn from_raw(space: *mut bindings::gm_as, standalone: bool) -> Result<Arc<Self>> {
        let space = NonNull::new(space).ok_or(EINVAL)?;
        Ok(Arc::new(Self { space, standalone }, GFP_KERNEL)?)
    }

    /// Attaches a device; the result is its view of this address space.
    ///
    /// # Errors
    ///
    /// - `ENODEV` for a device that is going away
    /// - `ENOSPC` when 16 are attached
    /// - `EBUSY` for a standalone address space where something is mapped
    /// - `ENOMEM`, or what [`Mmu::pmap_create`] returns
    pub fn attach<M: Mmu>(
        self: &Arc<Self>,
        device: &Arc<Device<M>>,
        file: &M::FileData,
    ) -> Result<Context<M>> {
        let mut args = AttachArgs::<M> { file, pmap: None };
        let mut ctx = core::ptr::null_mut();

        // SAFETY: Both objects are valid by their invariants; `args` is what the functions of `M`
        // take for file data, and lives for the call; `ctx` is valid for a write.
        to_result(unsafe {
            bindings::gm_as_attach(
                self.space.as_ptr(),
                device.as_raw(),
                from_mut(&mut args).cast(),
                &mut ctx,
            )
        })?;
        let ctx = NonNull::new(ctx).ok_or(EINVAL)?;
        let Some(pmap) = args.pmap else {
            // SAFETY: The context was made just now and nobody else has it.
            unsafe { bindings::gm_as_detach(ctx.as_ptr()) };
            return Err(EINVAL);
        };

        // INVARIANT: Made just now, with this page table.
        Ok(Context {
            ctx,
            pmap,
            _space: self.clone(),
            device: device.clone(),
        })
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        if self.standalone {
            // SAFETY: We own it by the type invariant. Contexts hold references to `Self`, so
            // none is left and the function succeeds.
            let _ = unsafe { bindings::gm_as_destroy(self.space.as_ptr()) };
        } else {
            // SAFETY: We own a reference by the type invariant.
            unsafe { bindings::gm_as_put(self.space.as_ptr()) };
        }
    }
}

/// A device attached to an address space. Dropping it detaches the device; the drop may sleep and
/// waits for running faults.
///
/// # Invariants
///
/// `ctx` is a context made by `gm_as_attach()` and not detached yet; `pmap` is its page table.
pub struct Context<M: Mmu> {
    ctx: NonNull<bindings::gm_context>,
    pmap: Arc<M::Pmap>,
    // Dropped after the context was detached.
    _space: Arc<AddressSpace>,
    device: Arc<Device<M>>,
}

// SAFETY: A `gm_context` may be used and detached from any thread, and so may the other fields.
unsafe impl<M: Mmu> Send for Context<M> {}
// SAFETY: GMEM does its own locking, and the other fields are `Sync`.
unsafe impl<M: Mmu> Sync for Context<M> {}

impl<M: Mmu> Context<M> {
    /// Resolves a device fault, or prepares a range before a launch. May sleep; the caller holds
    /// no lock that a function of [`Mmu`] takes.
    ///
    /// A success means that every page was mapped at some instant during the call. It may be gone
    /// again: the device then faults again.
    ///
    /// # Errors
    ///
    /// - `EFAULT` no such memory, or it does not allow the access
    /// - `EINVAL` the address space is standalone
    /// - `ENOMEM` neither the device nor the host has room
    /// - `ENODEV` the device is going away
    /// - `EIO` the device failed to copy
    pub fn fault(&self, addr: u64, len: u64, access: Access, hint: Hint) -> Result {
        // SAFETY: By the type invariant.
        to_result(unsafe {
            bindings::gm_dev_fault(self.ctx.as_ptr(), addr, len, access.as_raw(), hint as u32)
        })
    }

    /// The page table that the device walks.
    pub fn pmap(&self) -> &Arc<M::Pmap> {
        &self.pmap
    }

    /// The device.
    pub fn device(&self) -> &Arc<Device<M>> {
        &self.device
    }
}

impl<M: Mmu> Drop for Context<M> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, and nobody uses the context afterwards.
        unsafe { bindings::gm_as_detach(self.ctx.as_ptr()) };
    }
}
