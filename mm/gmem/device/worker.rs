// SPDX-License-Identifier: GPL-2.0

//! The worker that keeps some of a memory free: when it runs, and who waits for it.
//!
//! What it does is in [`crate::reclaim::worker`].

use crate::{
    device::memory::Memory,
    policy::unit::SLOT_PAGES,
    prelude::*, //
};
use kernel::{
    sync::CondVarTimeoutResult,
    time::{
        msecs_to_jiffies,
        Jiffies, //
    },
    workqueue, //
};

/// Time without a request after which what came last may be evicted, in milliseconds; long beside
/// the time of a refault.
const QUIET_MS: u32 = 500;

/// The fraction of the memory that is the low mark; the high mark is twice that. What is kept
/// free holds no data, so it is no more than faults take while the worker runs.
const LOW_PART: usize = 512;

/// The least low mark.
const MIN_PAGES: usize = 2 * SLOT_PAGES;

/// So many free chunks are more than the worker and faults make.
const MANY_CHUNKS: usize = 4;

/// With fewer chunks no whole chunk is kept free.
const MIN_CHUNKS: usize = 8;

#[derive(Default)]
struct State {
    /// The worker is queued or runs.
    active: bool,
    /// It found nothing that may be evicted, and waits for a request.
    resting: bool,
    /// The memory is about to leave.
    closed: bool,
    /// How often the worker freed something.
    freed: u64,
}

/// The worker's part of a memory.
#[pin_data]
pub(crate) struct Worker {
    #[pin]
    state: Mutex<State>,
    /// The worker freed something, rests, or ended; or has to go on.
    #[pin]
    news: CondVar,
    /// The memory was full.
    full: Atomic<bool>,
    /// Whole chunks were asked for last.
    chunks: Atomic<bool>,
}

/// How much is to be free.
pub(crate) struct Mark {
    /// In whole chunks.
    pub(crate) whole: bool,
    pub(crate) pages: usize,
}

impl Mark {
    /// The low mark, in pages.
    pub(crate) fn pages(memory: &Memory) -> Self {
        Self {
            whole: false,
            pages: (memory.pages() / LOW_PART).max(MIN_PAGES),
        }
    }

    fn chunks(memory: &Memory) -> Self {
        Self {
            whole: true,
            pages: (memory.pages() / LOW_PART).next_multiple_of(PMD_PAGES),
        }
    }

    fn twice(self) -> Self {
        Self {
            pages: 2 * self.pages,
            ..self
        }
    }
}

impl Worker {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_mutex!(State::default(), "gmem_worker"),
            news <- new_condvar!("gmem_worker_news"),
            full: Atomic::new(false),
            chunks: Atomic::new(false),
        })
    }

    /// Below this the worker starts.
    fn low(&self, memory: &Memory) -> Mark {
        if self.chunks.load(Relaxed) && memory.nr_chunks() >= MIN_CHUNKS {
            Mark::chunks(memory)
        } else {
            Mark::pages(memory)
        }
    }

    /// Notes that `nr` pages were asked for, and whether there was room. Starts the worker if there
    /// is too little left.
    pub(crate) fn asked(&self, memory: &Arc<Memory>, nr: usize, had_room: bool) {
        self.chunks.store(nr == PMD_PAGES, Relaxed);
        if !had_room {
            self.full.store(true, Relaxed);
        } else if !self.full.load(Relaxed) {
            return;
        }
        let low = self.low(memory);
        let free = memory.free(low.whole);
        if had_room && free >= low.pages {
            // A process gave a lot back, more than one eviction frees.
            let lot = (8 * low.pages).max(MANY_CHUNKS * PMD_PAGES);
            self.full.store(free < lot, Relaxed);
            return;
        }
        let mut state = self.state.lock();
        if state.resting {
            state.resting = false;
            self.news.notify_all();
        } else if !state.active && !state.closed {
            state.active = workqueue::system_long().enqueue(memory.clone()).is_ok();
        }
    }

    /// Returns whether others have to leave for what comes.
    pub(crate) fn is_scarce(&self) -> bool {
        self.full.load(Relaxed)
    }

    /// Waits until the worker freed something, as long as `left`. Returns whether it did, and how
    /// much is left.
    pub(crate) fn wait(&self, mut left: Jiffies) -> (bool, Jiffies) {
        let mut state = self.state.lock();
        let freed = state.freed;
        if state.active && !state.resting && left > 0 {
            // Whatever ended the wait, the caller goes on by itself.
            left = match self.news.wait_interruptible_timeout(&mut state, left) {
                CondVarTimeoutResult::Woken { jiffies }
                | CondVarTimeoutResult::Signal { jiffies } => jiffies,
                CondVarTimeoutResult::Timeout => 0,
            };
        }
        (state.freed != freed, left)
    }

    /// Notes that the worker freed something.
    pub(crate) fn has_freed(&self) {
        self.state.lock().freed += 1;
        self.news.notify_all();
    }

    /// Returns whether the memory is about to leave.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Returns how much is to be free when the worker is done.
    pub(crate) fn high(&self, memory: &Memory) -> Mark {
        self.low(memory).twice()
    }

    /// The worker ended.
    pub(crate) fn ended(&self) {
        let mut state = self.state.lock();
        state.active = false;
        self.news.notify_all();
    }

    /// Rests until a fault asks for room, and returns whether one did.
    pub(crate) fn is_asked(&self) -> bool {
        let mut state = self.state.lock();
        if state.closed {
            return false;
        }
        state.resting = true;
        self.news.notify_all();
        // Nothing but the time and those who ask ends the wait.
        let _ = self
            .news
            .wait_interruptible_timeout(&mut state, msecs_to_jiffies(QUIET_MS));
        !core::mem::replace(&mut state.resting, false)
    }

    /// Ends the worker, until [`Self::open`].
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.resting = false;
        self.news.notify_all();
        while state.active {
            self.news.wait(&mut state);
        }
    }

    /// Lets the worker work again.
    pub(crate) fn open(&self) {
        self.state.lock().closed = false;
    }
}
