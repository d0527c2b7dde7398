// SPDX-License-Identifier: GPL-2.0

//! GMEM: one memory manager for every accelerator.
//!
//! # Rooms
//!
//! A room uses those below it.
//!
//! - [`abi`]: the C interface: drivers, hooks of the core, hmadvise(2); devices and memory that
//!   come and go, debugfs,
//! - [`fault`]: device faults, CPU faults, prefetch, readahead,
//! - [`reclaim`]: eviction, what chooses its victims, and the room of pins,
//! - [`migrate`]: moving the bytes of pages, and bringing them home,
//! - [`space`]: address spaces, contexts, notifiers, the directory,
//! - [`advice`]: attributes and pins; [`replica`]: read-only copies of host pages on devices,
//! - [`device`]: devices, their memory and their NUMA nodes,
//! - [`policy`]: decisions in numbers, without a kernel dependency,
//! - [`prelude`]: what most files use of the kernel crate and of the rooms below,
//! - [`range`]: ranges of pages, and the sizes of pages, blocks and watches,
//! - [`sys`], `shim.c`: what Rust cannot express; `numa/`: mempolicy.c and move_pages.c, what the
//!   NUMA code of the core asks.
//!
//! # Glossary
//!
//! - *address space*: what is mapped for devices, of one process (mirror) or of none (standalone),
//! - *block*: 2 MiB of an address space, what one large folio covers,
//! - *chunk*: 2 MiB of device memory, what the buddy allocator hands out,
//! - *context*: a device attached to an address space,
//! - *directory*: the logical page table of an address space: who holds a page, who maps it,
//! - *evict*: migrate from a device that is full, to the host or a peer,
//! - *hnode*: the NUMA node of a device's memory,
//! - *holder*: the host or the device whose memory has the bytes of a page,
//! - *migrate*: move the bytes of pages, and the entries with them,
//! - *mirror*: an address space whose addresses are those of a process,
//! - *peer*: another device,
//! - *pin*: a reservation of device memory for a range,
//! - *ping-pong*: a block that two holders ask for in turn,
//! - *readahead*: faults served before a device makes them,
//! - *reclaim*: making room on a device,
//! - *replica*: a read-only copy of a host page on a device,
//! - *run*: 64 KiB: 16 pages that are mapped, ranked and evicted together,
//! - *victim*: what reclaim chose to evict,
//! - *watch*: an interval notifier over 512 MiB of an address space.
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
//!   atomics only ([`device::chunk`]).
//! - The lock of a standalone space's addresses is taken before the map lock; the owner holds none
//!   of the others.
//! - The lock of a process's advice is taken under mmap_lock and the block lock; under it memory is
//!   allocated, and no lock of GMEM taken.
//! - Lists (devices, spaces, watches, advice) have locks of their own, under which nothing else is
//!   taken but the lock of a device's memory pointer. A fault of a CPU takes none of them: the
//!   space and the advice of a process are looked up under RCU, and the page says which device it
//!   is on.
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

mod abi;
mod advice;
mod device;
mod fault;
mod migrate;
mod policy;
mod prelude;
mod range;
mod reclaim;
mod replica;
mod space;
mod sys;

/// Prefix of messages.
const __LOG_PREFIX: &[u8] = b"gmem\0";
