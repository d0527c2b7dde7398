// SPDX-License-Identifier: GPL-2.0

//! The read-only copies of a space, and those that a fault is about to add.
//!
//! Copies are found under the map lock. Whatever changes the CPU page table takes them away in the
//! callback that tells of it, and eviction drops them: there is nothing to write back.

use crate::{
    device::{
        holds::MAX_COPIES,
        memory::Memory,
        run::Run,
        scratch::Runs,
        stats::Stats, //
    },
    fault::batch::PAGE,
    range::PageRange,
    replica::source::{
        Lease,
        Originals,
        WINDOW,
        WINDOW_ORDER, //
    },
    space::{
        address_space::{
            MapLock,
            Space, //
        },
        directory::Directory, //
    }, //
};
use core::{
    convert::Infallible,
    ops::Range, //
};
use kernel::{
    page::PAGE_SHIFT,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::Arc, //
};

/// The first page of a window, and the device.
type Key = (u64, u32);

/// Smallest key.
const FIRST: Key = (0, 0);

fn after((first, device): Key) -> Key {
    (first, device.wrapping_add(1))
}

/// What one device has of one window.
pub(crate) struct Copy {
    run: Run,
    originals: Originals,
    stats: Arc<Stats>,
}

impl Copy {
    fn new(mut run: Run, originals: Originals, memory: &Memory) -> Self {
        run.is_for_copy();
        let copy = Self {
            run,
            originals,
            stats: memory.parts().stats.clone(),
        };
        copy.stats.duplicated.add(copy.pages() << PAGE_SHIFT);
        copy
    }

    fn is(&self, draft: &Draft) -> bool {
        self.run.first() == draft.page && self.originals.frames() == draft.frames
    }

    fn pages(&self) -> usize {
        self.originals.count()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.stats.duplicated.sub(self.pages() << PAGE_SHIFT);
    }
}

/// The copies of a space, under the map lock.
pub(crate) struct Copies(RBTree<Key, Copy>);

impl Copies {
    /// There are none.
    pub(crate) fn new() -> Self {
        Self(RBTree::new())
    }

    /// Returns the windows of `range`, as one range, if there is a copy in one of them. Where there
    /// are too many to be dropped under one hold of the lock, that ends in front of the first one
    /// too much, and the rest of the range is returned, too.
    pub(crate) fn windows(&self, range: PageRange) -> (Option<PageRange>, Option<PageRange>) {
        let windows = range.align_out(WINDOW_ORDER);
        let mut next = (windows.first(), 0);

        for nr in 0..=MAX_COPIES {
            let found = self.0.cursor_lower_bound(&next).map(|at| *at.current().0);
            let Some(key) = found.filter(|key| key.0 < windows.end()) else {
                return ((nr > 0).then_some(windows), None);
            };
            next = after(key);
        }
        // One window has fewer: there are not so many devices.
        let cut = next.0;
        (
            PageRange::new(windows.first(), cut),
            PageRange::new(cut, range.end()),
        )
    }

    /// Gives all copies in `windows` back; returns how many there were.
    pub(crate) fn remove(&mut self, windows: PageRange) -> usize {
        let mut removed = 0;
        while let Some(cursor) = self.0.cursor_lower_bound_mut(&(windows.first(), 0)) {
            if cursor.current().0 .0 >= windows.end() {
                break;
            }
            cursor.remove_current();
            removed += 1;
        }
        removed
    }

    /// Returns the copy of a window on a device.
    pub(crate) fn draft(&self, first: u64, device: u32) -> Option<Draft> {
        let key = (first, device);
        let copy = self.0.get(&key)?;
        Some(Draft {
            key,
            page: copy.run.first(),
            frames: copy.originals.frames(),
            new: None,
        })
    }

    /// Returns the first window from page `from` on of which there is a copy.
    fn first_from(&self, from: u64) -> Option<u64> {
        let cursor = self.0.cursor_lower_bound(&(from, 0))?;

        Some(cursor.current().0 .0)
    }
}

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

/// Drops the copies of a space that `which` names. Others get the map lock in between; the caller
/// sees to it that no such copy is added meanwhile.
fn drop_copies(space: &Space, which: &impl Fn(Key, &Copy) -> bool) {
    let mut from = Some(FIRST);
    while let Some(next) = from {
        from = space.lock_map().drop_some(&space.directory, next, which);
    }
}

/// Drops the copies on a device that has no context in the space any more.
pub(crate) fn drop_on(space: &Space, device: u32) {
    drop_copies(space, &|key, _: &Copy| key.1 == device);
}

/// Drops the copies that `which` names in all spaces.
fn drop_all(which: impl Fn(Key, &Copy) -> bool) {
    let _: core::result::Result<(), Infallible> = Space::try_for_each(|space| {
        drop_copies(space, &which);
        Ok(())
    });
}

/// Drops the copies in some pages, of one chunk, of the memory; returns how many pages they had.
///
/// A copy is one unit of the memory, which knows where it was mapped.
pub(crate) fn drop_pages(memory: &Memory, pages: Range<usize>) -> usize {
    let mut dropped = 0;
    if !memory.has_copies(pages.start) {
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

/// The page frames of no host pages.
const NO_FRAMES: [usize; WINDOW] = [0; WINDOW];

/// A copy that a fault is about to enter.
pub(crate) struct Draft {
    key: Key,
    /// The first page of device memory.
    page: usize,
    /// The host's page frames, or 0.
    frames: [usize; WINDOW],
    /// [`None`]: the space has the copy already.
    new: Option<RBTreeNode<Key, Copy>>,
}

impl Draft {
    /// Makes a copy of `originals`, whose bytes are copied into `run` before it is accepted.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(memory: &Memory, run: Run, first: u64, originals: Originals) -> Result<Self> {
        let key = (first, memory.parts().id);
        let page = run.first();
        let frames = originals.frames();
        let copy = Copy::new(run, originals, memory);

        Ok(Self {
            key,
            page,
            frames,
            new: Some(RBTreeNode::new(key, copy, GFP_KERNEL)?),
        })
    }

    /// Returns whether it is not the space's yet.
    pub(crate) fn is_new(&self) -> bool {
        self.new.is_some()
    }

    /// Returns the host's page frame of `page`, or 0 when there is no copy of it.
    pub(crate) fn frame_of(&self, page: u64) -> usize {
        let index = page.wrapping_sub(self.key.0) as usize;

        self.frames.get(index).copied().unwrap_or(0)
    }

    /// Returns whether it has copies of pages that are not in `part`.
    pub(crate) fn has_beyond(&self, part: PageRange) -> bool {
        (self.key.0..)
            .zip(self.frames)
            .any(|(page, frame)| frame != 0 && !(part.first()..part.end()).contains(&page))
    }

    /// Lists what is to be copied; returns how many pages that are.
    pub(crate) fn push(&self, runs: &mut Runs) -> usize {
        let mut pages = 0;
        for (index, frame) in self.frames.iter().enumerate() {
            if *frame != 0 {
                let to = ((self.page + index) as u64) << PAGE_SHIFT;
                runs.push(to, (*frame as u64) << PAGE_SHIFT, PAGE);
                pages += 1;
            }
        }
        pages
    }
}

/// The copies that a fault is about to enter.
pub(crate) struct Drafts {
    list: KVec<Draft>,
    lease: Option<Lease>,
}

impl Drafts {
    /// There are none.
    pub(crate) const fn none() -> Self {
        Self {
            list: KVec::new(),
            lease: None,
        }
    }

    /// There are none yet, but there is room for so many; `lease` is that of the file they are of.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn with_capacity(capacity: usize, lease: Option<Lease>) -> Result<Self> {
        Ok(Self {
            list: KVec::with_capacity(capacity, GFP_KERNEL)?,
            lease,
        })
    }

    /// Adds one.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn push(&mut self, draft: Draft) -> Result {
        Ok(self.list.push(draft, GFP_KERNEL)?)
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the page of device memory that has a copy of `page`, if that is at `frame`.
    ///
    /// The copy is good as long as the CPU maps the frame read-only.
    pub(crate) fn copy_of(&self, page: u64, frame: usize) -> Option<usize> {
        let first = page & !(WINDOW as u64 - 1);
        let draft = self.list.iter().find(|draft| draft.key.0 == first)?;

        (draft.frame_of(page) == frame).then(|| draft.page + (page - first) as usize)
    }

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

    /// Gives up those that are new: their bytes could not be copied.
    pub(crate) fn give_up_new(&mut self) {
        for draft in &mut self.list {
            if draft.new.take().is_some() {
                draft.frames = NO_FRAMES;
            }
        }
    }
}
