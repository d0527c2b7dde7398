// SPDX-License-Identifier: GPL-2.0

//! Contexts: a device's view of one address space.

use crate::{
    advice::pin,
    device::{
        gate::Gate,
        mmu::Pmap,
        registry::Device,
        scratch::Spares, //
    },
    prelude::*,
    space::{
        address_space::{
            MapLock,
            Space, //
        },
        entry::Entry,
        walks::Walks, //
    }, //
};
use kernel::{
    impl_has_work,
    new_work,
    workqueue::Work, //
};

/// The largest number of contexts of one address space: bits in a directory entry.
pub(crate) const MAX_CONTEXTS: usize = Entry::CONTEXTS as usize;

/// The page table of one device for one address space; `struct gm_context`.
#[pin_data]
pub(crate) struct Context {
    pub(crate) device: Arc<Device>,
    pub(crate) space: Arc<Space>,
    pub(crate) pmap: Pmap,
    index: usize,
    /// Faults are inside.
    #[pin]
    pub(crate) gate: Gate,
    #[pin]
    pub(crate) spares: Spares,
    #[pin]
    pub(crate) walks: Walks,
    #[pin]
    pub(crate) work: Work<Self>,
}

impl_has_work! {
    impl HasWork<Context> for Context { self.work }
}

impl Context {
    /// Returns the context's bit in a directory entry.
    pub(crate) fn bit(&self) -> u16 {
        1u16.wrapping_shl(self.index as u32)
    }

    /// Installs runs of pages.
    pub(crate) fn install(&self, _map: &MapLock<'_>, maps: &[MapRun]) -> Result {
        self.pmap.enter(maps)
    }

    /// Removes the entries of `pages`.
    pub(crate) fn release(&self, _map: &MapLock<'_>, pages: PageRange) {
        self.pmap.release(pages);
    }

    /// Tests and clears whether the device used `pages`.
    pub(crate) fn age(&self, _map: &MapLock<'_>, pages: PageRange) -> bool {
        self.pmap.age(pages)
    }

    /// Starts dropping cached translations of `pages`.
    pub(crate) fn flush_start(&self, _map: &MapLock<'_>, pages: PageRange) -> Option<u64> {
        self.pmap.flush_start(pages)
    }

    /// Waits for a flush.
    pub(crate) fn flush_wait(&self, _map: &MapLock<'_>, seq: u64) {
        self.pmap.flush_wait(seq);
    }

    /// Attaches a page table of `device` to `space`.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when the space has [`MAX_CONTEXTS`] already, `ENODEV` when the device is going
    /// away, `EBUSY` when something is mapped in a standalone space, which the context would miss,
    /// `EAGAIN` when another thread attached at the same time, `ENOMEM`.
    pub(crate) fn new(space: Arc<Space>, device: Arc<Device>, pmap: Pmap) -> Result<Arc<Self>> {
        let _entered = device.enter()?;
        let addresses = space.lock_addresses();
        if addresses.is_some() && space.directory.is_mapped(PageRange::ALL) {
            return Err(EBUSY);
        }
        let (for_device, for_space) = (device.clone(), space.clone());
        // Nothing is allocated under the map lock, so the index is chosen before and checked after.
        let index = space.lock_map().free_index().ok_or(ENOSPC)?;
        let this = Arc::pin_init(
            try_pin_init!(Self {
                device: for_device,
                space: for_space,
                pmap,
                index,
                gate <- Gate::new(),
                spares <- Spares::new(),
                walks <- Walks::new(),
                work <- new_work!("gmem_ahead"),
            }? Error),
            GFP_KERNEL_ACCOUNT,
        )?;
        {
            let mut map = space.lock_map();
            if map.context(index).is_some() {
                drop(map);
                this.pmap.destroy();
                return Err(EAGAIN);
            }
            map.set_context(index, Some(this.clone()));
        }
        space.hold();
        *device.contexts.lock() += 1;
        Ok(this)
    }

    /// Unpins what the process pinned to the device, unless it has another context there.
    fn unpin(&self) {
        let Ok(mm) = self.space.mm() else { return };
        let device = &self.device;
        let other = self
            .space
            .lock_map()
            .contexts()
            .any(|context| Arc::ptr_eq(&context.device, device));
        if !other {
            pin::detached(mm, device.parts.id);
        }
    }

    /// Ends the context: waits for running faults, then takes everything from the device.
    ///
    /// Must not be called inside a fault of the same context.
    pub(crate) fn detach(&self) {
        if self.gate.close().is_err() {
            return;
        }
        let (gone, last) = {
            let _addresses = self.space.lock_addresses();
            let mut map = self.space.lock_map();
            map.invalidate_context(&self.space.directory, self);
            let gone = map.set_context(self.index, None);
            let last = !map
                .contexts()
                .any(|other| Arc::ptr_eq(&other.device, &self.device));
            (gone, last)
        };
        drop(gone);
        if last {
            self.space.drop_copies_on(self.device.parts.id);
        }
        self.unpin();
        // Others may hold on to the context for a moment, but not to what the driver made.
        self.pmap.destroy();
        *self.device.contexts.lock() -= 1;
        self.space.put();
    }
}
