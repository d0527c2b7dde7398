// SPDX-License-Identifier: GPL-2.0

//! The NPU's page table.
//!
//! Four levels of 512 entries. The cores walk it without locks: a table that was added stays
//! until the whole page table goes, and the entries that change are [`soft::Slot`]s. A block of
//! 2 MiB is mapped by one large entry or by a leaf of 512 small ones.

use core::ops::Range;
use kernel::{
    gmem::{
        soft,
        Map, //
    },
    new_mutex,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        Arc,
        Mutex,
        SetOnce, //
    },
};

const LEVEL_BITS: u32 = 9;
const ENTRIES: usize = 1 << LEVEL_BITS;

/// Bits of an address inside a block.
pub(crate) const BLOCK_SHIFT: u32 = PAGE_SHIFT as u32 + LEVEL_BITS;
const DIR_SHIFT: u32 = BLOCK_SHIFT + LEVEL_BITS;
const TOP_SHIFT: u32 = DIR_SHIFT + LEVEL_BITS;

/// Bytes that one leaf, or one large entry, maps.
pub(crate) const BLOCK_SIZE: u64 = 1 << BLOCK_SHIFT;

/// The widest virtual address the table can translate.
pub(crate) const MAX_VA_BITS: u32 = TOP_SHIFT + LEVEL_BITS;

/// Returns the index into the table whose entries map `1 << shift` bytes each.
fn index(va: u64, shift: u32) -> usize {
    (va >> shift) as usize & (ENTRIES - 1)
}

/// A table of tables.
struct Dir<T>(KVec<SetOnce<T>>);

impl<T> Dir<T> {
    fn new() -> Result<Self> {
        let mut entries = KVec::with_capacity(ENTRIES, GFP_KERNEL)?;
        for _ in 0..ENTRIES {
            entries.push(SetOnce::new(), GFP_KERNEL)?;
        }
        Ok(Self(entries))
    }

    fn get(&self, index: usize) -> Option<&T> {
        self.0.get(index)?.as_ref()
    }

    /// Returns an entry, made by `make` if there was none. Only one caller at a time.
    fn get_or(&self, index: usize, make: impl FnOnce() -> Result<T>) -> Result<&T> {
        let entry = self.0.get(index).ok_or(EINVAL)?;
        if entry.as_ref().is_none() {
            entry.populate(make()?);
        }
        entry.as_ref().ok_or(EINVAL)
    }
}

/// The entries of one 2 MiB block. The large one goes first.
pub(crate) struct Block {
    large: soft::Slot,
    small: KVec<soft::Slot>,
}

impl Block {
    fn new() -> Result<Arc<Self>> {
        let mut small = KVec::with_capacity(ENTRIES, GFP_KERNEL)?;
        for _ in 0..ENTRIES {
            small.push(Default::default(), GFP_KERNEL)?;
        }
        let large = Default::default();
        Ok(Arc::new(Self { large, small }, GFP_KERNEL)?)
    }

    /// Starts an access at `va`. Returns also its offset in the entry it goes through.
    pub(crate) fn begin(
        &self,
        va: u64,
        write: bool,
    ) -> Result<(soft::InFlight<'_>, usize), soft::Miss> {
        let (slot, mask) = if self.large.is_present() {
            (Some(&self.large), BLOCK_SIZE - 1)
        } else {
            let slot = self.small.get(index(va, PAGE_SHIFT as u32));
            (slot, PAGE_SIZE as u64 - 1)
        };
        let in_flight = slot.ok_or(soft::Miss::Absent)?.access(write)?;
        Ok((in_flight, (va & mask) as usize))
    }

    /// The small entries of a range that lies in this block.
    fn slots(&self, range: Range<u64>) -> &[soft::Slot] {
        let first = index(range.start, PAGE_SHIFT as u32);
        let nr = ((range.end - range.start) >> PAGE_SHIFT) as usize;
        self.small
            .get(first..first.saturating_add(nr))
            .unwrap_or(&[])
    }

    /// Enters a run that lies in this block, and whose range was cleared.
    fn insert(&self, map: &Map) -> Result {
        if soft::Slot::is_large(map) {
            return self.large.enter_large(map);
        }
        let mut pages = self.slots(map.range()).iter().zip(0u32..);
        pages.try_for_each(|(slot, page)| slot.enter(map, page))
    }

    /// Calls `f` for each entry that maps a part of the range.
    fn for_each(&self, range: Range<u64>, mut f: impl FnMut(&soft::Slot)) {
        f(&self.large);
        self.slots(range).iter().for_each(f);
    }
}

/// A page table.
pub(crate) struct PageTable {
    root: Dir<Dir<Dir<Arc<Block>>>>,
    /// Held to add tables.
    growing: Pin<KBox<Mutex<()>>>,
}

impl PageTable {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            root: Dir::new()?,
            growing: KBox::pin_init(new_mutex!(()), GFP_KERNEL)?,
        })
    }

    /// Finds the entries of the block around `va`.
    pub(crate) fn walk(&self, va: u64) -> Option<&Arc<Block>> {
        self.root
            .get(index(va, TOP_SHIFT))?
            .get(index(va, DIR_SHIFT))?
            .get(index(va, BLOCK_SHIFT))
    }

    /// How far `va` is from the next block that may have entries, if it has none itself.
    fn hole(&self, va: u64) -> u64 {
        let shift = match self.root.get(index(va, TOP_SHIFT)) {
            None => TOP_SHIFT,
            Some(top) => match top.get(index(va, DIR_SHIFT)) {
                None => DIR_SHIFT,
                Some(_) => BLOCK_SHIFT,
            },
        };
        (1 << shift) - (va & ((1 << shift) - 1))
    }

    /// Calls `f` for each entry that maps a part of the range.
    fn for_each(&self, range: Range<u64>, mut f: impl FnMut(&soft::Slot)) {
        let mut va = range.start;
        while va < range.end {
            let mut next = BLOCK_SIZE - (va & (BLOCK_SIZE - 1));
            match self.walk(va) {
                Some(block) => {
                    next = next.min(range.end - va);
                    block.for_each(va..va + next, &mut f);
                }
                None => next = self.hole(va),
            }
            va = va.saturating_add(next);
        }
    }

    /// Adds the tables for a range.
    pub(crate) fn grow(&self, range: Range<u64>) -> Result {
        let _grow = self.growing.lock();
        let mut va = range.start & !(BLOCK_SIZE - 1);
        while va < range.end {
            self.root
                .get_or(index(va, TOP_SHIFT), Dir::new)?
                .get_or(index(va, DIR_SHIFT), Dir::new)?
                .get_or(index(va, BLOCK_SHIFT), Block::new)?;
            va = va.saturating_add(BLOCK_SIZE);
        }
        Ok(())
    }

    /// Enters a run, for whose range tables were added; replaces what was there.
    pub(crate) fn insert(&self, map: &Map) -> Result {
        let range = map.range();
        self.remove(range.clone());
        self.walk(range.start).ok_or(EFAULT)?.insert(map)
    }

    /// Removes the entries of a range, and waits until nobody uses them.
    pub(crate) fn remove(&self, range: Range<u64>) {
        self.for_each(range, |slot| slot.clear());
    }

    /// Takes the right to store away.
    pub(crate) fn make_read_only(&self, range: Range<u64>) {
        self.for_each(range, |slot| slot.make_read_only());
    }

    /// Tests and clears the accessed bits.
    pub(crate) fn was_accessed(&self, range: Range<u64>) -> bool {
        let mut accessed = false;
        self.for_each(range, |slot| accessed |= slot.age());
        accessed
    }
}
