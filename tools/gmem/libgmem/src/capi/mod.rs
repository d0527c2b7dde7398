// SPDX-License-Identifier: MIT OR GPL-2.0
//! The C interface, `<gmem.h>`.
//!
//! Functions return 0 or a negative errno if not said otherwise.

mod hint;
mod memory;
mod npu;
mod openeuler;

pub use hint::*;
pub use memory::*;
pub use npu::*;
pub use openeuler::*;

use crate::{Error, Result};
use std::ffi::c_int;

fn code(result: Result<()>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => -positive(&error),
    }
}

/// An errno that can be negated and means failure.
fn positive(error: &Error) -> c_int {
    match error.errno() {
        errno if errno > 0 => errno,
        _ => libc::EIO,
    }
}
