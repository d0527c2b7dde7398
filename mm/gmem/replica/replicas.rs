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
    prelude::*,
    replica::source::{
        Lease,
        Originals,
        WINDOW,
        WINDOW_ORDER, //
    }, //
};
use kernel::rbtree::RBTreeNode;

/// The first page of a window, and the device.
pub(crate) type Key = (u64, u32);

/// The key behind one.
pub(crate) fn after((first, device): Key) -> Key {
    (first, device.wrapping_add(1))
}

/// What one device has of one window.
pub(crate) struct Copy {
    pub(crate) run: Run,
    pub(crate) originals: Originals,
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

    /// Returns whether it is what the draft was made of.
    pub(crate) fn is(&self, draft: &Draft) -> bool {
        self.run.first() == draft.page && self.originals.frames() == draft.frames
    }

    /// Returns how many pages it has.
    pub(crate) fn pages(&self) -> usize {
        self.originals.count()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.stats.duplicated.sub(self.pages() << PAGE_SHIFT);
    }
}

/// The copies of a space, under the map lock.
pub(crate) struct Copies(pub(crate) RBTree<Key, Copy>);

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
    pub(crate) fn first_from(&self, from: u64) -> Option<u64> {
        let cursor = self.0.cursor_lower_bound(&(from, 0))?;

        Some(cursor.current().0 .0)
    }
}

/// The page frames of no host pages.
pub(crate) const NO_FRAMES: [usize; WINDOW] = [0; WINDOW];

/// A copy that a fault is about to enter.
pub(crate) struct Draft {
    pub(crate) key: Key,
    /// The first page of device memory.
    page: usize,
    /// The host's page frames, or 0.
    pub(crate) frames: [usize; WINDOW],
    /// [`None`]: the space has the copy already.
    pub(crate) new: Option<RBTreeNode<Key, Copy>>,
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
                runs.push(to, (*frame as u64) << PAGE_SHIFT, PAGE_SIZE);
                pages += 1;
            }
        }
        pages
    }
}

/// The copies that a fault is about to enter. By default there are none.
#[derive(Default)]
pub(crate) struct Drafts {
    pub(crate) list: KVec<Draft>,
    pub(crate) lease: Option<Lease>,
}

impl Drafts {
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

    /// Gives up those that are new: their bytes could not be copied.
    pub(crate) fn give_up_new(&mut self) {
        for draft in &mut self.list {
            if draft.new.take().is_some() {
                draft.frames = NO_FRAMES;
            }
        }
    }
}
