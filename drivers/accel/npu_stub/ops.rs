// SPDX-License-Identifier: GPL-2.0

//! What the commands do.

use crate::{
    cmd::{
        Cmd,
        Span,
        BINS, //
    },
    gemm,
    job::Failure,
    port::{
        Port,
        Result, //
    }, //
};
use kernel::{
    prelude::*,
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
};

/// Bytes of an operand that are worked on at once.
const CHUNK: usize = 4096;

/// A core's own memory.
pub(crate) struct Scratch {
    a: KVec<u8>,
    b: KVec<u8>,
    bins: KBox<[u64; BINS as usize]>,
}

impl Scratch {
    pub(crate) fn new() -> kernel::error::Result<Self> {
        Ok(Self {
            a: KVec::from_elem(0, CHUNK, GFP_KERNEL)?,
            b: KVec::from_elem(0, CHUNK, GFP_KERNEL)?,
            bins: KBox::zeroed(GFP_KERNEL)?,
        })
    }
}

/// Calls `f` with the offset and the length of each part of an operand.
fn chunks(span: Span, mut f: impl FnMut(u64, usize) -> Result) -> Result {
    let mut offset = 0;
    while offset < span.len {
        let len = (span.len - offset).min(CHUNK as u64);
        f(offset, len as usize)?;
        offset += len;
    }
    Ok(())
}

/// Returns the first `len` bytes of a buffer.
fn head(buf: &mut KVec<u8>, len: usize) -> Result<&mut [u8]> {
    Ok(buf.get_mut(..len).ok_or(EIO)?)
}

/// Returns the 32-bit numbers of a buffer.
fn words(buf: &[u8]) -> impl Iterator<Item = u32> + '_ {
    buf.chunks_exact(4)
        .filter_map(|word| Some(u32::from_ne_bytes(word.try_into().ok()?)))
}

/// Runs a command.
pub(crate) fn run(port: &Port<'_>, cmd: &Cmd, scratch: &mut Scratch) -> Result {
    port.check()?;
    port.launch(cmd)?;
    match *cmd {
        Cmd::Fill { dst, byte } => chunks(dst, |at, len| port.fill(dst, at, len, byte)),
        Cmd::Copy { dst, src } => chunks(dst, |at, len| {
            let buf = head(&mut scratch.a, len)?;
            port.read(src, at, buf)?;
            port.write(dst, at, buf)
        }),
        Cmd::Vadd { dst, a, b } => chunks(dst, |at, len| {
            let sum = head(&mut scratch.a, len)?;
            let addend = head(&mut scratch.b, len)?;
            port.read(a, at, sum)?;
            port.read(b, at, addend)?;
            for (word, add) in sum.chunks_exact_mut(4).zip(words(addend)) {
                let old = u32::from_ne_bytes(word.try_into().map_err(|_| EIO)?);
                word.copy_from_slice(&old.wrapping_add(add).to_ne_bytes());
            }
            port.write(dst, at, sum)
        }),
        Cmd::Gemm { dst, a, b, dims } => gemm::run(port, dst, a, b, dims),
        Cmd::Gather { dst, table, index } => chunks(dst, |at, len| {
            let out = head(&mut scratch.a, len)?;
            let index_buf = head(&mut scratch.b, len)?;
            port.read(index, at, index_buf)?;
            for (word, i) in out.chunks_exact_mut(4).zip(words(index_buf)) {
                let offset = u64::from(i) * 4;
                if offset >= table.len {
                    return Err(Failure {
                        error: EFAULT,
                        addr: table.addr.wrapping_add(offset),
                    });
                }
                port.read(table, offset, word)?;
            }
            port.write(dst, at, out)
        }),
        Cmd::Histogram { dst, src } => {
            let Scratch { a, bins, .. } = scratch;
            bins.fill(0);
            chunks(src, |at, len| {
                let buf = head(a, len)?;
                port.read(src, at, buf)?;
                count(buf, bins);
                Ok(())
            })?;
            for (bin, at) in bins.iter().zip((0..).step_by(8)) {
                if *bin != 0 {
                    port.add(dst, at, *bin)?;
                }
            }
            Ok(())
        }
        Cmd::AtomicAdd { dst, value, times } => {
            (0..times).try_for_each(|_| port.add(dst, 0, value))
        }
        Cmd::Read { src } => chunks(src, |at, len| {
            port.read(src, at, head(&mut scratch.a, len)?)
        }),
        Cmd::Nop { micros } => nap(port, micros),
    }
}

/// Counts bytes.
fn count(buf: &[u8], bins: &mut [u64; BINS as usize]) {
    for byte in buf {
        // A byte is below the number of bins, so this is never out of bounds.
        bins[usize::from(*byte)] += 1;
    }
}

/// Is busy for a while.
fn nap(port: &Port<'_>, micros: u64) -> Result {
    const SLICE: i64 = 2000;
    let start = Instant::<Monotonic>::now();
    loop {
        port.check()?;
        let left = (micros as i64).saturating_sub(start.elapsed().as_micros_ceil());
        if left <= 0 {
            return Ok(());
        }
        fsleep(Delta::from_micros(left.min(SLICE)));
    }
}
