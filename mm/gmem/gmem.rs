// SPDX-License-Identifier: GPL-2.0

//! GMEM: one memory manager for every accelerator.
//!
//! # What is where
//!
//! - [`exports`]: the C interface for drivers; [`advise`], [`prefetch`]: hmadvise(2),
//! - [`registry`], [`memory`], [`chunk`]: devices and who has which page of their memory,
//!   [`dmem`]: and who pays for it, [`node`]: the NUMA nodes that these are; `hnode.c`,
//!   `mpol.c` and `walk.c`: what the core asks of them,
//! - [`address_space`], [`context`]: address spaces and the devices attached to them; [`standalone`]: those
//!   of no process, [`va`]: their addresses,
//! - [`table`]: the logical page table, a directory of what devices map,
//! - [`duplicate`], [`copies`], [`original`]: read-only copies, and of what,
//! - [`serve`], [`bring`], [`move_in`], [`enter`]: a device needs a page; [`ahead`]: it will;
//!   [`home`]: the CPU does; [`thrash`]: both do; [`migrate`], [`counts`]: what these share,
//! - [`evict`], [`units`], [`hunt`], [`age`], [`worker`], [`shelter`]: a device is full; `hold.c`:
//!   what keeps the places of pages that leave; [`room`]: what does not get in,
//! - [`invalidate`]: the CPU page table changes,
//! - [`attributes_tree`]: what programs advised about their memory; [`pin`]: room kept for it,
//! - [`attributes`], [`entry`], [`range`], [`block`], [`lru`], [`policy`]: pure logic, which host
//!   tests include too,
//! - [`mmu`], [`sys`]: calls of drivers and of the C shim; [`debugfs`]: what there is to see.
//!
//! # Locks
//!
//! ```text
//! sleeping side:  mmap_lock -> block lock (2 MiB, hashed) -> eviction lock or room lock
//!                   -> folio lock -> device memory lock
//! notifier side:  mmap_lock, VMA lock, block lock, i_mmap, anon_vma, fs_reclaim, folio lock
//!                   -> map lock -> xa_lock of the directory
//! ```
//!
//! - The map lock is the innermost lock that sleeps: under it nothing is allocated, faulted in or
//!   migrated, and no device memory is taken.
//! - The eviction lock of a memory is held while something leaves it; that of another memory is
//!   never taken under it.
//! - The room lock is held while pages of the host are filled for a device that is full.
//! - `migrate_to_ram` comes with the folio locked and takes no block lock. Eviction only tries
//!   folio locks. Two devices that fault in one block meet at the block lock.
//! - Under a folio or page-table lock, and with interrupts off, device pages are given back with
//!   atomics only ([`chunk`]).
//! - The lock of a standalone space's addresses is taken before the map lock; the owner holds none
//!   of the others.
//! - The lock of a process's advice is taken under mmap_lock and the block lock; under it memory is
//!   allocated, and no lock of GMEM taken.
//! - Lists (devices, spaces, watches, advice) have locks of their own, under which nothing else is
//!   taken but the lock of a device's memory pointer.
//!
//! # The life of a page
//!
//! ```text
//!            fault, prefetch: migrate_vma, copy, commit
//!   host  ------------------------------------------------>  device
//!         <------------------------------------------------
//!            CPU fault, prefetch home, eviction, unplug
//! ```
//!
//! The CPU page table says where a page is: a device page is a device-private entry. A device's
//! page table is filled from a read of the CPU page table that is checked against its sequence
//! number under the map lock, and emptied by the callback that changes the number.

mod advise;
mod age;
mod ahead;
mod attributes;
mod attributes_tree;
mod block;
mod bring;
mod chunk;
mod context;
mod copies;
mod counts;
mod debugfs;
mod registry;
mod dmem;
mod duplicate;
mod enter;
mod entry;
mod evict;
mod exports;
mod serve;
mod home;
mod hunt;
mod invalidate;
#[allow(dead_code, reason = "the simulator uses the rest")]
mod lru;
mod memory;
mod migrate;
mod mmu;
mod move_in;
mod node;
mod original;
mod pin;
#[allow(dead_code, reason = "the simulator uses the rest")]
mod policy;
mod prefetch;
mod range;
mod room;
mod shelter;
mod address_space;
mod standalone;
mod stats;
mod sys;
mod table;
mod thrash;
mod units;
mod va;
mod worker;

/// Prefix of messages.
const __LOG_PREFIX: &[u8] = b"gmem\0";
