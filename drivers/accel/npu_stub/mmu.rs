// SPDX-License-Identifier: GPL-2.0

//! What the driver does for GMEM.

use crate::{
    hardware::Hardware,
    pagetable::PageTable, //
};
use kernel::{
    gmem::{
        Access,
        Fence,
        HostRun,
        Map,
        Mmu,
        PeerRun,
        VaRange,
        ZeroRun, //
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
impl Mmu for NpuMmu {
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

    fn pmap_prepare(pmap: &Pmap, range: VaRange) -> Result {
        pmap.table.prepare(range)
    }

    fn pmap_enter(pmap: &Pmap, maps: &[Map]) -> Result {
        maps.iter().try_for_each(|map| pmap.table.enter(map))
    }

    fn pmap_release(pmap: &Pmap, range: VaRange) {
        pmap.table.release(range);
    }

    fn pmap_protect(pmap: &Pmap, range: VaRange, access: Access) {
        pmap.table.protect(range, access);
    }

    fn pmap_age(pmap: &Pmap, range: VaRange) -> bool {
        pmap.table.age(range)
    }

    fn tlb_invl(pmap: &Pmap, range: VaRange) {
        let cookie = Self::tlb_invl_start(pmap, &[range]);
        Self::tlb_invl_wait(pmap, cookie);
    }

    fn tlb_invl_start(pmap: &Pmap, ranges: &[VaRange]) -> u64 {
        let mut cookie = 0;
        for tlb in pmap.hw.tlbs() {
            for range in ranges {
                tlb.flush(pmap.space, *range);
            }
            // Both cores' snapshots fit into the cookie.
            cookie = cookie << 32 | u64::from(tlb.snapshot());
        }
        cookie
    }

    fn tlb_invl_wait(pmap: &Pmap, cookie: u64) {
        let mut cookie = cookie;
        for tlb in pmap.hw.tlbs().iter().rev() {
            tlb.wait(cookie as u32);
            cookie >>= 32;
        }
    }

    fn prepare_page(hw: &Hardware, runs: &[ZeroRun]) -> Result<Fence> {
        runs.iter().try_for_each(|run| run.zero(&hw.memory))?;
        Ok(hw.dma.batch(runs.iter().map(ZeroRun::len).sum()))
    }

    fn copy_to_dev(hw: &Hardware, runs: &[HostRun]) -> Result<Fence> {
        runs.iter()
            .try_for_each(|run| run.copy_to_dev(&hw.memory))?;
        if let Some(run) = runs.first() {
            hw.corrupt_copied(run.dev_addr(), run.len())?;
        }
        Ok(hw.dma.batch(runs.iter().map(HostRun::len).sum()))
    }

    fn copy_from_dev(hw: &Hardware, runs: &[HostRun]) -> Result<Fence> {
        runs.iter()
            .try_for_each(|run| run.copy_from_dev(&hw.memory))?;
        Ok(hw.dma.batch(runs.iter().map(HostRun::len).sum()))
    }

    fn copy_peer(hw: &Hardware, src: &Hardware, runs: &[PeerRun]) -> Result<Fence> {
        runs.iter()
            .try_for_each(|run| run.copy(&hw.memory, &src.memory))?;
        Ok(hw.dma.batch(runs.iter().map(PeerRun::len).sum()))
    }

    fn fence_wait(hw: &Hardware, fence: Fence) -> Result {
        hw.dma.wait(fence);
        Ok(())
    }
}
