// SPDX-License-Identifier: GPL-2.0

//! Migration: the bytes of pages move, and what moved is counted.

pub(crate) mod counts;
pub(crate) mod home;
pub(crate) mod host_folio;
pub(crate) mod pieces;
pub(crate) mod take_home;
pub(crate) mod to_host;
