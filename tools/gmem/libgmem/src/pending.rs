// SPDX-License-Identifier: MIT OR GPL-2.0
//! A job on its way.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sys::npu;
use crate::{Error, JobError, Result};

/// A submitted job.  The kernel gives its result once; this remembers it.
#[derive(Debug)]
pub struct Pending {
    file: Arc<File>,
    job: u64,
    outcome: Mutex<Option<Result<()>>>,
}

impl Pending {
    pub(crate) fn new(file: Arc<File>, job: u64) -> Self {
        Self {
            file,
            job,
            outcome: Mutex::new(None),
        }
    }

    /// Number of the job in its file.
    pub fn id(&self) -> u64 {
        self.job
    }

    /// Waits for the end of the job, at most for `timeout`; `None` waits for ever.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] while it runs, [`Error::Job`] when it failed.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*outcome {
            return known.clone();
        }
        let result = self.ask(timeout);
        if !matches!(result, Err(Error::TimedOut | Error::System { .. })) {
            *outcome = Some(result.clone());
        }
        result
    }

    /// Whether the result is known already.
    pub(crate) fn reported(&self) -> bool {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.is_some()
    }

    /// Waits until the device has certainly let go of the job's memory.
    ///
    /// # Errors
    ///
    /// [`Error::Job`] when the job failed.
    ///
    /// # Aborts
    ///
    /// If the kernel refuses to tell: going on would leave a device writing to
    /// memory that Rust believes to own.
    pub fn finish(&self) -> Result<()> {
        let result = self.wait(None);
        if let Err(error @ (Error::TimedOut | Error::System { .. })) = &result {
            eprintln!("gmem: cannot wait for job {}: {error}", self.job);
            std::process::abort();
        }
        result
    }

    fn ask(&self, timeout: Option<Duration>) -> Result<()> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let left = match deadline {
                None => -1,
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    i64::try_from(left.as_nanos()).unwrap_or(i64::MAX)
                }
            };
            match npu::wait(self.file.as_fd(), self.job, left) {
                Ok(done) => return outcome(&done),
                Err(libc::EINTR) => continue,
                Err(libc::ETIME) => return Err(Error::TimedOut),
                // A forked child: the device works on the parent's memory only.
                Err(libc::ENOENT | libc::EPERM) => return Err(Error::UnknownJob),
                Err(errno) => {
                    return Err(Error::System {
                        call: "NPU_IOC_WAIT",
                        errno,
                    })
                }
            }
        }
    }
}

fn outcome(done: &npu::Wait) -> Result<()> {
    if done.status == 0 {
        return Ok(());
    }
    Err(Error::Job(JobError {
        errno: done.status.saturating_neg(),
        command: done.cmd,
        address: done.fault_addr,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_become_errors() {
        let mut done = npu::Wait::default();
        assert_eq!(outcome(&done), Ok(()));
        done.status = -libc::EFAULT;
        done.cmd = 2;
        done.fault_addr = 0x1000;
        let Err(Error::Job(error)) = outcome(&done) else {
            panic!("a failed job is an error");
        };
        assert_eq!(
            (error.errno, error.command, error.address),
            (libc::EFAULT, 2, 0x1000)
        );
    }

    #[test]
    fn a_file_that_is_no_npu_says_so() {
        let file = Arc::new(File::open("/dev/null").unwrap());
        let pending = Pending::new(file, 1);
        let error = pending.wait(Some(Duration::ZERO)).unwrap_err();
        assert!(
            matches!(
                error,
                Error::System {
                    errno: libc::ENOTTY,
                    ..
                }
            ),
            "{error}"
        );
    }
}
