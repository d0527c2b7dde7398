// SPDX-License-Identifier: GPL-2.0

//! Memory for entries, before they are stored.

use super::{
    blocks::{
        block_last,
        ends, //
    },
    walk::{
        Locked,
        Walk, //
    },
    word::Word,
    Marks,
    ValueArray,
    CHUNK_SHIFT,
    MAX_ORDER, //
};
use crate::error::{
    code::*,
    Result, //
};

impl ValueArray {
    /// Reserves memory for storing one entry of `order` at `index`.
    ///
    /// Afterwards [`ValueArray::store_range`] of that entry needs no memory, until something in its
    /// range is erased. Entries stay as they are; a reservation is invisible. May sleep.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the order is above [`MAX_ORDER`].
    /// - `EEXIST`: an entry is in the way and has to be erased first. It is a larger one that
    ///   covers the range, or a smaller one in an array too small for the new entry.
    /// - `ENOMEM`: out of memory.
    pub fn reserve_entry(&self, index: usize, order: u32) -> Result {
        if order > MAX_ORDER {
            return Err(EINVAL);
        }
        let base = index >> order << order;
        let last = block_last(base, order);
        let mut walk = Walk::new(self, base, order);

        loop {
            let result = {
                let lock = self.lock();
                self.reserve_entry_locked(&mut walk, base, last, order, &lock)
            };
            if !walk.nomem() {
                return result;
            }
        }
    }

    fn reserve_entry_locked(
        &self,
        walk: &mut Walk<'_>,
        base: usize,
        last: usize,
        order: u32,
        lock: &Locked<'_>,
    ) -> Result {
        if !self.make_way(base, last, order, lock)? {
            return walk.store(Some(Word::reservation(order)), Marks::NONE, lock);
        }
        // Something smaller is below and keeps the node alive, unless the whole tree is too low.
        walk.load(lock);
        if walk.has_slot() {
            Ok(())
        } else {
            Err(EEXIST)
        }
    }

    /// Reserves memory for storing entries of order 0 at all indices of `first..=last`.
    ///
    /// As [`ValueArray::reserve_entry`] otherwise.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: `first` is above `last`.
    /// - `EEXIST`: a larger entry covers a part of the range and has to be erased first.
    /// - `ENOMEM`: out of memory. A part of the range may be reserved.
    pub fn reserve_leaves(&self, first: usize, last: usize) -> Result {
        let mut next = first;

        if first > last {
            return Err(EINVAL);
        }
        // One reservation per leaf node keeps the node.
        for end in ends(first, last, CHUNK_SHIFT) {
            let mut walk = Walk::new(self, end, 0);

            loop {
                let result = {
                    let lock = self.lock();
                    self.reserve_leaf_locked(&mut walk, next, end, &lock)
                };
                if !walk.nomem() {
                    result?;
                    break;
                }
            }
            next = end.wrapping_add(1);
        }
        Ok(())
    }

    fn reserve_leaf_locked(
        &self,
        walk: &mut Walk<'_>,
        first: usize,
        last: usize,
        lock: &Locked<'_>,
    ) -> Result {
        let any = self.make_way(first, last, 0, lock)?;

        walk.load(lock);
        if any && walk.has_slot() {
            return Ok(());
        }
        walk.store(Some(Word::reservation(0)), Marks::NONE, lock)
    }

    /// Removes the reservations in `first..=last` that are larger than `order`, and returns whether
    /// anything else is there; `EEXIST` when that is a larger entry.
    fn make_way(&self, first: usize, last: usize, order: u32, lock: &Locked<'_>) -> Result<bool> {
        let mut walk = Walk::new(self, first, 0);
        let mut any = false;

        while let Some((found, is_live)) = walk.find_locked(last, None, lock) {
            if found.order <= order {
                any = true;
            } else if is_live {
                return Err(EEXIST);
            } else {
                walk.store(None, Marks::NONE, lock)?;
            }
        }
        Ok(any)
    }
}
