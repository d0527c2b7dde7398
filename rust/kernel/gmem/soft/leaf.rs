// SPDX-License-Identifier: GPL-2.0

//! A leaf of an emulated device's page table.

use super::{
    slot::{
        Miss,
        Slot, //
    },
    translation::Word, //
};
use crate::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    gmem::Map,
    page::PAGE_SHIFT,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};
use core::ops::Range;

const ENTRIES: usize = 512;

/// The entry of an address in its leaf.
fn index(va: u64) -> usize {
    (va >> PAGE_SHIFT) as usize & (ENTRIES - 1)
}

/// The entries of one 2 MiB block: one large entry, which goes first, or 512 small ones.
///
/// Entries come and go under GMEM's map lock; they may be looked up at any time. Ranges lie in the
/// block.
pub(super) struct Leaf {
    large: Slot,
    small: KVec<Slot>,
    /// Entries that map something. Changes under the map lock.
    present: Atomic<u32>,
}

impl Leaf {
    /// Makes an empty leaf, charged to the memory cgroup of the caller.
    pub(super) fn new() -> Result<Arc<Self>> {
        let mut small = KVec::with_capacity(ENTRIES, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..ENTRIES {
            small.push(Default::default(), GFP_KERNEL_ACCOUNT)?;
        }
        let leaf = Self {
            large: Default::default(),
            small,
            present: Atomic::new(0),
        };
        Ok(Arc::new(leaf, GFP_KERNEL_ACCOUNT)?)
    }

    /// Looks up `va` as a device does on a TLB miss: see [`Slot::translate`].
    pub(super) fn translate(&self, va: u64, write: bool) -> Result<Word, Miss> {
        let slot = if self.large.is_present() {
            Some(&self.large)
        } else {
            self.small.get(index(va))
        };
        slot.ok_or(Miss::Absent)?.translate(write)
    }

    /// The small entries of a range that lies in this block.
    fn slots(&self, range: Range<u64>) -> &[Slot] {
        let first = index(range.start);
        let nr = ((range.end - range.start) >> PAGE_SHIFT) as usize;
        self.small
            .get(first..first.saturating_add(nr))
            .unwrap_or(&[])
    }

    /// Enters a run; replaces what was there.
    ///
    /// # Errors
    ///
    /// As for [`Slot::enter`].
    pub(super) fn enter(&self, map: &Map) -> Result {
        self.clear(map.range());
        let entries = if Slot::is_large(map) {
            self.large.enter_large(map)?;
            1
        } else {
            let mut pages = self.slots(map.range()).iter().zip(0u32..);
            pages.try_for_each(|(slot, page)| slot.enter(map, page))?;
            map.nr_pages()
        };
        self.present.fetch_add(entries, Relaxed);
        Ok(())
    }

    /// Calls `f` for each entry that maps a part of the range.
    fn for_each(&self, range: Range<u64>, mut f: impl FnMut(&Slot)) {
        f(&self.large);
        self.slots(range).iter().for_each(f);
    }

    /// Removes the entries of a range. Returns whether the leaf is empty now.
    pub(super) fn clear(&self, range: Range<u64>) -> bool {
        let mut gone = 0;
        self.for_each(range, |slot| gone += u32::from(slot.clear()));
        let left = self.present.load(Relaxed).saturating_sub(gone);
        self.present.store(left, Relaxed);
        left == 0
    }

    /// Removes the right to store from the entries of a range.
    pub(super) fn make_read_only(&self, range: Range<u64>) {
        self.for_each(range, Slot::make_read_only);
    }

    /// Tests and clears the accessed bits.
    pub(super) fn age(&self, range: Range<u64>) -> bool {
        let mut accessed = false;
        self.for_each(range, |slot| accessed |= slot.age());
        accessed
    }
}
