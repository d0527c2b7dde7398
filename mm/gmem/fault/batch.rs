// SPDX-License-Identifier: GPL-2.0

//! The steps that every migration shares: who the source is, copying it, and giving up a page
//! whose copy failed.

use crate::{
    device::scratch::Runs,
    fault::serve::Served,
    reclaim::waiting::Waiting,
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
    /// How it got device memory.
    pub(crate) waiting: Waiting,
    /// The lists of other CPUs were not emptied yet for this request.
    pub(crate) may_drain: bool,
    /// There was device memory for a part of the pages only.
    pub(crate) short: bool,
    /// What the request came to.
    pub(crate) served: Served,
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
                waiting: Waiting::new(),
                may_drain: true,
                short: false,
                served: Served::default(),
            },
            flags,
        )?)
    }
}
