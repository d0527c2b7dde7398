// SPDX-License-Identifier: GPL-2.0

//! Devices: what a driver registered, and its memory.

pub(crate) mod chunk;
pub(crate) mod debugfs;
pub(crate) mod dmem;
pub(crate) mod memory;
pub(crate) mod mmu;
pub(crate) mod node;
pub(crate) mod registry;
pub(crate) mod reserve;
pub(crate) mod run;
pub(crate) mod stats;
pub(crate) mod units;
