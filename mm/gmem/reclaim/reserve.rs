// SPDX-License-Identifier: GPL-2.0

//! Pinning pages to a device: room is made for them first.

use crate::{
    advice::{
        attributes::Change,
        attributes_tree::Advice,
        pin::Lost, //
    },
    device::{
        dmem::Payer,
        memory::Memory,
        pools::Tenant,
        registry::Device,
        units::Spot, //
    },
    prelude::*,
    reclaim::{
        evict,
        waiting::Waiting, //
    },
    space::mapping, //
};
use kernel::mm::{
    device::vma as vma_info,
    MmapReadGuard, //
};

/// How often room is made for pages that others unpin or map meanwhile.
const MAX_TRIES: usize = 8;

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
        reserve(memory, sys::key(mm), &payer, room)
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

    mapping::for_each_vma(mmap, range, |vma, part| {
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
        memory.unreserve(sys::key(mm), room);
        return now.map(|_| None);
    };
    let mut news = room;
    let mut lost = Lost::new();
    let done = mapping::for_each_vma(&mmap, range, |vma, part| {
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
        memory.unreserve(sys::key(mm), news);
    }
    lost.release(mm);
    done?;
    Ok(Some(*all))
}

fn may_pin(vma: &VmaRef) -> bool {
    mapping::is_shared(vma) && vma.flags() & vma_info::VM_LOCKED == 0 && vma_info::is_anonymous(vma)
}

/// Keeps room for `pages` more pages of `tenant`, for which `payer` pays; evicts others for it.
///
/// # Errors
///
/// `EAGAIN` when that is more than may be pinned of the memory, or more than a limit of `payer`
/// leaves; `ENOMEM`; `EINTR` (fatal signal). Nothing is kept then.
fn reserve(memory: &Arc<Memory>, tenant: Tenant, payer: &Payer, pages: usize) -> Result {
    // What others have not given back yet.
    while !memory.trim() {}
    memory.grow_pool(tenant, pages)?;
    while memory.lacks_room(tenant) {
        let adopted = if sys::fatal_signal() {
            Err(EINTR)
        } else {
            // No mmap_lock is held.
            let mut waiting = Waiting::unbounded();
            evict::take(memory, payer, PMD_PAGES, Spot::default(), &mut waiting)
                .and_then(|run| memory.adopt(tenant, run))
        };
        if let Err(e) = adopted {
            memory.unreserve(tenant, pages);
            return Err(if e == ENOSPC { EAGAIN } else { e });
        }
    }
    Ok(())
}
