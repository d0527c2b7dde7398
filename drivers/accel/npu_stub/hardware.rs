// SPDX-License-Identifier: GPL-2.0

//! What one NPU is made of.

use crate::dma::Dma;
use kernel::{
    gmem::{
        self,
        soft::{
            self,
            Machine,
            Memory, //
        }, //
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
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// The size of a large page.
pub(crate) const BLOCK_SIZE: u64 = 2 << 20;

/// The widest virtual address that page tables can translate.
pub(crate) const MAX_VA_BITS: u32 = 48;

/// Cores of one NPU.
const CORES: usize = 2;

/// The functions that GMEM calls.
pub(crate) type NpuMmu = soft::SoftMmu<Hardware>;

/// An NPU as GMEM knows it.
pub(crate) type NpuDevice = gmem::Device<NpuMmu>;

/// The copy engine of an NPU, and what tests ask of it. The rest is a [`Machine`].
pub(crate) struct Hardware {
    dma: Dma,
    /// One more than the offset of the byte to spoil in the next copy, 0 for none.
    corrupt: Atomic<u64>,
    /// How long building page tables takes, in milliseconds.
    pub(crate) prepare_ms: Atomic<u32>,
}

impl Hardware {
    pub(crate) fn new(size: usize, bandwidth: u32, latency_us: u32) -> Result<Arc<Machine<Self>>> {
        let hw = Self {
            dma: Dma::new(bandwidth, latency_us)?,
            corrupt: Atomic::new(0),
            prepare_ms: Atomic::new(0),
        };
        Machine::new(Memory::new(size)?, CORES, hw)
    }

    /// Makes the next copy to the NPU go wrong: one bit of the byte at `offset` flips.
    pub(crate) fn corrupt_next(&self, offset: u64) {
        self.corrupt.store(offset.saturating_add(1), Relaxed);
    }

    /// Spoils what was just copied to `len` bytes at `addr`, if that was asked for.
    fn corrupt_copied(&self, memory: &Memory, addr: u64, len: u64) -> Result {
        if self.corrupt.load(Relaxed) == 0 {
            return Ok(());
        }
        let offset = self.corrupt.xchg(0, Full);
        if offset == 0 {
            return Ok(());
        }
        let addr = addr.wrapping_add((offset - 1).min(len.saturating_sub(1)));
        let mut byte = [0u8];
        memory.load_bytes(addr, &mut byte)?;
        memory.store_bytes(addr, &byte.map(|b| b ^ 1))
    }
}

impl soft::Emulated for Hardware {
    fn building(&self) {
        let ms = self.prepare_ms.load(Relaxed);
        if ms != 0 {
            fsleep(Delta::from_millis(ms.into()));
        }
    }

    fn copied(&self, memory: &Memory, runs: &[gmem::HostRun]) -> Result {
        runs.first().map_or(Ok(()), |run| {
            self.corrupt_copied(memory, run.dev_addr(), run.len())
        })
    }

    fn worked(&self, bytes: u64) -> gmem::Fence {
        gmem::Fence::new(self.dma.batch(bytes))
    }

    fn wait(&self, fence: gmem::Fence) {
        self.dma.wait(fence.value());
    }
}
