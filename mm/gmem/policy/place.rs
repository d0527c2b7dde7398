// SPDX-License-Identifier: GPL-2.0

//! Where the pages of a block should be when a device asks for them.

/// A device; 0 is the host.
pub(crate) type Node = u8;

/// What is known when the place is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Wish {
    /// The device that faults.
    pub(crate) faulting: Node,
    /// Where the pages are.
    pub(crate) holder: Node,
    /// Where the program pinned them.
    pub(crate) pinned: Option<Node>,
    /// Where the program prefers them.
    pub(crate) preferred: Option<Node>,
    /// The program said that the faulting device should reach them where they are.
    pub(crate) accessed_by: bool,
    /// The block bounces ([`pingpong`](super::pingpong)).
    pub(crate) bounces: bool,
    /// The pages can move at all: private anonymous memory, not locked.
    pub(crate) movable: bool,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Move the pages to this device (or home, for 0), and let the faulting device reach them
    /// there.
    Move(Node),
    /// Leave them, and let the faulting device reach them there.
    Stay,
}

impl Wish {
    /// Chooses: a pin, then the preferred node, then what accessed-by and bouncing say, then the
    /// device that faults.
    pub(crate) const fn place(&self) -> Place {
        let to = match (self.pinned, self.preferred) {
            _ if !self.movable => self.holder,
            (Some(node), _) | (None, Some(node)) => node,
            (None, None) if self.accessed_by || self.bounces => self.holder,
            (None, None) => self.faulting,
        };
        if to == self.holder {
            Place::Stay
        } else {
            Place::Move(to)
        }
    }
}
