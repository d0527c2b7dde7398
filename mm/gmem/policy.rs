// SPDX-License-Identifier: GPL-2.0

//! The policy: what comes to a device, how much of it, where to, and what leaves.
//!
//! Pure code. It takes numbers and gives numbers, knows no page, lock or process, and allocates
//! nothing: its state lies in arrays of the caller. Every function is total, and O(1) amortised,
//! so that the callers may run it under the device memory lock. The host tests and the simulator
//! (`gmem sim`) run these very files.
//!
//! - [`Ranking`]: what leaves. The simulator compares it with others.
//! - [`readahead::Ahead`]: what to bring before it is asked for.
//! - [`pingpong::Bounces`]: which blocks to leave in place because they would only bounce.
//! - [`churn::Churns`]: which blocks stay on the host because they would be evicted at once.
//! - [`fault_size::Fault`]: how much to bring for a fault.
//!
//! # Units
//!
//! Device memory is ranked in *slots* of 64 KiB, as pages of the device counted from 0: slot `n` is
//! pages `16n..16n + 16`. A [`Unit`] is what leaves together: one slot, or a whole chunk of 32
//! slots if one huge folio fills it. The rank of a unit says nothing about its neighbours; that is
//! why a chunk may be filled by 64 KiB blocks of different age, and each of them can leave alone.
//!
//! # How to find a victim
//!
//! ```text
//! let mut search = Search::new(pages that are needed);
//! while no room {
//!     let unit = ranking.candidate(&mut search)?;      // device memory lock
//!     let seen = ask the devices about it;             // without any lock, or under map locks
//!     match ranking.decide(&mut search, unit, seen) {  // device memory lock
//!         Keep => {}
//!         Evict { first, nr } => move these pages home,
//!         Split { first } => take the huge folio apart, then ranking.split(unit),
//!     }
//! }
//! ```
//!
//! What happens in between is of no consequence: a unit that is gone meanwhile is kept. A search
//! ends, because [`Search`] has patience for so many units in use and then takes the next one.
//! A caller that cannot take a folio apart evicts it.

#[path = "policy/churn.rs"]
pub(crate) mod churn;
#[path = "policy/fault_size.rs"]
pub(crate) mod fault_size;
#[path = "policy/ghost.rs"]
pub(crate) mod ghost;
#[path = "policy/lru.rs"]
pub(crate) mod lru;
#[path = "policy/pingpong.rs"]
pub(crate) mod pingpong;
#[path = "policy/ranking.rs"]
pub(crate) mod ranking;
#[path = "policy/readahead.rs"]
pub(crate) mod readahead;
#[path = "policy/replacement.rs"]
mod replacement;
#[path = "policy/unit.rs"]
pub(crate) mod unit;

pub(crate) use {
    ghost::{
        Ghost,
        Key, //
    },
    ranking::{
        Ranking,
        Slot, //
    },
    unit::Unit,
};

/// How many units in use one search passes over before it takes what comes next.
pub(crate) const PATIENCE: u32 = 64;

/// How many of them may be hot ones, which are only looked at to keep them in order.
const HOT_LOOKS: u32 = 8;

/// What the devices say about a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// No device used it since it was asked about the last time (`pmap_age` of all its pages).
    Idle,
    /// A device did. A job that runs is known by what it uses: devices report no more.
    Used,
    /// It must not leave now: pinned, locked, or it just failed to.
    Stuck,
    /// There is nothing in it any more.
    Gone,
}

/// What becomes of a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It stays; look at the next candidate.
    Keep,
    /// These pages leave: the unit, or the whole chunk that it is in, if that is what is needed.
    Evict {
        /// The first page.
        first: usize,
        /// Their number.
        nr: usize,
    },
    /// The huge folio at this page is in use, but it is not known which parts of it: split it,
    /// tell [`Ranking::split`], and go on. What is used will be faulted in again, in place.
    Split {
        /// The first page.
        first: usize,
    },
}

/// One search for room; see the module.
#[derive(Debug)]
pub(crate) struct Search {
    nr: usize,
    patience: u32,
    hot_tests: u32,
    /// Something that came late must not leave now.
    stuck: bool,
    /// No fault waits for the room: what just came is left alone.
    ahead: bool,
    /// All cold units just came.
    cold_is_young: bool,
}

impl Search {
    /// Begins a search for `nr` pages in a row: a chunk if that is more than a slot has.
    pub(crate) const fn new(nr: usize) -> Self {
        Self {
            nr,
            patience: PATIENCE,
            hot_tests: HOT_LOOKS,
            stuck: false,
            ahead: false,
            cold_is_young: false,
        }
    }

    /// Begins a search for room that no fault waits for.
    pub(crate) const fn ahead(nr: usize) -> Self {
        Self {
            ahead: true,
            ..Self::new(nr)
        }
    }

    /// Is a whole chunk needed?
    pub(crate) const fn wants_chunk(&self) -> bool {
        self.nr > unit::SLOT_PAGES
    }

    /// Did it find only what just came?
    pub(crate) const fn met_only_young(&self) -> bool {
        self.cold_is_young
    }

    /// Counts a unit that is in use; `false` when patience is at its end.
    pub(crate) fn pass(&mut self) -> bool {
        let patient = self.patience > 0;
        self.patience = self.patience.saturating_sub(1);
        patient
    }
}
