// SPDX-License-Identifier: GPL-2.0

//! MADV_PREFETCH: a range goes to a node, now.

use crate::{
    device::{
        memory::{
            owner,
            Memory, //
        },
        registry::Device,
        scratch::Scratch, //
    },
    fault::{
        part::{
            Purpose,
            Request, //
        },
        serve, //
    },
    migrate::to_host,
    prelude::*,
    space::{
        address_space::Space,
        context::{
            Context,
            MAX_CONTEXTS, //
        },
        mapping, //
    }, //
};
use kernel::{
    mm::device::vma as vma_info,
    page::PAGE_SIZE, //
};

/// Prefetches to a device: the first context brings the pages, the others map them.
pub(crate) fn to_device(mm: &MmWithUser, device: &Arc<Device>, range: PageRange) -> Result {
    let contexts = contexts_on(mm, device)?;
    let holes = mapping::check(mm, range)?;
    let mut room = device.with_memory(Memory::pages).ok_or(EINVAL)? as u64;
    let mut result = Ok(());

    for_each_mapped(mm, range, |piece| {
        if sys::fatal_signal() {
            return Err(EINTR);
        }
        // More than fits would push out its own head.
        let fits = piece.count().min(room);
        let head = PageRange::with_count(piece.first(), fits).ok_or(EINVAL)?;
        room -= fits;
        for context in contexts.iter().flatten() {
            let request = Request {
                range: head,
                write: false,
                purpose: Purpose::Prefetch,
            };
            match serve::serve(context, request) {
                Err(e) if e == EBUSY => result = Err(EBUSY),
                Err(e) if e == EIO || e == EPERM => return Err(EFAULT),
                other => drop(other?),
            }
        }
        if fits < piece.count() {
            return Err(ENOSPC);
        }
        Ok(())
    })?;
    result.and(holes)
}

/// Brings everything home: to `node`, or where the program prefers it.
///
/// # Errors
///
/// `EBUSY` when pages would not leave; the rest is at home then. `EFAULT`, `ENOMEM`, `EINTR`.
pub(crate) fn to_host(mm: &MmWithUser, range: PageRange, node: Option<i32>) -> Result {
    let holes = mapping::check(mm, range)?;
    let mut result = Ok(());
    let mut scratch = Scratch::new(PMD_PAGES.min(range.count() as usize))?;

    for block in range.blocks() {
        if sys::fatal_signal() {
            return Err(EINTR);
        }
        mapping::for_each_vma(&mm.mmap_read_lock(), block, |vma, part| {
            if !vma_info::is_anonymous(vma) {
                return Ok(());
            }
            match to_host::prefetch(vma, part, node, &mut scratch) {
                Err(e) if e == EBUSY => {
                    result = Err(e);
                    Ok(())
                }
                other => other,
            }
        })?;
    }
    from_others(mm, range)?;
    if sys::has_swapped(mm) {
        read_in(mm, range)?;
    }
    result.and(holes)
}

/// Asks the managers of other devices for what lies there, as a touch of the CPU does.
fn from_others(mm: &MmWithUser, range: PageRange) -> Result {
    let mut next = range.start_byte() as usize;

    loop {
        if sys::fatal_signal() {
            return Err(EINTR);
        }
        let rest = next..range.end_byte() as usize;
        let found = {
            let mmap = mm.mmap_read_lock();
            sys::foreign(&mmap, rest, owner())
        };
        let Some(addr) = found else {
            return Ok(());
        };
        sys::populate(mm, addr, PAGE_SIZE).map_err(|e| if e == EINTR { e } else { EFAULT })?;
        next = addr + PAGE_SIZE;
    }
}

/// Reads in what is in swap.
fn read_in(mm: &MmWithUser, range: PageRange) -> Result {
    for_each_mapped(mm, range, |piece| {
        let bytes = piece.bytes();
        let readable = {
            let mmap = mm.mmap_read_lock();
            // Where the mapping changed since it was found there is nothing to read in any more.
            vma_info::first_in(&mmap, bytes.clone()).is_some_and(|vma| {
                mapping::pages_of(vma).covers(piece) && vma.flags() & bindings::VM_READ != 0
            })
        };
        if readable {
            sys::populate(mm, bytes.start, bytes.len())?;
        }
        Ok(())
    })
}

/// Calls `f` with what is mapped of each block of the range.
fn for_each_mapped(
    mm: &MmWithUser,
    range: PageRange,
    mut f: impl FnMut(PageRange) -> Result,
) -> Result {
    let mut next = range.first();

    while next < range.end() {
        let rest = PageRange::new(next, range.end()).ok_or(EINVAL)?;
        let piece = {
            let mmap = mm.mmap_read_lock();
            let Some(vma) = vma_info::first_in(&mmap, rest.bytes()) else {
                break;
            };
            rest.intersect(mapping::pages_of(vma))
                .and_then(|part| part.blocks().next())
        };
        let Some(piece) = piece else { break };
        next = piece.end();
        f(piece)?;
    }
    Ok(())
}

/// Returns the caller's contexts on a device.
///
/// # Errors
///
/// `ENODEV` when there are none.
pub(crate) fn contexts_on(
    mm: &MmWithUser,
    device: &Arc<Device>,
) -> Result<[Option<Arc<Context>>; MAX_CONTEXTS]> {
    let space = Space::find(mm).ok_or(ENODEV)?;
    let mut contexts = [const { None }; MAX_CONTEXTS];
    let map = space.lock_map();

    for (slot, context) in contexts.iter_mut().zip(
        map.contexts()
            .filter(|context| Arc::ptr_eq(&context.device, device)),
    ) {
        *slot = Some(context.clone());
    }
    if contexts.iter().all(Option::is_none) {
        return Err(ENODEV);
    }
    drop(map);
    Ok(contexts)
}
