// SPDX-License-Identifier: GPL-2.0

//! Blocks of an address space that bounce between the CPU and devices.
//!
//! What a side asks for moves there, and when two sides ask in turn the policy says for how long
//! the block should stay on the host, where the CPU uses it as it is and devices reach it remotely.

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
    range::PageRange,
    space::address_space::Space, //
};
use kernel::{
    impl_has_delayed_work,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    time::{
        msecs_to_jiffies,
        Delta,
        Instant,
        Monotonic, //
    },
    workqueue::{
        self,
        WorkItem, //
    }, //
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

impl_has_delayed_work! {
    impl HasDelayedWork<Space> for Space { self.pause }
}

impl WorkItem for Space {
    type Pointer = Arc<Space>;

    fn run(space: Arc<Space>) {
        space.thrash.let_go(&space);
    }
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

    /// Notes that a device reaches `range` remotely until then. Afterwards its entries are taken
    /// away, so that it asks again. The caller does not hold the map lock.
    pub(crate) fn hold(&self, space: &Arc<Space>, range: PageRange, until_us: u64) {
        let mut state = self.state.lock();
        if state.held.iter().any(|held| held.range == range) {
            return;
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
        drop(state);
        if let Some(early) = early {
            space.forget(early.range);
        }
        self.sleep(space, until_us);
    }

    fn sleep(&self, space: &Arc<Space>, until_us: u64) {
        let ms = until_us.saturating_sub(self.now_us()) / 1000 + 1;
        let delay = msecs_to_jiffies(u32::try_from(ms).unwrap_or(u32::MAX));
        // If it waits already it will look at all of them.
        let _ = workqueue::system_long().enqueue_delayed(space.clone(), delay);
    }

    fn let_go(&self, space: &Arc<Space>) {
        loop {
            let now = self.now_us();
            let mut state = self.state.lock();
            let over = state.held.iter().position(|held| held.until_us <= now);
            let Some(index) = over else {
                let next = state.held.iter().map(|held| held.until_us).min();
                drop(state);
                if let Some(next) = next {
                    self.sleep(space, next);
                }
                return;
            };
            let held = state.held.remove(index);
            drop(state);
            if let Ok(held) = held {
                space.forget(held.range);
            }
        }
    }
}
