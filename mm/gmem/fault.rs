// SPDX-License-Identifier: GPL-2.0

//! Faults: of a device, which pages migrate to, and of the CPU, which they return to.

mod cpu_fault;
pub(crate) mod map;
pub(crate) mod migrate;
mod near;
pub(crate) mod part;
pub(crate) mod pingpong;
pub(crate) mod prefetch;
pub(crate) mod readahead;
mod refault;
mod replicate;
pub(crate) mod serve;
pub(crate) mod to_device;
