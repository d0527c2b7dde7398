// SPDX-License-Identifier: GPL-2.0

//! Scratch memory of device faults, which a context keeps.

use crate::{
    device::scratch::Runs,
    sys::MapRun, //
};
use kernel::{
    alloc::Flags,
    mm::device::{
        hmm::PagePfn,
        migrate::Arrays,
        PMD_PAGES, //
    },
    prelude::*, //
};

/// Scratch memory for one block. Allocated in base pages: no order above 0 is needed, and no OOM
/// kill for it.
pub(crate) struct Batch {
    pub(crate) arrays: Arrays,
    pub(crate) pfns: KVVec<PagePfn>,
    pub(crate) maps: KVVec<MapRun>,
    pub(crate) runs: Runs,
}

impl Batch {
    /// Makes scratch memory.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(flags: Flags) -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self {
                arrays: Arrays::new(PMD_PAGES, flags)?,
                pfns: KVVec::from_elem(PagePfn::PEEK, PMD_PAGES, flags)?,
                maps: KVVec::with_capacity(PMD_PAGES, flags)?,
                runs: Runs::new(PMD_PAGES, flags)?,
            },
            flags,
        )?)
    }
}
