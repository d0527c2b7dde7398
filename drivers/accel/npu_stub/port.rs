// SPDX-License-Identifier: GPL-2.0

//! How a core reaches memory: step by step, through translations that may go at any time.

use crate::{
    cmd::{
        Cmd,
        Span, //
    },
    hardware::BLOCK_SIZE,
    job::{
        Failure,
        Job, //
    },
    npu::Npu, //
};
use kernel::{
    gmem::{
        self,
        soft::{
            PageTable,
            Tlb,
            Translation, //
        }, //
    },
    kthread,
    page::PAGE_SIZE,
    prelude::*,
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
};

/// A step that makes no progress for this long, although so many faults were resolved for it, ends
/// the job. On a slow machine whose processes change their mappings all the time each fault takes
/// long, and several may be needed until a translation lives long enough to be used.
const PATIENCE: Delta = Delta::from_secs(10);
const MAX_FAULTS: u32 = 100;

/// Resolved faults in a row after which a step that still misses makes way for who takes its page.
const EAGER_FAULTS: u32 = 16;

/// The result of something a command does.
pub(crate) type Result<T = ()> = core::result::Result<T, Failure>;

/// A core's access to the memory of one job.
pub(crate) struct Port<'a> {
    npu: &'a Npu,
    tlb: &'a Tlb,
    job: &'a Job,
    table: &'a PageTable,
}

/// One access that is being tried.
struct Attempt {
    va: u64,
    /// One past what the command will touch from here on.
    end: u64,
    write: bool,
    faults: u32,
    since: Option<Instant<Monotonic>>,
}

impl<'a> Port<'a> {
    pub(crate) fn new(npu: &'a Npu, tlb: &'a Tlb, job: &'a Job) -> Self {
        let table = job.client.context.pmap();
        Self {
            npu,
            tlb,
            job,
            table,
        }
    }

    /// Fails when the job should end. Commands call it at least once in a few milliseconds.
    pub(crate) fn check(&self) -> Result {
        kthread::cond_resched();
        Ok(self.npu.queue.verdict(&self.job.client)?)
    }

    /// Gets ready for a command. An NPU that cannot fault has its operands prepared; should one
    /// of them leave again, the core pauses and prepares the block anew.
    pub(crate) fn launch(&self, cmd: &Cmd) -> Result {
        if self.npu.config.replayable {
            return Ok(());
        }
        for (span, write) in cmd.operands().into_iter().flatten() {
            let mut va = span.addr;
            while va < span.addr + span.len {
                self.check()?;
                // An error is found again, with its exact address, by the access itself.
                let _ = self.request(va, span.addr + span.len, write);
                va = (va | (BLOCK_SIZE - 1)) + 1;
            }
        }
        Ok(())
    }

    /// Asks GMEM for `va` and what follows up to `end` in the same block. The core holds no
    /// translation meanwhile.
    fn request(&self, va: u64, end: u64, write: bool) -> kernel::error::Result {
        const PAGE_MASK: u64 = PAGE_SIZE as u64 - 1;
        let hint = if self.npu.config.replayable {
            gmem::Hint::Demand
        } else {
            gmem::Hint::Prepare
        };
        let context = &self.job.client.context;
        let first = va & !PAGE_MASK;
        let last = (end.min((va | (BLOCK_SIZE - 1)) + 1) - 1) | PAGE_MASK;
        let len = last - first + 1;
        let access = gmem::Access::new(write);
        let fault = |len| context.fault(first, len, access, hint);
        match fault(len) {
            // Something in the range is bad; perhaps not the page that is needed now.
            Err(e) if (e == EFAULT || e == EPERM) && len > PAGE_SIZE as u64 => {
                fault(PAGE_SIZE as u64)
            }
            result => result,
        }
    }

    /// Resolves a miss, or says why the job ends.
    fn miss(&self, attempt: &mut Attempt) -> Result {
        let since = *attempt.since.get_or_insert_with(Instant::now);
        if since.elapsed() > PATIENCE && attempt.faults > MAX_FAULTS {
            return Err(EIO.into());
        }
        attempt.faults = attempt.faults.saturating_add(1);
        if attempt.faults > EAGER_FAULTS {
            fsleep(Delta::from_micros(100));
        }
        // On a contended device, bringing what follows would evict the page itself again.
        let end = if attempt.faults > EAGER_FAULTS {
            attempt.va + 1
        } else {
            attempt.end
        };
        let Err(error) = self.request(attempt.va, end, attempt.write) else {
            return Ok(());
        };
        // A job that was asked to end reports that, whatever the fault returned.
        self.check()?;
        if error == EAGAIN || error == EBUSY || error == EINTR {
            fsleep(Delta::from_millis(1));
            Ok(())
        } else if error == ENOMEM || error == ENOSPC {
            Err(ENOMEM.into())
        } else if error == EIO || error == ENODEV {
            Err(error.into())
        } else {
            Err(Failure {
                error: EFAULT,
                addr: attempt.va,
            })
        }
    }

    /// Makes one access of at most a page at `va`; `f` gets it and the offset in its entry.
    fn step(
        &self,
        va: u64,
        end: u64,
        write: bool,
        f: &mut dyn FnMut(&Translation<'_>, usize) -> kernel::error::Result,
    ) -> Result {
        let mut attempt = Attempt {
            va,
            end,
            write,
            faults: 0,
            since: None,
        };
        loop {
            self.check()?;
            // An NPU that lost its power makes none.
            let step = self.tlb.begin().ok_or(ENODEV)?;
            match step.lookup(self.table, va, write) {
                Ok(to) => {
                    let offset = va as usize & (to.size() - 1);
                    return Ok(f(&to, offset).map_err(|_| EIO)?);
                }
                Err(_) => drop(step),
            }
            self.miss(&mut attempt)?;
        }
    }

    /// Splits `len` bytes at `offset` of an operand into steps; `f` gets the range of each.
    fn steps(
        span: Span,
        offset: u64,
        len: usize,
        mut f: impl FnMut(u64, core::ops::Range<usize>) -> Result,
    ) -> Result {
        let mut done = 0;
        while done < len {
            let va = span.addr + offset + done as u64;
            let page_left = PAGE_SIZE - (va as usize & (PAGE_SIZE - 1));
            let next = len.min(done + page_left);
            f(va, done..next)?;
            done = next;
        }
        Ok(())
    }

    /// Loads from an operand.
    pub(crate) fn read(&self, span: Span, offset: u64, buf: &mut [u8]) -> Result {
        let memory = self.npu.hw.memory();
        Self::steps(span, offset, buf.len(), |va, range| {
            let part = buf.get_mut(range).ok_or(EIO)?;
            self.step(va, span.addr + span.len, false, &mut |page, at| {
                page.load_bytes(memory, at, part)
            })
        })
    }

    /// Stores to an operand.
    pub(crate) fn write(&self, span: Span, offset: u64, buf: &[u8]) -> Result {
        let memory = self.npu.hw.memory();
        Self::steps(span, offset, buf.len(), |va, range| {
            let part = buf.get(range).ok_or(EIO)?;
            self.step(va, span.addr + span.len, true, &mut |page, at| {
                page.store_bytes(memory, at, part)
            })
        })
    }

    /// Sets bytes of an operand.
    pub(crate) fn fill(&self, span: Span, offset: u64, len: usize, byte: u8) -> Result {
        let memory = self.npu.hw.memory();
        Self::steps(span, offset, len, |va, range| {
            self.step(va, span.addr + span.len, true, &mut |page, at| {
                page.set_bytes(memory, at, range.len(), byte)
            })
        })
    }

    /// Adds to an aligned number of an operand, atomically.
    pub(crate) fn add(&self, span: Span, offset: u64, value: u64) -> Result {
        let memory = self.npu.hw.memory();
        let va = span.addr + offset;
        self.step(va, span.addr + span.len, true, &mut |page, at| {
            page.add_u64(memory, at, value)
        })
    }
}
