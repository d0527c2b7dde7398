// SPDX-License-Identifier: GPL-2.0

//! A tour of the chunks of a memory, in search of those that count against a limit.

use crate::{
    device::{
        dmem::{
            Limit,
            Low, //
        },
        holds::{
            self,
            MAX_LOOKS, //
        },
        memory::Memory, //
    },
    prelude::*, //
};

/// Position of a scan over all chunks, which begins where the last one ended.
#[derive(Default)]
pub(crate) struct Tour {
    /// The chunk that was looked at last.
    at: Option<usize>,
    looked: usize,
}

impl Tour {
    /// Goes round once more.
    pub(crate) fn again(&mut self) {
        self.looked = 0;
    }

    /// Returns whether all chunks were looked at.
    pub(crate) fn is_over(&self, memory: &Memory) -> bool {
        self.looked >= memory.nr_chunks()
    }
}

impl Memory {
    /// Returns the first page of the next chunk that counts against a limit, if there is one among
    /// the next `most`, and at how many it looked.
    pub(crate) fn next_of(
        &self,
        limit: &Limit,
        low: &mut Low,
        tour: &mut Tour,
        most: usize,
    ) -> (Option<usize>, usize) {
        let nr = self.nr_chunks();
        let most = nr.saturating_sub(tour.looked).min(most).min(MAX_LOOKS);
        let mut alloc = self.alloc.lock();
        let hand = tour.at.unwrap_or(alloc.hand);
        let mut at = hand;

        let found = (1..=most).find(|i| {
            at = (hand + i).checked_rem(nr).unwrap_or(0);
            let owned = alloc.owned.get(at).and_then(Option::as_ref);
            owned.is_some_and(|owned| owned.may_leave(Some(limit), low))
        });
        let looked = found.unwrap_or(most);
        holds::CHUNKS.note(looked);
        tour.at = Some(at);
        tour.looked += looked;
        alloc.hand = at;
        (found.map(|_| at * PMD_PAGES), looked)
    }
}
