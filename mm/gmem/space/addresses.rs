// SPDX-License-Identifier: GPL-2.0

//! The addresses of a standalone address space.

use crate::{
    prelude::*,
    space::va::{
        self,
        Policy, //
    }, //
};
use kernel::rbtree::RBTreeNodeReservation;

/// The addresses of a standalone space.
pub(crate) struct Addresses {
    free: va::Space<KVVec<PageRange>>,
    /// What is given out, by the page behind it.
    given: RBTree<u64, PageRange>,
}

impl Addresses {
    /// Makes addresses that are all free. Freed ranges of a few multiples of `quantum` pages are
    /// cached.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an empty range, `ENOMEM`.
    pub(crate) fn new(whole: PageRange, policy: Policy, quantum: u64) -> Result<Self> {
        let storage = KVVec::from_elem(PageRange::default(), 1, GFP_KERNEL_ACCOUNT)?;

        Ok(Self {
            free: va::Space::new(storage, whole, policy, quantum).map_err(|_| EINVAL)?,
            given: RBTree::new(),
        })
    }

    /// Takes what `f` asks for; `full` is the error when there is none.
    pub(super) fn take(
        &mut self,
        full: Error,
        f: impl Fn(&mut va::Space<KVVec<PageRange>>) -> Result<PageRange, va::Error>,
    ) -> Result<PageRange> {
        let node = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let mut taken = f(&mut self.free);

        if taken == Err(va::Error::Storage) {
            let len = self.free.needed().saturating_mul(2);
            let longer = KVVec::from_elem(PageRange::default(), len, GFP_KERNEL_ACCOUNT)?;
            let old = self.free.grow(longer).map_err(|_| ENOMEM)?;
            drop(old);
            taken = f(&mut self.free);
        }
        let range = taken.map_err(|e| match e {
            va::Error::Full => full,
            va::Error::Storage => ENOMEM,
            va::Error::Invalid => EINVAL,
        })?;
        self.given.insert(node.into_node(range.end(), range));
        Ok(range)
    }

    /// Takes back what was given out, whole.
    pub(super) fn give_back(&mut self, range: PageRange) -> Result {
        if self.given.get(&range.end()) != Some(&range) {
            return Err(EINVAL);
        }
        self.free.free(range).map_err(|_| EINVAL)?;
        self.given.remove(&range.end());
        Ok(())
    }

    /// Is the range part of one that was given out?
    pub(super) fn has(&self, range: PageRange) -> bool {
        self.given
            .cursor_lower_bound(&range.first().wrapping_add(1))
            .is_some_and(|cursor| !range.is_empty() && cursor.current().1.covers(range))
    }
}
