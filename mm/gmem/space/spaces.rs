// SPDX-License-Identifier: GPL-2.0

//! The table of all mirror address spaces, and how that of a process is found.

use crate::{
    device::holds,
    prelude::*,
    space::address_space::Space, //
};
use kernel::{
    mm::device::arc_table::{
        ArcTable,
        Entry,
        Writer, //
    },
    sync::GlobalGuard, //
};

/// Mirror address spaces, by the address of their `mm_struct`, which they keep alive. Every fault
/// looks for one.
static FOUND: ArcTable<Space> = ArcTable::new();

kernel::sync::global_lock! {
    // SAFETY: Initialized by `init()` before any other function of GMEM runs.
    pub(crate) unsafe(uninit) static SPACES: Mutex<Writer<Space>> = writer();
}

const fn writer() -> Writer<Space> {
    // SAFETY: Called once, for the list.
    unsafe { FOUND.writer() }
}

fn lock_list() -> GlobalGuard<SPACES> {
    holds::LISTS.add(1);
    SPACES.lock()
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
        let entry = Entry::new(sys::key(mm), new.clone(), GFP_KERNEL_ACCOUNT)?;
        let mut spaces = lock_list();
        if let Some(space) = Self::find(mm) {
            space.add_users(1);
            return Ok(space);
        }
        new.add_users(1);
        spaces.insert(entry);
        Ok(new)
    }

    /// Finds the space of `mm` without counting a user.
    pub(crate) fn find(mm: &Mm) -> Option<Arc<Self>> {
        Self::find_key(sys::key(mm))
    }

    /// Finds the mirror address space with a key, without counting a user. Takes no lock.
    pub(crate) fn find_key(key: usize) -> Option<Arc<Self>> {
        FOUND.get(key)
    }

    /// Returns all mirror address spaces. Between them no lock is held.
    pub(crate) fn all() -> impl Iterator<Item = Arc<Self>> {
        let mut last = None;
        core::iter::from_fn(move || {
            let (key, space) = lock_list().next(last)?;
            last = Some(key);
            Some(space)
        })
    }

    /// Counts one more user of a mirror. A standalone space has an owner.
    pub(crate) fn hold(&self) {
        if self.mm().is_ok() {
            let _spaces = lock_list();
            self.add_users(1);
        }
    }

    /// Counts one user of a mirror less; the last one ends the space.
    ///
    /// Sleeps; must not be called under mmap_lock.
    pub(crate) fn put(&self) {
        let Ok(mm) = self.mm() else { return };
        let gone = {
            let mut spaces = lock_list();
            let is_last = self.add_users(-1) == 0;
            is_last.then(|| spaces.remove(sys::key(mm))).flatten()
        };
        let is_gone = gone.is_some();
        // Waits for those who look.
        drop(gone);
        if is_gone {
            self.end();
        }
    }
}
