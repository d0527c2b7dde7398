// SPDX-License-Identifier: GPL-2.0

//! A list of small numbers in order of use.
//!
//! The links lie with the caller, one [`Link`] per number, so that the list needs no memory of its
//! own. Every function is total: a number without a link, or one that is not in the list, is
//! answered with `false`, and links of another list can cost entries, but never an endless walk.

/// The place of a number in a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Link {
    /// Not in a list.
    #[default]
    Out,
    /// In the list, between these; `None` at the ends.
    In {
        /// The number used before.
        older: Option<u32>,
        /// The number used after.
        newer: Option<u32>,
    },
}

/// What a list can be made of.
pub(crate) trait Linked {
    /// The link.
    fn link(&self) -> Link;
    /// The link, to be changed.
    fn link_mut(&mut self) -> &mut Link;
}

impl Linked for Link {
    fn link(&self) -> Link {
        *self
    }

    fn link_mut(&mut self) -> &mut Link {
        self
    }
}

/// The list; starts empty.
#[derive(Debug, Default)]
pub(crate) struct Lru {
    oldest: Option<u32>,
    newest: Option<u32>,
    len: usize,
}

impl Lru {
    /// Makes an empty list.
    pub(crate) const fn new() -> Self {
        Self {
            oldest: None,
            newest: None,
            len: 0,
        }
    }

    /// How many numbers are in the list?
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests count"))]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The number used longest ago.
    pub(crate) const fn oldest(&self) -> Option<u32> {
        self.oldest
    }

    /// Adds `index` as the newest; `false` if it is in the list already or has no link.
    pub(crate) fn push_back(&mut self, links: &mut [impl Linked], index: u32) -> bool {
        match get(links, index) {
            Some(link @ Link::Out) => {
                *link = Link::In {
                    older: self.newest,
                    newer: None,
                };
            }
            _ => return false,
        }
        match self.newest {
            Some(last) => set_newer(links, last, Some(index)),
            None => self.oldest = Some(index),
        }
        self.newest = Some(index);
        self.len = self.len.saturating_add(1);
        true
    }

    /// Takes `index` out; `false` if it is not in the list.
    pub(crate) fn remove(&mut self, links: &mut [impl Linked], index: u32) -> bool {
        let Some(link) = get(links, index) else {
            return false;
        };
        let Link::In { older, newer } = core::mem::take(link) else {
            return false;
        };
        match older {
            Some(older) => set_newer(links, older, newer),
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => set_older(links, newer, older),
            None => self.newest = older,
        }
        self.len = self.len.saturating_sub(1);
        true
    }

    /// Makes `index` the newest; `false` if it is not in the list.
    pub(crate) fn move_to_back(&mut self, links: &mut [impl Linked], index: u32) -> bool {
        self.remove(links, index) && self.push_back(links, index)
    }

    /// The numbers from the oldest on.
    pub(crate) fn iter<'a, T: Linked>(&self, links: &'a [T]) -> Iter<'a, T> {
        Iter {
            links,
            next: self.oldest,
            left: self.len,
        }
    }
}

/// The iterator that [`Lru::iter`] returns.
#[derive(Clone, Debug)]
pub(crate) struct Iter<'a, T> {
    links: &'a [T],
    next: Option<u32>,
    left: usize,
}

impl<T: Linked> Iterator for Iter<'_, T> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let index = self.next?;

        self.next = match self.links.get(index as usize).map(T::link) {
            Some(Link::In { newer, .. }) => newer,
            _ => None,
        };
        Some(index)
    }
}

fn get(links: &mut [impl Linked], index: u32) -> Option<&mut Link> {
    links.get_mut(index as usize).map(Linked::link_mut)
}

fn set_newer(links: &mut [impl Linked], index: u32, to: Option<u32>) {
    if let Some(Link::In { newer, .. }) = get(links, index) {
        *newer = to;
    }
}

fn set_older(links: &mut [impl Linked], index: u32, to: Option<u32>) {
    if let Some(Link::In { older, .. }) = get(links, index) {
        *older = to;
    }
}
