// SPDX-License-Identifier: MIT OR GPL-2.0
//! `gmem bench weights`: a file that a device reads again and again.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context};
use comfy_table::{presets, Table};
use gmem::{Buffer, FileMap, Hint, Job, Npu};
use serde::Serialize;

use super::row::median;
use crate::size::Size;

/// The first pass over a mapped file may take so much of what reading it into memory takes.
const FIRST_MAX: f64 = 1.05;
/// And a later pass so much of one over that memory.
const LATER_MAX: f64 = 1.1;

/// Arguments of `gmem bench weights`.
#[derive(clap::Args)]
pub struct Args {
    /// The file [default: a new one of --size in the directory for temporary files]
    #[arg(long, value_name = "FILE", conflicts_with = "size")]
    file: Option<PathBuf>,
    /// How much a new file has.
    #[arg(long, default_value = "64M")]
    size: Size,
    /// Rounds; in each, every way takes its turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Write the results to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Exit with 1 when a mapped file is slower than memory that it was read into, or when a
    /// later pass moves bytes.
    #[arg(long)]
    assert: bool,
}

/// A way to give a file to a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Mapped, read mostly: the device has copies.
    Mapped,
    /// Read into memory, which moves.
    Read,
    /// Mapped without advice: the device reaches the page cache.
    Remote,
}

impl Way {
    const ALL: [Self; 3] = [Self::Mapped, Self::Read, Self::Remote];

    fn name(self) -> &'static str {
        match self {
            Self::Mapped => "mapped, read mostly",
            Self::Read => "read into memory",
            Self::Remote => "mapped, used where it is",
        }
    }
}

/// A turn of one way.
struct Turn {
    /// From the file to the end of the first pass.
    first: Duration,
    later: Duration,
    /// Bytes that the device copied in the first pass.
    copied: u64,
    /// Bytes that moved in the later pass.
    moved: u64,
    /// Bytes that the device reaches where they are.
    remote: u64,
}

fn turn(npu: &Npu, file: &mut File, way: Way) -> anyhow::Result<Turn> {
    let start = Instant::now();
    let (map, buffer);
    let bytes: &[u8] = if way == Way::Read {
        let len = usize::try_from(file.metadata()?.len())?;
        let mut memory = Buffer::new(len)?;
        file.rewind()?;
        file.read_exact(&mut memory)?;
        buffer = memory;
        &buffer
    } else {
        // SAFETY: The file is this program's, or one that its caller promised not to change.
        map = unsafe { FileMap::new(file) }?;
        if way == Way::Remote {
            gmem::advise(&map[..], Hint::NotReadMostly)?;
        }
        &map
    };
    let before = npu.info()?;
    npu.run(Job::new().read(bytes)?)?;
    let first = start.elapsed();
    let between = npu.info()?;
    let start = Instant::now();
    npu.run(Job::new().read(bytes)?)?;
    let later = start.elapsed();
    let after = npu.info()?;
    Ok(Turn {
        first,
        later,
        copied: between.to_dev - before.to_dev,
        moved: after.to_dev - between.to_dev + after.from_dev - between.from_dev,
        remote: between.remote - before.remote,
    })
}

/// The results of one way.
#[derive(Serialize)]
struct Row {
    way: &'static str,
    /// Medians, in milliseconds.
    first_ms: f64,
    later_ms: f64,
    /// As parts of what the file read into memory takes: the medians of the rounds.
    first_ratio: f64,
    later_ratio: f64,
    /// Bytes that the device copied in the first pass, and that moved in the later one.
    copied: u64,
    moved_later: u64,
    /// Bytes that the device reaches in host memory.
    remote: u64,
}

impl Row {
    /// Of the rounds `turns`; `read` are those of memory.
    fn new(way: Way, turns: &[Turn], read: &[Turn]) -> Self {
        let ms = |time: &Duration| time.as_secs_f64() * 1e3;
        let of = |pick: fn(&Turn) -> &Duration| {
            let times: Vec<f64> = turns.iter().map(|turn| ms(pick(turn))).collect();
            let pairs = turns.iter().zip(read);
            let ratios: Vec<f64> = pairs.map(|(a, b)| ms(pick(a)) / ms(pick(b))).collect();
            (median(&times), median(&ratios))
        };
        let (first_ms, first_ratio) = of(|turn| &turn.first);
        let (later_ms, later_ratio) = of(|turn| &turn.later);
        let most = |pick: fn(&Turn) -> u64| turns.iter().map(pick).max().unwrap_or(0);
        Self {
            way: way.name(),
            first_ms,
            later_ms,
            first_ratio,
            later_ratio,
            copied: most(|turn| turn.copied),
            moved_later: most(|turn| turn.moved),
            remote: most(|turn| turn.remote),
        }
    }
}

#[derive(Serialize)]
struct Report {
    bytes: u64,
    rounds: u32,
    rows: Vec<Row>,
}

impl Report {
    /// Whether a mapped file is as fast as memory, and stays where it is.
    fn passes(&self) -> bool {
        self.rows.first().is_some_and(|mapped| {
            mapped.first_ratio <= FIRST_MAX
                && mapped.later_ratio <= LATER_MAX
                && mapped.copied >= self.bytes
                && mapped.moved_later == 0
                && mapped.remote == 0
        })
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN).set_header([
            "way",
            "first pass",
            "later pass",
            "first ratio",
            "later ratio",
            "copied",
            "moved later",
            "remote",
        ]);
        for row in &self.rows {
            table.add_row([
                row.way.to_owned(),
                format!("{:.1} ms", row.first_ms),
                format!("{:.1} ms", row.later_ms),
                format!("{:.2}", row.first_ratio),
                format!("{:.2}", row.later_ratio),
                crate::size::bytes(row.copied),
                crate::size::bytes(row.moved_later),
                crate::size::bytes(row.remote),
            ]);
        }
        writeln!(f, "{table}")?;
        write!(
            f,
            "{} of a file, from the page cache; medians of {} rounds; ratio: time as a part of \
             what the file read into memory takes",
            crate::size::bytes(self.bytes),
            self.rounds
        )
    }
}

/// Measures and prints.
pub fn main(args: &Args) -> anyhow::Result<ExitCode> {
    let npu = Npu::open(0)?;
    let room = npu.info()?.mem_total;
    let fits = |bytes: u64| {
        ensure!(
            bytes > 0,
            "the file is empty; take one with something in it"
        );
        ensure!(
            bytes <= room / 2,
            "the NPU has {}, the file {}; take a file of half the memory or less",
            crate::size::bytes(room),
            crate::size::bytes(bytes)
        );
        Ok(())
    };
    let mut file = match &args.file {
        Some(path) => {
            File::open(path).with_context(|| format!("cannot open {}", path.display()))?
        }
        None => {
            fits(args.size.0 as u64)?;
            new_file(args.size.0)?
        }
    };
    let bytes = file.metadata()?.len();
    fits(bytes)?;
    let mut turns = Way::ALL.map(|_| Vec::new());
    for round in 0..args.rounds {
        for (way, turns) in Way::ALL.into_iter().zip(&mut turns) {
            let turn = turn(&npu, &mut file, way).with_context(|| way.name())?;
            turns.push(turn);
        }
        eprintln!("round {} of {}", round + 1, args.rounds);
    }
    let rows = Way::ALL.iter().zip(&turns);
    let report = Report {
        bytes,
        rounds: args.rounds,
        rows: rows
            .map(|(way, mine)| Row::new(*way, mine, &turns[1]))
            .collect(),
    };
    println!("{report}");
    if let Some(path) = &args.json {
        super::write_json(path, &report)?;
    }
    if args.assert && !report.passes() {
        eprintln!(
            "a bar is missed: a mapped file may take {FIRST_MAX} of the time of memory in the \
             first pass and {LATER_MAX} in a later one, is copied once, and does not move then"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// A file without a name; closed for writing, as copies of files want it.
fn new_file(len: usize) -> anyhow::Result<File> {
    let mut file = tempfile::NamedTempFile::new().context("cannot make a file")?;
    let block: Vec<u8> = (0..1 << 20)
        .map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut left = len;
    while left > 0 {
        let part = left.min(block.len());
        file.write_all(&block[..part])
            .context("cannot fill a file")?;
        left -= part;
    }
    file.flush()?;
    Ok(File::open(file.path())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(first: u64, later: u64, copied: u64, moved: u64) -> Turn {
        Turn {
            first: Duration::from_millis(first),
            later: Duration::from_millis(later),
            copied,
            moved,
            remote: 0,
        }
    }

    fn report(mapped: Turn) -> Report {
        let read = [turn(100, 10, 64, 0)];
        Report {
            bytes: 64,
            rounds: 1,
            rows: vec![
                Row::new(Way::Mapped, &[mapped], &read),
                Row::new(Way::Read, &read, &read),
            ],
        }
    }

    #[test]
    fn bars() {
        assert!(report(turn(100, 10, 64, 0)).passes());
        assert!(!report(turn(120, 10, 64, 0)).passes(), "first pass");
        assert!(!report(turn(100, 12, 64, 0)).passes(), "later pass");
        assert!(!report(turn(100, 10, 0, 0)).passes(), "no copies");
        assert!(!report(turn(100, 10, 64, 1)).passes(), "moves again");
        let text = report(turn(50, 10, 64, 0)).to_string();
        assert!(text.contains("50.0 ms") && text.contains("0.50"), "{text}");
    }

    #[test]
    fn a_new_file_has_its_size_and_can_only_be_read() {
        let mut file = new_file((1 << 20) + 7).unwrap();
        assert_eq!(file.metadata().unwrap().len(), (1 << 20) + 7);
        assert!(file.write_all(b"x").is_err());
    }
}
