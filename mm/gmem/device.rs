// SPDX-License-Identifier: GPL-2.0

//! Devices: what a driver registered, and its memory.

mod alloc;
mod arrivals;
pub(crate) mod chunk;
mod churn;
pub(crate) mod dmem;
pub(crate) mod gate;
pub(crate) mod holds;
pub(crate) mod memory;
pub(crate) mod mmu;
pub(crate) mod node;
pub(crate) mod pools;
mod rank;
pub(crate) mod registry;
pub(crate) mod reserve;
pub(crate) mod run;
pub(crate) mod scratch;
pub(crate) mod stats;
mod take;
pub(crate) mod tour;
pub(crate) mod units;
pub(crate) mod worker;
