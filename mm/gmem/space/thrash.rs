// SPDX-License-Identifier: GPL-2.0

//! What of an address space bounces between the CPU and devices, and what has to stay for that.

use crate::{
    policy::{
        pingpong::{
            Bounce,
            Bounces,
            Side, //
        },
        unit::SLOT_PAGES,
        Key, //
    },
    prelude::*, //
};
use kernel::time::{
    Instant,
    Monotonic, //
};

/// Blocks that are known at a time: 8 KiB.
const ENTRIES: usize = 256;

/// The host's side.
pub(crate) const HOST: Side = 0;

/// Blocks that are held at home at a time, at most; for one more another one is let go early.
const MAX_HELD: usize = 64;

/// A turn of a side: from when it asked for pages.
pub(crate) struct Turn {
    side: Side,
    asked: Instant<Monotonic>,
}

impl Turn {
    /// The side asks now.
    pub(crate) fn begin(side: Side) -> Self {
        Self {
            side,
            asked: Instant::now(),
        }
    }
}

/// A range that devices reach remotely, until when.
struct Held {
    range: PageRange,
    until_us: u64,
}

struct State {
    bounces: Bounces<KVec<Bounce>>,
    held: KVec<Held>,
}

/// What moved lately, and what has to stay.
#[pin_data]
pub(crate) struct Thrash {
    start: Instant<Monotonic>,
    #[pin]
    state: Mutex<State>,
}

/// The blocks of `range`: itself if it is one of 2 MiB, else those of 64 KiB.
fn keys(range: PageRange) -> impl Iterator<Item = Key> {
    let step = if range.is_block() {
        range.count()
    } else {
        SLOT_PAGES as u64
    };
    let first = range.first() / step;

    (first..range.end().div_ceil(step)).map(move |i| Key::new(step, i * step))
}

fn us(time: Delta) -> u64 {
    time.as_nanos() as u64 / 1000
}

/// What became of a range that is to stay.
pub(crate) enum Hold {
    /// It stays already.
    Known,
    /// It stays from now on.
    New,
    /// As `New`, but this one does not any more.
    Instead(PageRange),
}

impl Thrash {
    /// Nothing moved yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<impl PinInit<Self>> {
        let state = State {
            bounces: Bounces::new(KVec::from_elem(Bounce::default(), ENTRIES, GFP_KERNEL)?),
            held: KVec::with_capacity(MAX_HELD, GFP_KERNEL)?,
        };
        Ok(pin_init!(Self {
            start: Instant::now(),
            state <- new_mutex!(state, "gmem_thrash"),
        }))
    }

    fn now_us(&self) -> u64 {
        // The clock of the policy begins at 1: 0 is never.
        us(self.start.elapsed()).wrapping_add(1)
    }

    /// Notes that pages of `range` moved to the side whose turn it was.
    pub(crate) fn moved(&self, range: PageRange, turn: &Turn) {
        let now = self.now_us();
        let asked = now.saturating_sub(us(turn.asked.elapsed()));
        let mut state = self.state.lock();
        for key in keys(range) {
            state.bounces.moved(key, turn.side, asked, now);
        }
    }

    /// Returns until when a part of `range` should stay on the host, if it should.
    pub(crate) fn stays(&self, range: PageRange) -> Option<u64> {
        let now = self.now_us();
        let mut state = self.state.lock();

        keys(range).find_map(|key| state.bounces.stays_until(key, now))
    }

    /// Notes that `range` was evicted as soon as it came, too often. Returns until when it should
    /// stay on the host.
    pub(crate) fn pushed_out(&self, range: PageRange) -> u64 {
        let now = self.now_us();
        let mut state = self.state.lock();

        keys(range).fold(now, |until, key| {
            until.max(state.bounces.pushed_out(key, now))
        })
    }

    /// Notes that devices reach `range` remotely until then.
    pub(crate) fn hold(&self, range: PageRange, until_us: u64) -> Hold {
        let mut state = self.state.lock();
        if state.held.iter().any(|held| held.range == range) {
            return Hold::Known;
        }
        let mut early = None;
        if state.held.len() >= MAX_HELD {
            let ends = state.held.iter().enumerate();
            let first = ends.min_by_key(|(_, held)| held.until_us);
            let first = first.map_or(0, |(index, _)| index);
            early = state.held.remove(first).ok();
        }
        let full = state.held.push_within_capacity(Held { range, until_us });
        debug_assert!(full.is_ok());
        early.map_or(Hold::New, |early| Hold::Instead(early.range))
    }

    /// Returns how many milliseconds it is to that time.
    pub(crate) fn ms_to(&self, time_us: u64) -> u32 {
        let ms = time_us.saturating_sub(self.now_us()) / 1000 + 1;
        u32::try_from(ms).unwrap_or(u32::MAX)
    }

    /// Takes out a range whose time is over.
    ///
    /// # Errors
    ///
    /// When there is none: when the next one is over, if any is held.
    pub(crate) fn next_over(&self) -> Result<PageRange, Option<u64>> {
        let now = self.now_us();
        let mut state = self.state.lock();
        let over = state.held.iter().position(|held| held.until_us <= now);
        over.and_then(|index| state.held.remove(index).ok())
            .map(|held| held.range)
            .ok_or_else(|| state.held.iter().map(|held| held.until_us).min())
    }
}
