// SPDX-License-Identifier: GPL-2.0

//! Pages that a device cannot use where they are: in the memory of another one.

use crate::{
    fault::serve::Part,
    space::address_space::Watch, //
};
use kernel::{
    mm::device::{
        hmm::{
            self,
            PagePfn, //
        },
        interval_notifier::Sequence,
        mmap::MmapGuard, //
    },
    page::PAGE_SHIFT,
    prelude::*, //
};

impl Part<'_> {
    /// Notes of what was read at `seq` what is in device memory. Returns `false` if it is stale.
    ///
    /// A page of another device may go any time, and what describes it with its device, so that it
    /// is looked at only under the lock that keeps what was read true.
    pub(super) fn sort(&self, watch: &Watch, seq: Sequence, pfns: &mut [PagePfn]) -> bool {
        let is_local = |pfn: &PagePfn| {
            pfn.pfn()
                .zip(self.memory)
                .is_some_and(|(frame, memory)| memory.map.page(frame).is_some())
        };
        let mut others = false;

        for pfn in pfns.iter_mut() {
            if is_local(pfn) {
                pfn.set_device_private();
            } else {
                others |= pfn.is_valid();
            }
        }
        if !others {
            return true;
        }
        let map = self.context.space.lock_map();
        let unchanged = map.unchanged(watch, seq);
        if let Some(unchanged) = &unchanged {
            unchanged.look(pfns);
        }
        unchanged.is_some()
    }

    /// Brings wanted pages home that this device cannot use where they are: on another device,
    /// unless they `may_come` from there, or shared by COW while it wants to write. Returns whether
    /// there were any.
    pub(super) fn bring_near(
        &self,
        wanted: core::ops::Range<usize>,
        start: usize,
        watch: &Watch,
        mmap: &MmapGuard<'_>,
        pfns: &[PagePfn],
        may_come: bool,
    ) -> Result<bool> {
        let write = self.request.write;
        let mut found = false;

        for (i, pfn) in pfns.iter().enumerate() {
            if !wanted.contains(&i) || !pfn.is_device_private() {
                continue;
            }
            let local = pfn
                .pfn()
                .zip(self.memory)
                .is_some_and(|(pfn, memory)| memory.map.page(pfn).is_some());
            if (local || may_come) && (pfn.is_writable() || !write) {
                continue;
            }
            found = true;
            let mut one = [self.want()];
            let seq = watch.read_begin();
            match hmm::read(mmap, watch, seq, start + (i << PAGE_SHIFT), &mut one, None) {
                Ok(()) => {}
                Err(e) if e == EBUSY => return Ok(true),
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }
}
