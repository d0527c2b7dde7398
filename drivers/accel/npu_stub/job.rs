// SPDX-License-Identifier: GPL-2.0

//! A job, and what it came to.

use crate::{
    client::Client,
    cmd::Cmd, //
};
use kernel::{
    eventfd::EventFd,
    prelude::*,
    sync::Arc, //
};

/// A batch of commands.
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) client: Arc<Client>,
    pub(crate) cmds: KVVec<Cmd>,
    /// The command to go on with.
    pub(crate) next: usize,
    pub(crate) event: Option<EventFd>,
}

impl Job {
    /// Tells who waits for the eventfd that the job is complete.
    pub(crate) fn announce(&self) {
        if let Some(event) = &self.event {
            event.signal();
        }
    }
}

/// Why a command ended a job.
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// The faulting address of `EFAULT`, else 0.
    pub(crate) addr: u64,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, addr: 0 }
    }
}

/// The result of a job, as user space gets it.
#[derive(Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) cmd: u32,
    pub(crate) addr: u64,
}

impl Outcome {
    pub(crate) const OK: Self = Self {
        status: 0,
        cmd: 0,
        addr: 0,
    };

    pub(crate) fn failed(cmd: u32, failure: Failure) -> Self {
        Self {
            status: failure.error.to_errno(),
            cmd,
            addr: failure.addr,
        }
    }
}
