// SPDX-License-Identifier: GPL-2.0

//! The module's parameters.

use crate::hardware::MAX_VA_BITS;
use kernel::prelude::*;

/// The parameters, which all NPUs share.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) mem_mib: u32,
    pub(crate) va_bits: u32,
    pub(crate) replayable: bool,
    pub(crate) bandwidth: u32,
    pub(crate) latency_us: u32,
    pub(crate) max_jobs: u32,
    pub(crate) max_cmds: u32,
}

impl Config {
    /// Checks the parameters, and says what is wrong.
    pub(crate) fn check(&self) -> Result {
        if self.mem_mib == 0 || self.mem_mib % 2 != 0 {
            pr_err!("mem_mib is {}, not an even number\n", self.mem_mib);
            return Err(EINVAL);
        }
        if !(32..=MAX_VA_BITS).contains(&self.va_bits) {
            pr_err!("va_bits is {}, not 32 to {}\n", self.va_bits, MAX_VA_BITS);
            return Err(EINVAL);
        }
        if !(1..=1 << 16).contains(&self.max_jobs) || !(1..=1 << 20).contains(&self.max_cmds) {
            pr_err!("max_jobs must be 1 to 65536, max_cmds 1 to 1048576\n");
            return Err(EINVAL);
        }
        Ok(())
    }
}
