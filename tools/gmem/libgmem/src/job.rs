// SPDX-License-Identifier: MIT OR GPL-2.0
//! Batches of commands.

use std::marker::PhantomData;

use crate::operand::{Dst, Pod, Src};
use crate::sys::npu::{self, Cmd};
use crate::{Error, Result};

/// Commands that an NPU runs in order, and the borrow of all they touch.
///
/// A malformed command is refused here, before a device sees it.
#[derive(Debug, Default)]
pub struct Job<'a> {
    cmds: Vec<Cmd>,
    borrow: PhantomData<&'a ()>,
}

/// Shape of a matrix product: `m x k` times `k x n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gemm {
    /// Rows of the result.
    pub m: u16,
    /// Columns of the result.
    pub n: u16,
    /// Length of the sums.
    pub k: u16,
    /// Each sum is divided by `2^shift`, rounded to nearest, and clamped.
    pub shift: u8,
}

/// Longest busy time of [`Job::nop()`] in microseconds.
const NOP_MAX_US: u64 = 10_000_000;

fn overlap(a: u64, a_len: u64, b: u64, b_len: u64) -> bool {
    a < b + b_len && b < a + a_len
}

impl<'a> Job<'a> {
    /// An empty job.
    pub fn new() -> Self {
        Self::default()
    }

    /// The commands so far.
    pub fn commands(&self) -> &[Cmd] {
        &self.cmds
    }

    fn push(mut self, cmd: Cmd) -> Result<Self> {
        self.cmds.push(cmd);
        Ok(self)
    }

    /// Sets every byte of `dst` to `value`.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when `dst` is empty.
    pub fn fill<T: Pod>(self, dst: impl Into<Dst<'a, T>>, value: u8) -> Result<Self> {
        let dst = dst.into();
        let len = not_empty(dst.byte_len())?;
        self.push(Cmd {
            op: npu::OP_FILL,
            dst: dst.addr(),
            len,
            arg: [value.into(), 0],
            ..Cmd::default()
        })
    }

    /// Copies `src` to `dst`.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when the lengths differ, are 0, or the ranges overlap.
    pub fn copy<T: Pod>(
        self,
        dst: impl Into<Dst<'a, T>>,
        src: impl Into<Src<'a, T>>,
    ) -> Result<Self> {
        let (dst, src) = (dst.into(), src.into());
        let len = not_empty(same(dst.byte_len(), src.byte_len())?)?;
        if overlap(dst.addr(), len, src.addr(), len) {
            return Err(Error::Command(
                "copy: source and destination overlap; copy through a third buffer",
            ));
        }
        self.push(Cmd {
            op: npu::OP_COPY,
            dst: dst.addr(),
            src0: src.addr(),
            len,
            ..Cmd::default()
        })
    }

    /// `dst[i] = a[i] + b[i]`, wrapping.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when the lengths differ or are 0.
    pub fn vadd(
        self,
        dst: impl Into<Dst<'a, u32>>,
        a: impl Into<Src<'a, u32>>,
        b: impl Into<Src<'a, u32>>,
    ) -> Result<Self> {
        let (dst, a, b) = (dst.into(), a.into(), b.into());
        let len = same(dst.byte_len(), a.byte_len())?;
        let len = not_empty(same(len, b.byte_len())?)?;
        self.push(Cmd {
            op: npu::OP_VADD,
            dst: dst.addr(),
            src0: a.addr(),
            src1: b.addr(),
            len,
            ..Cmd::default()
        })
    }

    /// Matrix product of row-major int8 matrices: `dst = clamp((a * b) >> shift)`.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when a matrix has not the size that `shape` says, or
    /// `dst` overlaps a source.
    pub fn gemm(
        self,
        dst: impl Into<Dst<'a, i8>>,
        a: impl Into<Src<'a, i8>>,
        b: impl Into<Src<'a, i8>>,
        shape: Gemm,
    ) -> Result<Self> {
        let (dst, a, b) = (dst.into(), a.into(), b.into());
        let [m, n, k] = [shape.m, shape.n, shape.k].map(u64::from);
        if m * n * k == 0 || shape.shift > 31 {
            return Err(Error::Command(
                "gemm: m, n and k must be 1 or more and shift at most 31",
            ));
        }
        if (dst.byte_len(), a.byte_len(), b.byte_len()) != (m * n, m * k, k * n) {
            return Err(Error::Command(
                "gemm: dst must have m*n elements, a m*k and b k*n",
            ));
        }
        if overlap(dst.addr(), m * n, a.addr(), m * k)
            || overlap(dst.addr(), m * n, b.addr(), k * n)
        {
            return Err(Error::Command(
                "gemm: dst overlaps a source; use another buffer",
            ));
        }
        self.push(Cmd {
            op: npu::OP_GEMM,
            dst: dst.addr(),
            src0: a.addr(),
            src1: b.addr(),
            arg: [m | n << 16 | k << 32 | u64::from(shape.shift) << 48, 0],
            ..Cmd::default()
        })
    }

    /// `dst[i] = table[index[i]]`.  An index outside `table` fails the job.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when `dst` and `index` differ in length or are empty.
    pub fn gather(
        self,
        dst: impl Into<Dst<'a, u32>>,
        table: impl Into<Src<'a, u32>>,
        index: impl Into<Src<'a, u32>>,
    ) -> Result<Self> {
        let (dst, table, index) = (dst.into(), table.into(), index.into());
        let len = not_empty(same(dst.byte_len(), index.byte_len())?)?;
        self.push(Cmd {
            op: npu::OP_GATHER,
            dst: dst.addr(),
            src0: table.addr(),
            src1: index.addr(),
            len,
            arg: [not_empty(table.len() as u64)?, 0],
            ..Cmd::default()
        })
    }

    /// Adds to `counts` how often each byte value occurs in `bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when `counts` has not 256 elements or `bytes` is empty.
    pub fn histogram(
        self,
        counts: impl Into<Dst<'a, u64>>,
        bytes: impl Into<Src<'a, u8>>,
    ) -> Result<Self> {
        let (counts, bytes) = (counts.into(), bytes.into());
        if counts.len() != 256 {
            return Err(Error::Command("histogram: counts must have 256 elements"));
        }
        self.push(Cmd {
            op: npu::OP_HISTOGRAM,
            dst: counts.addr(),
            src0: bytes.addr(),
            len: not_empty(bytes.byte_len())?,
            ..Cmd::default()
        })
    }

    /// Adds `value` to the counter `times` times, each time atomically.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when `counter` is not one element.
    pub fn atomic_add(
        self,
        counter: impl Into<Dst<'a, u64>>,
        value: u64,
        times: u64,
    ) -> Result<Self> {
        let counter = counter.into();
        if counter.len() != 1 {
            return Err(Error::Command("atomic_add: the counter is one u64"));
        }
        self.push(Cmd {
            op: npu::OP_ATOMIC_ADD,
            dst: counter.addr(),
            arg: [value, times],
            ..Cmd::default()
        })
    }

    /// Reads `src` and throws it away.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when `src` is empty.
    pub fn read<T: Pod>(self, src: impl Into<Src<'a, T>>) -> Result<Self> {
        let src = src.into();
        let len = not_empty(src.byte_len())?;
        self.push(Cmd {
            op: npu::OP_READ,
            src0: src.addr(),
            len,
            ..Cmd::default()
        })
    }

    /// Keeps the NPU busy for `micros` microseconds.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] for more than 10 seconds.
    pub fn nop(self, micros: u64) -> Result<Self> {
        if micros > NOP_MAX_US {
            return Err(Error::Command("nop: at most 10 seconds; use several"));
        }
        self.push(Cmd {
            op: npu::OP_NOP,
            arg: [micros, 0],
            ..Cmd::default()
        })
    }
}

fn not_empty(len: u64) -> Result<u64> {
    if len == 0 {
        return Err(Error::Command("an operand is empty; leave the command out"));
    }
    Ok(len)
}

fn same(a: u64, b: u64) -> Result<u64> {
    if a != b {
        return Err(Error::Command(
            "the operands differ in length; slice them to the same",
        ));
    }
    Ok(a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(job: Result<Job<'_>>) -> String {
        job.expect_err("a malformed command was accepted")
            .to_string()
    }

    #[test]
    fn commands_have_the_kernels_form() {
        let mut words = [0u32; 12];
        let (base, all) = (words.as_ptr() as u64, Dst::from(&mut words[..]));
        let (a, b, c) = (all.slice(0..4), all.slice(4..8), all.slice(8..12));
        let job = Job::new().fill(a, 0xab).unwrap();
        let job = job.copy(b, a).unwrap().vadd(c, a, b).unwrap();
        let job = job.gather(c, a, b).unwrap().read(c).unwrap();
        let job = job.nop(5).unwrap();
        let [fill, copy, vadd, gather, read, nop] = job.commands() else {
            panic!("six commands expected: {job:?}");
        };
        assert_eq!(
            (fill.op, fill.dst, fill.len, fill.arg[0]),
            (1, base, 16, 0xab)
        );
        assert_eq!(
            (copy.op, copy.dst, copy.src0, copy.len),
            (2, base + 16, base, 16)
        );
        assert_eq!((vadd.op, vadd.src0, vadd.src1), (3, base, base + 16));
        assert_eq!((gather.op, gather.len, gather.arg), (5, 16, [4, 0]));
        assert_eq!(
            (read.op, read.src0, read.len, read.dst),
            (8, base + 32, 16, 0)
        );
        assert_eq!((nop.op, nop.arg, nop.len), (9, [5, 0], 0));
    }

    #[test]
    fn gemm_packs_its_shape() {
        let (a, b, mut c) = ([1i8; 6], [1i8; 12], [0i8; 8]);
        let shape = Gemm {
            m: 2,
            n: 4,
            k: 3,
            shift: 7,
        };
        let job = Job::new().gemm(&mut c[..], &a[..], &b[..], shape).unwrap();
        let cmd = job.commands()[0];
        assert_eq!((cmd.op, cmd.len), (4, 0));
        assert_eq!(cmd.arg, [2 | 4 << 16 | 3 << 32 | 7 << 48, 0]);
    }

    #[test]
    fn malformed_commands_are_refused() {
        let mut bytes = [0u8; 64];
        let all = Dst::from(&mut bytes[..]);
        let (a, b) = (all.slice(..8), all.slice(8..20));
        assert!(refused(Job::new().fill(all.slice(..0), 1)).contains("empty"));
        assert!(refused(Job::new().copy(a, b)).contains("differ"));
        assert!(refused(Job::new().copy(all.slice(4..12), a)).contains("overlap"));
        assert!(refused(Job::new().nop(10_000_001)).contains("10 seconds"));
        let mut counts = [0u64; 255];
        assert!(refused(Job::new().histogram(&mut counts[..], a)).contains("256"));
        assert!(refused(Job::new().atomic_add(&mut counts[..2], 1, 1)).contains("one u64"));
        let mut c = [0i8; 4];
        let operand = [0i8; 4];
        let mut shape = Gemm {
            m: 2,
            n: 2,
            k: 3,
            shift: 0,
        };
        let square = Dst::from(&mut c[..]);
        let gemm = |shape| Job::new().gemm(square, &operand[..], &operand[..], shape);
        assert!(refused(gemm(shape)).contains("m*n"));
        shape.k = 2;
        assert!(gemm(shape).is_ok());
        shape.shift = 32;
        assert!(refused(gemm(shape)).contains("31"));
        shape.shift = 0;
        assert!(refused(Job::new().gemm(square, square, square, shape)).contains("overlaps"));
    }

    proptest! {
        #[test]
        fn overlap_is_what_sets_say(a in 0u64..40, a_len in 1u64..20, b in 0u64..40, b_len in 1u64..20) {
            let common = (a..a + a_len).any(|x| (b..b + b_len).contains(&x));
            prop_assert_eq!(overlap(a, a_len, b, b_len), common);
        }
    }
}
