// SPDX-License-Identifier: GPL-2.0

//! Standalone address spaces: no process, no faults, just addresses and what is mapped there.
//!
//! The owner takes addresses, enters host pages for all attached devices at once, and takes them
//! away again. The directory notes which contexts map what, as in a mirror, so that releasing and
//! detaching are the same.
//!
//! One lock covers addresses, mappings and the set of contexts; it comes before the map lock, and
//! the functions of drivers that may sleep are called under it.

use crate::{
    device::mmu::{
        is_huge,
        pages_of_run, //
    },
    prelude::*,
    space::{
        address_space::Space,
        addresses::Addresses,
        context::{
            Context,
            MAX_CONTEXTS, //
        },
        directory::Enter, //
    }, //
};

/// Gives out `count` pages, aligned to `2^order` pages.
///
/// # Errors
///
/// `ENOSPC` when no gap is large enough, `EINVAL` for a mirror or no pages, `ENOMEM`.
pub(crate) fn alloc(space: &Space, count: u64, order: u32) -> Result<PageRange> {
    let mut addresses = space.lock_addresses().ok_or(EINVAL)?;

    addresses.take(ENOSPC, |free| free.alloc(count, order))
}

/// Gives out exactly `range`.
///
/// # Errors
///
/// `EEXIST` when it is not all free, `EINVAL` for a mirror or a range outside, `ENOMEM`.
pub(crate) fn reserve(space: &Space, range: PageRange) -> Result {
    let mut addresses = space.lock_addresses().ok_or(EINVAL)?;

    addresses
        .take(EEXIST, |free| free.alloc_fixed(range).map(|()| range))
        .map(|_| ())
}

/// Takes `range` back.
///
/// # Errors
///
/// `EBUSY` when something is mapped there, `EINVAL` when it was not given out like this.
pub(crate) fn free(space: &Space, range: PageRange) -> Result {
    let mut addresses = space.lock_addresses().ok_or(EINVAL)?;

    if space.directory.is_mapped(range) {
        return Err(EBUSY);
    }
    addresses.give_back(range)
}

/// Enters host pages into all contexts: runs that follow one another from page `first` on.
///
/// # Errors
///
/// `EINVAL` for runs that are not as they should be, addresses that were not given out and
/// mirrors, `EEXIST` when something is mapped there, `ENODEV` without contexts, `ERANGE` when a
/// device cannot reach the addresses, `ENOMEM`, or what a driver returned. Nothing stays entered.
pub(crate) fn map(space: &Space, first: u64, maps: &[MapRun]) -> Result {
    let range = extent(first, maps)?;
    let addresses = space.lock_addresses().ok_or(EINVAL)?;

    if !addresses.has(range) {
        return Err(EINVAL);
    }
    if space.directory.is_mapped(range) {
        return Err(EEXIST);
    }
    let result = enter(space, &addresses, range, maps);
    if result.is_err() {
        space.forget(range);
    }
    result
}

/// Takes the pages of `range` from all contexts.
///
/// # Errors
///
/// `EINVAL` for addresses that were not given out, a range that cuts a block which was entered as
/// one, and mirrors.
pub(crate) fn unmap(space: &Space, range: PageRange) -> Result {
    let addresses = space.lock_addresses().ok_or(EINVAL)?;
    let ends = [Some(range.first()), range.last()];
    let is_cut = |page| {
        space
            .directory
            .lookup(page)
            .is_some_and(|(entry, _)| !range.covers(entry))
    };

    // A device may map a block by one entry, which goes whole, and is not faulted in again.
    if !addresses.has(range) || ends.into_iter().flatten().any(is_cut) {
        return Err(EINVAL);
    }
    space.forget(range);
    Ok(())
}

/// Does the work of [`map`]; the caller cleans up after an error.
fn enter(space: &Space, _locked: &Addresses, range: PageRange, maps: &[MapRun]) -> Result {
    // They stay attached: the addresses are locked.
    let contexts: [Option<Arc<Context>>; MAX_CONTEXTS] = {
        let map = space.lock_map();
        core::array::from_fn(|index| map.context(index).cloned())
    };
    let directory = &space.directory;
    let bytes = range.bytes();
    let mut bits = 0;

    for context in contexts.iter().flatten() {
        if !context.device.reach.covers(range) {
            return Err(ERANGE);
        }
        context.pmap.prepare(range)?;
        bits |= context.bit();
    }
    if bits == 0 {
        return Err(ENODEV);
    }
    for run in maps {
        directory.reserve(pages_of_run(run).ok_or(EINVAL)?, is_huge(run))?;
    }

    let map = space.lock_map();
    for run in maps {
        let note = Enter {
            holder: 0,
            frame: None,
            contexts: bits,
            writable: run.flags & bindings::GM_ACCESS_WRITE != 0,
            duplicated: false,
            fixed: true,
        };
        let pages = pages_of_run(run).ok_or(EINVAL)?;
        directory.enter(&map, pages, is_huge(run), note)?;
    }
    for context in contexts.iter().flatten() {
        context.install(&map, maps)?;
        context.device.parts.stats.remote.add(bytes.len());
    }
    Ok(())
}

/// Checks runs, and returns all their pages together.
fn extent(first: u64, maps: &[MapRun]) -> Result<PageRange> {
    const RIGHTS: u32 = bindings::GM_ACCESS_READ | bindings::GM_ACCESS_WRITE;
    let mut end = first;

    for run in maps {
        let range = pages_of_run(run).ok_or(EINVAL)?;
        let is_aligned = (run.va | run.addr) & (PAGE_SIZE - 1) == 0;
        let is_right = run.flags & bindings::GM_ACCESS_READ != 0 && run.flags & !RIGHTS == 0;
        let in_a_block = range.align_out(BLOCK_ORDER).count() == BLOCK_PAGES;

        if !is_aligned || !is_right || !in_a_block || range.first() != end {
            return Err(EINVAL);
        }
        run.addr
            .checked_add(range.len_bytes().wrapping_sub(1))
            .ok_or(EINVAL)?;
        end = range.end();
    }
    PageRange::new(first, end)
        .filter(|range| !range.is_empty())
        .ok_or(EINVAL)
}
