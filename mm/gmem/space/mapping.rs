// SPDX-License-Identifier: GPL-2.0

//! The mappings of a process.

use crate::{
    device::memory::Memory,
    prelude::*,
    space::address_space::Space, //
};
use kernel::mm::{
    device::vma as vma_info,
    MmapReadGuard, //
};

/// Returns the pages of a VMA.
pub(crate) fn pages_of(vma: &VmaRef) -> PageRange {
    let len = vma.end().wrapping_sub(vma.start());

    PageRange::from_bytes(vma.start() as u64, len as u64).unwrap_or_default()
}

/// Returns whether the program shares the VMA with devices, and they can use it.
pub(crate) fn is_shared(vma: &VmaRef) -> bool {
    vma.flags() & sys::VM_PEER_SHARED != 0 && sys::is_ordinary(vma)
}

/// Calls `f` with each mapping in the range and the pages of the range that it has.
pub(crate) fn for_each_vma(
    mmap: &MmapReadGuard<'_>,
    range: PageRange,
    mut f: impl FnMut(&MmapVma, PageRange) -> Result,
) -> Result {
    let mut rest = range;

    while let Some(vma) = vma_info::first_in(mmap, rest.bytes()) {
        let pages = pages_of(vma);
        if let Some(part) = rest.intersect(pages) {
            f(vma, part)?;
        }
        match PageRange::new(pages.end(), range.end()) {
            Some(next) if !next.is_empty() => rest = next,
            _ => break,
        }
    }
    Ok(())
}

/// Checks that all mappings of the range are peer-shared. Returns what to tell, when all is done
/// that can be, of its holes: nothing, or `ENOMEM`.
///
/// # Errors
///
/// `EINVAL` when one is not; `ENOMEM` when there is none.
pub(crate) fn check(mm: &MmWithUser, range: PageRange) -> Result<Result> {
    let (mut next, mut holes) = (range.first(), Ok(()));

    for_each_vma(&mm.mmap_read_lock(), range, |vma, part| {
        if !is_shared(vma) {
            return Err(EINVAL);
        }
        if part.first() > next {
            holes = Err(ENOMEM);
        }
        next = part.end();
        Ok(())
    })?;
    match next {
        // Nothing is mapped.
        next if next == range.first() => Err(ENOMEM),
        next if next < range.end() => Ok(Err(ENOMEM)),
        _ => Ok(holes),
    }
}

/// Returns whether a memory policy wants the pages on this device, or says nothing of devices.
pub(crate) fn policy_allows(
    space: &Space,
    vma: &MmapVma,
    piece: PageRange,
    memory: &Memory,
) -> bool {
    let nid = memory.hnid;
    let Some(node) = sys::policy_node(vma, piece.start_byte() as usize, nid) else {
        return true;
    };

    space.note_policy();
    node == nid
}
