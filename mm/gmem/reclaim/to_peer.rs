// SPDX-License-Identifier: GPL-2.0

//! Eviction to another device that has room, which is nearer than the host.
//!
//! Only to a device that the process uses itself, whose driver copies between the two, and that was
//! not full lately: nothing is evicted there for it. When that device fills up the pages go on to
//! the host like others.

use crate::{
    advice::{
        attributes::Attributes,
        attributes_tree::Advice, //
    },
    device::{
        dmem::Payer,
        memory::Memory,
        registry::Device,
        scratch::Scratch,
        units::Spot, //
    },
    migrate::{
        counts::Counts,
        pieces::for_each_piece, //
    },
    policy::unit::SLOT_PAGES,
    prelude::*,
    space::{
        address_space::Space,
        mapping::policy_allows, //
    }, //
};
use kernel::mm::device::{
    migrate::Source,
    vma as vma_info, //
};

/// The part of a device's memory that has to be free for pages of others to come.
const ROOM_PART: usize = 4;

/// What went to another device.
#[derive(Clone, Copy)]
pub(crate) struct Sheltered {
    pub(crate) pages: usize,
    /// For some there is no other device, or it did not take them; they are where they were.
    pub(crate) refused: bool,
}

impl Sheltered {
    /// There is no other device.
    pub(crate) const NONE: Self = Self {
        pages: 0,
        refused: true,
    };
}

/// Moves what it can of `nr` pages from `first` on, the first of which was mapped at `spot`, to
/// another device.
pub(crate) fn pages(
    memory: &Memory,
    first: usize,
    nr: usize,
    spot: Spot,
    scratch: &mut Scratch,
) -> Sheltered {
    let mut all = Sheltered {
        pages: 0,
        refused: false,
    };
    let mut add = |first, nr, spot| match unit(memory, first, nr, spot, scratch) {
        Ok(pages) => all.pages += pages,
        Err(_) => all.refused = true,
    };
    if nr <= SLOT_PAGES || memory.units_of(first).any(|(unit, _)| unit.is_whole()) {
        add(first, nr, spot);
    } else {
        // A chunk in pieces may belong to many: each goes by itself.
        for (piece, spot) in memory.units_of(first) {
            let (first, nr) = (piece.first_page(), piece.pages());
            if memory.chunks().is_used(first, nr) {
                add(first, nr, spot);
            }
        }
    }
    all
}

/// Moves what is one unit; returns how many pages left.
///
/// # Errors
///
/// `ENODEV` when there is no other device for it, `ENOSPC` when it has no room after all, `EIO`
/// when the copy failed, `ENOMEM`. The pages are where they were.
fn unit(
    memory: &Memory,
    first: usize,
    nr: usize,
    spot: Spot,
    Scratch { arrays, runs }: &mut Scratch,
) -> Result<usize> {
    let space = Space::find_key(spot.space).ok_or(ENODEV)?;
    let device = find(memory, &space, nr).ok_or(ENODEV)?;
    // It does not go away meanwhile.
    let entered = device.enter()?;
    let to = entered.memory().ok_or(ENODEV)?;
    if !is_welcome(&space, spot, to) {
        return Err(ENODEV);
    }
    let payer = Payer::of(space.mm()?)?;
    let mut run = to.take(&payer, nr, spot).map_err(|refusal| refusal.error)?;
    let mut m = Migration::from_pagemap(&memory.map, first..first + nr, arrays)?;

    runs.clear();
    for_each_piece(&mut m, false, |m, piece| {
        let Source::Device { pfn } = piece.source else {
            return;
        };
        let folio = if piece.pages == nr {
            run.huge_folio()
        } else {
            run.folio(piece.index)
        };
        let (Some(folio), Some(from)) = (folio, memory.map.page(pfn)) else {
            return;
        };
        if let Some(page) = to.map.page(folio.pfn()) {
            let (page, from) = (page as u64, from as u64);
            if m.set_dst(piece.index, folio) {
                runs.push(page << PAGE_SHIFT, from << PAGE_SHIFT, piece.len());
            }
        }
    });
    let source = &memory.parts().mmu;
    if to.parts().mmu.copy_peer(source, runs.as_slice()).is_err() {
        (0..nr).for_each(|index| drop(m.take_dst(index)));
        return Err(EIO);
    }
    let counts = Counts::of(&mut m, false);
    let addr = (spot.page as usize) << PAGE_SHIFT;
    Ok(counts.report(to, addr, &m.commit()).moved)
}

/// Finds another device of the process that has room.
fn find(memory: &Memory, space: &Space, nr: usize) -> Option<Arc<Device>> {
    let from = memory.parts();
    let others = space.lock_map().devices();

    let has_room = |to: &Memory| {
        let parts = to.parts();
        let near = parts.id != from.id && parts.mmu.copies_from(&from.mmu);
        let room = nr.max(to.pages() / ROOM_PART);

        near && !to.worker.is_scarce() && to.free(true) >= room
    };
    let mut others = others.into_iter().flatten();
    others.find(|device| device.with_memory(has_room) == Some(true))
}

/// Returns whether a fault of the other device would bring there what is at `spot`.
///
/// May be called with any mmap_lock held. When this one is taken the mappings are not looked at:
/// perhaps by a fault that keeps everybody away because it was disturbed too often. Then it is the
/// faults that tell whether there are memory policies.
fn is_welcome(space: &Space, spot: Spot, to: &Memory) -> bool {
    let Some(mm) = space.mm().ok().and_then(|mm| mm.mmget_not_zero()) else {
        return false;
    };
    // The last reference may be ours; tearing an mm down here would wait for ourselves.
    let mm = MmWithUser::into_mmput_async(mm);
    let attributes = match Advice::find(&mm) {
        Some(advice) => advice.at(spot.page).1,
        None => Attributes::NONE,
    };
    let belongs = attributes.belongs_to(to.parts().id);
    if !belongs || attributes.names_place() {
        return belongs;
    }
    let Some(page) = PageRange::page(spot.page) else {
        return false;
    };
    let Some(mmap) = mm.mmap_read_trylock() else {
        return !space.has_policy();
    };

    vma_info::first_in(&mmap, page.bytes()).is_some_and(|vma| policy_allows(space, vma, page, to))
}
