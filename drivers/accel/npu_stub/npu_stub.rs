// SPDX-License-Identifier: GPL-2.0

//! A sample accelerator for GMEM.
//!
//! Each NPU is an emulated device with memory of its own. Its cores are kernel threads, but they
//! behave as hardware does: they run commands asynchronously, and reach the memory of a process
//! only through the NPU's page table and TLB, by accesses that stay inside a page. An access that
//! misses raises a fault, which GMEM resolves, and is replayed.
//!
//! The files, from the hardware to the user:
//!
//! - `hardware`, `dma`: what would be silicon, and what the driver does for GMEM
//! - `port`, `ops`, `gemm`, `engine`: the cores
//! - `cmd`, `client`, `job`, `queue`: what user space wants done
//! - `npu`: one NPU, what all of the following share
//! - `file`, `debugfs`: its device node, and what tests may do to it
//! - `config`, `instance`: the module's parameters, and how an NPU comes and goes

use kernel::{
    c_str,
    prelude::*, //
};

mod client;
mod cmd;
mod config;
mod debugfs;
mod dma;
mod engine;
mod file;
mod gemm;
mod hardware;
mod instance;
mod job;
mod npu;
mod ops;
mod port;
mod queue;

use config::Config;
use instance::Instance;

module! {
    type: NpuStub,
    name: "npu_stub",
    authors: ["GMEM maintainers"],
    description: "Sample accelerator for GMEM",
    license: "GPL",
    params: {
        count: u32 {
            default: 2,
            description: "Number of NPUs, at most 64",
        },
        mem_mib: u32 {
            default: 32,
            description: "Memory of each NPU in MiB, even",
        },
        va_bits: u32 {
            default: 48,
            description: "Width of an NPU's virtual addresses, 32 to 48",
        },
        faults: u32 {
            default: 1,
            description: "1 if the NPUs replay an access that faulted, 0 if they cannot",
        },
        bandwidth: u32 {
            default: 0,
            description: "Copy bandwidth to imitate in MiB/s, 0 for none",
        },
        latency_us: u32 {
            default: 0,
            description: "Copy latency to imitate in microseconds, 0 for none",
        },
        max_jobs: u32 {
            default: 64,
            description: "Jobs that one file may have queued or running",
        },
        max_cmds: u32 {
            default: 1024,
            description: "Commands that one job may have",
        },
    },
}

/// The loaded module.
struct NpuStub {
    _npus: KVec<Instance>,
}

impl kernel::Module for NpuStub {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let config = Config {
            mem_mib: *module_parameters::mem_mib.value(),
            va_bits: *module_parameters::va_bits.value(),
            replayable: *module_parameters::faults.value() != 0,
            bandwidth: *module_parameters::bandwidth.value(),
            latency_us: *module_parameters::latency_us.value(),
            max_jobs: *module_parameters::max_jobs.value(),
            max_cmds: *module_parameters::max_cmds.value(),
        };
        let count = *module_parameters::count.value();
        if count > 64 {
            pr_err!("count is {}, at most 64 NPUs are possible\n", count);
            return Err(EINVAL);
        }
        config.check()?;

        let dir = kernel::debugfs::Dir::new(c_str!("npu_stub"));
        let mut npus = KVec::with_capacity(count as usize, GFP_KERNEL)?;
        for index in 0..count {
            npus.push(Instance::new(index, &config, &dir)?, GFP_KERNEL)?;
        }
        Ok(Self { _npus: npus })
    }
}
