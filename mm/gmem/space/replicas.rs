// SPDX-License-Identifier: GPL-2.0

//! The replicas of an address space: how they come and go under the map lock.

use crate::{
    device::{
        holds::MAX_COPIES,
        memory::Memory, //
    },
    prelude::*,
    replica::{
        replicas::{
            after,
            Copy,
            Drafts,
            Key,
            NO_FRAMES, //
        },
        source::{
            Lease,
            WINDOW,
            WINDOW_ORDER, //
        }, //
    },
    space::{
        address_space::{
            MapLock,
            Space, //
        },
        directory::Directory, //
    }, //
};

/// Smallest key.
const FIRST: Key = (0, 0);

impl MapLock<'_> {
    /// Takes a copy from its device, if there is one; returns how many pages it had.
    fn drop_copy(&mut self, directory: &Directory, key: Key) -> usize {
        if self.copies().0.get(&key).is_none() {
            return 0;
        }
        let window = PageRange::around(key.0, WINDOW_ORDER).unwrap_or_default();
        self.invalidate_on(directory, window, key.1);
        let copy = self.copies_mut().0.remove(&key);
        self.count_copies(1);
        copy.map_or(0, |copy| copy.pages())
    }

    /// Drops those of the next copies from `from` on that `which` names; returns where to go on.
    fn drop_some(
        &mut self,
        directory: &Directory,
        mut from: Key,
        which: &impl Fn(Key, &Copy) -> bool,
    ) -> Option<Key> {
        for _ in 0..MAX_COPIES {
            let cursor = self.copies().0.cursor_lower_bound(&from)?;
            let (key, copy) = cursor.current();
            let (key, wanted) = (*key, which(*key, copy));
            if wanted {
                self.drop_copy(directory, key);
            }
            from = after(key);
        }
        Some(from)
    }
}

impl Drafts {
    /// Hands the copies over to the space. Returns `false` when one of them is good no more.
    pub(crate) fn accept(&mut self, map: &mut MapLock<'_>, directory: &Directory) -> bool {
        if self.lease.as_ref().is_some_and(Lease::is_broken) {
            return false;
        }
        for draft in &mut self.list {
            match draft.new.take() {
                None if draft.frames == NO_FRAMES => {}
                Some(node) => {
                    // One that had less.
                    map.drop_copy(directory, draft.key);
                    map.copies_mut().0.insert(node);
                }
                None => {
                    let copy = map.copies().0.get(&draft.key);
                    if !copy.is_some_and(|copy| copy.is(draft)) {
                        return false;
                    }
                }
            }
        }
        true
    }
}

/// Drops the copies of a space that `which` names. Others get the map lock in between; the caller
/// sees to it that no such copy is added meanwhile.
fn drop_copies(space: &Space, which: &impl Fn(Key, &Copy) -> bool) {
    let mut from = Some(FIRST);
    while let Some(next) = from {
        from = space.lock_map().drop_some(&space.directory, next, which);
    }
}

impl Space {
    /// Drops the copies on a device that has no context in the space any more.
    pub(crate) fn drop_copies_on(&self, device: u32) {
        drop_copies(self, &|key, _: &Copy| key.1 == device);
    }
}

/// Drops the copies that `which` names in all spaces.
fn drop_all(which: impl Fn(Key, &Copy) -> bool) {
    for space in Space::all() {
        drop_copies(&space, &which);
    }
}

/// Drops the copies in some pages, of one chunk, of the memory; returns how many pages they had.
///
/// A copy is one unit of the memory, which knows where it was mapped.
pub(crate) fn drop_pages(memory: &Memory, pages: Range<usize>) -> usize {
    let mut dropped = 0;
    if !memory.chunks().has_copies(pages.start) {
        return 0;
    }
    for (unit, spot) in memory.units_of(pages.start) {
        if !pages.contains(&unit.first_page()) {
            continue;
        }
        let Some(space) = Space::find_key(spot.space) else {
            continue;
        };
        let key = (spot.page & !(WINDOW as u64 - 1), memory.parts().id);
        let mut map = space.lock_map();
        let copy = map.copies().0.get(&key);
        if copy.is_some_and(|copy| copy.run.has_some(memory, &pages)) {
            dropped += map.drop_copy(&space.directory, key);
        }
    }
    dropped
}

/// Drops the copies of pages that are not read mostly any more: also those of faults that began
/// when they were, which hold the lock of their block meanwhile.
pub(crate) fn drop_range(space: &Space, range: PageRange) {
    space.wait_for_faults(range);
    let mut rest = Some(range.align_out(WINDOW_ORDER));
    while let Some(windows) = rest {
        let mut map = space.lock_map();
        let first = map.copies().first_from(windows.first());
        let Some(first) = first.filter(|first| *first < windows.end()) else {
            return;
        };
        let some = PageRange::with_count(first, (MAX_COPIES * WINDOW) as u64)
            .and_then(|some| some.intersect(windows));
        let Some(some) = some else { return };
        let left = map.invalidate(&space.directory, some, false);
        let next = left.map_or(some.end(), |left| left.first());
        rest = PageRange::new(next, windows.end());
    }
}

/// Drops the copies in a memory to which none is added any more. Afterwards no callback has one in
/// its hands.
pub(crate) fn drop_memory(memory: &Memory) {
    drop_all(|_, copy| copy.run.is_of(memory));
}

/// Drops the copies of a file that is about to be written.
pub(crate) fn drop_file(is_lease: impl Fn(&Lease) -> bool) {
    drop_all(|_, copy| copy.originals.lease().is_some_and(&is_lease));
}
