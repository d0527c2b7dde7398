// SPDX-License-Identifier: GPL-2.0

//! Keeping some device memory free.
//!
//! Once a device was full, a worker evicts below the low watermark until the high watermark is
//! free, so that faults find room. A fault that finds none while the worker runs waits for what
//! it frees next; it evicts by itself only if no worker runs, or after a timeout.
//!
//! A device that was never full keeps what it has: a working set that just fits stays.
//!
//! What just came is about to be used, and stays, and what is on its way has to. If nothing else is
//! left the worker rests until a fault asks for room; only if none does for a while it evicts
//! those, too.

use crate::{
    device::memory::Memory,
    policy::unit::SLOT_PAGES,
    reclaim::{
        evict,
        victim::Hunt,
        waiting::Waiting, //
    }, //
};
use kernel::{
    impl_has_work,
    mm::device::PMD_PAGES,
    new_condvar,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        CondVar,
        CondVarTimeoutResult,
        Mutex, //
    },
    time::msecs_to_jiffies,
    workqueue::{
        self,
        WorkItem, //
    }, //
};

/// Time without a request after which what came last may be evicted, in milliseconds; long beside
/// the time of a refault.
const QUIET_MS: u32 = 500;

/// So many evictions in a row may come to nothing.
const MAX_FAILURES: usize = 16;

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

impl_has_work! {
    impl HasWork<Memory> for Memory { self.work }
}

impl WorkItem for Memory {
    type Pointer = Arc<Memory>;

    fn run(memory: Arc<Memory>) {
        let worker = memory.worker.clone();
        worker.work(&memory);
        // Who takes the memory away waits for the worker, and is to be the last who has it.
        drop(memory);
        worker.ended();
    }
}

/// How much is to be free.
struct Mark {
    /// In whole chunks.
    whole: bool,
    pages: usize,
}

impl Mark {
    fn pages(memory: &Memory) -> Self {
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

    /// Waits until the worker freed something. Returns whether it did.
    pub(crate) fn wait(&self, waiting: &mut Waiting) -> bool {
        let mut state = self.state.lock();
        let freed = state.freed;
        if state.active && !state.resting && waiting.left() > 0 {
            let left = waiting.left();
            // Whatever ended the wait, the caller goes on by itself.
            waiting.set_left(
                match self.news.wait_interruptible_timeout(&mut state, left) {
                    CondVarTimeoutResult::Woken { jiffies }
                    | CondVarTimeoutResult::Signal { jiffies } => jiffies,
                    CondVarTimeoutResult::Timeout => 0,
                },
            );
        }
        state.freed != freed
    }

    fn work(&self, memory: &Arc<Memory>) {
        while !self.make_room(memory, || self.low(memory).twice()) {
            if self.is_asked() {
                continue;
            }
            // A whole chunk might be in use in parts.
            memory.rest();
            self.make_room(memory, || Mark::pages(memory));
            break;
        }
    }

    fn ended(&self) {
        let mut state = self.state.lock();
        state.active = false;
        self.news.notify_all();
    }

    /// Evicts until there is enough free. Returns `false` if there is not, and what is left just
    /// came or is on its way: it may leave later.
    fn make_room(&self, memory: &Memory, mark: impl Fn() -> Mark) -> bool {
        let mut failures = 0;
        let mut hunt = Hunt::ahead(1);
        // It holds no lock that others wait for.
        let mut waiting = Waiting::unbounded();
        loop {
            let mark = mark();
            let free = memory.free(mark.whole);
            if free >= mark.pages || self.state.lock().closed {
                return true;
            }
            if failures > MAX_FAILURES {
                return false;
            }
            if failures == 0 {
                hunt = Hunt::ahead(if mark.whole { PMD_PAGES } else { 1 });
            }
            match evict::one(memory, None, &mut hunt, &mut waiting) {
                // It knows now what to leave alone.
                Ok(0) => failures += 1,
                Ok(_) => {
                    failures = 0;
                    self.state.lock().freed += 1;
                    self.news.notify_all();
                }
                // No host memory, or nothing that may leave.
                Err(_) => return !hunt.met_only_young(),
            }
        }
    }

    /// Rests until a fault asks for room, and returns whether one did.
    fn is_asked(&self) -> bool {
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
