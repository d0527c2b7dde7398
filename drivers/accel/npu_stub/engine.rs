// SPDX-License-Identifier: GPL-2.0

//! The NPU's cores.

use crate::{
    npu::Npu,
    ops::{
        self,
        Scratch, //
    },
    port::Port,
    queue::{
        Job,
        Outcome, //
    },
    tlb::Tlb, //
};
use kernel::{
    gmem::thread::Worker,
    sync::Arc, //
};

/// A core: a kernel thread that runs one job after the other.
pub(crate) struct Core {
    pub(crate) npu: Arc<Npu>,
    pub(crate) tlb: Arc<Tlb>,
}

impl Core {
    fn execute(&self, job: &Job) -> Outcome {
        let mut scratch = match Scratch::new() {
            Ok(scratch) => scratch,
            Err(e) => return Outcome::failed(0, e.into()),
        };
        let port = Port::new(&self.npu, &self.tlb, job);
        for (nr, cmd) in (0u32..).zip(&job.cmds) {
            if let Err(failure) = ops::run(&port, cmd, &mut scratch) {
                return Outcome::failed(nr, failure);
            }
        }
        Outcome::OK
    }
}

impl Worker for Core {
    fn run(&self) {
        while let Some(job) = self.npu.queue.next() {
            let outcome = self.execute(&job);
            self.npu.queue.finish(job, outcome);
        }
    }
}
