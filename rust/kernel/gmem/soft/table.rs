// SPDX-License-Identifier: GPL-2.0

//! The page table of an emulated device.
//!
//! A tree with a leaf for each block of 2 MiB, which is mapped by one large entry or by 512 small
//! ones. GMEM's map lock is held when entries come and go; devices look at them at any time. A
//! leaf whose last entry goes is taken out.

use super::{
    leaf::Leaf,
    machine::Tlbs,
    translation::Word,
    Miss,
    Tlb, //
};
use crate::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    gmem::{
        Map,
        VaRange, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    xarray::{
        AllocKind,
        XArray, //
    }, //
};
use core::ops::Range;

/// Bytes that a leaf, or one large entry, maps.
const BLOCK_SIZE: u64 = 2 << 20;

/// So many empty leaves are kept for blocks that come back.
const MAX_SPARES: usize = 4;

/// The number of the leaf of an address.
fn number(va: u64) -> usize {
    (va / BLOCK_SIZE) as usize
}

/// The number of the next page table.
static NEXT_SPACE: Atomic<u64> = Atomic::new(1);

/// A page table.
///
/// [`SoftMmu`](super::SoftMmu) changes it when GMEM says so, and nobody else can; its functions are
/// those of [`Mmu`](crate::gmem::Mmu) with like names, with the same locks. A core looks into it
/// with [`Step::lookup`](super::Step::lookup).
pub struct PageTable {
    /// No other has it; TLBs tell page tables apart by it.
    space: u64,
    /// Where copies of entries are.
    tlbs: Arc<Tlbs>,
    leaves: Pin<KBox<XArray<Arc<Leaf>>>>,
    /// Empty leaves. Held to add leaves.
    spares: Pin<KBox<Mutex<KVec<Arc<Leaf>>>>>,
}

impl PageTable {
    /// Makes an empty page table.
    pub(super) fn new(tlbs: Arc<Tlbs>) -> Result<Self> {
        let spares = KVec::with_capacity(MAX_SPARES, GFP_KERNEL_ACCOUNT)?;
        Ok(Self {
            space: NEXT_SPACE.fetch_add(1u64, Relaxed),
            tlbs,
            leaves: KBox::pin_init(XArray::new(AllocKind::Alloc), GFP_KERNEL_ACCOUNT)?,
            spares: KBox::pin_init(new_mutex!(spares), GFP_KERNEL_ACCOUNT)?,
        })
    }

    /// Returns the number that TLBs tell it apart by.
    pub(super) fn space(&self) -> u64 {
        self.space
    }

    /// Returns whether a flush comes to `tlb`.
    pub(super) fn is_used_with(&self, tlb: &Tlb) -> bool {
        self.tlbs.iter().any(|own| core::ptr::eq(&**own, tlb))
    }

    /// Looks up `va` as a device does on a TLB miss: sets the accessed bit, for a store the dirty
    /// bit.
    ///
    /// # Errors
    ///
    /// [`Miss`] says why not.
    pub(super) fn translate(&self, va: u64, write: bool) -> Result<Word, Miss> {
        let leaves = self.leaves.lock();
        let block = leaves.get(number(va)).ok_or(Miss::Absent)?;
        block.translate(va, write)
    }

    fn block(&self, va: u64) -> Option<Arc<Leaf>> {
        self.leaves.lock().get(number(va)).map(Into::into)
    }

    /// Calls `f` for each leaf that has entries of the range, with its part of the range.
    fn for_each(&self, range: Range<u64>, mut f: impl FnMut(&Leaf, Range<u64>)) {
        let mut va = range.start;
        while va < range.end {
            let next = (va | (BLOCK_SIZE - 1)).saturating_add(1).min(range.end);
            if let Some(block) = self.block(va) {
                f(&block, va..next);
            }
            va = next;
        }
    }

    /// Adds the leaves for a range; they are charged to the memory cgroup of the caller.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn prepare(&self, range: Range<u64>) -> Result {
        let mut va = range.start & !(BLOCK_SIZE - 1);
        let mut spares = self.spares.lock();
        while va < range.end {
            if self.block(va).is_none() {
                let block = match spares.pop() {
                    Some(block) => block,
                    None => Leaf::new()?,
                };
                let mut leaves = self.leaves.lock();
                leaves.store(number(va), block, GFP_KERNEL_ACCOUNT)?;
            }
            va = va.saturating_add(BLOCK_SIZE);
        }
        Ok(())
    }

    /// Enters runs; replaces what was there.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when a leaf was taken out since [`prepare`](Self::prepare), `EFAULT` for an address
    /// that no entry can hold; then nothing is entered.
    pub(super) fn enter(&self, maps: &[Map]) -> Result {
        for map in maps {
            self.block(map.va()).ok_or(EAGAIN)?;
        }
        // Nobody takes a leaf out meanwhile: that is done under the map lock.
        let result = maps
            .iter()
            .try_for_each(|map| self.block(map.va()).ok_or(EAGAIN)?.enter(map));
        if result.is_err() {
            for map in maps {
                self.release(map.range());
                self.flush(map.range());
            }
            self.flush_wait(self.flush_start(&[]));
        }
        result
    }

    /// Forgets all copies of the entries of a range.
    pub(super) fn flush(&self, range: Range<u64>) {
        for tlb in self.tlbs.iter() {
            tlb.flush(self.space, range.clone());
        }
    }

    /// Forgets all copies of the entries of some ranges. Returns a cookie for
    /// [`flush_wait`](Self::flush_wait).
    pub(super) fn flush_start(&self, ranges: &[VaRange]) -> u64 {
        let mut cookie = 0;
        for tlb in self.tlbs.iter() {
            for range in ranges {
                tlb.flush(self.space, range.start()..range.end());
            }
            // The snapshots of all cores fit into the cookie: there are at most two.
            cookie = cookie << 32 | u64::from(tlb.snapshot());
        }
        cookie
    }

    /// Waits until no step that may use one of the copies runs.
    pub(super) fn flush_wait(&self, cookie: u64) {
        let mut cookie = cookie;
        for tlb in self.tlbs.iter().rev() {
            tlb.drain(cookie as u32);
            cookie >>= 32;
        }
    }

    /// Removes the entries of a range.
    pub(super) fn release(&self, range: Range<u64>) {
        self.for_each(range, |block, part| {
            if block.clear(part.clone()) {
                let gone = self.leaves.lock().remove(number(part.start));
                self.put(gone);
            }
        });
    }

    /// Keeps an empty leaf, or frees it.
    fn put(&self, block: Option<Arc<Leaf>>) {
        // prepare() allocates under the lock, and this must not wait for an allocation.
        if let (Some(block), Some(mut spares)) = (block, self.spares.try_lock()) {
            let _ = spares.push_within_capacity(block);
        }
    }

    /// Removes the right to store from the entries of a range.
    pub(super) fn make_read_only(&self, range: Range<u64>) {
        self.for_each(range, |leaf, part| leaf.make_read_only(part));
    }

    /// Tests and clears the accessed bits.
    pub(super) fn age(&self, range: Range<u64>) -> bool {
        let mut accessed = false;
        self.for_each(range, |leaf, part| accessed |= leaf.age(part));
        accessed
    }
}
