// SPDX-License-Identifier: GPL-2.0

//! The ranges of attributes of one process, in a tree.

use crate::{
    advice::attributes::{
        Attributes,
        NoMemory,
        Tree, //
    },
    prelude::*, //
};
use kernel::rbtree::RBTreeNodeReservation;

/// The first page of a range, and what was advised; the last page is the key.
type Value = (u64, Attributes);

/// How many nodes are kept for changes that must not fail for memory.
const SPARE: usize = 4;

/// A tree of ranges by their last page.
pub(super) struct Ranges {
    tree: RBTree<u64, Value>,
    pub(super) count: usize,
    /// How many there may be. What follows memory that is mapped has no limit of its own.
    pub(super) limit: usize,
    spare: [Option<RBTreeNodeReservation<u64, Value>>; SPARE],
}

impl Ranges {
    /// There are none.
    pub(super) fn new() -> Self {
        Self {
            tree: RBTree::new(),
            count: 0,
            limit: usize::MAX,
            spare: [const { None }; SPARE],
        }
    }
}

fn found(last: u64, value: &Value) -> Option<(PageRange, Attributes)> {
    Some((PageRange::new(value.0, last.wrapping_add(1))?, value.1))
}

impl Tree for Ranges {
    fn reaching(&self, page: u64) -> Option<(PageRange, Attributes)> {
        let cursor = self.tree.cursor_lower_bound(&page)?;
        let (last, value) = cursor.current();

        found(*last, value)
    }

    fn before(&self, page: u64) -> Option<(PageRange, Attributes)> {
        let (last, value) = match self.tree.cursor_lower_bound(&page) {
            Some(cursor) => cursor.peek_prev().map(|(last, value)| (*last, *value))?,
            None => {
                let cursor = self.tree.cursor_back()?;
                let (last, value) = cursor.current();
                (*last, *value)
            }
        };
        found(last, &value)
    }

    fn reserve(&mut self, nr: usize) -> core::result::Result<(), NoMemory> {
        if sys::should_fail(sys::Site::Attributes) {
            return Err(NoMemory);
        }
        // One is taken out before its parts come in.
        if self.count.saturating_add(nr) > self.limit.saturating_add(1) {
            return Err(NoMemory);
        }
        for spare in self.spare.iter_mut().take(nr) {
            if spare.is_none() {
                *spare =
                    Some(RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT).map_err(|_| NoMemory)?);
            }
        }
        Ok(())
    }

    fn insert(&mut self, range: PageRange, attributes: Attributes) {
        let spare = self.spare.iter_mut().find_map(Option::take);
        debug_assert!(spare.is_some());
        if let Some((last, spare)) = range.last().zip(spare) {
            self.tree
                .insert(spare.into_node(last, (range.first(), attributes)));
            self.count = self.count.saturating_add(1);
        }
    }

    fn remove(&mut self, range: PageRange) {
        let Some(node) = range.last().and_then(|last| self.tree.remove_node(&last)) else {
            return;
        };
        self.count = self.count.saturating_sub(1);
        if let Some(spare) = self.spare.iter_mut().find(|spare| spare.is_none()) {
            *spare = Some(node.into_reservation());
        }
    }
}
