// SPDX-License-Identifier: GPL-2.0

//! Devices: what a driver registered, and its memory.

pub(crate) mod arrivals;
pub(crate) mod chunk;
pub(crate) mod dead;
pub(crate) mod debugfs;
pub(crate) mod dmem;
pub(crate) mod holds;
mod line;
pub(crate) mod memory;
pub(crate) mod mmu;
pub(crate) mod node;
mod presence;
pub(crate) mod registry;
pub(crate) mod reserve;
pub(crate) mod run;
pub(crate) mod stats;
pub(crate) mod tour;
pub(crate) mod units;
