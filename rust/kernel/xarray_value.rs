// SPDX-License-Identifier: GPL-2.0

//! Sparse arrays of integers: XArray value entries of any order.
//!
//! [`ValueArray`] maps ranges of indices to small integers. It differs from
//! [`XArray`](crate::xarray::XArray), which owns objects, in what it can do with them: lookups are
//! lockless, one entry may cover `2^order` indices, and memory is allocated by an explicit
//! reservation, so that storing and erasing are possible where nothing may be allocated.
//!
//! # How a value is kept
//!
//! An XArray value entry has 63 bits. One tells a value from a reservation, six hold the order, and
//! [`Value::BITS`] are left for the value. Having the order in the word makes a lockless lookup
//! exact: value and extent are read in one load, and an entry reached through a sibling slot that
//! was rewritten meanwhile is recognised because it does not cover the index.
//!
//! # Memory
//!
//! A node has 64 slots and takes 576 bytes. An entry of order `n` takes `2^(n % 6)` slots of one
//! node at level `n / 6`. With 4 KiB pages as indices 1 GiB takes
//!
//! - in 512 entries of order 9: 8 slots each, 8 entries per node, 64 nodes, 36 KiB;
//! - in 262144 entries of order 0: 4096 leaf nodes and the same 64 above them, 2340 KiB;
//!
//! and in both cases at most two nodes per level above, of which a 48-bit address space has three:
//! less than 4 KiB.
//!
//! C header: [`include/linux/xarray.h`](srctree/include/linux/xarray.h)

use crate::{
    bindings,
    prelude::*,
    sync::rcu,
    types::{
        NotThreadSafe,
        Opaque, //
    }, //
};
use core::ops::ControlFlow;

mod blocks;
#[cfg(CONFIG_RUST_XARRAY_VALUE_KUNIT_TEST)]
mod kunit;
mod reserve;
mod value;
mod walk;
mod word;

use blocks::{
    block_last,
    ends, //
};
pub use value::{
    Found,
    Mark,
    Marks,
    Reserved,
    Update,
    Value, //
};

use walk::{
    Locked,
    Walk, //
};
use word::Word;

/// The largest order of an entry.
pub const MAX_ORDER: u32 = 57;

/// How many entries [`ValueArray::update`] visits before it drops the lock for a moment.
const LOCK_BATCH: u32 = 256;

const CHUNK_SHIFT: u32 = if cfg!(CONFIG_BASE_SMALL) { 4 } else { 6 };

/// A sparse array of [`Value`]s.
///
/// All functions may be called at any time from several tasks. Lookups take no lock. Functions that
/// change the array take its spinlock; a caller that wants several changes to be seen as one, or
/// wants a reservation to last, brings a lock of its own.
///
/// # Invariants
///
/// `xa` is a valid XArray that holds nothing but value entries made by [`Word::to_entry`], each
/// with the order under which it is stored.
#[pin_data(PinnedDrop)]
pub struct ValueArray {
    #[pin]
    xa: Opaque<bindings::xarray>,
}

// SAFETY: The array holds integers only and is not tied to a task.
unsafe impl Send for ValueArray {}

// SAFETY: Lookups run under RCU, everything else under the array's own lock.
unsafe impl Sync for ValueArray {}

#[pinned_drop]
impl PinnedDrop for ValueArray {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: `xa` is valid by the type invariant and nobody else can reach it any more.
        unsafe { bindings::xa_destroy(self.xa.get()) };
    }
}

impl ValueArray {
    /// Makes an empty array.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `xa` is valid for writing while the closure runs.
            //
            // INVARIANT: The array is initialised here and is empty.
            xa <- Opaque::ffi_init(|xa| unsafe { bindings::xa_init_values(xa) }),
        })
    }

    fn lock(&self) -> Locked<'_> {
        // SAFETY: `xa` is valid by the type invariant.
        unsafe { bindings::xa_lock(self.xa.get()) };
        Locked {
            array: self,
            _not_send: NotThreadSafe,
        }
    }

    /// Finds the first word that covers an index of `first..=last`, without the lock.
    fn find(&self, first: usize, last: usize, mark: Option<Mark>) -> Option<(Found, bool)> {
        let _rcu = rcu::read_lock();

        loop {
            let (base, word) = Walk::new(self, first, 0).find(last, mark)?;
            // The entry may be a retry entry, or one that was put into the canonical slot after
            // the walk had read a sibling slot: start again.
            let Some(word) = word else {
                continue;
            };
            let found = word.found(base);

            if base <= last && found.last() >= first {
                return Some((found, word.is_live()));
            }
        }
    }

    /// Looks up the entry that covers `index`.
    ///
    /// What is returned was in the array, with that extent, at some instant during the call.
    pub fn load(&self, index: usize) -> Option<Found> {
        let _rcu = rcu::read_lock();

        loop {
            let (base, word) = Walk::new(self, index, 0).peek()?;
            // As in `find`.
            let Some(word) = word else {
                continue;
            };
            let found = word.found(base);
            if base <= index && found.last() >= index {
                return word.is_live().then_some(found);
            }
        }
    }

    /// Calls `f` for every entry that covers an index of `first..=last` and has `mark`, in order of
    /// indices.
    ///
    /// No lock is held during the calls, and `f` may use the array. Entries that are stored or
    /// erased meanwhile may be seen or missed.
    pub fn for_each<B>(
        &self,
        first: usize,
        last: usize,
        mark: Option<Mark>,
        mut f: impl FnMut(Found) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut next = first;

        while next <= last {
            let Some((found, is_live)) = self.find(next, last, mark) else {
                break;
            };
            if is_live {
                f(found)?;
            }
            let Some(index) = found.last().checked_add(1) else {
                break;
            };
            next = index;
        }
        ControlFlow::Continue(())
    }

    /// Stores entries of `order` that together cover `first..=last`, in place of everything
    /// smaller. Allocates nothing.
    ///
    /// First `check` is called with every entry that is there; if it fails, so does this. Then `f`
    /// is called for every entry to be made, with its first index, and with the value of the entry
    /// of the same extent that is there, if there is one. Both run under the spinlock. On failure
    /// nothing was changed.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the order is above [`MAX_ORDER`], or `first` above `last`.
    /// - `EEXIST`: a larger entry covers a part of the range.
    /// - `EAGAIN`: the range was not reserved, or something in it was erased since.
    pub fn store_range(
        &self,
        first: usize,
        last: usize,
        order: u32,
        mut check: impl FnMut(Found) -> Result,
        mut f: impl FnMut(usize, Option<Value>) -> (Value, Marks),
    ) -> Result {
        if order > MAX_ORDER || first > last {
            return Err(EINVAL);
        }
        let first = first >> order << order;
        let last = block_last(last, order);
        let lock = self.lock();

        let mut walk = Walk::new(self, first, 0);
        while let Some((found, is_live)) = walk.find_locked(last, None, &lock) {
            match (found.order > order, is_live) {
                (true, true) => return Err(EEXIST),
                (true, false) => return Err(EAGAIN),
                (false, true) => check(found)?,
                (false, false) => (),
            }
        }
        // Where one slot is, there is the node with all of its slots.
        let node_order = (order - order % CHUNK_SHIFT) + CHUNK_SHIFT;
        for end in ends(first, last, node_order) {
            let mut walk = Walk::new(self, end, order);

            walk.load(&lock);
            if !walk.has_slot() {
                return Err(EAGAIN);
            }
        }

        let mut walk = Walk::new(self, first, order);
        let mut old = walk.load(&lock);
        for end in ends(first, last, order) {
            let same = old.filter(|word| word.is_live() && word.order() == order);
            let same = same.map(|word| word.found(end).value);
            let (value, marks) = f(end >> order << order, same);

            walk.store(Some(Word::live(order, value)), marks, &lock)?;
            if end == last {
                break;
            }
            old = if order == 0 {
                walk.load_next(&lock)
            } else {
                walk = Walk::new(self, end.wrapping_add(1), order);
                walk.load(&lock)
            };
        }
        Ok(())
    }

    /// Visits every entry that covers an index of `first..=last` and has `mark`, in order of
    /// indices, and does with it what `f` says; entries that reach beyond the range are visited
    /// whole. Allocates nothing.
    ///
    /// `f` runs under the spinlock, which is dropped now and then during a long walk.
    pub fn update(
        &self,
        first: usize,
        last: usize,
        mark: Option<Mark>,
        reserved: Reserved,
        mut f: impl FnMut(Found) -> Update,
    ) {
        let mut next = Some(first);

        while let Some(start) = next {
            let lock = self.lock();

            next = self.update_batch(start, last, mark, reserved, &mut f, &lock);
        }
    }

    /// Visits up to [`LOCK_BATCH`] entries for [`ValueArray::update`]; returns where to go on.
    fn update_batch(
        &self,
        first: usize,
        last: usize,
        mark: Option<Mark>,
        reserved: Reserved,
        f: &mut impl FnMut(Found) -> Update,
        lock: &Locked<'_>,
    ) -> Option<usize> {
        let mut walk = Walk::new(self, first, 0);
        // Neighbours that go are removed together, which takes half the time.
        let mut doomed: Option<(usize, usize)> = None;
        let mut next = None;

        for _ in 0..LOCK_BATCH {
            next = None;
            let Some((found, is_live)) = walk.find_locked(last, mark, lock) else {
                break;
            };
            let update = match (is_live, reserved) {
                (true, _) => f(found),
                (false, Reserved::Keep) => Update::Keep,
                (false, Reserved::Drop) => Update::Erase,
            };
            if matches!(update, Update::Stop) {
                break;
            }
            if matches!(update, Update::Erase) && mark.is_none() {
                let first = doomed.map_or(found.base, |(first, _)| first);
                doomed = Some((first, found.last()));
            } else {
                if let Some((first, last)) = doomed.take() {
                    self.erase_locked(first, last, lock);
                    // The node in which the walk stood may be gone.
                    walk = Walk::new(self, found.base, 0);
                    walk.find_locked(found.base, None, lock);
                }
                Self::update_one(&mut walk, &found, update, lock);
            }
            next = found.last().checked_add(1).filter(|next| *next <= last);
            if next.is_none() {
                break;
            }
        }
        if let Some((first, last)) = doomed {
            self.erase_locked(first, last, lock);
        }
        next
    }

    fn update_one(walk: &mut Walk<'_>, found: &Found, update: Update, lock: &Locked<'_>) {
        let (word, marks) = match update {
            Update::Keep | Update::Stop => return,
            Update::Replace(value, marks) => (Some(Word::live(found.order, value)), marks),
            Update::Vacate => (Some(Word::reservation(found.order)), Marks::NONE),
            Update::Erase => (None, Marks::NONE),
        };
        // Replacing and removing an entry never needs memory, hence cannot fail.
        let _ = walk.store(word, marks, lock);
    }

    /// Removes everything in `first..=last`, where no entry crosses the ends.
    fn erase_locked(&self, first: usize, last: usize, lock: &Locked<'_>) {
        let mut next = Some(first);

        while let Some(base) = next {
            let end = |order: &u32| block_last(base, *order);
            // The largest block that begins here and ends in the range.
            let order = (1..=base.trailing_zeros().min(MAX_ORDER))
                .take_while(|order| end(order) <= last)
                .last()
                .unwrap_or(0);

            // Removing needs no memory, hence cannot fail.
            let _ = Walk::new(self, base, order).store(None, Marks::NONE, lock);
            next = end(&order).checked_add(1).filter(|next| *next <= last);
        }
    }
}
