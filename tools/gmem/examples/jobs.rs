// SPDX-License-Identifier: MIT OR GPL-2.0
//! The three ways to run a job, with both NPUs: `cargo run --example jobs`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use gmem::{block_on, scope, Buffer, Dst, Error, Job, Node, Npu};

const SIZE: usize = 4 << 20;
const TIMES: u64 = 20_000;

/// A counter in memory of its own, that the CPU and both NPUs increment at once.
fn count_together(npus: &[Npu; 2]) -> gmem::Result<()> {
    let mut buffer = Buffer::new(4096)?;
    let word = &raw mut buffer.view_mut::<u64>()[0];
    // SAFETY: The borrow of the buffer ended; it is used through the counter only.
    let counter = unsafe { AtomicU64::from_ptr(word) };
    scope(|s| {
        for npu in npus {
            s.submit(npu, Job::new().atomic_add(Dst::atomic(counter), 1, TIMES)?)?;
        }
        for _ in 0..TIMES {
            counter.fetch_add(1, Relaxed);
        }
        Ok(())
    })?;
    assert_eq!(counter.load(Relaxed), 3 * TIMES);
    println!("CPU and both NPUs counted to {}", 3 * TIMES);
    Ok(())
}

/// Two halves of one buffer, one for each NPU.
fn halves(npus: &[Npu; 2]) -> gmem::Result<()> {
    let mut buffer = Buffer::new(SIZE)?;
    let (left, right) = buffer.split_at_mut(SIZE / 2);
    scope(|s| {
        let job = s.submit(&npus[0], Job::new().fill(left, 1)?)?;
        s.submit(&npus[1], Job::new().fill(right, 2)?)?;
        job.wait()
    })?;
    assert!(buffer[..SIZE / 2].iter().all(|&byte| byte == 1));
    assert!(buffer[SIZE / 2..].iter().all(|&byte| byte == 2));
    println!("each NPU filled its half");
    Ok(())
}

/// Jobs that own their memory, to await.
fn futures(npus: &[Npu; 2]) -> gmem::Result<()> {
    let busy = npus[1].spawn(Buffer::new(SIZE)?, |b| {
        Job::new().nop(200_000)?.fill(&mut b[..], 7)
    })?;
    assert_eq!(busy.wait_timeout(Duration::ZERO), Err(Error::TimedOut));
    let quick = npus[0].spawn(Buffer::new(SIZE)?, |b| Job::new().fill(&mut b[..], 8))?;
    let (busy, quick) = block_on(async { (busy.await, quick.await) });
    busy.1.and(quick.1)?;
    assert_eq!((busy.0[SIZE - 1], quick.0[SIZE - 1]), (7, 8));
    println!("two futures gave their memory back");
    Ok(())
}

/// A job that fails says where.
fn failures(npu: &Npu) -> gmem::Result<()> {
    let ordinary = [1u8; 64];
    let mut counts = Buffer::new(2048)?;
    let job = Job::new().nop(1)?;
    let job = job.histogram(counts.view_mut::<u64>(), &ordinary[..])?;
    match npu.run(job) {
        Err(Error::Job(error)) => {
            // EFAULT of the second command.
            assert_eq!((error.errno, error.command), (14, 1));
            println!("as it should be: {error}");
        }
        other => panic!("memory of the stack is no device's: {other:?}"),
    }
    Ok(())
}

/// Prefetch moves bytes before a job needs them.
fn hints(npu: &Npu) -> gmem::Result<()> {
    let mut buffer = Buffer::new(SIZE)?;
    buffer.fill(5);
    let node = npu.node()?.ok_or(Error::NoDevice)?;
    let before = npu.info()?;
    buffer.prefetch(node)?;
    let moved = npu.info()?.to_dev - before.to_dev;
    assert!(moved >= SIZE as u64, "{moved} bytes moved");
    let faults = npu.info()?.faults;
    npu.run(Job::new().read(&buffer[..])?)?;
    assert_eq!(
        npu.info()?.faults,
        faults,
        "prefetch leaves nothing to fault"
    );
    buffer.prefetch(Node::HOME)?;
    gmem::free_eager(&mut buffer[..SIZE / 2])?;
    assert_eq!((buffer[0], buffer[SIZE / 2]), (0, 5));
    println!("{moved} bytes moved ahead of the job, no fault in it");
    Ok(())
}

fn main() -> gmem::Result<()> {
    let npus = [Npu::open(0)?, Npu::open(1)?];
    halves(&npus)?;
    futures(&npus)?;
    count_together(&npus)?;
    failures(&npus[0])?;
    hints(&npus[0])
}
