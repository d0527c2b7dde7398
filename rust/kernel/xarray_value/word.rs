// SPDX-License-Identifier: GPL-2.0

//! What stands in a slot of a [`ValueArray`](super::ValueArray).

use super::{
    Found,
    Value, //
};
use crate::{
    bindings,
    ffi::c_void, //
};
use core::ptr;

/// What stands in a slot: a value or a reservation, with its order.
///
/// # Invariants
///
/// The top bit is zero; the order is at most [`MAX_ORDER`](super::MAX_ORDER).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(usize);

impl Word {
    const LIVE: usize = 1;
    const ORDER_SHIFT: u32 = 1;
    const ORDER_MASK: usize = (1 << 6) - 1;
    const VALUE_SHIFT: u32 = 7;

    pub(super) fn live(order: u32, value: Value) -> Self {
        Self(value.bits() << Self::VALUE_SHIFT | Self::reservation(order).0 | Self::LIVE)
    }

    pub(super) fn reservation(order: u32) -> Self {
        // INVARIANT: The callers checked the order.
        Self((order as usize & Self::ORDER_MASK) << Self::ORDER_SHIFT)
    }

    pub(super) fn is_live(self) -> bool {
        self.0 & Self::LIVE != 0
    }

    pub(super) fn order(self) -> u32 {
        (self.0 >> Self::ORDER_SHIFT & Self::ORDER_MASK) as u32
    }

    pub(super) fn found(self, base: usize) -> Found {
        Found {
            base,
            order: self.order(),
            value: Value::from_bits_truncate(self.0 >> Self::VALUE_SHIFT),
        }
    }

    /// The value entry that stands for this word, see `xa_mk_value()`.
    pub(super) fn to_entry(self) -> *mut c_void {
        ptr::without_provenance_mut(self.0 << 1 | 1)
    }

    /// `None` for NULL and for what is no value entry, see `xa_is_value()`.
    pub(super) fn from_entry(entry: *mut c_void) -> Option<Self> {
        // INVARIANT: All value entries of the array come from `to_entry`.
        (entry.addr() & 1 != 0).then_some(Self(entry.addr() >> 1))
    }
}

const _: () = assert!(Value::BITS + Word::VALUE_SHIFT == bindings::BITS_PER_XA_VALUE);
