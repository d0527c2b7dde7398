// SPDX-License-Identifier: GPL-2.0

//! What a [`ValueArray`](super::ValueArray) holds, and what is asked of it and told about it.

use super::blocks::block_last;
use crate::bindings;

/// An integer of [`Value::BITS`] bits.
///
/// # Invariants
///
/// The bits above [`Value::BITS`] are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(usize);

impl Value {
    /// The number of bits of a value.
    pub const BITS: u32 = 56;

    const MASK: usize = (1 << Self::BITS) - 1;

    /// Makes a value of the low [`Value::BITS`] bits of `bits`.
    pub const fn from_bits_truncate(bits: usize) -> Self {
        // INVARIANT: The upper bits are masked off.
        Self(bits & Self::MASK)
    }

    /// Returns the bits of the value.
    pub const fn bits(self) -> usize {
        self.0
    }
}

/// A mark that entries can carry and searches can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Mark {
    /// `XA_MARK_0`
    Mark0 = 0,
    /// `XA_MARK_1`
    Mark1 = 1,
    /// `XA_MARK_2`
    Mark2 = 2,
}

impl Mark {
    pub(super) const ALL: [Self; bindings::XA_MAX_MARKS as usize] =
        [Self::Mark0, Self::Mark1, Self::Mark2];
}

/// A set of [`Mark`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// Adds `mark` to the set when `on`.
    #[must_use]
    pub const fn with(self, mark: Mark, on: bool) -> Self {
        Self(self.0 | (on as u8) << mark as u8)
    }

    /// Is `mark` in the set?
    pub const fn contains(self, mark: Mark) -> bool {
        self.0 >> mark as u8 & 1 != 0
    }
}

/// An entry of the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The first index of the entry, a multiple of `2^order`.
    pub base: usize,
    /// The entry covers `2^order` indices.
    pub order: u32,
    /// What was stored.
    pub value: Value,
}

impl Found {
    /// The last index of the entry.
    pub fn last(&self) -> usize {
        block_last(self.base, self.order)
    }
}

/// What [`ValueArray::update`](super::ValueArray::update) does with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Leave it.
    Keep,
    /// Give it another value and these marks; the extent stays.
    Replace(Value, Marks),
    /// Remove it, but keep its place reserved.
    Vacate,
    /// Remove it.
    Erase,
    /// Leave it and end the walk.
    Stop,
}

/// What [`ValueArray::update`](super::ValueArray::update) does with the reservations of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// They stay.
    Keep,
    /// They are given up.
    Drop,
}
