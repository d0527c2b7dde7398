// SPDX-License-Identifier: GPL-2.0

//! One entry of an emulated device's page table.

use super::translation::{
    self,
    Word, //
};
use crate::{
    gmem::Map,
    page::PAGE_SHIFT,
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    }, //
};

const PRESENT: u64 = translation::PRESENT;
const WRITABLE: u64 = translation::WRITABLE;
const ACCESSED: u64 = translation::ACCESSED;
const DIRTY: u64 = translation::DIRTY;
const LOCAL: u64 = translation::LOCAL;
const LARGE: u64 = translation::LARGE;
const ADDR: u64 = translation::ADDR;

/// Bytes that a large entry maps.
const LARGE_SIZE: usize = translation::LARGE_SIZE;

/// Why a look-up found no translation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Miss {
    /// There is no translation.
    Absent,
    /// The translation does not allow stores.
    ReadOnly,
    /// The core belongs to another machine than the page table.
    Foreign,
}

/// One entry of a page table: where a page is, what the device may do with it and what it did.
///
/// # Invariants
///
/// A present entry that is not local holds the address of host memory that came from a [`Map`].
pub(super) struct Slot(Atomic<u64>);

impl Slot {
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
        // INVARIANT: The address is from a `Map`.
        let _ = self.update(|_| Some(word));
        Ok(())
    }

    /// Enters page number `page` of a run; replaces what was there.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the run has no such page, `EFAULT` for an address no entry can hold.
    pub(super) fn enter(&self, map: &Map, page: u32) -> Result {
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
    pub(super) fn enter_large(&self, map: &Map) -> Result {
        if !Self::is_large(map) {
            return Err(EINVAL);
        }
        self.store(map, map.addr(), LARGE)
    }

    /// Returns whether a run can be one large entry: 2 MiB, aligned on both sides.
    pub(super) fn is_large(map: &Map) -> bool {
        map.nr_pages() as usize == LARGE_SIZE >> PAGE_SHIFT
            && (map.addr() | map.va()) & (LARGE_SIZE as u64 - 1) == 0
    }

    /// Returns whether there is a translation.
    pub(super) fn is_present(&self) -> bool {
        self.0.load(Relaxed) & PRESENT != 0
    }

    /// Removes the translation. Returns whether there was one. TLBs keep their copies until they
    /// are flushed.
    #[inline]
    pub(super) fn clear(&self) -> bool {
        self.update(|_| Some(0)).is_ok_and(|old| old & PRESENT != 0)
    }

    /// Removes the right to store. TLBs keep their copies until they are flushed.
    pub(super) fn make_read_only(&self) {
        let _ = self.update(|old| Some(old & !WRITABLE));
    }

    /// Tests and clears the accessed bit.
    pub(super) fn age(&self) -> bool {
        self.update(|old| Some(old & !ACCESSED))
            .is_ok_and(|old| old & ACCESSED != 0)
    }

    /// Returns whether the device has stored through this entry.
    #[cfg(CONFIG_GMEM_KUNIT_TEST)]
    pub(super) fn is_dirty(&self) -> bool {
        self.0.load(Relaxed) & DIRTY != 0
    }

    /// Copies the entry as a device does that fills its TLB. Sets the accessed bit, and for a
    /// store the dirty bit.
    ///
    /// Nobody who clears the slot waits for the copy.
    ///
    /// # Errors
    ///
    /// [`Miss`] says why not.
    pub(super) fn translate(&self, write: bool) -> Result<Word, Miss> {
        let used = if write { ACCESSED | DIRTY } else { ACCESSED };
        let allowed = |word: u64| {
            if word & PRESENT == 0 {
                Err(Miss::Absent)
            } else if write && word & WRITABLE == 0 {
                Err(Miss::ReadOnly)
            } else {
                Ok(())
            }
        };
        match self.update(|old| allowed(old).is_ok().then_some(old | used)) {
            Ok(word) => Ok(Word::new(word | used)),
            Err(word) => Err(allowed(word).err().unwrap_or(Miss::Absent)),
        }
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

#[cfg(CONFIG_GMEM_KUNIT_TEST)]
#[macros::kunit_tests(gmem_soft_slot)]
mod tests {
    use super::*;
    use crate::gmem::Access;

    fn map(addr: u64, nr_pages: u32, access: Access) -> Map {
        // Addresses are offsets in device memory, so no host memory has to stay.
        Map::local(0x20_0000, addr, nr_pages, access)
    }

    #[test]
    fn rights_are_kept() -> Result {
        let slot = Slot::default();

        assert_eq!(slot.translate(false).err(), Some(Miss::Absent));
        slot.enter(&map(0, 1, Access::READ), 0)?;
        assert_eq!(slot.translate(true).err(), Some(Miss::ReadOnly));
        slot.enter(&map(0, 1, Access::WRITE), 0)?;
        let read = slot.translate(false).map_err(|_| EFAULT)?;
        assert!(read.serves(false) && !read.serves(true));
        assert!(!slot.is_dirty());
        let write = slot.translate(true).map_err(|_| EFAULT)?;
        assert!(write.serves(true) && slot.is_dirty());
        slot.make_read_only();
        assert_eq!(slot.translate(true).err(), Some(Miss::ReadOnly));
        assert!(slot.clear() && !slot.clear());
        assert_eq!(slot.translate(false).err(), Some(Miss::Absent));
        Ok(())
    }

    #[test]
    fn accessed_bit_is_set_and_cleared() -> Result {
        let slot = Slot::default();

        slot.enter(&map(0, 1, Access::READ), 0)?;
        assert!(!slot.age());
        slot.translate(false).map_err(|_| EFAULT)?;
        assert!(slot.age());
        assert!(!slot.age());
        assert!(!slot.is_dirty());
        Ok(())
    }

    #[test]
    fn what_is_no_large_page_is_refused() {
        let slot = Slot::default();

        assert!(slot
            .enter_large(&map(0x20_0000, 511, Access::READ))
            .is_err());
        assert!(slot.enter_large(&map(0x1000, 512, Access::READ)).is_err());
        assert!(slot.enter(&map(0, 1, Access::READ), 1).is_err());
        assert!(slot.enter(&map(1, 1, Access::READ), 0).is_err());
        assert!(!slot.is_present());
    }
}
