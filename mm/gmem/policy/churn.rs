// SPDX-License-Identifier: GPL-2.0

//! Blocks that are evicted as soon as they come, again and again.
//!
//! A job that touches more blocks at a time than there is room for, on a small device or below a
//! small limit, makes each push the others out: megabytes migrate for every page that it uses. Such
//! a block is better left on the host for a while, where the device reaches it remotely.
//!
//! Time is counted in pages that arrived at the device. A block *churns* when it comes back less
//! than [`SOON`] pages after an eviction that came less than [`SOON`] pages after it had arrived.
//! Only evictions count: what a program, a CPU fault or another device took is not short of room.

use crate::policy::{
    unit::CHUNK_PAGES,
    Key, //
};
use core::ops::DerefMut;

/// So few pages arrived in between: those of eight blocks, two operands for each of four jobs.
pub(crate) const SOON: u32 = 8 * CHUNK_PAGES as u32;
/// A memory of so many pages or fewer has too little room without a limit, too.
pub(crate) const SMALL: usize = SOON as usize;
/// So many churns in a row are too many.
pub(crate) const TIMES: u8 = 3;

/// What is known of one block or slot; starts empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Churn {
    key: Option<Key>,
    /// When it was evicted.
    left: u32,
    /// How often in a row it had just arrived.
    times: u8,
}

/// The table of a memory; `T` holds the entries. One that is new takes the entry of another one
/// with the same hash.
#[derive(Debug)]
pub(crate) struct Churns<T>(T);

impl<T: DerefMut<Target = [Churn]>> Churns<T> {
    /// Nothing left yet.
    pub(crate) const fn new(entries: T) -> Self {
        Self(entries)
    }

    /// Notes that a block that arrived at `arrived` was evicted.
    pub(crate) fn evicted(&mut self, key: Key, arrived: u32, now: u32) {
        let early = now.wrapping_sub(arrived) < SOON;
        let Some(entry) = key.entry_of(&mut self.0) else {
            return;
        };
        let again = entry.key == Some(key) && arrived.wrapping_sub(entry.left) < SOON;
        let before = if again { entry.times } else { 0 };

        if early {
            *entry = Churn {
                key: Some(key),
                left: now,
                times: before.saturating_add(1),
            };
        } else if entry.key == Some(key) {
            *entry = Churn::default();
        }
    }

    /// Returns whether a block that is asked for would only be evicted again. It is as good as new
    /// then: the caller leaves it on the host for a while.
    pub(crate) fn is_pushed_out(&mut self, key: Key, now: u32) -> bool {
        let Some(entry) = key.entry_of(&mut self.0) else {
            return false;
        };
        let soon = now.wrapping_sub(entry.left) < SOON;
        let pushed = entry.key == Some(key) && entry.times >= TIMES && soon;

        if pushed {
            *entry = Churn::default();
        }
        pushed
    }
}
