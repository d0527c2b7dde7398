// SPDX-License-Identifier: GPL-2.0

//! What the driver does for GMEM.

use crate::hardware::Hardware;
use kernel::{
    gmem::{
        self,
        soft::PageTable, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// The number of the next address space; a TLB tells them apart by it.
static NEXT_SPACE: Atomic<u64> = Atomic::new(1);

/// The NPU's view of one process.
pub(crate) struct Pmap {
    pub(crate) space: u64,
    pub(crate) table: PageTable,
    hw: Arc<Hardware>,
}

/// The functions that GMEM calls.
pub(crate) struct NpuMmu;

#[vtable]
impl gmem::Mmu for NpuMmu {
    type DevData = Hardware;
    type Pmap = Pmap;
    type FileData = ();

    fn pmap_create(hw: ArcBorrow<'_, Hardware>, _file: &()) -> Result<Arc<Pmap>> {
        let pmap = Pmap {
            space: NEXT_SPACE.fetch_add(1u64, Relaxed),
            table: PageTable::new()?,
            hw: hw.into(),
        };
        Ok(Arc::new(pmap, GFP_KERNEL)?)
    }

    fn pmap_destroy(pmap: &Pmap) {
        for tlb in pmap.hw.tlbs() {
            tlb.flush_space(pmap.space);
        }
    }

    fn pmap_prepare(pmap: &Pmap, range: gmem::VaRange) -> Result {
        let ms = pmap.hw.prepare_ms.load(Relaxed);
        if ms != 0 {
            fsleep(Delta::from_millis(ms.into()));
        }
        pmap.table.prepare(range.start()..range.end())
    }

    fn pmap_enter(pmap: &Pmap, maps: &[gmem::Map]) -> Result {
        pmap.table.enter(maps)
    }

    fn pmap_release(pmap: &Pmap, range: gmem::VaRange) {
        pmap.table.release(range.start()..range.end());
    }

    fn pmap_protect(pmap: &Pmap, range: gmem::VaRange, access: gmem::Access) {
        let range = range.start()..range.end();
        match (access.is_read(), access.is_write()) {
            (false, _) => pmap.table.release(range),
            (true, false) => pmap.table.make_read_only(range),
            (true, true) => {}
        }
    }

    fn pmap_age(pmap: &Pmap, range: gmem::VaRange) -> bool {
        let range = range.start()..range.end();
        let accessed = pmap.table.age(range.clone());
        if accessed {
            // A hit does not look at the page table; the next access has to set the bit again.
            for tlb in pmap.hw.tlbs() {
                tlb.flush(pmap.space, range.clone());
            }
        }
        accessed
    }

    fn tlb_invl(pmap: &Pmap, range: gmem::VaRange) {
        let cookie = Self::tlb_invl_start(pmap, &[range]);
        Self::tlb_invl_wait(pmap, cookie);
    }

    fn tlb_invl_start(pmap: &Pmap, ranges: &[gmem::VaRange]) -> u64 {
        let mut cookie = 0;
        for tlb in pmap.hw.tlbs() {
            for range in ranges {
                tlb.flush(pmap.space, range.start()..range.end());
            }
            // Both cores' snapshots fit into the cookie.
            cookie = cookie << 32 | u64::from(tlb.snapshot());
        }
        cookie
    }

    fn tlb_invl_wait(pmap: &Pmap, cookie: u64) {
        let mut cookie = cookie;
        for tlb in pmap.hw.tlbs().iter().rev() {
            tlb.drain(cookie as u32);
            cookie >>= 32;
        }
    }

    fn prepare_page(hw: &Hardware, runs: &[gmem::ZeroRun]) -> Result<gmem::Fence> {
        runs.iter().try_for_each(|run| run.zero(&hw.memory))?;
        Ok(gmem::Fence::new(
            hw.dma.batch(runs.iter().map(gmem::ZeroRun::len).sum()),
        ))
    }

    fn copy_to_dev(hw: &Hardware, runs: &[gmem::HostRun]) -> Result<gmem::Fence> {
        runs.iter()
            .try_for_each(|run| run.copy_to_dev(&hw.memory))?;
        if let Some(run) = runs.first() {
            hw.corrupt_copied(run.dev_addr(), run.len())?;
        }
        Ok(gmem::Fence::new(
            hw.dma.batch(runs.iter().map(gmem::HostRun::len).sum()),
        ))
    }

    fn copy_from_dev(hw: &Hardware, runs: &[gmem::HostRun]) -> Result<gmem::Fence> {
        runs.iter()
            .try_for_each(|run| run.copy_from_dev(&hw.memory))?;
        Ok(gmem::Fence::new(
            hw.dma.batch(runs.iter().map(gmem::HostRun::len).sum()),
        ))
    }

    fn copy_peer(hw: &Hardware, src: &Hardware, runs: &[gmem::PeerRun]) -> Result<gmem::Fence> {
        runs.iter()
            .try_for_each(|run| run.copy(&hw.memory, &src.memory))?;
        Ok(gmem::Fence::new(
            hw.dma.batch(runs.iter().map(gmem::PeerRun::len).sum()),
        ))
    }

    fn fence_wait(hw: &Hardware, fence: gmem::Fence) -> Result {
        hw.dma.wait(fence.value());
        Ok(())
    }
}
