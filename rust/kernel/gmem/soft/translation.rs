// SPDX-License-Identifier: GPL-2.0

//! What an entry of an emulated device's page table says.

use super::{
    memory::{
        self,
        Memory,
        Target, //
    },
    Step, //
};
use crate::{
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};
use core::marker::PhantomData;

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

/// A page-table entry, as a TLB copies it.
///
/// It does not learn when the entry in the page table goes.
#[derive(Clone, Copy)]
pub(super) struct Word(u64);

impl Word {
    /// Makes a copy of what a [`Slot`](super::slot::Slot) has, which is present.
    pub(super) fn new(word: u64) -> Self {
        Self(word)
    }

    /// Returns whether an access can go through it. A store needs an entry with the dirty bit: the
    /// device sets that in its page table first.
    pub(super) fn serves(self, write: bool) -> bool {
        const STORE: u64 = WRITABLE | DIRTY;

        !write || self.0 & STORE == STORE
    }

    /// Returns whether it is of a large entry.
    pub(super) fn is_large(self) -> bool {
        self.0 & LARGE != 0
    }
}

/// How a core reaches a page during a [`Step`].
///
/// It ends with the step, and so no access outlasts one:
///
/// ```ignore,compile_fail
/// let step = tlb.begin().ok_or(ENODEV)?;
/// let to = step.lookup(&table, va, false)?;
/// drop(step);
/// // error[E0505]: cannot move out of `step` because it is borrowed
/// to.load_bytes(&memory, 0, &mut buf)?;
/// ```
///
/// # Invariants
///
/// `word` was present in a [`PageTable`](super::PageTable) that is used with the TLB of the step,
/// and the page table was not flushed since the step began, or waits for the end of the step.
pub struct Translation<'a> {
    word: Word,
    _step: PhantomData<&'a Step<'a>>,
}

impl<'a> Translation<'a> {
    /// The caller keeps the type invariants.
    pub(super) fn new(_step: &'a Step<'_>, word: Word) -> Self {
        Self {
            word,
            _step: PhantomData,
        }
    }

    /// Bytes that it covers.
    pub fn size(&self) -> usize {
        if self.word.is_large() {
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
        let word = self.word.0;
        let addr = (word & ADDR).wrapping_add(offset as u64);
        Ok(if word & LOCAL != 0 {
            Target::Local(addr)
        } else {
            Target::Host(addr)
        })
    }

    fn store_target(&self, offset: usize, len: usize) -> Result<Target> {
        if !self.word.serves(true) {
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
        // SAFETY: The bytes are inside the page. GMEM keeps it until the flush that followed the
        // clearing of the slot has returned, and by the type invariants that waits for us.
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
