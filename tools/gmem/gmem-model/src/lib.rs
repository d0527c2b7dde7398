// SPDX-License-Identifier: MIT OR GPL-2.0
//! The coherence protocol of `mm/gmem` as a model, checked state by state.
//!
//! One block of two pages, two devices with room for two pages each, a process and the child that
//! it forks. Each step of an operation is what the kernel does at once: under one lock, or in one
//! access. [`thread::At::kernel`] names the function that it stands for. All operations may begin
//! again and again, so that the states are finite only because nothing counts: instead of bytes,
//! each page frame knows for which pages of which processes it has what was written last, and
//! instead of a sequence number a reader knows whether that has changed.
#![allow(missing_docs, reason = "the steps are named after what they do")]

pub mod at;
pub mod cpu_fault;
pub mod device_fault;
pub mod entry;
pub mod invariant;
pub mod merge;
pub mod migration;
pub mod mistake;
pub mod model;
pub mod names;
pub mod pack;
pub mod process;
pub mod reclaim;
pub mod replica;
pub mod run;
pub mod settle;
pub mod state;
pub mod thread;
pub mod wait;
