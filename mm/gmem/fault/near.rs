// SPDX-License-Identifier: GPL-2.0

//! Pages that a device cannot use where they are: in the memory of another one.

use crate::{
    fault::serve::Part,
    space::{
        address_space::Watch,
        watch::Read, //
    }, //
};
use kernel::{
    mm::device::{
        hmm::{
            self,
            PagePfn, //
        },
        mmap::MmapGuard, //
    },
    page::PAGE_SHIFT,
    prelude::*, //
};

impl Part<'_> {
    /// Notes of what was read what is in device memory. Returns `false` if it is stale.
    ///
    /// A page of another device may go any time, and what describes it with its device, so that it
    /// is looked at only under the lock that keeps what was read true.
    pub(super) fn sort(&self, read: &mut Read<'_>) -> bool {
        let is_local = |frame: usize| {
            self.memory
                .is_some_and(|memory| memory.map.page(frame).is_some())
        };
        let others = read.note(is_local);

        !others || self.context.space.lock_map().look(read)
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
            match hmm::read(mmap, seq, start + (i << PAGE_SHIFT), &mut one, None) {
                Ok(_) => {}
                Err(e) if e == EBUSY => return Ok(true),
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }
}
