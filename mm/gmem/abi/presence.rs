// SPDX-License-Identifier: GPL-2.0

//! How devices and their memory come, and how memory leaves while the device works.

use crate::{
    abi::debugfs,
    advice::pin,
    device::{
        dmem,
        memory::Memory,
        node::{
            self,
            Node, //
        },
        registry::{
            Description,
            Device,
            Owner, //
        }, //
    },
    prelude::*,
    reclaim::evict,
    space::replicas, //
};

impl Device {
    /// Makes a device, and its directory in debugfs.
    ///
    /// # Errors
    ///
    /// As [`Device::new`].
    pub(crate) fn create(desc: Description) -> Result<Arc<Self>> {
        let device = Self::new(desc)?;
        *device.debug_dir.lock() = debugfs::add(&device);
        Ok(device)
    }

    /// Adds memory of `size` bytes.
    ///
    /// # Errors
    ///
    /// `EBUSY` when there is some already; as [`Memory::new`].
    pub(crate) fn register_memory(&self, size: usize) -> Result {
        let inside = self.enter()?;
        let owner = self.owner.lock();
        if self.with_memory(|_| ()).is_some() {
            return Err(EBUSY);
        }
        let substitute = node::substitute(self.parts.id);
        let memory = Memory::new(
            self.parts.clone(),
            &self.name,
            size,
            substitute,
            Node::new()?,
        )?;
        self.memory.lock().live = Some(memory.clone());
        if let Some(node) = &memory.node {
            node.publish(self.parent.lock().as_deref(), self.speed);
        }
        // Nobody takes it away before this reference is gone.
        drop(memory);
        drop(owner);
        drop(inside);
        Ok(())
    }

    /// Takes the memory away after everything in it went home.
    ///
    /// New work is refused from the start; when this fails the device works again, and what was
    /// pinned is.
    ///
    /// # Errors
    ///
    /// `EBUSY` when pages would not leave, `ENOMEM` when the host has no room, `EIO` when the
    /// device would not give the bytes, `ENODEV` when there is no memory or the device is dead.
    pub(crate) fn unregister_memory(&self) -> Result {
        self.gate.close()?;
        let owner = self.owner.lock();
        let result = self.empty();
        if result.is_ok() {
            self.remove_memory(&owner);
        }
        drop(owner);
        self.gate.open();
        // For chunks that became empty while the device was closed.
        dmem::return_soon();
        result
    }

    /// Brings everything in the memory home. The device is closed.
    fn empty(&self) -> Result {
        let memory = self.memory.lock().live.clone().ok_or(ENODEV)?;

        replicas::drop_memory(&memory);
        evict::everything(&memory)
    }

    /// Takes the memory away, in which nothing is. The device is closed.
    pub(super) fn remove_memory(&self, _owner: &MutexGuard<'_, Owner>) {
        // Room is kept for pins as long as the memory can turn out to stay.
        pin::device_gone(self.parts.id);
        self.retract();
        let held = core::mem::take(&mut *self.memory.lock());
        // Nobody else has it, and the last user of the pages is gone, so this does not wait.
        drop(held);
    }

    /// Takes the node of the memory out of use.
    pub(super) fn retract(&self) {
        let memory = self.memory.lock().live.clone();
        if let Some(node) = memory.as_ref().and_then(|memory| memory.node.as_ref()) {
            node.retract();
        }
    }
}
