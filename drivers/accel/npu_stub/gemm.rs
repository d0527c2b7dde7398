// SPDX-License-Identifier: GPL-2.0

//! The matrix unit: int8 products, int32 accumulators, requantized to int8.
//!
//! A block of the result is accumulated from panels of the operands that are copied into the
//! core's own memory first. The core has no vector instructions, so two columns share one 64-bit
//! accumulator: with a column pair packed as `b0 + (b1 << 32)`, the sum of `a * pair` is
//! `s0 + (s1 << 32)`, from which both 32-bit sums can be had as long as neither overflows. They
//! cannot: k is below 2^16 and a product at most 2^14.

use crate::{
    cmd::{
        Dims,
        Span, //
    },
    port::{
        Port,
        Result, //
    },
};
use kernel::prelude::*;

/// Rows of a block of the result.
const ROWS: usize = 64;
/// Pairs of columns of a block of the result.
const PAIRS: usize = 128;
/// Rows of a panel of the right operand.
const DEPTH: usize = 256;

/// A core's memory for one product.
struct Unit {
    /// `[ROWS][DEPTH]` of the left operand.
    a: KVVec<u8>,
    /// `[DEPTH][PAIRS]` of the right operand, packed.
    b: KVVec<u64>,
    /// `[ROWS][PAIRS]` accumulators.
    acc: KVVec<u64>,
    /// One row of bytes.
    row: KVec<u8>,
}

/// Packs two signed columns.
fn pack(pair: &[u8]) -> u64 {
    // CAST: The bytes are signed, and the accumulators count modulo 2^64.
    let column = |i: usize| i64::from(pair.get(i).map_or(0, |b| *b as i8)) as u64;
    column(0).wrapping_add(column(1) << 32)
}

/// Gets the two sums of an accumulator.
fn unpack(acc: u64) -> [i32; 2] {
    let low = acc as i32;
    // CAST: Undoes what the sign of the low sum did to the high one.
    let high = acc.wrapping_sub(i64::from(low) as u64) >> 32;
    [low, high as i32]
}

/// Brings a sum back to eight bits: round half up, shift, clamp.
fn requantize(sum: i32, shift: u32) -> u8 {
    let sum = i64::from(sum);
    let half = (1i64 << shift) >> 1;
    let value = sum.wrapping_add(half) >> (shift & 63);
    // CAST: The value is in range; the byte has the bits of the signed one.
    value.clamp(-128, 127) as i8 as u8
}

/// Adds four rows of a panel, each times a number, to a row of accumulators.
fn multiply(acc: &mut [u64], a: &[u8], panel: &[u64]) {
    // CAST: As in `pack`.
    let factor = |i: usize| i64::from(a.get(i).map_or(0, |b| *b as i8)) as u64;
    let (f0, f1, f2, f3) = (factor(0), factor(1), factor(2), factor(3));
    let mut rows = panel.chunks_exact(PAIRS);
    let empty: &[u64] = &[];
    let mut row = || rows.next().unwrap_or(empty);
    let (b0, b1, b2, b3) = (row(), row(), row(), row());
    for ((((acc, b0), b1), b2), b3) in acc.iter_mut().zip(b0).zip(b1).zip(b2).zip(b3) {
        *acc = acc
            .wrapping_add(f0.wrapping_mul(*b0))
            .wrapping_add(f1.wrapping_mul(*b1))
            .wrapping_add(f2.wrapping_mul(*b2))
            .wrapping_add(f3.wrapping_mul(*b3));
    }
}

impl Unit {
    fn new() -> kernel::error::Result<Self> {
        Ok(Self {
            a: KVVec::from_elem(0, ROWS * DEPTH, GFP_KERNEL)?,
            b: KVVec::from_elem(0, DEPTH * PAIRS, GFP_KERNEL)?,
            acc: KVVec::from_elem(0, ROWS * PAIRS, GFP_KERNEL)?,
            row: KVec::from_elem(0, 2 * PAIRS, GFP_KERNEL)?,
        })
    }

    /// Loads rows `row..` of the left operand, columns `depth..depth + len`; the rest is zero.
    fn load_a(&mut self, port: &Port<'_>, a: Span, d: Dims, row: u64, depth: u64) -> Result {
        self.a.fill(0);
        let len = (d.k - depth).min(DEPTH as u64) as usize;
        for (buf, row) in self.a.chunks_exact_mut(DEPTH).zip(row..d.m) {
            port.read(a, row * d.k + depth, buf.get_mut(..len).ok_or(EIO)?)?;
        }
        Ok(())
    }

    /// Loads and packs rows `depth..` of the right operand, columns `col..`; the rest is zero.
    fn load_b(&mut self, port: &Port<'_>, b: Span, d: Dims, depth: u64, col: u64) -> Result {
        self.b.fill(0);
        let len = (d.n - col).min(2 * PAIRS as u64) as usize;
        for (packed, depth) in self.b.chunks_exact_mut(PAIRS).zip(depth..d.k) {
            let row = self.row.get_mut(..len).ok_or(EIO)?;
            port.read(b, depth * d.n + col, row)?;
            for (word, pair) in packed.iter_mut().zip(row.chunks(2)) {
                *word = pack(pair);
            }
        }
        Ok(())
    }

    /// Adds the product of the two panels to the accumulators.
    fn accumulate(&mut self, port: &Port<'_>) -> Result {
        let rows = self.a.chunks_exact(DEPTH);
        for (acc, a) in self.acc.chunks_exact_mut(PAIRS).zip(rows) {
            port.check()?;
            for (a, panel) in a.chunks_exact(4).zip(self.b.chunks_exact(4 * PAIRS)) {
                multiply(acc, a, panel);
            }
        }
        Ok(())
    }

    /// Stores a block of the result.
    fn store(&mut self, port: &Port<'_>, dst: Span, d: Dims, row: u64, col: u64) -> Result {
        let len = (d.n - col).min(2 * PAIRS as u64) as usize;
        for (acc, row) in self.acc.chunks_exact(PAIRS).zip(row..d.m) {
            for (out, acc) in self.row.chunks_exact_mut(2).zip(acc) {
                let [low, high] = unpack(*acc);
                out.copy_from_slice(&[requantize(low, d.shift), requantize(high, d.shift)]);
            }
            port.write(dst, row * d.n + col, self.row.get(..len).ok_or(EIO)?)?;
        }
        Ok(())
    }
}

/// Runs a product.
pub(crate) fn run(port: &Port<'_>, dst: Span, a: Span, b: Span, d: Dims) -> Result {
    let mut unit = Unit::new()?;
    for col in (0..d.n).step_by(2 * PAIRS) {
        for row in (0..d.m).step_by(ROWS) {
            unit.acc.fill(0);
            for depth in (0..d.k).step_by(DEPTH) {
                unit.load_a(port, a, d, row, depth)?;
                unit.load_b(port, b, d, depth, col)?;
                unit.accumulate(port)?;
            }
            unit.store(port, dst, d, row, col)?;
        }
    }
    Ok(())
}
