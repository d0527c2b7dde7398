// SPDX-License-Identifier: GPL-2.0

//! What moves the pages of a device.

use crate::device::{
    mmu::Mmu,
    stats::Stats, //
};
use kernel::sync::Arc;

/// What moves pages of a device: its functions and its counters, without its lifetime.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) id: u32,
    pub(crate) mmu: Mmu,
    pub(crate) stats: Arc<Stats>,
}
