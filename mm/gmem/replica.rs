// SPDX-License-Identifier: GPL-2.0

//! Replicas: read-only copies on devices of pages that the host holds.

pub(crate) mod replicas;
pub(crate) mod source;
