// SPDX-License-Identifier: GPL-2.0

//! An emulated device.

use super::{
    Memory,
    Tlb, //
};
use crate::{
    prelude::*,
    sync::Arc, //
};
use core::ops::Deref;

/// The largest number of cores: the snapshots of all fit into the one number that a flush waits
/// for.
pub const MAX_CORES: usize = 2;

/// The TLBs of a machine.
pub(super) type Tlbs = KVec<Arc<Tlb>>;

/// The memory and the TLBs of an emulated device, one for each core, and what its driver adds.
pub struct Machine<D> {
    memory: Memory,
    tlbs: Arc<Tlbs>,
    driver: D,
}

impl<D> Machine<D> {
    /// Makes a machine of up to [`MAX_CORES`] cores.
    ///
    /// # Errors
    ///
    /// `EINVAL` for more, `ENOMEM`.
    pub fn new(memory: Memory, cores: usize, driver: D) -> Result<Arc<Self>> {
        if cores > MAX_CORES {
            return Err(EINVAL);
        }
        let mut tlbs = KVec::with_capacity(cores, GFP_KERNEL)?;
        for _ in 0..cores {
            tlbs.push(Tlb::new()?, GFP_KERNEL)?;
        }
        let this = Self {
            memory,
            tlbs: Arc::new(tlbs, GFP_KERNEL)?,
            driver,
        };
        Ok(Arc::new(this, GFP_KERNEL)?)
    }

    /// The memory.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The TLBs, one for each core.
    pub fn tlbs(&self) -> &[Arc<Tlb>] {
        &self.tlbs
    }

    pub(super) fn shared_tlbs(&self) -> &Arc<Tlbs> {
        &self.tlbs
    }
}

impl<D> Deref for Machine<D> {
    type Target = D;

    fn deref(&self) -> &D {
        &self.driver
    }
}
