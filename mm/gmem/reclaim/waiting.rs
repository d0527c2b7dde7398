// SPDX-License-Identifier: GPL-2.0

//! How a fault gets its room, and how much it may do for that before it lets go of its locks.
//!
//! A fault holds the mmap_lock of its process while it evicts by itself, and others wait for that.
//! So it looks at a few candidates, evicts a few pages and waits a little; then it says that it has
//! to pause, is tried again with locks taken anew, and goes on where it was.

use crate::{
    device::{
        holds::{
            self,
            MAX_LOOKS,
            MAX_PAGES,
            MAX_WAIT_MS, //
        },
        memory::Memory,
        worker::Worker, //
    },
    policy::unit::SLOT_PAGES,
    prelude::*,
    reclaim::victim::Quest, //
};
use kernel::time::{
    msecs_to_jiffies,
    Jiffies, //
};

/// So often a fault may let go of its locks for one block, whatever the size of the memory.
const MIN_PAUSES: usize = 128;

/// So often at most it looks at each unit of the memory.
const SEARCHES: usize = 12;

/// How a fault gets its room.
#[derive(Default)]
pub(crate) struct Waiting {
    /// There was none at once.
    pub(crate) waited: bool,
    /// What it was about to evict when it had to pause.
    pub(crate) quest: Option<Quest>,
    /// There is no whole chunk for the block.
    pub(crate) no_chunk: bool,
    /// It holds locks that others wait for.
    bounded: bool,
    /// So long it may still wait for the worker.
    left: Jiffies,
    looked: usize,
    moved: usize,
    must_pause: bool,
    pauses: usize,
}

impl Waiting {
    /// It did nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            bounded: true,
            left: msecs_to_jiffies(MAX_WAIT_MS),
            ..Self::default()
        }
    }

    /// As [`Self::new`], for who holds no lock that others wait for.
    pub(crate) fn unbounded() -> Self {
        Self {
            bounded: false,
            ..Self::new()
        }
    }

    /// It is for another block now.
    pub(crate) fn begin(&mut self) {
        self.quest = None;
        self.no_chunk = false;
        self.must_pause = false;
        self.pauses = 0;
        self.renew();
    }

    /// Resets the bounds after the locks were dropped and retaken; the bound of the wait only if
    /// another task made that necessary.
    pub(crate) fn renew(&mut self) {
        // Who pauses waited enough.
        if !self.must_pause {
            self.left = msecs_to_jiffies(MAX_WAIT_MS);
        }
        self.looked = 0;
        self.moved = 0;
        self.must_pause = false;
    }

    /// Returns whether it has to let go of its locks to go on.
    pub(crate) fn must_pause(&self) -> bool {
        self.must_pause
    }

    /// As [`Self::must_pause`], and counts that it does. It ends: each time a part of
    /// `memory` was looked at or evicted, and who finds the room taken by others so often does
    /// without.
    pub(crate) fn pauses(&mut self, memory: &Memory) -> bool {
        let most = MIN_PAUSES + memory.pages() / SLOT_PAGES * SEARCHES / MAX_LOOKS;
        if self.must_pause && self.pauses < most {
            self.pauses += 1;
            return true;
        }
        false
    }

    /// Waits for the worker as long as it still may. Returns whether that freed something.
    pub(crate) fn wait(&mut self, worker: &Worker) -> bool {
        let (freed, left) = worker.wait(self.left);
        let all = msecs_to_jiffies(MAX_WAIT_MS).max(1);
        let waited = all.saturating_sub(left);

        self.left = left;
        holds::WAIT_MS.note(waited * MAX_WAIT_MS as usize / all);
        freed
    }

    /// It looks at so many candidates.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when it has to pause.
    pub(crate) fn look(&mut self, nr: usize) -> Result {
        if self.bounded {
            self.must_pause |= !count(&mut self.looked, nr, MAX_LOOKS);
            holds::CANDIDATES.note(self.looked);
        }
        self.go_on()
    }

    /// It moves so many pages, at most a block.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when it has to pause.
    pub(crate) fn move_pages(&mut self, nr: usize) -> Result {
        if self.bounded {
            self.must_pause |= !count(&mut self.moved, nr, MAX_PAGES);
            holds::PAGES.note(self.moved);
        }
        self.go_on()
    }

    /// Returns at how many candidates it may look, besides `others`.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when it has to pause.
    pub(crate) fn may_look(&mut self, others: usize) -> Result<usize> {
        if !self.bounded {
            return Ok(MAX_LOOKS);
        }
        let most = MAX_LOOKS.saturating_sub(self.looked.saturating_add(others));
        self.must_pause |= most == 0;
        self.go_on()?;
        Ok(most)
    }

    /// It looked at so many, as [`Self::may_look`] said.
    pub(crate) fn has_looked(&mut self, nr: usize) {
        if self.bounded {
            self.looked = self.looked.saturating_add(nr);
            holds::CANDIDATES.note(self.looked);
        }
    }

    fn go_on(&self) -> Result {
        if self.must_pause {
            Err(EAGAIN)
        } else {
            Ok(())
        }
    }
}

/// Adds to what was done; returns `false` if that would be too much.
fn count(done: &mut usize, nr: usize, most: usize) -> bool {
    let sum = done.saturating_add(nr);
    if sum > most {
        return false;
    }
    *done = sum;
    true
}
