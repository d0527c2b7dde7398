// SPDX-License-Identifier: GPL-2.0

//! Reclaim: room on a device that is full.

pub(crate) mod age;
pub(crate) mod evict;
pub(crate) mod host_room;
pub(crate) mod reserve;
pub(crate) mod to_peer;
pub(crate) mod victim;
pub(crate) mod waiting;
pub(crate) mod worker;
