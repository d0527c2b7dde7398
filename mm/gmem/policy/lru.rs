// SPDX-License-Identifier: GPL-2.0

//! A list of small numbers in order of use.
//!
//! The links lie with the caller, one [`Link`] per number, so that the list needs no memory of its
//! own. Every function is total: a number without a link, or one that is not in the list, is
//! answered with `false`, and links of another list can cost entries.

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
    fn link_mut(&mut self) -> &mut Link;
}

impl Linked for Link {
    fn link_mut(&mut self) -> &mut Link {
        self
    }
}

/// The list; starts empty.
#[derive(Debug, Default)]
pub(crate) struct Lru {
    oldest: Option<u32>,
    newest: Option<u32>,
}

impl Lru {
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
        true
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
