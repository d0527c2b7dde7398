// SPDX-License-Identifier: MIT OR GPL-2.0
//! What a device did, as a file.
//!
//! A trace is text.  The first line is `# gmem trace 1`; other lines that begin with
//! `#` and empty ones say nothing.  Numbers are decimal or, with `0x`, hexadecimal.
//!
//! ```text
//! memory DEV BYTES                        memory of a device
//! US fault DEV ADDR LEN read|write RET    a device fault, and its result
//! US used DEV ADDR LEN                    used since the device was asked last
//! US access DEV ADDR LEN read|write       used; noted by a program that knows
//! US migrate DEV to_device|to_host ADDR PAGES
//! US evict DEV PAGE PAGES RET
//! US invalidate START END CONTEXTS
//! ```
//!
//! `US` are microseconds.  The kernel does not see a device use what it has mapped.
//! It learns it when it asks before an eviction (`used`), so a recorded trace has
//! each use that led to a fault and some of the others.  Where a device has
//! `access` lines, they are all of its uses, and `fault` and `used` are not
//! counted.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write};

use thiserror::Error;

use crate::BLOCK;

/// The first line.
const HEADER: &str = "# gmem trace 1";
/// No event reaches further; more is a damaged file.
const LONGEST: u64 = 1 << 40;

/// Why a file is no trace.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BadTrace {
    /// It does not begin as one.
    #[error("this is no trace: the first line is not '{HEADER}'")]
    Header,
    /// A line says nothing that is known.
    #[error("line {line}: {reason}: '{text}'")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
        /// The line.
        text: String,
    },
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A device fault, with its result.
    Fault {
        /// Did the device want to write?
        write: bool,
        /// 0 or a negative errno.
        ret: i32,
    },
    /// The device had used it when it was asked.
    Used,
    /// The device used it.
    Access {
        /// Did it write?
        write: bool,
    },
    /// Pages moved.
    Migrate {
        /// To the device, or home?
        to_device: bool,
    },
    /// Pages of the device, not of a process, left to make room.
    Evict {
        /// 0 or a negative errno.
        ret: i32,
    },
    /// A range went from these contexts; of no one device.
    Invalidate {
        /// One bit each.
        contexts: u64,
    },
}

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// When, in microseconds.
    pub us: u64,
    /// The device; 0 for all.
    pub dev: u32,
    /// The first byte.
    pub addr: u64,
    /// The number of bytes.
    pub len: u64,
    /// What happened there.
    pub event: Event,
}

/// A trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Bytes of memory of each device.
    pub memory: BTreeMap<u32, u64>,
    /// In order of time.
    pub records: Vec<Record>,
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    ///
    /// The first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, BadTrace> {
        let mut lines = text.lines().enumerate();
        if lines.next().is_none_or(|(_, first)| first.trim() != HEADER) {
            return Err(BadTrace::Header);
        }
        let mut trace = Self::default();
        for (at, text) in lines {
            let words: Vec<&str> = text.split_whitespace().collect();
            if words.first().is_none_or(|word| word.starts_with('#')) {
                continue;
            }
            let bad = |reason| BadTrace::Line {
                line: at + 1,
                reason,
                text: text.to_owned(),
            };
            if let ["memory", dev, bytes] = words[..] {
                let dev = number(dev).and_then(|dev| u32::try_from(dev).ok());
                let (dev, bytes) = dev
                    .zip(number(bytes))
                    .ok_or_else(|| bad("a number is wrong"))?;
                trace.memory.insert(dev, bytes);
            } else {
                trace.records.push(record(&words).map_err(bad)?);
            }
        }
        Ok(trace)
    }

    /// The devices that used something.
    pub fn devices(&self) -> Vec<u32> {
        let used = self.records.iter().filter(|record| record.is_use(false));
        let mut devices: Vec<u32> = used.map(|record| record.dev).collect();
        devices.sort_unstable();
        devices.dedup();
        devices
    }

    /// The blocks that a device used, in order, as numbers from 0; the same block
    /// twice in a row is one use.
    pub fn references(&self, dev: u32) -> Vec<u32> {
        let ours = || self.records.iter().filter(|record| record.dev == dev);
        let exact = ours().any(|record| matches!(record.event, Event::Access { .. }));
        let mut numbers = HashMap::new();
        let mut uses = Vec::new();
        for record in ours().filter(|record| record.is_use(exact)) {
            let last = record.addr.saturating_add(record.len.max(1) - 1) / BLOCK;
            for block in record.addr / BLOCK..=last {
                let new = numbers.len() as u32;
                uses.push(*numbers.entry(block).or_insert(new));
            }
        }
        uses.dedup();
        uses
    }
}

impl Record {
    fn is_use(&self, exact: bool) -> bool {
        match self.event {
            Event::Access { .. } => true,
            Event::Fault { ret, .. } => ret == 0 && !exact,
            Event::Used => !exact,
            _ => false,
        }
    }
}

fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

fn record(words: &[&str]) -> Result<Record, &'static str> {
    let [us, name, rest @ ..] = words else {
        return Err("too few words");
    };
    let value = |at: usize| {
        let word = rest.get(at).ok_or("too few words")?;
        number(word).ok_or("a number is wrong")
    };
    let result = |at: usize| {
        let word = rest.get(at).ok_or("too few words")?;
        word.parse().map_err(|_| "a result is wrong")
    };
    let choice = |at: usize, yes: &str, no: &str| match rest.get(at) {
        Some(&word) if word == yes => Ok(true),
        Some(&word) if word == no => Ok(false),
        _ => Err("not one of the two words that can stand here"),
    };
    let pages = |at: usize| value(at)?.checked_mul(4096).ok_or("too long");
    let (words, event, len) = match *name {
        "fault" => {
            let (write, ret) = (choice(3, "write", "read")?, result(4)?);
            (5, Event::Fault { write, ret }, value(2)?)
        }
        "used" => (3, Event::Used, value(2)?),
        "access" => {
            let write = choice(3, "write", "read")?;
            (4, Event::Access { write }, value(2)?)
        }
        "migrate" => {
            let to_device = choice(1, "to_device", "to_host")?;
            (4, Event::Migrate { to_device }, pages(3)?)
        }
        "evict" => (4, Event::Evict { ret: result(3)? }, pages(2)?),
        "invalidate" => {
            let len = value(1)?
                .checked_sub(value(0)?)
                .ok_or("ends before it begins")?;
            (
                3,
                Event::Invalidate {
                    contexts: value(2)?,
                },
                len,
            )
        }
        _ => return Err("no such event"),
    };
    if rest.len() != words {
        return Err("a wrong number of words");
    }
    if len > LONGEST {
        return Err("too long");
    }
    let (dev, addr) = match event {
        Event::Invalidate { .. } => (0, value(0)?),
        Event::Migrate { .. } => (value(0)?, value(2)?),
        Event::Evict { .. } => (value(0)?, pages(1)?),
        _ => (value(0)?, value(1)?),
    };
    Ok(Record {
        us: number(us).ok_or("the time is no number")?,
        dev: u32::try_from(dev).map_err(|_| "no such device")?,
        addr,
        len,
        event,
    })
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            us, dev, addr, len, ..
        } = self;
        let pages = len / 4096;
        let access = |write| if write { "write" } else { "read" };
        match self.event {
            Event::Fault { write, ret } => {
                write!(
                    f,
                    "{us} fault {dev} {addr:#x} {len} {} {ret}",
                    access(write)
                )
            }
            Event::Used => write!(f, "{us} used {dev} {addr:#x} {len}"),
            Event::Access { write } => {
                write!(f, "{us} access {dev} {addr:#x} {len} {}", access(write))
            }
            Event::Migrate { to_device } => {
                let side = if to_device { "to_device" } else { "to_host" };
                write!(f, "{us} migrate {dev} {side} {addr:#x} {pages}")
            }
            Event::Evict { ret } => {
                write!(f, "{us} evict {dev} {} {pages} {ret}", addr / 4096)
            }
            Event::Invalidate { contexts } => {
                let end = addr.saturating_add(*len);
                write!(f, "{us} invalidate {addr:#x} {end:#x} {contexts:#x}")
            }
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        for (dev, bytes) in &self.memory {
            writeln!(f, "memory {dev} {bytes}")?;
        }
        for record in &self.records {
            record.fmt(f)?;
            f.write_char('\n')?;
        }
        Ok(())
    }
}
