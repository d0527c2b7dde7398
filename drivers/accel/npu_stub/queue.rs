// SPDX-License-Identifier: GPL-2.0

//! The jobs of one NPU.
//!
//! Jobs of one file run in the order of their submission, one at a time; jobs of different files
//! run on different cores at the same time. Files take turns: the next job is of the file whose
//! last turn is the longest ago, and a core puts a job back after a while if others wait.

use crate::{
    client::Client,
    job::{
        Job,
        Outcome, //
    }, //
};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    new_condvar,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        CondVar,
        CondVarTimeoutResult,
        Mutex, //
    },
    time::msecs_to_jiffies,
    uapi, //
};

/// The job was cancelled. [`kernel::error::code`] lacks this one and the next.
fn cancelled() -> Error {
    Error::from_errno(-(uapi::ECANCELED as i32))
}

/// The job is not complete in time.
fn timed_out() -> Error {
    Error::from_errno(-(uapi::ETIME as i32))
}

/// What the queue knows of a file.
struct Account {
    id: u64,
    last_job: u64,
    /// Jobs queued, running, or about to be queued.
    active: u32,
    running: Option<u64>,
    /// Number of the last turn.
    turn: u64,
    done: u64,
    /// Results nobody took yet, oldest first.
    results: KVec<(u64, Outcome)>,
}

impl Account {
    /// Accounts for the end of a job. There is room for results; when nobody takes them the
    /// oldest is forgotten.
    fn complete(&mut self, job: u64, outcome: Outcome) {
        self.active = self.active.saturating_sub(1);
        self.done = self.done.wrapping_add(1);
        if self.results.len() == self.results.capacity() {
            let _ = self.results.remove(0);
        }
        let _ = self.results.push_within_capacity((job, outcome));
    }
}

#[derive(Default)]
struct State {
    accounts: KVec<Account>,
    last_account: u64,
    last_turn: u64,
    /// Queued jobs, and those that were put back.
    pending: KVec<Job>,
    halted: bool,
    stopping: bool,
}

impl State {
    fn account(&mut self, id: u64) -> Result<&mut Account> {
        self.accounts
            .iter_mut()
            .find(|account| account.id == id)
            .ok_or(ENODEV)
    }

    /// Finds the job whose turn it is: of a file that runs none, the oldest one.
    fn ready(&self) -> Option<usize> {
        let mut ready = None;
        for (index, job) in self.pending.iter().enumerate() {
            let mut accounts = self.accounts.iter();
            let Some(account) = accounts.find(|account| account.id == job.client.id) else {
                continue;
            };
            let turn = (account.turn, job.id);
            if account.running.is_none() && ready.is_none_or(|(first, _)| turn < first) {
                ready = Some((turn, index));
            }
        }
        Some(ready?.1)
    }

    fn is_running(&self, id: u64) -> bool {
        self.accounts
            .iter()
            .any(|account| account.id == id && account.running.is_some())
    }

    /// Ends the queued jobs that `which` names.
    fn cancel(&mut self, error: Error, which: impl Fn(&Job) -> bool) {
        while let Some(index) = self.pending.iter().position(&which) {
            let Ok(job) = self.pending.remove(index) else {
                return;
            };
            if let Ok(account) = self.account(job.client.id) {
                account.complete(job.id, Outcome::failed(0, error.into()));
            }
            job.announce();
        }
    }
}

/// The job queue.
#[pin_data]
pub(crate) struct Queue {
    max_jobs: u32,
    /// A copy of `State::halted` that running jobs look at.
    halted: Atomic<bool>,
    #[pin]
    state: Mutex<State>,
    /// Cores wait here.
    #[pin]
    work: CondVar,
    /// Who waits for a job's end waits here.
    #[pin]
    done: CondVar,
}

impl Queue {
    pub(crate) fn new(max_jobs: u32) -> impl PinInit<Self> {
        pin_init!(Self {
            max_jobs,
            halted: Atomic::new(false),
            state <- new_mutex!(State::default()),
            work <- new_condvar!(),
            done <- new_condvar!(),
        })
    }

    /// Opens an account for a file.
    ///
    /// # Errors
    ///
    /// `ENODEV` when the queue was halted, `ENOMEM`.
    pub(crate) fn open(&self) -> Result<u64> {
        // Room for results of jobs that were waited for late.
        let results = KVec::with_capacity(self.max_jobs as usize * 4, GFP_KERNEL_ACCOUNT)?;
        let mut state = self.state.lock();
        if state.halted {
            return Err(ENODEV);
        }
        let id = state.last_account.wrapping_add(1);
        let account = Account {
            id,
            last_job: 0,
            active: 0,
            running: None,
            // Before all who had one.
            turn: 0,
            done: 0,
            results,
        };
        state.accounts.push(account, GFP_KERNEL_ACCOUNT)?;
        state.last_account = id;
        Ok(id)
    }

    /// Ends a file's jobs, waits for the one that runs, and closes its account. The running job
    /// must have been asked to end.
    pub(crate) fn close(&self, id: u64) {
        let mut state = self.state.lock();
        state.cancel(cancelled(), |job| job.client.id == id);
        while state.is_running(id) {
            self.done.wait(&mut state);
        }
        if let Some(index) = state.accounts.iter().position(|a| a.id == id) {
            let _ = state.accounts.remove(index);
        }
    }

    /// Takes a number for a job. The caller then calls [`push`](Self::push) or
    /// [`abandon`](Self::abandon).
    ///
    /// # Errors
    ///
    /// `ENODEV` when the queue was halted, `EAGAIN` when the file has too many jobs.
    pub(crate) fn take_number(&self, client: &Client) -> Result<u64> {
        let mut state = self.state.lock();
        if state.halted {
            return Err(ENODEV);
        }
        let account = state.account(client.id)?;
        if account.active >= self.max_jobs {
            return Err(EAGAIN);
        }
        account.active += 1;
        account.last_job = account.last_job.wrapping_add(1);
        Ok(account.last_job)
    }

    /// Gives the number of a job back.
    pub(crate) fn abandon(&self, client: &Client) {
        if let Ok(account) = self.state.lock().account(client.id) {
            account.active = account.active.saturating_sub(1);
        }
    }

    /// Queues a job.
    ///
    /// # Errors
    ///
    /// `ENODEV` when the queue was halted, `ENOMEM`; the job's number was given back.
    pub(crate) fn push(&self, job: Job) -> Result {
        let mut state = self.state.lock();
        let id = job.client.id;
        let result = if state.halted {
            Err(ENODEV)
        } else {
            state
                .pending
                .push(job, GFP_KERNEL_ACCOUNT)
                .map_err(Error::from)
        };
        if result.is_err() {
            let account = state.account(id)?;
            account.active = account.active.saturating_sub(1);
        }
        self.work.notify_one();
        result
    }

    /// Waits for a job that can run. [`None`] tells the core to end.
    pub(crate) fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.stopping {
                return None;
            }
            if let Some(index) = state.ready() {
                let job = state.pending.remove(index).ok()?;
                let turn = state.last_turn.wrapping_add(1);
                state.last_turn = turn;
                if let Ok(account) = state.account(job.client.id) {
                    account.running = Some(job.id);
                    account.turn = turn;
                }
                return Some(job);
            }
            // Interruptible only so that an idle core does not count as a hung task.
            let _ = self.work.wait_interruptible(&mut state);
        }
    }

    /// Puts a job back that has run for a while, if one of another file waits; else returns it.
    pub(crate) fn put_back(&self, job: Job) -> Option<Job> {
        let mut state = self.state.lock();
        if state.ready().is_none() || state.pending.reserve(1, GFP_KERNEL).is_err() {
            return Some(job);
        }
        if let Ok(account) = state.account(job.client.id) {
            account.running = None;
        }
        let _ = state.pending.push_within_capacity(job);
        // Who closes the file or halts the queue waits until none of its jobs runs.
        if state.halted {
            state.cancel(ENODEV, |_| true);
        }
        state.cancel(cancelled(), |job| job.client.is_closing());
        self.done.notify_all();
        None
    }

    /// Returns why a job of this client should end now.
    pub(crate) fn verdict(&self, client: &Client) -> Result {
        if client.is_closing() {
            return Err(cancelled());
        }
        if self.halted.load(Relaxed) {
            return Err(ENODEV);
        }
        Ok(())
    }

    /// Accounts for a job that a core has run.
    pub(crate) fn finish(&self, job: Job, outcome: Outcome) {
        let mut state = self.state.lock();
        if let Ok(account) = state.account(job.client.id) {
            account.running = None;
            account.complete(job.id, outcome);
        }
        job.announce();
        // Under the lock, so that this is not the last reference to the client: its file waits in
        // `close`, and detaching the process is the file's work.
        drop(job);
        self.done.notify_all();
        self.work.notify_one();
    }

    /// Waits for a job and takes its result.
    ///
    /// # Errors
    ///
    /// `ENOENT` no such job, `ETIME` not complete in time, `EINTR`.
    pub(crate) fn wait(&self, client: &Client, job: u64, timeout_ns: i64) -> Result<Outcome> {
        let millis = u64::try_from(timeout_ns).unwrap_or(0).div_ceil(1_000_000);
        // The tick that is running counts as one, but has partly passed.
        let mut left = match millis {
            0 => 0,
            _ => msecs_to_jiffies(u32::try_from(millis).unwrap_or(u32::MAX)).saturating_add(1),
        };
        let mut state = self.state.lock();
        loop {
            let pending = state
                .pending
                .iter()
                .any(|p| p.client.id == client.id && p.id == job);
            let account = state.account(client.id)?;
            if let Some(index) = account.results.iter().position(|(id, _)| *id == job) {
                let (_, outcome) = account.results.remove(index).map_err(|_| ENOENT)?;
                return Ok(outcome);
            }
            if !pending && account.running != Some(job) {
                return Err(ENOENT);
            }
            if timeout_ns < 0 {
                if self.done.wait_interruptible(&mut state) {
                    return Err(EINTR);
                }
            } else if left == 0 {
                return Err(timed_out());
            } else {
                left = match self.done.wait_interruptible_timeout(&mut state, left) {
                    CondVarTimeoutResult::Woken { jiffies } => jiffies,
                    CondVarTimeoutResult::Timeout => 0,
                    CondVarTimeoutResult::Signal { .. } => return Err(EINTR),
                };
            }
        }
    }

    /// Returns how many jobs of a client are queued or running, and how many are done.
    pub(crate) fn counts(&self, client: &Client) -> (u64, u64) {
        match self.state.lock().account(client.id) {
            Ok(account) => (u64::from(account.active), account.done),
            Err(_) => (0, 0),
        }
    }

    /// Refuses new jobs, ends all queued ones and waits until none runs.
    pub(crate) fn halt(&self) {
        self.halted.store(true, Relaxed);
        let mut state = self.state.lock();
        state.halted = true;
        state.cancel(ENODEV, |_| true);
        self.done.notify_all();
        while state.accounts.iter().any(|a| a.running.is_some()) {
            self.done.wait(&mut state);
        }
    }

    /// Undoes [`halt`](Self::halt).
    pub(crate) fn resume(&self) {
        let mut state = self.state.lock();
        state.halted = false;
        self.halted.store(false, Relaxed);
    }

    /// Tells the cores to end.
    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.work.notify_all();
    }
}
