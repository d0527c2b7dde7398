// SPDX-License-Identifier: GPL-2.0

//! Devices that go with data on them.
//!
//! A dead device is called no more. Its pages are lost: who touches one gets `SIGBUS`, and nobody
//! else notices. GMEM keeps what the page tables of processes still name - the pages, the chunks
//! and the node - until the last lost page is unmapped, but nothing of the driver.

use crate::{
    advice::{
        attributes_tree,
        pin, //
    },
    device::{
        dmem,
        registry::{
            self,
            Device,
            Owner, //
        }, //
    },
    prelude::*,
    space::replicas, //
};
use kernel::str::BStr;

impl Device {
    /// Declares the device dead. Its functions are not called any more when this returns.
    pub(crate) fn die(&self) {
        // What is under way fails then, and comes to its end.
        self.parts.mmu.end();
        // Not under `owner`, which who is inside may take.
        self.gate.close_for_ever();
        let owner = self.owner.lock();
        let parent = self.parent.lock().take();
        drop(parent);
        self.let_memory_go(&owner);
        attributes_tree::device_gone(self.parts.id);
    }

    fn let_memory_go(&self, owner: &MutexGuard<'_, Owner>) {
        let Some(memory) = self.memory.lock().live.clone() else {
            return;
        };
        // Nobody reads the copies any more; those who have the originals do not notice.
        replicas::drop_memory(&memory);
        memory.worker.close();
        let lost = memory.used();
        drop(memory);
        if lost == 0 {
            self.remove_memory(owner);
            return;
        }
        pr_err!(
            "{}: {lost} pages of data are lost\n",
            BStr::from_bytes(self.name.to_bytes())
        );
        pin::device_gone(self.parts.id);
        self.retract();
        let mut held = self.memory.lock();
        held.lost = held.live.take();
        drop(held);
        // The last page may have gone before there was anybody to see it.
        dmem::return_soon();
    }

    /// Ends a device that its driver gives up: everything goes home, or is lost.
    pub(crate) fn destroy(&self) {
        if let Err(e) = self.unregister_memory() {
            if e != ENODEV {
                pr_err!(
                    "{}: memory would not go home ({e:?})\n",
                    BStr::from_bytes(self.name.to_bytes())
                );
            }
        }
        self.die();
        let mut owner = self.owner.lock();
        *owner = Owner::Nobody;
        drop(owner);
        self.bury();
    }

    /// Frees what nobody uses any more of a dead device: chunks, and in the end the memory, and the
    /// device itself if its driver gave it up.
    fn bury(&self) {
        let mut owner = self.owner.lock();
        let mut held = self.memory.lock();
        if let Some(memory) = &held.lost {
            memory.return_chunks();
            if memory.used() > 0 {
                return;
            }
        }
        let gone = held.lost.take();
        drop(held);
        // The pages, then the node. Nobody else has the memory, as in `remove_memory()`.
        drop(gone);
        if *owner == Owner::Nobody {
            *owner = Owner::Unlisted;
            self.unlist();
        }
    }
}

/// Gives empty chunks back, of all devices, and frees what dead ones left behind.
///
/// For the worker, without locks.
pub(crate) fn return_chunks() {
    for device in registry::all() {
        if device.parts.mmu.has_ended() {
            device.bury();
        } else if let Ok(entered) = device.enter() {
            if let Some(memory) = entered.memory() {
                memory.return_chunks();
            }
        }
    }
}
