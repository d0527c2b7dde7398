// SPDX-License-Identifier: GPL-2.0

//! Address spaces: what is mapped where, and who watches it.

pub(crate) mod address_space;
pub(crate) mod addresses;
mod census;
pub(crate) mod context;
pub(crate) mod directory;
pub(crate) mod entry;
pub(crate) mod mapping;
pub(crate) mod replicas;
pub(crate) mod spaces;
pub(crate) mod standalone;
pub(crate) mod thrash;
pub(crate) mod va;
pub(crate) mod walks;
pub(crate) mod watch;
