// SPDX-License-Identifier: GPL-2.0

//! Faults: of a device, which pages migrate to, and of the CPU, which they return to.

pub(crate) mod batch;
pub(crate) mod counts;
pub(crate) mod home;
pub(crate) mod map;
pub(crate) mod migrate;
mod near;
pub(crate) mod pingpong;
pub(crate) mod readahead;
pub(crate) mod serve;
pub(crate) mod take_home;
pub(crate) mod to_device;
pub(crate) mod to_host;
