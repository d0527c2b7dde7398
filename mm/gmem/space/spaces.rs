// SPDX-License-Identifier: GPL-2.0

//! The list of all mirror address spaces, and how that of a process is found.

use crate::{
    device::holds,
    space::address_space::{
        key,
        Space, //
    }, //
};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    mm::{
        device::arc_table::{
            self,
            ArcTable,
            Writer, //
        },
        Mm, //
    },
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        Arc,
        GlobalGuard, //
    }, //
};

struct Entry {
    space: Arc<Space>,
    users: usize,
}

/// All address spaces, by the address of their `mm_struct`, which they keep alive.
///
/// Empty until the first is made: a tree cannot be made at compile time.
pub(crate) struct Spaces {
    tree: Option<RBTree<usize, Entry>>,
    found: Option<Writer<Space>>,
}

kernel::sync::global_lock! {
    // SAFETY: Initialized by `init()` before any other function of GMEM runs.
    pub(crate) unsafe(uninit) static SPACES: Mutex<Spaces> = Spaces { tree: None, found: None };
}

fn lock_list() -> GlobalGuard<SPACES> {
    holds::LISTS.count();
    SPACES.lock()
}

/// What is in [`SPACES`], for those who only look: every fault does.
static FOUND: ArcTable<Space> = ArcTable::new();

impl Spaces {
    fn tree(&mut self) -> &mut RBTree<usize, Entry> {
        self.tree.get_or_insert_with(RBTree::new)
    }

    fn found(&mut self) -> Option<&mut Writer<Space>> {
        if self.found.is_none() {
            self.found = FOUND.writer();
        }
        self.found.as_mut()
    }
}

impl Space {
    /// Finds or makes the space of `mm` and counts one more user of it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn get(mm: &Mm) -> Result<Arc<Self>> {
        // Made before it is known to be needed: nothing is allocated under the lock.
        let new = Self::mirror(mm)?;
        let node = RBTreeNode::new(
            key(mm),
            Entry {
                space: new.clone(),
                users: 1,
            },
            GFP_KERNEL_ACCOUNT,
        )?;
        let found = arc_table::Entry::new(key(mm), new.clone(), GFP_KERNEL_ACCOUNT)?;
        let mut spaces = lock_list();
        if let Some(entry) = spaces.tree().get_mut(&key(mm)) {
            entry.users += 1;
            return Ok(entry.space.clone());
        }
        spaces.tree().insert(node);
        if let Some(writer) = spaces.found() {
            writer.insert(found);
        }
        Ok(new)
    }

    /// Finds the space of `mm` without counting a user.
    pub(crate) fn find(mm: &Mm) -> Option<Arc<Self>> {
        Self::find_key(key(mm))
    }

    /// Finds the mirror address space with a key, without counting a user. Takes no lock.
    pub(crate) fn find_key(key: usize) -> Option<Arc<Self>> {
        FOUND.get(key)
    }

    /// Calls `f` with each mirror address space, as long as it succeeds. `f` may take locks.
    pub(crate) fn try_for_each<E>(
        mut f: impl FnMut(&Self) -> core::result::Result<(), E>,
    ) -> core::result::Result<(), E> {
        let mut next = 0;
        loop {
            let (key, space) = {
                let mut spaces = lock_list();
                let Some(cursor) = spaces.tree().cursor_lower_bound(&next) else {
                    return Ok(());
                };
                let (key, entry) = cursor.current();
                (*key, entry.space.clone())
            };
            f(&space)?;
            next = key.wrapping_add(1);
        }
    }

    /// Counts one more user of a mirror. A standalone space has an owner.
    pub(crate) fn hold(&self) {
        let Ok(mm) = self.mm() else { return };
        if let Some(entry) = lock_list().tree().get_mut(&key(mm)) {
            entry.users += 1;
        }
    }

    /// Counts one user of a mirror less; the last one ends the space.
    ///
    /// Sleeps; must not be called under mmap_lock.
    pub(crate) fn put(&self) {
        let Ok(mm) = self.mm() else { return };
        let (gone, found) = {
            let mut spaces = lock_list();
            match spaces.tree().get_mut(&key(mm)) {
                Some(entry) if entry.users > 1 => {
                    entry.users -= 1;
                    (None, None)
                }
                Some(_) => (
                    spaces.tree().remove_node(&key(mm)),
                    spaces.found().and_then(|found| found.remove(key(mm))),
                ),
                None => (None, None),
            }
        };
        // Waits for those who look.
        drop(found);
        if gone.is_some() {
            self.end();
        }
    }
}
