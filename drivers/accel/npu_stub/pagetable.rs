// SPDX-License-Identifier: GPL-2.0

//! The NPU's page table.
//!
//! Four levels of 512 entries. The cores walk it without locks: a table that was added stays
//! until the whole page table goes, and the entries that change are [`Slot`]s. A block of 2 MiB is
//! mapped by one large entry or by a leaf of 512 small ones.

use kernel::{
    gmem::{
        soft::{
            InFlight,
            Miss,
            Slot, //
        },
        Access,
        Map,
        VaRange, //
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
    large: Slot,
    small: KVec<Slot>,
}

impl Block {
    fn new() -> Result<Arc<Self>> {
        let mut small = KVec::with_capacity(ENTRIES, GFP_KERNEL)?;
        for _ in 0..ENTRIES {
            small.push(Slot::new(), GFP_KERNEL)?;
        }
        let large = Slot::new();
        Ok(Arc::new(Self { large, small }, GFP_KERNEL)?)
    }

    /// Starts an access at `va`. Returns also its offset in the entry it goes through.
    pub(crate) fn access(&self, va: u64, write: bool) -> Result<(InFlight<'_>, usize), Miss> {
        if self.large.is_present() {
            let offset = va & (BLOCK_SIZE - 1);
            return Ok((self.large.access(write)?, offset as usize));
        }
        let slot = self.small.get(index(va, PAGE_SHIFT as u32));
        let offset = va & (PAGE_SIZE as u64 - 1);
        Ok((slot.ok_or(Miss::Absent)?.access(write)?, offset as usize))
    }

    /// The small entries of a range that lies in this block.
    fn slots(&self, range: VaRange) -> &[Slot] {
        let first = index(range.start(), PAGE_SHIFT as u32);
        let nr = (range.len() >> PAGE_SHIFT) as usize;
        self.small
            .get(first..first.saturating_add(nr))
            .unwrap_or(&[])
    }

    fn enter(&self, map: &Map, range: VaRange) -> Result {
        if Slot::is_large(map) {
            for slot in &self.small {
                slot.clear();
            }
            return self.large.enter_large(map);
        }
        self.large.clear();
        for (slot, page) in self.slots(range).iter().zip(0u32..) {
            slot.enter(map, page)?;
        }
        Ok(())
    }

    fn release(&self, range: VaRange) {
        self.large.clear();
        for slot in self.slots(range) {
            slot.clear();
        }
    }

    fn protect(&self, range: VaRange, access: Access) {
        self.large.protect(access);
        for slot in self.slots(range) {
            slot.protect(access);
        }
    }

    fn age(&self, range: VaRange) -> bool {
        let large = self.large.age();
        self.slots(range)
            .iter()
            .fold(large, |old, slot| slot.age() || old)
    }
}

/// A page table.
pub(crate) struct PageTable {
    root: Dir<Dir<Dir<Arc<Block>>>>,
    /// Held to add tables.
    grow: Pin<KBox<Mutex<()>>>,
}

impl PageTable {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            root: Dir::new()?,
            grow: KBox::pin_init(new_mutex!(()), GFP_KERNEL)?,
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

    /// Calls `f` for each block that overlaps the range, with the part inside.
    fn for_each(&self, range: VaRange, mut f: impl FnMut(&Block, VaRange)) {
        let mut va = range.start();
        while va < range.end() {
            let mut next = BLOCK_SIZE - (va & (BLOCK_SIZE - 1));
            match self.walk(va) {
                Some(block) => {
                    next = next.min(range.end() - va);
                    f(block, VaRange::new(va, next));
                }
                None => next = self.hole(va),
            }
            va = va.saturating_add(next);
        }
    }

    /// Adds the tables for a range.
    pub(crate) fn prepare(&self, range: VaRange) -> Result {
        let _grow = self.grow.lock();
        let mut va = range.start() & !(BLOCK_SIZE - 1);
        while va < range.end() {
            self.root
                .get_or(index(va, TOP_SHIFT), Dir::new)?
                .get_or(index(va, DIR_SHIFT), Dir::new)?
                .get_or(index(va, BLOCK_SHIFT), Block::new)?;
            va = va.saturating_add(BLOCK_SIZE);
        }
        Ok(())
    }

    /// Enters a run, for whose range tables were added.
    pub(crate) fn enter(&self, map: &Map) -> Result {
        let len = u64::from(map.nr_pages()) << PAGE_SHIFT;
        let block = self.walk(map.va()).ok_or(EFAULT)?;
        block.enter(map, VaRange::new(map.va(), len))
    }

    pub(crate) fn release(&self, range: VaRange) {
        self.for_each(range, |block, part| block.release(part));
    }

    pub(crate) fn protect(&self, range: VaRange, access: Access) {
        self.for_each(range, |block, part| block.protect(part, access));
    }

    pub(crate) fn age(&self, range: VaRange) -> bool {
        let mut old = false;
        self.for_each(range, |block, part| old |= block.age(part));
        old
    }
}
