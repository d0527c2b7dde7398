// SPDX-License-Identifier: GPL-2.0

//! What the shim asks about the node of a device's memory.

use crate::device::registry;
use kernel::{
    bindings,
    prelude::*, //
};

/// Tells the shim how many pages the node `nid` has and how many of them are free.
///
/// # Safety
///
/// `total` and `free` may be written.
#[export]
pub(crate) unsafe extern "C" fn gmem_node_usage(nid: c_int, total: *mut usize, free: *mut usize) {
    if let Some(usage) = registry::usage(nid) {
        // SAFETY: By the safety requirements.
        unsafe { (*total, *free) = usage };
    }
}

/// Tells the shim the counters of the device whose memory is the node `nid`.
///
/// # Safety
///
/// `stats` may be written.
#[export]
pub(crate) unsafe extern "C" fn gmem_node_stats(nid: c_int, stats: *mut bindings::gm_dev_stats) {
    if let Some(counters) = registry::counters(nid) {
        // SAFETY: By the safety requirements.
        unsafe { *stats = counters.report() };
    }
}
