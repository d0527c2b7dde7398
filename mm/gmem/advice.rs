// SPDX-License-Identifier: GPL-2.0

//! Advice: what programs said about their memory, and what follows at once.

pub(crate) mod attributes;
pub(crate) mod attributes_tree;
pub(crate) mod pin;
mod ranges;
