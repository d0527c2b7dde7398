// SPDX-License-Identifier: GPL-2.0

//! What the kernel calls when the memory of a process changes, by `include/linux/gmem.h`: fork,
//! exit, mremap, munmap and UFFDIO_MOVE; and what the C files of GMEM call.

use super::{
    dead,
    export::exports, //
};
use crate::{
    advice::attributes_tree,
    device::registry,
    migrate::take_home,
    prelude::*,
    range::PAGE_SHIFT,
    space::replicas, //
};
use kernel::bindings::{
    gm_dev_stats,
    gmem_lease,
    mm_struct, //
};

exports! {
    fn gmem_advice_forked(mm: *mut mm_struct, oldmm: *mut mm_struct, start: usize, end: usize) =
        |mm: &Mm, oldmm: &Mm, start, end| attributes_tree::forked(mm, oldmm, pages(start, end));
    fn __gmem_exit(mm: *mut mm_struct) = attributes_tree::exited;
    fn __gmem_mremap(
        mm: *mut mm_struct,
        from: usize,
        to: usize,
        len: usize,
        keep: bool,
    ) -> c_int = moved;
    fn __gmem_munmap(mm: *mut mm_struct, start: usize, end: usize) =
        |mm: &Mm, start, end| attributes_tree::unmapped(mm, pages(start, end));
    fn gmem_take_home(mm: *mut mm_struct, start: usize, len: usize) -> bool =
        |mm: &MmWithUser, start: usize, len| {
            take_home::take_home(mm, pages(start, start.wrapping_add(len)))
        };

    // Of workers, which hold no locks.
    fn gmem_return_chunks() = dead::return_chunks;
    fn gmem_drop_leased(lease: *mut gmem_lease) =
        |lease: *mut gmem_lease| replicas::drop_file(|other| other.is(lease));

    // Of the node of a device's memory.
    fn gmem_node_usage(nid: c_int, total: *mut usize, free: *mut usize) = node_usage;
    fn gmem_node_stats(nid: c_int, stats: *mut gm_dev_stats) = node_stats;
}

/// The pages between two addresses that the kernel passes.
fn pages(start: usize, end: usize) -> PageRange {
    PageRange::new(start as u64 >> PAGE_SHIFT, end as u64 >> PAGE_SHIFT).unwrap_or_default()
}

/// Pages moved.
fn moved(mm: &Mm, from: usize, to: usize, len: usize, keep: bool) -> Result {
    let range = pages(from, from.wrapping_add(len));
    attributes_tree::moved(mm, range, to as u64 >> PAGE_SHIFT, keep)
}

/// How many pages the node has and how many of them are free.
fn node_usage(nid: c_int, total: &mut MaybeUninit<usize>, free: &mut MaybeUninit<usize>) {
    if let Some(usage) = registry::usage(nid) {
        total.write(usage.0);
        free.write(usage.1);
    }
}

/// The counters of the device.
fn node_stats(nid: c_int, stats: &mut MaybeUninit<gm_dev_stats>) {
    if let Some(counters) = registry::counters(nid) {
        stats.write(counters.report());
    }
}
