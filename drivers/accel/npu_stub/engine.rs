// SPDX-License-Identifier: GPL-2.0

//! The NPU's cores.

use crate::{
    job::{
        Job,
        Outcome, //
    },
    npu::Npu,
    ops::{
        self,
        Scratch, //
    },
    port::Port, //
};
use kernel::{
    gmem::soft::Tlb,
    kthread::Worker,
    sync::Arc,
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
};

/// A core: a kernel thread that runs one job after the other.
pub(crate) struct Core {
    pub(crate) npu: Arc<Npu>,
    pub(crate) tlb: Arc<Tlb>,
}

/// A job runs for so long, and until its command ends, before jobs of other files have their turn.
const TURN_MICROS: u64 = 10_000;

impl Core {
    /// Runs a turn of a job. [`None`] when there is more to do.
    fn execute(&self, job: &mut Job) -> Option<Outcome> {
        let mut scratch = match Scratch::new() {
            Ok(scratch) => scratch,
            Err(e) => return Some(Outcome::failed(0, e.into())),
        };
        let since = Instant::<Monotonic>::now();
        while let Some(cmd) = job.cmds.get_mut(job.next) {
            if since.elapsed() > Delta::from_micros(TURN_MICROS as i64) {
                return None;
            }
            let part = cmd.split(TURN_MICROS);
            let now = part.unwrap_or(*cmd);
            let port = Port::new(&self.npu, &self.tlb, job);
            if let Err(failure) = ops::run(&port, &now, &mut scratch) {
                return Some(Outcome::failed(job.next as u32, failure));
            }
            if part.is_none() {
                job.next += 1;
            }
        }
        Some(Outcome::OK)
    }
}

impl Worker for Core {
    fn run(&self) {
        let mut kept = None;
        while let Some(mut job) = kept.take().or_else(|| self.npu.queue.next()) {
            match self.execute(&mut job) {
                Some(outcome) => self.npu.queue.finish(job, outcome),
                None => kept = self.npu.queue.put_back(job),
            }
        }
    }
}
