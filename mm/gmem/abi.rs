// SPDX-License-Identifier: GPL-2.0

//! The C interface: what drivers, the core and system calls enter GMEM by.

pub(crate) mod address_space;
pub(crate) mod dead;
pub(crate) mod debugfs;
pub(crate) mod device;
pub(crate) mod hmadvise;
pub(crate) mod hooks;
pub(crate) mod node;
mod presence;
