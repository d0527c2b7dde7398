// SPDX-License-Identifier: GPL-2.0

//! Room on the host for what a device cannot take.

use kernel::{
    mm::device::folio::host_has_room,
    prelude::*,
    sync::lock::GlobalGuard, //
};

kernel::sync::global_lock! {
    // SAFETY: Initialized by `init()` before any other function of GMEM runs.
    pub(crate) unsafe(uninit) static FILLING: Mutex<()> = ();
}

/// The right to fill pages of the host for a device that is full.
///
/// There is one at a time: two that both saw room for their pages would find it for the pages of
/// one of them, and the OOM killer would make it for the other.
pub(crate) struct Room {
    _filling: GlobalGuard<FILLING>,
}

impl Room {
    /// Waits until nobody else fills, and takes the right to fill so many pages.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when the host would be short of memory then.
    pub(crate) fn take(pages: usize) -> Result<Self> {
        let filling = FILLING.lock();
        if !host_has_room(pages) {
            return Err(ENOMEM);
        }
        Ok(Self { _filling: filling })
    }
}
