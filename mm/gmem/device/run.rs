// SPDX-License-Identifier: GPL-2.0

//! Pages that were taken from a device's memory, on their way to hold something.

use crate::{
    device::{
        chunk::Taking,
        memory::Memory, //
    },
    prelude::*, //
};

/// Pages that were taken for a migration and are not folios yet.
///
/// Dropping it gives back what [`Run::folio`] did not turn into folios.
///
/// # Invariants
///
/// Pages `taken..nr` of the run were free and not held when they were taken from the chunk, they
/// are in use there since, and have no other owner.
pub(crate) struct Run {
    memory: Arc<Memory>,
    first: usize,
    nr: usize,
    /// Single pages are taken in ascending order.
    taken: usize,
    /// The pages hold copies, so that eviction has to ask for them.
    copies: bool,
}

impl Run {
    /// Takes pages of one chunk which the caller, who keeps others from taking any, found free and
    /// not held.
    pub(super) fn take(memory: &Arc<Memory>, taking: &mut Taking, first: usize, nr: usize) -> Self {
        let (chunk, page) = (first / PMD_PAGES, first % PMD_PAGES);

        memory.chunks().take(taking, chunk, page, nr);
        // INVARIANT: In use from now on.
        Self {
            memory: memory.clone(),
            first,
            nr,
            taken: 0,
            copies: false,
        }
    }

    /// Returns the number of pages.
    pub(crate) fn len(&self) -> usize {
        self.nr
    }

    /// Returns the first page.
    pub(crate) fn first(&self) -> usize {
        self.first
    }

    /// Returns whether the run is in `memory`.
    pub(crate) fn is_of(&self, memory: &Memory) -> bool {
        core::ptr::eq(&*self.memory, memory)
    }

    /// Returns whether the run has some of the pages of `memory`.
    pub(crate) fn has_some(&self, memory: &Memory, pages: &Range<usize>) -> bool {
        self.is_of(memory) && self.first < pages.end && self.first + self.nr > pages.start
    }

    /// Says that the pages do not become folios but hold copies as long as the run lives.
    pub(crate) fn is_for_copy(&mut self) {
        if !self.copies {
            self.copies = true;
            self.memory.chunks().count_copies(self.first, 1);
        }
    }

    /// Turns the whole run, which must be one chunk, into one huge folio.
    pub(crate) fn huge_folio(&mut self) -> Option<LockedFolio> {
        if self.taken != 0 || self.nr != PMD_PAGES {
            return None;
        }
        // SAFETY: By the type invariants. What is a folio from now on is not ours any more.
        let folio = unsafe { self.memory.map.folio(self.first, PMD_ORDER) }?;
        self.taken = self.nr;
        Some(folio)
    }

    /// Turns page `i` of the run into a folio; pages before it that were skipped are given back.
    pub(crate) fn folio(&mut self, i: usize) -> Option<LockedFolio> {
        if i < self.taken || i >= self.nr {
            return None;
        }
        // SAFETY: As in `huge_folio`.
        let folio = unsafe { self.memory.map.folio(self.first + i, 0) }?;
        self.give_back(self.taken, i);
        self.taken = i + 1;
        Some(folio)
    }

    fn give_back(&self, from: usize, to: usize) {
        if from < to {
            self.memory.chunks().put(self.first + from, to - from);
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.copies {
            self.memory.chunks().count_copies(self.first, -1);
        }
        self.give_back(self.taken, self.nr);
    }
}
