// SPDX-License-Identifier: MIT OR GPL-2.0
//! Jobs on borrowed memory that run beside the caller.

use std::marker::PhantomData;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::pending::Pending;
use crate::{Job, Npu, Result};

/// Submits jobs that end before [`scope()`] returns.
pub struct Scope<'scope, 'env: 'scope> {
    jobs: Mutex<Vec<Arc<Pending>>>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// A job submitted in a scope.
#[derive(Debug)]
pub struct ScopedJob<'scope> {
    pending: Arc<Pending>,
    scope: PhantomData<&'scope ()>,
}

/// Calls `f` with a scope and waits for all jobs submitted in it, also when `f`
/// panics.  Results are readable after the scope: until then the memory is the
/// device's.
///
/// ```no_run
/// # use gmem::{scope, Buffer, Job, Npu};
/// # fn main() -> gmem::Result<()> {
/// let (zero, one) = (Npu::open(0)?, Npu::open(1)?);
/// let mut buffer = Buffer::new(1 << 20)?;
/// let (left, right) = buffer.split_at_mut(1 << 19);
/// scope(|s| {
///     s.submit(&zero, Job::new().fill(left, 1)?)?;
///     s.submit(&one, Job::new().fill(right, 2)?)?;
///     Ok(())
/// })?;
/// assert_eq!((buffer[0], buffer[1 << 19]), (1, 2));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The error of `f`, or else the first error of a job nobody waited for.
pub fn scope<'env, T, F>(f: F) -> Result<T>
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> Result<T>,
{
    let scope = Scope {
        jobs: Mutex::new(Vec::new()),
        scope: PhantomData,
        env: PhantomData,
    };
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    let mut jobs = scope.jobs.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ended = Ok(());
    for job in jobs.drain(..) {
        // A job that was waited for has reported its error there.
        let waited_for = job.reported();
        let result = job.finish();
        if !waited_for {
            ended = ended.and(result);
        }
    }
    match result {
        Ok(result) => result.and_then(|value| ended.map(|()| value)),
        Err(panic) => resume_unwind(panic),
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Queues a job on an NPU.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Submit`].
    pub fn submit(&'scope self, npu: &Npu, job: Job<'scope>) -> Result<ScopedJob<'scope>> {
        // SAFETY: The job's borrows last for 'scope, and scope() does not return
        // before the job has ended.
        let pending = Arc::new(unsafe { npu.submit_raw(job.commands(), None) }?);
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.push(pending.clone());
        Ok(ScopedJob {
            pending,
            scope: PhantomData,
        })
    }
}

impl ScopedJob<'_> {
    /// Waits for the end of the job.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Job`].
    pub fn wait(self) -> Result<()> {
        self.pending.finish()
    }

    /// As [`wait()`](Self::wait), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`crate::Error::TimedOut`] while the job runs.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<()> {
        self.pending.wait(Some(timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn passes_values_errors_and_panics() {
        assert_eq!(scope(|_| Ok(5)), Ok(5));
        assert_eq!(
            scope::<(), _>(|_| Err(Error::NoDevice)),
            Err(Error::NoDevice)
        );
        let panic = catch_unwind(|| scope::<(), _>(|_| panic!("inside")));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"inside"));
    }
}
