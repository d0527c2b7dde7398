// SPDX-License-Identifier: MIT OR GPL-2.0
//! One pointer for the CPU and every accelerator.
//!
//! A [`Buffer`] is memory that the CPU and all attached devices use through the
//! same address; the kernel moves the bytes to whoever touches them.  An
//! [`Npu`] is one sample accelerator, a [`Job`] a batch of commands for it.
//!
//! ```no_run
//! use gmem::{Buffer, Job, Npu};
//!
//! # fn main() -> Result<(), gmem::Error> {
//! let npu = Npu::open(0)?;
//! let mut buffer = Buffer::new(1 << 20)?;
//! npu.run(Job::new().fill(&mut buffer[..], 42)?)?;
//! assert!(buffer.iter().all(|&byte| byte == 42));
//! # Ok(())
//! # }
//! ```
//!
//! On a kernel without GMEM, [`available()`] is `false`, there is no [`Npu`] to
//! open, and a [`Buffer`] is plain memory.
//!
//! # Soundness
//!
//! A device writes to memory behind the compiler's back.  Safe code can let it
//! do so only while Rust's borrow of that memory is held:
//!
//! - [`Npu::run()`] returns after the job has ended;
//! - [`scope()`] does not return before the jobs submitted in it have ended;
//! - [`Npu::spawn()`] takes the memory by value and gives it back with the
//!   result; if the handle is leaked, so is the memory.
//!
//! Everything else goes through [`Npu::submit_raw()`], which is `unsafe`.

mod buffer;
pub mod capi;
mod error;
mod executor;
mod file;
mod heap;
mod hint;
mod job;
mod node;
mod npu;
mod operand;
mod pending;
mod scope;
mod spawn;
mod stats;
pub mod sys;

pub use buffer::Buffer;
pub use error::{Error, JobError, Result};
pub use executor::block_on;
pub use file::FileMap;
pub use heap::{Gmem, Heap};
pub use hint::{advise, attributes, attributes_at, attributes_of, Attributes, Hint};
pub use job::{Gemm, Job};
pub use node::{available, free_eager, prefetch, probe, Node};
pub use npu::{list, Npu, NpuInfo};
pub use operand::{Dst, Pod, Src};
pub use scope::{scope, Scope, ScopedJob};
pub use spawn::Spawned;
pub use stats::vmstat;
