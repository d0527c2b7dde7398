// SPDX-License-Identifier: GPL-2.0

//! References that are found by a number without a lock.
//!
//! A table of lists. Readers walk a list under RCU; the one writer takes an entry out of its list
//! and frees it a grace period later.

use crate::{
    alloc::Flags,
    bindings,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        rcu,
        Arc, //
    }, //
};
use core::{
    marker::PhantomData,
    ptr::{
        null_mut,
        NonNull, //
    }, //
};

/// Lists of a table, as a power of two.
const BITS: u32 = 8;

/// The list of a key.
fn list_of(key: usize) -> usize {
    // As hash_long(); the upper bits are the good ones.
    let hash = (key as u64).wrapping_mul(0x61c8_8646_80b5_83eb) >> (u64::BITS - BITS);

    hash as usize & ((1 << BITS) - 1)
}

/// An entry of a table, in it or not yet.
pub struct Entry<T> {
    next: Atomic<*mut Self>,
    key: usize,
    value: Arc<T>,
}

impl<T> Entry<T> {
    /// Makes an entry.
    ///
    /// # Errors
    ///
    /// Out of memory.
    pub fn new(key: usize, value: Arc<T>, flags: Flags) -> Result<KBox<Self>> {
        let next = Atomic::new(null_mut());

        Ok(KBox::new(Self { next, key, value }, flags)?)
    }
}

/// A table of references by number.
///
/// # Invariants
///
/// Each link is NULL or points to an entry that [`KBox::into_raw`] gave away. An entry is freed a
/// grace period after no link of a list that begins in the table points to it any more. Links are
/// changed by the only [`Writer`].
pub struct ArcTable<T> {
    heads: [Atomic<*mut Entry<T>>; 1 << BITS],
    _p: PhantomData<Arc<T>>,
}

impl<T> ArcTable<T> {
    /// Makes a table with nothing in it.
    #[expect(clippy::new_without_default, reason = "it is for a static")]
    pub const fn new() -> Self {
        // INVARIANT: All links are NULL.
        Self {
            heads: [const { Atomic::new(null_mut()) }; 1 << BITS],
            _p: PhantomData,
        }
    }

    /// Returns the right to change the table.
    ///
    /// # Safety
    ///
    /// This is called once for a table.
    pub const unsafe fn writer(&'static self) -> Writer<T> {
        Writer(self)
    }

    fn head(&self, key: usize) -> &Atomic<*mut Entry<T>> {
        &self.heads[list_of(key)]
    }

    /// Returns what goes by the number `key`. Takes no lock.
    pub fn get(&self, key: usize) -> Option<Arc<T>> {
        let _guard = rcu::read_lock();
        // Pairs with the release in `insert()`: who sees an entry sees what is in it.
        let mut at = self.head(key).load(Acquire);

        while let Some(entry) = NonNull::new(at) {
            // SAFETY: By the type invariants it is not freed before the guard is gone.
            let entry = unsafe { entry.as_ref() };
            if entry.key == key {
                return Some(entry.value.clone());
            }
            at = entry.next.load(Acquire);
        }
        None
    }
}

/// The right to change a table. There is one for each.
pub struct Writer<T: 'static>(&'static ArcTable<T>);

impl<T> Writer<T> {
    /// Puts an entry in. There must be none that goes by the same number: it would be hidden.
    pub fn insert(&mut self, entry: KBox<Entry<T>>) {
        let head = self.0.head(entry.key);

        entry.next.store(head.load(Relaxed), Relaxed);
        // INVARIANT: The entry was given away, and nobody else changes the link.
        head.store(KBox::into_raw(entry), Release);
    }

    /// Returns what comes after the number `last`, or the first of all, and its number. The order
    /// is the table's own, and stays the same whatever is put in and taken out.
    pub fn next(&self, mut last: Option<usize>) -> Option<(usize, Arc<T>)> {
        for head in self.0.heads.iter().skip(last.map_or(0, list_of)) {
            let mut found: Option<&Entry<T>> = None;
            let mut at = head.load(Relaxed);
            while let Some(entry) = NonNull::new(at) {
                // SAFETY: By the type invariants, as only the writer takes entries out.
                let entry = unsafe { entry.as_ref() };
                if last.is_none_or(|last| entry.key > last)
                    && found.is_none_or(|found| entry.key < found.key)
                {
                    found = Some(entry);
                }
                at = entry.next.load(Relaxed);
            }
            if let Some(found) = found {
                return Some((found.key, found.value.clone()));
            }
            last = None;
        }
        None
    }

    /// Takes out what goes by the number `key`.
    pub fn remove(&mut self, key: usize) -> Option<Removed<T>> {
        let mut link = self.0.head(key);

        loop {
            let at = NonNull::new(link.load(Relaxed))?;
            // SAFETY: By the type invariants, as only the writer takes entries out.
            let entry = unsafe { at.as_ref() };
            if entry.key == key {
                // Its own link stays: a reader that stands on it finds the rest of the list.
                link.store(entry.next.load(Relaxed), Release);
                // INVARIANT: The only link to it is gone.
                return Some(Removed(at));
            }
            link = &entry.next;
        }
    }
}

/// An entry that was taken out of a table. Dropping it waits for a grace period, so it must not be
/// dropped under a lock that others wait for.
///
/// # Invariants
///
/// The entry was given away to a table, and no list of it leads there any more.
#[must_use]
pub struct Removed<T>(NonNull<Entry<T>>);

impl<T> Drop for Removed<T> {
    fn drop(&mut self) {
        // SAFETY: A plain call; it sleeps.
        unsafe { bindings::synchronize_rcu() };
        // SAFETY: By the type invariants it is ours again, now that no reader can have it.
        drop(unsafe { KBox::from_raw(self.0.as_ptr()) });
    }
}
