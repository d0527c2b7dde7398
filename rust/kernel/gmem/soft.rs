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
//!
//! What stays with the driver is what every driver that does DMA promises: to clear the slots of
//! a range when [`Mmu::pmap_release`](super::Mmu::pmap_release) asks for it.

mod memory;
mod slot;

pub use self::{
    memory::Memory,
    slot::{
        InFlight,
        Miss,
        Slot, //
    },
};
