// SPDX-License-Identifier: GPL-2.0

//! Parts for emulated devices, whose memory and page-table walker are software.
//!
//! Real hardware reaches memory on its own and answers for what it does. An emulated device does
//! the same with the kernel's own loads and stores, so these types answer for it:
//!
//! - [`Memory`] is device memory. Several cores, and copies for GMEM, use it at the same time, so
//!   there are no references to its bytes.
//! - [`Slot`] is a page-table entry. A core gets at the memory behind it only while it holds an
//!   [`InFlight`], and [`Slot::clear`] waits for those. So when `pmap_release` has cleared its
//!   slots, the device is off the page.
//! - [`PageTable`] is a whole page table of them, for pages of 4 KiB and 2 MiB.
//! - [`Translation`] is a copy of an entry, as a [`Tlb`] has them. The memory behind it is reached
//!   without a look at the slot, so that it has to be flushed in `tlb_invl`.
//!
//! What stays with the driver is what every driver that does DMA promises: to clear the slots of
//! a range when [`Mmu::pmap_release`](super::Mmu::pmap_release) asks for it, and to drop
//! the translations when [`Mmu::tlb_invl`](super::Mmu::tlb_invl) does.

mod leaf;
mod memory;
mod slot;
mod table;
mod tlb;
mod translation;

pub use self::{
    memory::Memory,
    slot::{
        InFlight,
        Miss,
        Slot, //
    },
    table::PageTable,
    tlb::{
        Step,
        Tlb, //
    },
    translation::Translation, //
};
