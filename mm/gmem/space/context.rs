// SPDX-License-Identifier: GPL-2.0

//! Contexts: a device's view of one address space.

use crate::{
    advice::pin,
    device::{
        mmu::Pmap,
        registry::Device,
        scratch::Batch, //
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

/// The scratch memory of so many faults is kept for others to come.
const MAX_SPARES: usize = 4;

/// Whether faults may begin, and how many run.
struct Gate {
    open: bool,
    inside: usize,
    /// Scratch memory that no fault uses. The first is preallocated with the context: a fault that
    /// finds none, and can allocate none, waits for that one.
    spares: KVec<KBox<Batch>>,
    /// How many faults wait for some.
    starved: usize,
}

/// The page table of one device for one address space; `struct gm_context`.
#[pin_data]
pub(crate) struct Context {
    pub(crate) device: Arc<Device>,
    pub(crate) space: Arc<Space>,
    pub(crate) pmap: Pmap,
    index: usize,
    #[pin]
    gate: Mutex<Gate>,
    /// A fault ended.
    #[pin]
    ended: CondVar,
    #[pin]
    pub(crate) walks: Walks,
    #[pin]
    pub(crate) work: Work<Self>,
}

/// A fault under way: it keeps the context attached, and has scratch memory.
pub(crate) struct Faulting<'a> {
    context: &'a Context,
    batch: Option<KBox<Batch>>,
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
        let mut spares = KVec::with_capacity(MAX_SPARES, GFP_KERNEL_ACCOUNT)?;
        spares.push(Batch::new(GFP_KERNEL_ACCOUNT)?, GFP_KERNEL_ACCOUNT)?;
        let (for_device, for_space) = (device.clone(), space.clone());
        // Nothing is allocated under the map lock, so the index is chosen before and checked after.
        let index = space.lock_map().free_index().ok_or(ENOSPC)?;
        let this = Arc::pin_init(
            pin_init!(Self {
                device: for_device,
                space: for_space,
                pmap,
                index,
                gate <- new_mutex!(Gate {
                    open: true,
                    inside: 0,
                    spares,
                    starved: 0,
                }, "gmem_context"),
                ended <- new_condvar!("gmem_fault_ended"),
                walks <- Walks::new(),
                work <- new_work!("gmem_ahead"),
            }),
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

    /// Begins a fault. Waits for others to end when there is no memory for one more.
    ///
    /// # Errors
    ///
    /// `ENODEV` when the context is being detached.
    pub(crate) fn enter(&self) -> Result<Faulting<'_>> {
        let mut made = None;
        loop {
            let mut gate = self.gate.lock();
            if !gate.open {
                return Err(ENODEV);
            }
            let batch = made.take().or_else(|| gate.spares.pop());
            if batch.is_some() {
                gate.inside += 1;
                let context = self;
                return Ok(Faulting { context, batch });
            }
            drop(gate);
            made = Batch::new(GFP_NOWAIT).ok();
            if made.is_none() {
                let mut gate = self.gate.lock();
                if gate.spares.is_empty() && gate.open {
                    gate.starved += 1;
                    self.ended.wait(&mut gate);
                    gate.starved -= 1;
                }
            }
        }
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
        {
            let mut gate = self.gate.lock();
            if !gate.open {
                return;
            }
            gate.open = false;
            while gate.inside > 0 {
                self.ended.wait(&mut gate);
            }
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

impl Faulting<'_> {
    /// Returns the scratch memory.
    pub(crate) fn batch(&mut self) -> Result<&mut Batch> {
        Ok(self.batch.as_mut().ok_or(ENOMEM)?)
    }
}

impl Drop for Faulting<'_> {
    fn drop(&mut self) {
        let mut gate = self.context.gate.lock();
        gate.inside -= 1;
        if let Some(batch) = self.batch.take() {
            // There are enough if it does not fit.
            let _ = gate.spares.push_within_capacity(batch);
        }
        if !gate.open || gate.starved > 0 {
            self.context.ended.notify_all();
        }
    }
}
