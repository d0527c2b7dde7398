// SPDX-License-Identifier: GPL-2.0

//! Pins: what a program pinned to a device, and what that is charged to.
//!
//! A pin is a reservation. The room is kept in a pool of the device's memory
//! ([`crate::device::reserve`]) from the moment the range is pinned until it is not, wherever the
//! pages are; it counts against `RLIMIT_MEMLOCK` of the process, against the `dmem` limits of its
//! cgroup and against the part of a device that may be pinned. The owner is free to touch the pages
//! and to move them.

use crate::{
    abi::hmadvise,
    advice::{
        attributes::{
            Attributes,
            Change, //
        },
        attributes_tree::{
            key,
            Advice, //
        }, //
    },
    device::{
        dmem::Payer,
        memory::Memory,
        registry::{
            self,
            Device,
            MAX_DEVICES, //
        }, //
    },
    range::PageRange,
    sys, //
};
use kernel::{
    mm::{
        device::vma as vma_info,
        virt::VmaRef,
        Mm,
        MmWithUser,
        MmapReadGuard, //
    },
    prelude::*, //
};

/// How often room is made for pages that others unpin or map meanwhile.
const MAX_TRIES: usize = 8;

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
                    memory.unreserve(key(mm), *pages);
                    memory.reserved(Some(key(mm)))
                });
                others |= left.is_some_and(|left| left > 0);
            }
        }
        others
    }
}

/// Pins what can be pinned of the range to a device. Returns whether that is news of any page, and
/// whether it is all of what is mapped.
///
/// # Errors
///
/// `EAGAIN` over a limit, `ENODEV` when the device is going away, `ENOMEM`.
pub(crate) fn pin(mm: &MmWithUser, device: &Device, range: PageRange) -> Result<(bool, bool)> {
    let id = device.parts.id;
    let entered = device.enter()?;
    let memory = entered.memory().ok_or(EINVAL)?;
    let advice = Advice::get(mm)?;
    let payer = Payer::of(mm)?;

    for _ in 0..MAX_TRIES {
        let (room, all) = {
            let mmap = mm.mmap_read_lock();
            let _pins = advice.lock_pins();
            news(&mmap, &advice, range, id)?
        };
        if room == 0 {
            return Ok((false, all));
        }
        sys::charge_pinned(mm, room)?;
        // This may evict a lot: no lock is held.
        memory
            .reserve(key(mm), &payer, room)
            .inspect_err(|_| sys::uncharge_pinned(mm, room))?;
        if let Some(all) = fill(mm, memory, &advice, range, id, room)? {
            return Ok((true, all));
        }
    }
    Err(EAGAIN)
}

/// Returns how many pages of the range can be pinned and are not, and whether the others are.
fn news(
    mmap: &MmapReadGuard<'_>,
    advice: &Advice,
    range: PageRange,
    id: u32,
) -> Result<(usize, bool)> {
    let (mut news, mut all) = (0, true);

    hmadvise::for_each_vma(mmap, range, |vma, part| {
        if !may_pin(vma) {
            all = false;
            return Ok(());
        }
        news += part.count() as usize;
        advice.for_each(part, |part, attributes| {
            if attributes.pinned == Some(id) {
                news -= part.count() as usize;
            }
        });
        Ok(())
    })?;
    Ok((news, all))
}

/// Pins what can be pinned of the range, for which there is room for so many pages. Returns whether
/// that is all of what is mapped, or [`None`] when it needs more room now; the room is given back
/// then.
fn fill(
    mm: &MmWithUser,
    memory: &Memory,
    advice: &Advice,
    range: PageRange,
    id: u32,
    room: usize,
) -> Result<Option<bool>> {
    // Against unmapping, and against other pins.
    let mmap = mm.mmap_read_lock();
    let _pins = advice.lock_pins();
    let now = news(&mmap, advice, range, id);
    let Some((_, all)) = now.as_ref().ok().filter(|(now, _)| *now <= room) else {
        sys::uncharge_pinned(mm, room);
        memory.unreserve(key(mm), room);
        return now.map(|_| None);
    };
    let mut news = room;
    let mut lost = Lost::new();
    let done = hmadvise::for_each_vma(&mmap, range, |vma, part| {
        if !may_pin(vma) {
            return Ok(());
        }
        advice.change(part, Change::Pin(id), |part, old, _| {
            lost.add(part, old);
            news -= part.count() as usize;
        })
    });
    if news > 0 {
        sys::uncharge_pinned(mm, news);
        memory.unreserve(key(mm), news);
    }
    lost.release(mm);
    done?;
    Ok(Some(*all))
}

fn may_pin(vma: &VmaRef) -> bool {
    vma.flags() & vma_info::VM_PEER_SHARED != 0
        && vma.flags() & vma_info::VM_LOCKED == 0
        && vma_info::is_anonymous(vma)
        && vma_info::is_ordinary(vma)
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
    let _: core::result::Result<(), Error> = Advice::try_for_each(|mm, _| {
        detached(mm, id);
        Ok(())
    });
}
