// SPDX-License-Identifier: GPL-2.0

//! Pages that a device cannot use where they are: in the memory of another one.

use crate::{
    fault::part::{
        Attempt,
        Part, //
    },
    prelude::*,
    space::watch::Read, //
};
use kernel::mm::device::hmm;

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
    /// unless they may come from there, or shared by COW while it wants to write. Returns whether
    /// there were any.
    pub(super) fn bring_near(
        &self,
        at: &Attempt<'_>,
        wanted: Range<usize>,
        start: usize,
        pfns: &[PagePfn],
    ) -> Result<bool> {
        // What lies on another device may have got there since it was asked for.
        let may_come = at.may_come();
        let write = self.request.write;
        let mut found = false;

        for (i, pfn) in pfns.iter().enumerate() {
            if !wanted.contains(&i) || !pfn.is_device_private() {
                continue;
            }
            let local = self.memory.is_some_and(|memory| memory.has(*pfn));
            if (local || may_come) && (pfn.is_writable() || !write) {
                continue;
            }
            found = true;
            let mut one = [self.want()];
            let seq = at.watch.read_begin();
            match hmm::read(at.mmap, seq, start + (i << PAGE_SHIFT), &mut one, None) {
                Ok(_) => {}
                Err(e) if e == EBUSY => return Ok(true),
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }
}
