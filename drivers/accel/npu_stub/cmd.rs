// SPDX-License-Identifier: GPL-2.0

//! Commands: from what user space wrote to something that can be run.
//!
//! Nothing that user space wrote is trusted. What this file lets through has no unused field set,
//! no range that wraps or leaves the NPU's addresses, and only aligned operands.

use kernel::{
    prelude::*,
    uaccess::UserSliceReader,
    uapi, //
};

/// The longest operand, in bytes.
const MAX_LEN: u64 = 1 << 40;
/// The longest [`Cmd::Nop`], in microseconds.
const MAX_NOP: u64 = 10_000_000;
/// Counters of a histogram.
pub(crate) const BINS: u64 = 256;

/// A range of the process's memory.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) addr: u64,
    pub(crate) len: u64,
}

/// A command.
#[derive(Clone, Copy)]
pub(crate) enum Cmd {
    Fill {
        dst: Span,
        byte: u8,
    },
    Copy {
        dst: Span,
        src: Span,
    },
    Vadd {
        dst: Span,
        a: Span,
        b: Span,
    },
    Gemm {
        dst: Span,
        a: Span,
        b: Span,
        dims: Dims,
    },
    Gather {
        dst: Span,
        table: Span,
        index: Span,
    },
    Histogram {
        dst: Span,
        src: Span,
    },
    AtomicAdd {
        dst: Span,
        value: u64,
        times: u64,
    },
    Read {
        src: Span,
    },
    Nop {
        micros: u64,
    },
}

/// The dimensions of a matrix product: `[m][k] * [k][n]`.
#[derive(Clone, Copy)]
pub(crate) struct Dims {
    pub(crate) m: u64,
    pub(crate) n: u64,
    pub(crate) k: u64,
    pub(crate) shift: u32,
}

/// `struct npu_cmd` as user space wrote it.
struct Raw {
    op: u32,
    dst: u64,
    src0: u64,
    src1: u64,
    len: u64,
    arg: [u64; 2],
    limit: u64,
}

impl Raw {
    /// Makes an operand of `len` bytes that must be aligned to `align`.
    fn span(&self, addr: u64, len: u64, align: u64) -> Result<Span> {
        let end = addr.checked_add(len).ok_or(EINVAL)?;
        if len > MAX_LEN || end > self.limit || (addr | len) & (align - 1) != 0 {
            return Err(EINVAL);
        }
        Ok(Span { addr, len })
    }

    fn dst(&self, align: u64) -> Result<Span> {
        self.span(self.dst, self.len, align)
    }

    fn src0(&self, align: u64) -> Result<Span> {
        self.span(self.src0, self.len, align)
    }

    fn src1(&self, align: u64) -> Result<Span> {
        self.span(self.src1, self.len, align)
    }

    fn dims(&self) -> Result<Dims> {
        let field = |shift: u32| self.arg[0] >> shift & 0xffff;
        let (m, n, k, shift) = (field(0), field(16), field(32), field(48));
        if m == 0 || n == 0 || k == 0 || shift > 31 {
            return Err(EINVAL);
        }
        let shift = shift as u32;
        Ok(Dims { m, n, k, shift })
    }

    /// Checks that the fields that the operation does not use are 0.
    fn check_unused(&self) -> Result {
        let Self {
            dst,
            src0,
            src1,
            len,
            arg: [arg0, arg1],
            ..
        } = *self;
        let unused = match self.op {
            uapi::NPU_OP_FILL => src0 | src1 | arg1,
            uapi::NPU_OP_COPY => src1 | arg0 | arg1,
            uapi::NPU_OP_VADD => arg0 | arg1,
            uapi::NPU_OP_GEMM => len | arg1,
            uapi::NPU_OP_GATHER => arg1,
            uapi::NPU_OP_HISTOGRAM => src1 | arg0 | arg1,
            uapi::NPU_OP_ATOMIC_ADD => src0 | src1 | len,
            uapi::NPU_OP_READ => dst | src1 | arg0 | arg1,
            uapi::NPU_OP_NOP => dst | src0 | src1 | len | arg1,
            _ => return Err(EINVAL),
        };
        if unused != 0 {
            return Err(EINVAL);
        }
        Ok(())
    }

    fn parse(&self) -> Result<Cmd> {
        self.check_unused()?;
        Ok(match self.op {
            uapi::NPU_OP_FILL => Cmd::Fill {
                dst: self.dst(1)?,
                byte: (self.arg[0] & 0xff) as u8,
            },
            uapi::NPU_OP_COPY => {
                let (dst, src) = (self.dst(1)?, self.src0(1)?);
                if dst.addr.abs_diff(src.addr) < self.len {
                    return Err(EINVAL);
                }
                Cmd::Copy { dst, src }
            }
            uapi::NPU_OP_VADD => Cmd::Vadd {
                dst: self.dst(4)?,
                a: self.src0(4)?,
                b: self.src1(4)?,
            },
            uapi::NPU_OP_GEMM => {
                let dims = self.dims()?;
                Cmd::Gemm {
                    dst: self.span(self.dst, dims.m * dims.n, 1)?,
                    a: self.span(self.src0, dims.m * dims.k, 1)?,
                    b: self.span(self.src1, dims.k * dims.n, 1)?,
                    dims,
                }
            }
            uapi::NPU_OP_GATHER => {
                let table = self.arg[0].checked_mul(4).ok_or(EINVAL)?;
                Cmd::Gather {
                    dst: self.dst(4)?,
                    table: self.span(self.src0, table, 4)?,
                    index: self.src1(4)?,
                }
            }
            uapi::NPU_OP_HISTOGRAM => Cmd::Histogram {
                dst: self.span(self.dst, BINS * 8, 8)?,
                src: self.src0(1)?,
            },
            uapi::NPU_OP_ATOMIC_ADD => Cmd::AtomicAdd {
                dst: self.span(self.dst, 8, 8)?,
                value: self.arg[0],
                times: self.arg[1],
            },
            uapi::NPU_OP_READ => Cmd::Read { src: self.src0(1)? },
            uapi::NPU_OP_NOP if self.arg[0] <= MAX_NOP => Cmd::Nop {
                micros: self.arg[0],
            },
            _ => return Err(EINVAL),
        })
    }
}

impl Cmd {
    /// Size of a command as user space writes it.
    pub(crate) const SIZE: usize = size_of::<uapi::npu_cmd>();

    /// Reads one command. Addresses must be below `limit`.
    ///
    /// # Errors
    ///
    /// `EFAULT` when it cannot be read, `EINVAL` when it is malformed.
    pub(crate) fn read(reader: &mut UserSliceReader, limit: u64) -> Result<Self> {
        const_assert!(Cmd::SIZE == 2 * 4 + 6 * 8);
        let [op, flags] = reader.read::<[u32; 2]>()?;
        let [dst, src0, src1, len, arg0, arg1] = reader.read::<[u64; 6]>()?;
        if flags != 0 {
            return Err(EINVAL);
        }
        Raw {
            op,
            dst,
            src0,
            src1,
            len,
            arg: [arg0, arg1],
            limit,
        }
        .parse()
    }

    /// Takes what can be done in about `micros` off a long command. [`None`] for all others.
    pub(crate) fn split(&mut self, micros: u64) -> Option<Self> {
        // In a microsecond, on a fast machine.
        const ADDS: u64 = 4;

        let mut now = *self;
        let (rest, part, most) = match (self, &mut now) {
            (Self::Nop { micros: rest }, Self::Nop { micros: part }) => (rest, part, micros),
            (Self::AtomicAdd { times: rest, .. }, Self::AtomicAdd { times: part, .. }) => {
                (rest, part, micros.saturating_mul(ADDS))
            }
            _ => return None,
        };
        if *rest <= most {
            return None;
        }
        *rest -= most;
        *part = most;
        Some(now)
    }

    /// What the command touches, and whether it stores there.
    pub(crate) fn operands(&self) -> [Option<(Span, bool)>; 3] {
        let read = |span: &Span| Some((*span, false));
        let write = |span: &Span| Some((*span, true));
        match self {
            Self::Fill { dst, .. } | Self::AtomicAdd { dst, .. } => [write(dst), None, None],
            Self::Copy { dst, src } | Self::Histogram { dst, src } => [read(src), write(dst), None],
            Self::Vadd { dst, a, b } | Self::Gemm { dst, a, b, .. } => {
                [read(a), read(b), write(dst)]
            }
            Self::Gather { dst, table, index } => [read(table), read(index), write(dst)],
            Self::Read { src } => [read(src), None, None],
            Self::Nop { .. } => [None, None, None],
        }
    }
}
