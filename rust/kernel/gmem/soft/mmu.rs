// SPDX-License-Identifier: GPL-2.0

//! The functions of [`Mmu`] for emulated devices.

use super::{
    Machine,
    Memory,
    PageTable, //
};
use crate::{
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
        Arc,
        ArcBorrow, //
    }, //
};
use core::{
    marker::PhantomData,
    ops::Deref, //
};

/// What the driver of an emulated device adds to its [`Machine`].
pub trait Emulated: Send + Sync + Sized + 'static {
    /// Called when page-table pages are about to be built. May sleep.
    fn building(&self) {}

    /// Called when runs were copied to the device's memory.
    ///
    /// # Errors
    ///
    /// Any: the copy failed.
    fn copied(&self, _memory: &Memory, _runs: &[HostRun]) -> Result {
        Ok(())
    }

    /// Called when `bytes` were zeroed or copied, which took no time; the fence is done when the
    /// device that is emulated would be.
    fn worked(&self, _bytes: u64) -> Fence {
        Fence::DONE
    }

    /// Waits for a fence.
    fn wait(&self, _fence: Fence) {}
}

/// The [`Mmu`] of a [`Machine`].
///
/// A core reaches memory in a step, through the page table. What GMEM takes out of the page table
/// is flushed from the TLBs of all cores, and the steps that run are waited for. The driver takes
/// no part in this, so that its safe code cannot reach memory of others.
pub struct SoftMmu<D>(PhantomData<D>);

/// The page table of a context.
pub struct SoftPmap<D> {
    table: PageTable,
    machine: Arc<Machine<D>>,
}

impl<D> Deref for SoftPmap<D> {
    type Target = PageTable;

    fn deref(&self) -> &PageTable {
        &self.table
    }
}

fn bytes<T>(runs: &[T], len: impl Fn(&T) -> u64) -> u64 {
    runs.iter().map(len).sum()
}

#[vtable]
impl<D: Emulated> Mmu for SoftMmu<D> {
    type DevData = Machine<D>;
    type Pmap = SoftPmap<D>;
    type FileData = ();

    const PHYSICAL: bool = true;

    fn pmap_create(machine: ArcBorrow<'_, Machine<D>>, _file: &()) -> Result<Arc<SoftPmap<D>>> {
        let pmap = SoftPmap {
            table: PageTable::new(machine.shared_tlbs().clone())?,
            machine: machine.into(),
        };
        Ok(Arc::new(pmap, GFP_KERNEL)?)
    }

    fn pmap_destroy(pmap: &SoftPmap<D>) {
        pmap.table.flush(0..u64::MAX);
    }

    fn pmap_prepare(pmap: &SoftPmap<D>, range: VaRange) -> Result {
        pmap.machine.building();
        pmap.table.prepare(range.start()..range.end())
    }

    fn pmap_enter(pmap: &SoftPmap<D>, maps: &[Map]) -> Result {
        pmap.table.enter(maps)
    }

    fn pmap_release(pmap: &SoftPmap<D>, range: VaRange) {
        pmap.table.release(range.start()..range.end());
    }

    fn pmap_protect(pmap: &SoftPmap<D>, range: VaRange, access: Access) {
        let range = range.start()..range.end();
        match (access.is_read(), access.is_write()) {
            (false, _) => pmap.table.release(range),
            (true, false) => pmap.table.make_read_only(range),
            (true, true) => {}
        }
    }

    fn pmap_age(pmap: &SoftPmap<D>, range: VaRange) -> bool {
        let range = range.start()..range.end();
        let accessed = pmap.table.age(range.clone());
        if accessed {
            // A hit does not look at the page table; the next access has to set the bit again.
            pmap.table.flush(range);
        }
        accessed
    }

    fn tlb_invl(pmap: &SoftPmap<D>, range: VaRange) {
        pmap.table.flush_wait(pmap.table.flush_start(&[range]));
    }

    fn tlb_invl_start(pmap: &SoftPmap<D>, ranges: &[VaRange]) -> u64 {
        pmap.table.flush_start(ranges)
    }

    fn tlb_invl_wait(pmap: &SoftPmap<D>, cookie: u64) {
        pmap.table.flush_wait(cookie);
    }

    fn prepare_page(machine: &Machine<D>, runs: &[ZeroRun]) -> Result<Fence> {
        let memory = machine.memory();
        runs.iter().try_for_each(|run| run.zero(memory))?;
        Ok(machine.worked(bytes(runs, ZeroRun::len)))
    }

    fn copy_to_dev(machine: &Machine<D>, runs: &[HostRun]) -> Result<Fence> {
        let memory = machine.memory();
        runs.iter().try_for_each(|run| run.copy_to_dev(memory))?;
        machine.copied(memory, runs)?;
        Ok(machine.worked(bytes(runs, HostRun::len)))
    }

    fn copy_from_dev(machine: &Machine<D>, runs: &[HostRun]) -> Result<Fence> {
        let memory = machine.memory();
        runs.iter().try_for_each(|run| run.copy_from_dev(memory))?;
        Ok(machine.worked(bytes(runs, HostRun::len)))
    }

    fn copy_peer(machine: &Machine<D>, src: &Machine<D>, runs: &[PeerRun]) -> Result<Fence> {
        runs.iter()
            .try_for_each(|run| run.copy(machine.memory(), src.memory()))?;
        Ok(machine.worked(bytes(runs, PeerRun::len)))
    }

    fn fence_wait(machine: &Machine<D>, fence: Fence) -> Result {
        machine.wait(fence);
        Ok(())
    }

    fn dying(machine: &Machine<D>) {
        for tlb in machine.tlbs() {
            tlb.stop();
        }
    }
}
