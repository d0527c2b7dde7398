// SPDX-License-Identifier: GPL-2.0

//! What a program advised about its memory, page by page.
//!
//! Ranges of equal attributes, as long as they can be; pages without any are in none. A change
//! splits what it meets at its own edges and joins what became equal, so that it touches the pages
//! it was asked for and no other.

use crate::range::{
    PageRange,
    MAX_PAGES, //
};

/// A node of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Node {
    /// Host memory; the number says of which CPUs.
    Host(i32),
    /// The memory of a device, by its number.
    Device(u32),
}

/// What was advised about a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Attributes {
    /// Where faults place the page.
    pub(crate) preferred: Option<Node>,
    /// The devices that use the page where it is, one bit each.
    accessed_by: u64,
    /// Read much more than written: copies may be made.
    pub(crate) read_mostly: bool,
    /// The device that keeps room for the page.
    pub(crate) pinned: Option<u32>,
}

/// A change of attributes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// Prefer this node.
    Prefer(Node),
    /// Prefer no node, where it was this one; whichever it was when there is none.
    NoPrefer(Option<Node>),
    /// Read mostly, or not.
    ReadMostly(bool),
    /// The device with this number uses the page where it is.
    AccessedBy(u32),
    /// The device does not; none does when no number is given.
    NoAccessedBy(Option<u32>),
    /// Keep room on the device.
    Pin(u32),
    /// Keep no room, where it was on this device; on whichever when no number is given.
    Unpin(Option<u32>),
    /// There is no such device any more, or none at all when no number is given. Pins stay: room
    /// has to be given back for them.
    Forget(Option<u32>),
}

impl Attributes {
    /// Nothing was advised.
    pub(crate) const NONE: Self = Self {
        preferred: None,
        accessed_by: 0,
        read_mostly: false,
        pinned: None,
    };

    /// Was nothing advised?
    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Is the device one of those that use the page where it is?
    pub(crate) const fn is_accessed_by(self, device: u32) -> bool {
        self.accessed_by & bit(device) != 0
    }

    /// The same after a change.
    #[must_use]
    pub(crate) fn with(mut self, change: Change) -> Self {
        match change {
            Change::Prefer(node) => self.preferred = Some(node),
            Change::NoPrefer(node) if node.is_none() || node == self.preferred => {
                self.preferred = None;
            }
            Change::ReadMostly(read_mostly) => self.read_mostly = read_mostly,
            Change::AccessedBy(device) => self.accessed_by |= bit(device),
            Change::NoAccessedBy(device) => self.accessed_by &= !device.map_or(u64::MAX, bit),
            Change::Pin(device) => self.pinned = Some(device),
            Change::Unpin(device) if device.is_none() || device == self.pinned => {
                self.pinned = None;
            }
            Change::Forget(device) => {
                self.preferred = self.preferred.filter(|node| match (node, device) {
                    (Node::Host(_), _) => true,
                    (Node::Device(id), Some(gone)) => *id != gone,
                    (Node::Device(_), None) => false,
                });
                return self.with(Change::NoAccessedBy(device));
            }
            Change::NoPrefer(_) | Change::Unpin(_) => {}
        }
        self
    }

    /// What a child gets: all but the pin.
    #[must_use]
    pub(crate) fn inherited(self) -> Self {
        self.with(Change::Unpin(None))
    }

    /// Was a place advised? Then a memory policy does not matter.
    pub(crate) const fn names_place(&self) -> bool {
        self.pinned.is_some() || self.preferred.is_some()
    }

    /// Does a fault of `device` bring the page there? If not, the device maps it in host memory.
    ///
    /// A pin comes first, then the preferred node, then what accessed-by says.
    pub(crate) fn belongs_to(self, device: u32) -> bool {
        match (self.pinned, self.preferred) {
            (Some(id), _) | (None, Some(Node::Device(id))) => id == device,
            (None, Some(Node::Host(_))) => false,
            (None, None) => !self.is_accessed_by(device),
        }
    }
}

const fn bit(device: u32) -> u64 {
    if device < u64::BITS {
        1 << device
    } else {
        0
    }
}

/// There was no memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoMemory;

/// A sorted set of ranges that do not overlap.
pub(crate) trait Tree {
    /// Returns the first range that ends after `page`: the one that has it, or the next one.
    fn reaching(&self, page: u64) -> Option<(PageRange, Attributes)>;

    /// Returns the last range that ends at or before `page`.
    fn before(&self, page: u64) -> Option<(PageRange, Attributes)>;

    /// Makes sure that `nr` calls of [`Tree::insert`] find memory.
    fn reserve(&mut self, nr: usize) -> Result<(), NoMemory>;

    /// Adds a range; there is memory for it.
    fn insert(&mut self, range: PageRange, attributes: Attributes);

    /// Removes a range. Its memory is good for one [`Tree::insert`].
    fn remove(&mut self, range: PageRange);
}

/// The attributes of all pages.
#[derive(Default)]
pub(crate) struct Map<T>(T);

/// How many ranges one change of one range can add: what is left on both sides, and itself.
pub(crate) const MAX_PARTS: usize = 3;

impl<T: Tree> Map<T> {
    /// Makes a map from an empty tree.
    pub(crate) const fn new(tree: T) -> Self {
        Self(tree)
    }

    /// Returns the tree.
    pub(crate) fn tree_mut(&mut self) -> &mut T {
        &mut self.0
    }

    /// Returns the attributes of `page`, and the pages around it that have the same.
    pub(crate) fn at(&self, page: u64) -> (PageRange, Attributes) {
        let next = self.0.reaching(page);
        if let Some((range, attributes)) = next {
            if range.has(page) {
                return (range, attributes);
            }
        }
        let first = self.0.before(page).map_or(0, |(range, _)| range.end());
        let end = next.map_or(MAX_PAGES, |(range, _)| range.first());

        (
            PageRange::new(first, end).unwrap_or_default(),
            Attributes::NONE,
        )
    }

    /// Returns the first range that has a page of `range`, cut to it, and its attributes.
    pub(crate) fn first_in(&self, range: PageRange) -> Option<(PageRange, Attributes)> {
        let (found, attributes) = self.0.reaching(range.first())?;

        Some((found.intersect(range)?, attributes))
    }

    /// Calls `f` with all ranges that have a page of `range`, cut to it, and their attributes.
    pub(crate) fn for_each(&self, range: PageRange, mut f: impl FnMut(PageRange, Attributes)) {
        let mut rest = range;

        while let Some((part, attributes)) = self.first_in(rest) {
            f(part, attributes);
            rest = PageRange::new(part.end(), range.end()).unwrap_or_default();
        }
    }

    /// Changes the attributes of the pages of `range` to what `f` makes of them. `seen` is told
    /// which pages had and have which.
    ///
    /// # Errors
    ///
    /// When there is no memory; pages in front of some page are changed then, as `seen` told.
    pub(crate) fn change(
        &mut self,
        range: PageRange,
        f: impl Fn(Attributes) -> Attributes,
        mut seen: impl FnMut(PageRange, Attributes, Attributes),
    ) -> Result<(), NoMemory> {
        let mut next = range.first();

        while next < range.end() {
            let (whole, old) = self.at(next);
            let Some(part) = whole.intersect(range) else {
                break;
            };
            let new = f(old);
            if new != old {
                // A whole range leaves memory for itself behind.
                if part != whole || old.is_none() {
                    self.0.reserve(MAX_PARTS)?;
                }
                self.replace(whole, part, old, new);
                seen(part, old, new);
            }
            next = part.end();
        }
        Ok(())
    }

    /// Removes all attributes of the pages of `range`. `lost` is told what had been there.
    ///
    /// This never fails. Without memory for two halves of a range that is cut in the middle, the
    /// upper one is lost too: less advice is always correct.
    pub(crate) fn clear(&mut self, range: PageRange, mut lost: impl FnMut(PageRange, Attributes)) {
        while let Some((whole, old)) = self.0.reaching(range.first()) {
            let Some(mut part) = whole.intersect(range) else {
                return;
            };
            let cut = whole.first() < part.first() && part.end() < whole.end();
            if cut && self.0.reserve(MAX_PARTS).is_err() {
                part = PageRange::new(part.first(), whole.end()).unwrap_or(part);
            }
            self.replace(whole, part, old, Attributes::NONE);
            lost(part, old);
        }
    }

    /// Gives the pages from `to` on what those of `from` have; the two do not overlap. What `from`
    /// has afterwards is nothing, or with `keep` all but the pin.
    ///
    /// # Errors
    ///
    /// When there is no memory; nothing is changed then.
    pub(crate) fn relocate(
        &mut self,
        from: PageRange,
        to: u64,
        keep: bool,
        mut lost: impl FnMut(PageRange, Attributes),
    ) -> Result<(), NoMemory> {
        let target = PageRange::with_count(to, from.count()).ok_or(NoMemory)?;
        let mut rest = from;

        while let Some((part, attributes)) = self.first_in(rest) {
            let first = to.wrapping_add(part.first().wrapping_sub(from.first()));
            let Some(there) = PageRange::with_count(first, part.count()) else {
                break;
            };
            let done = self.change(there, |_| attributes, |_, _, _| {});
            if done.is_err() {
                self.clear(target, |_, _| {});
                return done;
            }
            rest = PageRange::new(part.end(), from.end()).unwrap_or_default();
        }
        let kept = keep
            && self
                .change(from, Attributes::inherited, |_, _, _| {})
                .is_ok();
        if !kept {
            self.clear(from, |part, attributes| {
                if !from.covers(part) {
                    let beyond = PageRange::new(from.end(), part.end());
                    lost(beyond.unwrap_or_default(), attributes);
                }
            });
        }
        Ok(())
    }

    /// Puts `new` in place of `old` for a part of `whole`, all of which had `old`, and joins it
    /// with its neighbours.
    fn replace(&mut self, whole: PageRange, part: PageRange, old: Attributes, new: Attributes) {
        if !old.is_none() {
            self.0.remove(whole);
            for rest in [
                PageRange::new(whole.first(), part.first()),
                PageRange::new(part.end(), whole.end()),
            ] {
                if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
                    self.0.insert(rest, old);
                }
            }
        }
        if new.is_none() {
            return;
        }
        let mut joined = part;
        if let Some((left, attributes)) = self.0.before(part.first()) {
            if let Some(both) = left.join(joined).filter(|_| attributes == new) {
                self.0.remove(left);
                joined = both;
            }
        }
        if let Some((right, attributes)) = self.0.reaching(part.end()) {
            if let Some(both) = joined.join(right).filter(|_| attributes == new) {
                self.0.remove(right);
                joined = both;
            }
        }
        self.0.insert(joined, new);
    }
}
