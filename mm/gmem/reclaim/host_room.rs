// SPDX-License-Identifier: GPL-2.0

//! Room on the host for what a device cannot take.

use crate::{
    migrate::host_folio::host_has_room,
    prelude::*, //
};
use kernel::sync::lock::GlobalGuard;

kernel::sync::global_lock! {
    // SAFETY: Initialized by `init()` before any other function of GMEM runs.
    pub(crate) unsafe(uninit) static FILLING: Mutex<()> = ();
}

/// Free pages of the host above which faults do not take turns.
const PLENTY: usize = 64 * PMD_PAGES;

/// The right to fill pages of the host for a device that is full.
///
/// Below [`PLENTY`] one fault fills pages at a time: two that both saw room could allocate more
/// than there is, and start the OOM killer.
pub(crate) struct Room {
    _filling: Option<GlobalGuard<FILLING>>,
}

impl Room {
    /// Takes the right to fill so many pages; may wait until another fault filled its pages.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when the host would be short of memory then.
    pub(crate) fn take(pages: usize) -> Result<Self> {
        if host_has_room(pages.saturating_add(PLENTY)) {
            return Ok(Self { _filling: None });
        }
        let filling = FILLING.lock();
        if !host_has_room(pages) {
            return Err(ENOMEM);
        }
        Ok(Self {
            _filling: Some(filling),
        })
    }
}
