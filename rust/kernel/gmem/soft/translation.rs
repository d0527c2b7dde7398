// SPDX-License-Identifier: GPL-2.0

//! What an entry of an emulated device's page table says.

use super::memory::{
    self,
    Memory,
    Target, //
};
use crate::{
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

// The word: flags, and the address, a multiple of the page size.
pub(super) const PRESENT: u64 = 1 << 0;
pub(super) const WRITABLE: u64 = 1 << 1;
pub(super) const ACCESSED: u64 = 1 << 2;
pub(super) const DIRTY: u64 = 1 << 3;
pub(super) const LOCAL: u64 = 1 << 4;
pub(super) const LARGE: u64 = 1 << 5;
pub(super) const ADDR: u64 = (1 << BITS) - (1 << PAGE_SHIFT);
/// The bits above are not used here.
pub(super) const BITS: u32 = 52;

/// Bytes that a large entry maps.
pub(super) const LARGE_SIZE: usize = 2 << 20;

/// A copy of a page-table entry, as a TLB holds it.
///
/// It does not learn when the entry goes. A driver drops its copies of a range when
/// [`Mmu::tlb_invl`](crate::gmem::Mmu::tlb_invl) asks for it, and waits there until no access
/// through one is under way; a copy that is used later reaches memory of somebody else, as it does
/// on hardware.
///
/// # Invariants
///
/// The word was present in a [`Slot`](super::Slot).
#[derive(Clone, Copy)]
pub struct Translation(u64);

impl Translation {
    /// The caller keeps the type invariants.
    pub(super) fn new(word: u64) -> Self {
        Self(word)
    }

    /// Returns whether an access can go through it. A store needs an entry with the dirty bit: the
    /// device sets that in its page table first.
    pub fn serves(&self, write: bool) -> bool {
        const STORE: u64 = WRITABLE | DIRTY;

        !write || self.0 & STORE == STORE
    }

    /// Returns whether it is of a large entry.
    pub fn is_large(&self) -> bool {
        self.0 & LARGE != 0
    }

    /// Bytes that it covers.
    pub fn size(&self) -> usize {
        if self.is_large() {
            LARGE_SIZE
        } else {
            PAGE_SIZE
        }
    }

    /// Returns where `len` bytes at `offset` in the page are.
    fn target(&self, offset: usize, len: usize) -> Result<Target> {
        if offset.checked_add(len).is_none_or(|end| end > self.size()) {
            return Err(ERANGE);
        }
        let addr = (self.0 & ADDR).wrapping_add(offset as u64);
        Ok(if self.0 & LOCAL != 0 {
            Target::Local(addr)
        } else {
            Target::Host(addr)
        })
    }

    fn store_target(&self, offset: usize, len: usize) -> Result<Target> {
        if !self.serves(true) {
            return Err(EACCES);
        }
        self.target(offset, len)
    }

    /// Loads bytes at `offset` in the page; `memory` is that of the device.
    ///
    /// # Errors
    ///
    /// `ERANGE` outside of the page or of the device's memory; so for all methods.
    pub fn load_bytes(&self, memory: &Memory, offset: usize, buf: &mut [u8]) -> Result {
        let target = self.target(offset, buf.len())?;
        // SAFETY: The bytes are inside the page. GMEM keeps it until `tlb_invl` has returned after
        // the slot was cleared, and a driver lets no access outlast that. The accesses of an
        // `InFlight` do not even outlast the clearing.
        unsafe { memory::read(target, memory, buf) }
    }

    /// Stores bytes.
    ///
    /// # Errors
    ///
    /// Also `EACCES` when it does not serve stores.
    pub fn store_bytes(&self, memory: &Memory, offset: usize, buf: &[u8]) -> Result {
        let target = self.store_target(offset, buf.len())?;
        // SAFETY: As in `load_bytes`.
        unsafe { memory::write(target, memory, buf) }
    }

    /// Sets `len` bytes; errors as for [`store_bytes`](Self::store_bytes).
    pub fn set_bytes(&self, memory: &Memory, offset: usize, len: usize, byte: u8) -> Result {
        let target = self.store_target(offset, len)?;
        // SAFETY: As in `load_bytes`.
        unsafe { memory::fill(target, memory, len, byte) }
    }

    /// Adds to an aligned number, atomically for every other processor; errors as for
    /// [`store_bytes`](Self::store_bytes), and `EINVAL` when it is not aligned.
    pub fn add_u64(&self, memory: &Memory, offset: usize, value: u64) -> Result {
        let target = self.store_target(offset, size_of::<u64>())?;
        // SAFETY: As in `load_bytes`.
        unsafe { memory::add(target, memory, value) }
    }
}
