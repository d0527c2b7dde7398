// SPDX-License-Identifier: GPL-2.0

//! Memory of devices that takes part in user address spaces.
//!
//! - [`arc_table`]: references by number, found without a lock,
//! - [`pagemap`]: device memory with `struct page`s (`ZONE_DEVICE`),
//! - [`folio`]: locked folios that are the destination of a migration,
//! - [`migrate`]: moving pages between host and device,
//! - [`hmm`]: reading the CPU page table,
//! - [`interval_notifier`]: hearing of its changes,
//! - [`mmap`]: keeping the mappings as they are,
//! - [`vma`]: what is asked of a mapping.

pub mod arc_table;
pub mod folio;
pub mod hmm;
pub mod interval_notifier;
pub mod migrate;
pub mod mmap;
pub mod pagemap;
pub mod vma;

/// Order of a folio that one PMD maps.
pub const PMD_ORDER: u32 = 9;

/// Number of base pages that one PMD maps.
pub const PMD_PAGES: usize = 1 << PMD_ORDER;
