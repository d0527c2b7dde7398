// SPDX-License-Identifier: GPL-2.0

//! Taking pages home for a part of the kernel that cannot move them from a device.

use crate::{
    device::{
        memory::owner,
        registry,
        scratch::Scratch, //
    },
    migrate::{
        home::{
            Home,
            Rooms, //
        },
        to_host::{
            self,
            Outcome, //
        }, //
    },
    prelude::*,
    space::mapping, //
};
use kernel::mm::device::vma as vma_info;

/// Takes the device pages of `range`, which is in one mapping, home. Returns whether any came: if
/// not, there were none, or trying again does not help now.
pub(crate) fn take_home(mm: &MmWithUser, range: PageRange) -> bool {
    if registry::all().next().is_none() {
        return false;
    }
    let Ok(mut scratch) = Scratch::new(PMD_PAGES.min(range.count() as usize)) else {
        return false;
    };
    let mut moved = 0;

    for block in range.blocks() {
        if sys::fatal_signal() {
            return false;
        }
        match take(mm, block, &mut scratch) {
            Ok(out) => moved += out.moved,
            Err(_) => return false,
        }
    }
    moved > 0
}

fn take(
    mm: &MmWithUser,
    block: PageRange,
    Scratch { arrays, runs }: &mut Scratch,
) -> Result<Outcome> {
    let mmap = mm.mmap_read_lock();
    let vma = vma_info::first_in(&mmap, block.bytes()).ok_or(ENOMEM)?;
    let part = block
        .intersect(mapping::pages_of(vma))
        .filter(|_| vma_info::is_anonymous(vma))
        .ok_or(EINVAL)?;
    let bytes = part.bytes();
    let select = to_host::select(part);
    let m = Migration::from_vma(vma, bytes.clone(), select, owner(), arrays)?;
    if m.is_empty() {
        return Ok(Outcome::default());
    }
    let home = Home::advised(vma, part.first());
    let mut rooms = Rooms::new(&home, part);
    let alloc = |order, index| rooms.folio(order, index);
    Ok(to_host::bring(m, true, bytes.start, runs, alloc))
}
