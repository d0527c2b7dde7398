// SPDX-License-Identifier: GPL-2.0

//! Parts for emulated devices, whose memory and page-table walker are software.
//!
//! Real hardware reaches memory on its own. An emulated device does the same with the kernel's own
//! loads and stores, so these types guarantee that it reaches only what its page table maps:
//!
//! - [`Machine`] is a device: its memory, the TLBs of its cores, and what its driver adds.
//! - [`Memory`] is device memory. Several cores, and copies for GMEM, use it at the same time, so
//!   there are no references to its bytes.
//! - [`PageTable`] is the page table of one address space, for pages of 4 KiB and 2 MiB.
//! - A [`Tlb`] has copies of its entries. The memory behind a copy is reached without a look at
//!   the page table, so that a stale copy is used, as on hardware.
//! - A core makes accesses in steps: [`Tlb::begin`] starts a [`Step`], [`Step::lookup`] finds a
//!   [`Translation`], and that is the way to the bytes of a page, be they in the device's memory
//!   or in that of the host, until the step ends.
//! - [`SoftMmu`] has the functions that GMEM calls. It releases, flushes, and waits for the steps;
//!   [`Emulated`] is what a driver can add.
//!
//! A driver cannot make its device use memory that was freed: page tables change only in
//! [`SoftMmu`], translations end with the step, each change waits for the steps that run, and a
//! dead device begins none.

mod leaf;
mod machine;
mod memory;
mod mmu;
mod slot;
mod table;
mod tlb;
mod translation;

#[cfg(CONFIG_GMEM_KUNIT_TEST)]
mod kunit;

pub use self::{
    machine::{
        Machine,
        MAX_CORES, //
    },
    memory::Memory,
    mmu::{
        Emulated,
        SoftMmu,
        SoftPmap, //
    },
    slot::Miss,
    table::PageTable,
    tlb::{
        Step,
        Tlb, //
    },
    translation::Translation, //
};
