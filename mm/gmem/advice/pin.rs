// SPDX-License-Identifier: GPL-2.0

//! Pins: what a program pinned to a device, and what that is charged to.
//!
//! A pin is a reservation. The room is kept in a pool of the device's memory
//! ([`crate::device::reserve`]) from the moment the range is pinned until it is not, wherever the
//! pages are; it counts against `RLIMIT_MEMLOCK` of the process, against the `dmem` limits of its
//! cgroup and against the part of a device that may be pinned. The owner is free to touch the pages
//! and to move them.

use crate::{
    advice::{
        attributes::{
            Attributes,
            Change, //
        },
        attributes_tree::Advice, //
    },
    device::registry::{
        self,
        MAX_DEVICES, //
    },
    prelude::*, //
};

/// Pages that lost their pin, by device.
pub(crate) struct Lost([usize; MAX_DEVICES + 1]);

impl Lost {
    /// None.
    pub(crate) const fn new() -> Self {
        Self([0; MAX_DEVICES + 1])
    }

    /// Adds pages with their attributes.
    pub(crate) fn add(&mut self, pages: PageRange, attributes: Attributes) {
        if let Some(lost) = attributes.pinned.and_then(|id| self.0.get_mut(id as usize)) {
            *lost += pages.count() as usize;
        }
    }

    /// Gives the room of the pages back. Returns whether a device keeps room for other pages of the
    /// process.
    pub(crate) fn release(&self, mm: &Mm) -> bool {
        let mut others = false;

        for (id, pages) in self.0.iter().enumerate().filter(|(_, pages)| **pages > 0) {
            sys::uncharge_pinned(mm, *pages);
            if let Some(device) = registry::by_id(id as u32) {
                let left = device.with_memory(|memory| {
                    memory.unreserve(sys::key(mm), *pages);
                    memory.reserved(Some(sys::key(mm)))
                });
                others |= left.is_some_and(|left| left > 0);
            }
        }
        others
    }
}

/// Unpins the range, from the device with this number or from whichever. Returns whether pages of
/// it may lie in room that is kept for others.
///
/// # Errors
///
/// `ENOMEM`; pages in front of some page are unpinned then.
pub(crate) fn unpin(mm: &Mm, range: PageRange, id: Option<u32>) -> Result<bool> {
    let Some(advice) = Advice::find(mm) else {
        return Ok(false);
    };
    let _pins = advice.lock_pins();
    let mut lost = Lost::new();
    let done = advice.change(range, Change::Unpin(id), |part, old, _| lost.add(part, old));
    let others = lost.release(mm);
    done?;
    Ok(others)
}

/// Unpins everything of a process from a device that it does not use any more.
pub(crate) fn detached(mm: &Mm, id: u32) {
    // Removing needs memory at most to cut a range, and no range is cut here.
    let _ = unpin(mm, PageRange::ALL, Some(id));
}

/// Unpins everything from a device that is about to go.
pub(crate) fn device_gone(id: u32) {
    for advice in Advice::all() {
        detached(&advice.mm, id);
    }
}
