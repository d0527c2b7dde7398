// SPDX-License-Identifier: GPL-2.0

//! What one NPU is made of.

use crate::dma::Dma;
use kernel::{
    gmem::soft::{
        Memory,
        Tlb, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
};

/// The size of a large page.
pub(crate) const BLOCK_SIZE: u64 = 2 << 20;

/// The widest virtual address that page tables can translate.
pub(crate) const MAX_VA_BITS: u32 = 48;

/// Cores of one NPU.
pub(crate) const CORES: usize = 2;

/// The memory, the TLBs and the copy engine of an NPU.
pub(crate) struct Hardware {
    pub(crate) memory: Memory,
    pub(crate) dma: Dma,
    tlbs: [Arc<Tlb>; CORES],
    /// One more than the offset of the byte to spoil in the next copy, 0 for none.
    corrupt: Atomic<u64>,
    /// How long building page tables takes, in milliseconds.
    pub(crate) prepare_ms: Atomic<u32>,
}

impl Hardware {
    pub(crate) fn new(size: usize, bandwidth: u32, latency_us: u32) -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                memory: Memory::new(size)?,
                dma: Dma::new(bandwidth, latency_us)?,
                tlbs: [Tlb::new()?, Tlb::new()?],
                corrupt: Atomic::new(0),
                prepare_ms: Atomic::new(0),
            },
            GFP_KERNEL,
        )?)
    }

    /// The TLBs, one for each core.
    pub(crate) fn tlbs(&self) -> &[Arc<Tlb>; CORES] {
        &self.tlbs
    }

    /// Makes the next copy to the NPU go wrong: one bit of the byte at `offset` flips.
    pub(crate) fn corrupt_next(&self, offset: u64) {
        self.corrupt.store(offset.saturating_add(1), Relaxed);
    }

    /// Spoils what was just copied to `len` bytes at `addr`, if that was asked for.
    pub(crate) fn corrupt_copied(&self, addr: u64, len: u64) -> Result {
        if self.corrupt.load(Relaxed) == 0 {
            return Ok(());
        }
        let offset = self.corrupt.xchg(0, Full);
        if offset == 0 {
            return Ok(());
        }
        let addr = addr.wrapping_add((offset - 1).min(len.saturating_sub(1)));
        let mut byte = [0u8];
        self.memory.load_bytes(addr, &mut byte)?;
        self.memory.store_bytes(addr, &byte.map(|b| b ^ 1))
    }
}
