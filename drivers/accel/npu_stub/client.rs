// SPDX-License-Identifier: GPL-2.0

//! A process that has an NPU open.

use crate::hardware::{
    NpuDevice,
    NpuMmu, //
};
use kernel::{
    gmem,
    mm::Mm,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

/// An open file's view of its process. Jobs keep it.
pub(crate) struct Client {
    /// Number in the NPU's queue.
    pub(crate) id: u64,
    pub(crate) context: gmem::Context<NpuMmu>,
    mm: ARef<Mm>,
    closing: Atomic<bool>,
}

impl Client {
    /// Attaches the current process to an NPU, in whose queue it has number `id`.
    pub(crate) fn new(id: u64, device: &Arc<NpuDevice>) -> Result<Arc<Self>> {
        let current = kernel::current!();
        let mm = ARef::<Mm>::from(&**current.mm().ok_or(EINVAL)?);
        let context = gmem::AddressSpace::current(false)?.attach(device, &())?;
        let client = Self {
            id,
            context,
            mm,
            closing: Atomic::new(false),
        };
        Ok(Arc::new(client, GFP_KERNEL)?)
    }

    /// Returns whether the current task runs in the opener's address space. One that inherited
    /// the file over a fork does not.
    pub(crate) fn is_current(&self) -> bool {
        match kernel::current!().mm() {
            Some(mm) => core::ptr::eq(mm.as_raw(), self.mm.as_raw()),
            None => false,
        }
    }

    /// Asks a running job to end.
    pub(crate) fn set_closing(&self) {
        self.closing.store(true, Relaxed);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Relaxed)
    }
}
