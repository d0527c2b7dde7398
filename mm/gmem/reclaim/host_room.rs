// SPDX-License-Identifier: GPL-2.0

//! Room on the host for what a device cannot take.

use kernel::{
    mm::device::{
        folio::host_has_room,
        PMD_PAGES, //
    },
    prelude::*,
    sync::lock::GlobalGuard, //
};

kernel::sync::global_lock! {
    // SAFETY: Initialized by `init()` before any other function of GMEM runs.
    pub(crate) unsafe(uninit) static FILLING: Mutex<()> = ();
}

/// Where so many pages are left nobody waits: there is room for many who fill at a time.
const PLENTY: usize = 64 * PMD_PAGES;

/// The right to fill pages of the host for a device that is full.
///
/// Where the host is almost full, too, there is one at a time: two that both saw room for their
/// pages would find it for the pages of one of them, and the OOM killer would make it for the
/// other.
pub(crate) struct Room {
    _filling: Option<GlobalGuard<FILLING>>,
}

impl Room {
    /// Takes the right to fill so many pages; may wait until somebody else filled his.
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
