// SPDX-License-Identifier: GPL-2.0

//! One entry of an emulated device's page table.

use super::translation::{
    self,
    Translation, //
};
use crate::{
    gmem::Map,
    page::PAGE_SHIFT,
    prelude::*,
    processor::cpu_relax,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed,
        Release, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};
use core::ops::Deref;

// The word: that of a translation, and how many accesses are in flight.
const PRESENT: u64 = translation::PRESENT;
const WRITABLE: u64 = translation::WRITABLE;
const ACCESSED: u64 = translation::ACCESSED;
const DIRTY: u64 = translation::DIRTY;
const LOCAL: u64 = translation::LOCAL;
const LARGE: u64 = translation::LARGE;
const ADDR: u64 = translation::ADDR;
const COUNT_SHIFT: u32 = translation::BITS;
const COUNT_ONE: u64 = 1 << COUNT_SHIFT;
const COUNT: u64 = !(COUNT_ONE - 1);

/// Bytes that a large entry maps.
const LARGE_SIZE: usize = translation::LARGE_SIZE;

/// Why an access cannot go through a [`Slot`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Miss {
    /// There is no translation.
    Absent,
    /// The translation does not allow stores.
    ReadOnly,
    /// Too many accesses are in flight; try again.
    Busy,
}

/// One entry of a page table: where a page is, what the device may do with it and what it did.
///
/// # Invariants
///
/// A present entry that is not local holds the address of host memory that came from a [`Map`].
/// The count in the word is the number of [`InFlight`] values of this slot.
pub struct Slot(Atomic<u64>);

impl Slot {
    /// Makes an empty entry.
    pub const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Changes the word by `f` until it is done or `f` declines. Returns the old word.
    #[inline]
    fn update(&self, mut f: impl FnMut(u64) -> Option<u64>) -> Result<u64, u64> {
        let mut old = self.0.load(Relaxed);
        loop {
            let new = f(old).ok_or(old)?;
            if new == old {
                return Ok(old);
            }
            match self.0.cmpxchg(old, new, Full) {
                Ok(_) => return Ok(old),
                Err(now) => old = now,
            }
        }
    }

    fn store(&self, map: &Map, addr: u64, large: u64) -> Result {
        if addr & !ADDR != 0 {
            return Err(EFAULT);
        }
        let mut word = addr | PRESENT | large;
        if map.access().is_write() {
            word |= WRITABLE;
        }
        if map.is_local() {
            word |= LOCAL;
        }
        // INVARIANT: The address is from a `Map`, and the count stays.
        let _ = self.update(|old| Some(word | (old & COUNT)));
        Ok(())
    }

    /// Enters page number `page` of a run; replaces what was there.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the run has no such page, `EFAULT` for an address no entry can hold.
    pub fn enter(&self, map: &Map, page: u32) -> Result {
        if page >= map.nr_pages() {
            return Err(EINVAL);
        }
        let addr = map.addr().wrapping_add(u64::from(page) << PAGE_SHIFT);
        self.store(map, addr, 0)
    }

    /// Enters a run that is one large page: see [`is_large`](Self::is_large).
    ///
    /// # Errors
    ///
    /// `EINVAL` when it is not, `EFAULT` for an address no entry can hold.
    pub fn enter_large(&self, map: &Map) -> Result {
        if !Self::is_large(map) {
            return Err(EINVAL);
        }
        self.store(map, map.addr(), LARGE)
    }

    /// Returns whether a run can be one large entry: 2 MiB, aligned on both sides.
    pub fn is_large(map: &Map) -> bool {
        map.nr_pages() as usize == LARGE_SIZE >> PAGE_SHIFT
            && (map.addr() | map.va()) & (LARGE_SIZE as u64 - 1) == 0
    }

    /// Returns whether there is a translation.
    pub fn is_present(&self) -> bool {
        self.0.load(Relaxed) & PRESENT != 0
    }

    /// Removes the translation and waits until no access through it is in flight. Returns whether
    /// there was one.
    ///
    /// Never called by someone who holds an [`InFlight`] of this slot.
    #[inline]
    pub fn clear(&self) -> bool {
        // Most entries that go have no access in flight, so that there is nothing to wait for. To
        // change the word orders us after those that ended; to find it as it should be does not.
        let old = self.update(|old| Some(old & COUNT));
        if !old.is_ok_and(|old| old != 0 && old & COUNT == 0) {
            self.wait();
        }
        old.is_ok_and(|old| old & PRESENT != 0)
    }

    /// Takes the right to store away, and waits until no access with it is in flight.
    pub fn make_read_only(&self) {
        let _ = self.update(|old| Some(old & !WRITABLE));
        self.wait();
    }

    /// Waits until no access is in flight.
    fn wait(&self) {
        // An access is the copy of a page at most; only a holder that lost its CPU takes longer.
        let mut spins = 0u32;
        while self.0.load(Acquire) & COUNT != 0 {
            if spins < 256 {
                spins += 1;
                cpu_relax();
            } else {
                fsleep(Delta::from_micros(20));
            }
        }
    }

    /// Tests and clears the accessed bit.
    pub fn age(&self) -> bool {
        match self.update(|old| Some(old & !ACCESSED)) {
            Ok(old) => old & ACCESSED != 0,
            Err(_) => false,
        }
    }

    /// Returns whether the device has stored through this entry.
    pub fn is_dirty(&self) -> bool {
        self.0.load(Relaxed) & DIRTY != 0
    }

    /// Starts an access. Sets the accessed bit, and for a store the dirty bit.
    ///
    /// The caller must not sleep for long, fault or wait for GMEM while it holds the result.
    ///
    /// # Errors
    ///
    /// [`Miss`] says why not.
    pub fn access(&self, write: bool) -> Result<InFlight<'_>, Miss> {
        // INVARIANT: One more in the count, for the value that is returned.
        let word = self.walk(write, COUNT_ONE)?;
        Ok(InFlight {
            slot: self,
            // INVARIANT: The slot had it, and clearing the slot waits for the result.
            to: Translation::new(word),
        })
    }

    /// Copies the entry as a device does that fills its TLB. Sets the accessed bit, and for a
    /// store the dirty bit.
    ///
    /// Nobody who clears the slot waits for the copy: see [`Translation`].
    ///
    /// # Errors
    ///
    /// [`Miss`] says why not.
    pub fn translate(&self, write: bool) -> Result<Translation, Miss> {
        // INVARIANT: The slot had it.
        self.walk(write, 0).map(Translation::new)
    }

    /// Looks whether an access is allowed, notes it, and adds to the count. Returns the entry.
    fn walk(&self, write: bool, count: u64) -> Result<u64, Miss> {
        let used = if write { ACCESSED | DIRTY } else { ACCESSED };
        let allowed = |word: u64| {
            if word & PRESENT == 0 {
                Err(Miss::Absent)
            } else if write && word & WRITABLE == 0 {
                Err(Miss::ReadOnly)
            } else if count != 0 && word & COUNT == COUNT {
                Err(Miss::Busy)
            } else {
                Ok(())
            }
        };
        let result = self.update(|old| {
            allowed(old)
                .is_ok()
                .then(|| (old | used).wrapping_add(count))
        });
        match result {
            Ok(word) => Ok((word | used) & !COUNT),
            Err(word) => Err(allowed(word).err().unwrap_or(Miss::Busy)),
        }
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}

/// An access in flight: the page stays where it is until this is dropped.
///
/// # Invariants
///
/// `slot` counts this value.
pub struct InFlight<'a> {
    slot: &'a Slot,
    to: Translation,
}

impl Deref for InFlight<'_> {
    type Target = Translation;

    fn deref(&self) -> &Translation {
        &self.to
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        // INVARIANT: One less in the count, for `self`.
        self.slot.0.fetch_sub(COUNT_ONE, Release);
    }
}

#[cfg(CONFIG_GMEM_KUNIT_TEST)]
#[macros::kunit_tests(gmem_soft_slot)]
mod tests {
    use super::*;
    use crate::gmem::{
        soft::Memory,
        Access, //
    };

    const SIZE: usize = 4 << 20;

    fn map(addr: u64, nr_pages: u32, access: Access) -> Map {
        // Addresses are offsets in device memory, so no host memory has to stay.
        Map::local(0x20_0000, addr, nr_pages, access)
    }

    #[test]
    fn bytes_go_where_the_entry_leads() -> Result {
        let memory = Memory::new(SIZE)?;
        let slot = Slot::new();
        slot.enter(&map(0x3000, 4, Access::WRITE), 2)?;
        slot.access(true)
            .map_err(|_| EFAULT)?
            .store_bytes(&memory, 10, b"bytes")?;
        let mut found = [0u8; 5];
        memory.load_bytes(0x500a, &mut found)?;
        assert_eq!(&found, b"bytes");
        assert!(slot.is_dirty());
        Ok(())
    }

    #[test]
    fn accesses_stay_inside_the_page() -> Result {
        let memory = Memory::new(SIZE)?;
        let slot = Slot::new();
        let mut two = [0u8; 2];

        slot.enter(&map(0x3000, 1, Access::READ), 0)?;
        let page = slot.access(false).map_err(|_| EFAULT)?;
        assert!(page.load_bytes(&memory, 4094, &mut two).is_ok());
        assert!(page.load_bytes(&memory, 4095, &mut two).is_err());
        assert!(page.load_bytes(&memory, usize::MAX, &mut two).is_err());
        drop(page);

        slot.enter_large(&map(0x20_0000, 512, Access::READ))?;
        let page = slot.access(false).map_err(|_| EFAULT)?;
        assert!(page.load_bytes(&memory, 0x1f_fffe, &mut two).is_ok());
        assert!(page.load_bytes(&memory, 0x1f_ffff, &mut two).is_err());
        Ok(())
    }

    #[test]
    fn rights_are_kept() -> Result {
        let memory = Memory::new(SIZE)?;
        let slot = Slot::new();

        assert_eq!(slot.access(false).err(), Some(Miss::Absent));
        slot.enter(&map(0, 1, Access::READ), 0)?;
        assert_eq!(slot.access(true).err(), Some(Miss::ReadOnly));
        slot.enter(&map(0, 1, Access::WRITE), 0)?;
        let page = slot.access(false).map_err(|_| EFAULT)?;
        assert!(page.store_bytes(&memory, 0, b"x").is_err());
        drop(page);
        slot.make_read_only();
        assert_eq!(slot.access(true).err(), Some(Miss::ReadOnly));
        slot.clear();
        assert_eq!(slot.access(false).err(), Some(Miss::Absent));
        Ok(())
    }

    #[test]
    fn accessed_bit_is_set_and_cleared() -> Result {
        let slot = Slot::new();

        slot.enter(&map(0, 1, Access::READ), 0)?;
        assert!(!slot.age());
        drop(slot.access(false));
        assert!(slot.age());
        assert!(!slot.age());
        assert!(!slot.is_dirty());
        Ok(())
    }

    #[test]
    fn accesses_are_counted() -> Result {
        let slot = Slot::new();

        slot.enter(&map(0x7000, 1, Access::WRITE), 0)?;
        let first = slot.access(true);
        let second = slot.access(false);
        // A new translation does not forget who still uses the old one.
        slot.enter(&map(0x9000, 1, Access::WRITE), 0)?;
        assert_eq!(slot.0.load(Relaxed) & COUNT, 2 * COUNT_ONE);
        drop(first);
        drop(second);
        assert_eq!(slot.0.load(Relaxed) & COUNT, 0);
        slot.clear();
        assert_eq!(slot.0.load(Relaxed), 0);
        Ok(())
    }

    #[test]
    fn translations_outlive_the_entry() -> Result {
        let memory = Memory::new(SIZE)?;
        let slot = Slot::new();

        slot.enter(&map(0x3000, 1, Access::WRITE), 0)?;
        let read = slot.translate(false).map_err(|_| EFAULT)?;
        assert!(read.serves(false) && !read.serves(true));
        assert!(!slot.is_dirty());
        let write = slot.translate(true).map_err(|_| EFAULT)?;
        assert!(write.serves(true) && slot.is_dirty() && slot.age());
        // Does not wait, and the copy does not learn of it.
        slot.clear();
        assert_eq!(slot.translate(false).err(), Some(Miss::Absent));
        write.store_bytes(&memory, 1, b"late")?;
        let mut found = [0u8; 4];
        memory.load_bytes(0x3001, &mut found)?;
        assert_eq!(&found, b"late");
        assert!(!slot.age());
        Ok(())
    }

    #[test]
    fn what_is_no_large_page_is_refused() {
        let slot = Slot::new();

        assert!(slot
            .enter_large(&map(0x20_0000, 511, Access::READ))
            .is_err());
        assert!(slot.enter_large(&map(0x1000, 512, Access::READ)).is_err());
        assert!(slot.enter(&map(0, 1, Access::READ), 1).is_err());
        assert!(slot.enter(&map(1, 1, Access::READ), 0).is_err());
        assert!(!slot.is_present());
    }
}
