// SPDX-License-Identifier: GPL-2.0

//! Scratch memory of a migration.

use crate::{
    alloc::Flags,
    bindings,
    prelude::*, //
};
use core::ptr::null_mut;

/// Scratch memory of a migration, one element a page. Allocated in base pages: no order above 0
/// is needed, and no OOM kill for it.
pub struct Arrays {
    /// The sources of all pages, then the destinations.
    both: KVVec<usize>,
    /// What [`Migration::from_pagemap`](super::Migration::from_pagemap) holds until the pages are
    /// mapped again.
    held: KVVec<*mut bindings::anon_vma>,
}

// SAFETY: The pointers mean something only while a `Migration` borrows the arrays.
unsafe impl Send for Arrays {}

impl Arrays {
    /// Makes arrays for up to `pages` pages of a VMA.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(pages: usize, flags: Flags) -> Result<Self> {
        let both = KVVec::from_elem(0, pages.checked_mul(2).ok_or(ENOMEM)?, flags)?;

        Ok(Self {
            both,
            held: KVVec::new(),
        })
    }

    /// Makes arrays for up to `pages` pages of a VMA or a pagemap.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn for_pagemap(pages: usize) -> Result<Self> {
        Ok(Self {
            held: KVVec::from_elem(null_mut(), pages, GFP_KERNEL)?,
            ..Self::new(pages, GFP_KERNEL)?
        })
    }

    /// Returns the first `nr` elements of sources and destinations.
    pub(super) fn split(&mut self, nr: usize) -> Option<(&mut [usize], &mut [usize])> {
        halves(&mut self.both, nr)
    }

    /// Returns the first `nr` elements of sources, destinations and held anon_vmas.
    pub(super) fn split_held(
        &mut self,
        nr: usize,
    ) -> Option<(&mut [usize], &mut [usize], &mut [*mut bindings::anon_vma])> {
        let (src, dst) = halves(&mut self.both, nr)?;

        Some((src, dst, self.held.get_mut(..nr)?))
    }
}

/// Returns the first `nr` elements of both halves.
fn halves(both: &mut [usize], nr: usize) -> Option<(&mut [usize], &mut [usize])> {
    let (src, dst) = both.split_at_mut_checked(both.len() / 2)?;

    Some((src.get_mut(..nr)?, dst.get_mut(..nr)?))
}
