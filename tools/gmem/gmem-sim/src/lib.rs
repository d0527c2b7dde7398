// SPDX-License-Identifier: MIT OR GPL-2.0
//! What would have been moved between a device and the host?
//!
//! A [`Trace`] is the order in which blocks of 64 KiB were used; [`simulate()`]
//! replays it on a device with so much memory under one [`Policy`]: the kernel's
//! own, compiled here from the files of `mm/gmem`, those it is compared with, or
//! [Belady's optimum](Policy::Belady), which knows the future.
//!
//! All data begins on the host.  A use of a block that is not on the device moves
//! it there, and what has to leave for it is written back; each counts with all
//! its bytes.

#[rustfmt::skip]
#[allow(dead_code, unused_imports, reason = "the kernel uses more than the simulator")]
#[path = "../../../../mm/gmem/policy.rs"]
mod policy;
#[rustfmt::skip]
#[allow(dead_code, unused_imports, reason = "the kernel uses more than the simulator")]
#[path = "../../../../mm/gmem/range.rs"]
mod range;

mod baselines;
mod belady;
mod machine;
mod pattern;
mod replacement;
mod run;
#[cfg(test)]
mod tests;
mod trace;

pub use pattern::{Pattern, Random};
pub use run::{simulate, Moved, Policy};
pub use trace::{BadTrace, Event, Record, Trace};

/// Bytes of a block.
pub const BLOCK: u64 = 64 << 10;
