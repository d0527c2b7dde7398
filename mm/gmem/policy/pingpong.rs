// SPDX-License-Identifier: GPL-2.0

//! Blocks that bounce between the CPU and devices.
//!
//! A block that two sides want again and again costs a move for each turn. Such a block is left
//! where it is for a while and reached remotely, so that both sides go on. Every time the pause
//! ends in vain the next one is twice as long; a block that was quiet begins anew.
//!
//! The table has a fixed size: a block that is new takes the entry of another one with the same
//! hash, whose past is then forgotten.

use crate::policy::Key;
use core::ops::DerefMut;

/// A block that is asked for within this time after it moved away bounces. How long moves take does
/// not count: on a slow machine, too, blocks bounce.
pub(crate) const CLOSE_US: u64 = 20_000;
/// So many bounces in a row are too many.
pub(crate) const BOUNCES: u8 = 4;
/// The first pause.
pub(crate) const PAUSE_US: u64 = 50_000;
/// How often a pause doubles at most: the longest takes 1.6 s.
pub(crate) const MAX_DOUBLINGS: u8 = 5;

/// Where the bytes of a block went: 0 is the host, else the number of a device.
pub(crate) type Side = u8;

/// What is known of one block; starts empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Bounce {
    key: Key,
    side: Side,
    bounces: u8,
    doublings: u8,
    /// The last move.
    moved_us: u64,
    /// No move to a device before.
    until_us: u64,
}

impl Bounce {
    /// Begins a pause, twice as long as the last one. Returns its end.
    fn pause(&mut self, now_us: u64) -> u64 {
        self.bounces = 0;
        self.until_us = now_us.saturating_add(pause_us(self.doublings));
        self.doublings = self.doublings.saturating_add(1).min(MAX_DOUBLINGS);
        self.until_us
    }
}

/// The table of a space or of a device; `T` holds the entries.
#[derive(Debug)]
pub(crate) struct Bounces<T>(T);

impl<T: DerefMut<Target = [Bounce]>> Bounces<T> {
    /// Nothing bounced yet.
    pub(crate) const fn new(entries: T) -> Self {
        Self(entries)
    }

    /// Notes that a block moved to `side` because that side asked for it at `asked_us`: a fault of
    /// the device or of the CPU. What eviction or a program moves is not noted.
    pub(crate) fn moved(&mut self, key: Key, side: Side, asked_us: u64, now_us: u64) {
        let Some(entry) = key.entry_of(&mut self.0) else {
            return;
        };
        let known = entry.key == key && entry.moved_us != 0;
        if !known {
            *entry = Bounce {
                key,
                side,
                moved_us: now_us,
                ..Bounce::default()
            };
            return;
        }
        let since = asked_us.saturating_sub(entry.moved_us.max(entry.until_us));
        if since >= quiet_us(entry.doublings) {
            entry.doublings = 0;
        }
        if since >= CLOSE_US {
            entry.bounces = 0;
        } else if entry.side != side {
            entry.bounces = entry.bounces.saturating_add(1);
        }
        entry.side = side;
        entry.moved_us = now_us;
        if entry.bounces >= BOUNCES {
            entry.pause(now_us);
        }
    }

    /// Notes that a block was evicted as soon as it came, too often. Returns until when it should
    /// stay where it is.
    pub(crate) fn pushed_out(&mut self, key: Key, now_us: u64) -> u64 {
        let Some(entry) = key.entry_of(&mut self.0) else {
            return now_us;
        };
        let since = now_us.saturating_sub(entry.moved_us.max(entry.until_us));
        if entry.key != key || since >= quiet_us(entry.doublings) {
            *entry = Bounce {
                key,
                ..Bounce::default()
            };
        }
        entry.moved_us = now_us;
        entry.pause(now_us)
    }

    /// Until when should the block stay where it is? `None` if it may move.
    pub(crate) fn stays_until(&mut self, key: Key, now_us: u64) -> Option<u64> {
        let entry = key.entry_of(&mut self.0)?;
        (entry.key == key && now_us < entry.until_us).then_some(entry.until_us)
    }
}

const fn pause_us(doublings: u8) -> u64 {
    PAUSE_US.wrapping_shl(doublings as u32)
}

/// Quiet for so long, a block is as good as new.
const fn quiet_us(doublings: u8) -> u64 {
    pause_us(doublings).saturating_mul(4)
}
