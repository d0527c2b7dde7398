// SPDX-License-Identifier: MIT OR GPL-2.0
//! `gmem bench oversub`: jobs over more memory than the device has.

mod job;
mod plot;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{ensure, Context};
use gmem::sys::mem::HUGE_SIZE;
use gmem::{Buffer, Node, Npu};
use gmem_sim::{simulate, Event, Pattern, Policy, Record, Trace, BLOCK};

use job::{Counters, Tiles};
use report::{Case, Report};

/// Arguments of `gmem bench oversub`.
#[derive(clap::Args)]
pub struct Args {
    /// Working sets, as multiples of the memory of the device.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_values_t = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0]
    )]
    sizes: Vec<f64>,
    /// Patterns: loop, uniform, zipf, gemm.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_values_t = Pattern::ALL
    )]
    patterns: Vec<Pattern>,
    /// Write the results to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw them into this file as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Write the uses of each case to a file in this directory, for `gmem sim`.
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,
    /// Exit with 1 when a bar is missed at twice the memory, or was not measured.
    #[arg(long)]
    assert: bool,
}

/// Measures and prints.
pub fn main(args: &Args) -> anyhow::Result<ExitCode> {
    ensure!(
        args.sizes.iter().all(|size| (0.01..=64.0).contains(size)),
        "a working set is 0.01 to 64 times the memory of the device"
    );
    let npu = Npu::open(0)?;
    let info = npu.info()?;
    let node = npu.node()?.context("the NPU has no memory")?;
    let slots = u32::try_from(info.mem_total / BLOCK).context("the NPU has too much memory")?;
    let copy = copy_speed(&npu, node, info.mem_total as usize / 2)?;
    let mut cases = Vec::new();
    for &pattern in &args.patterns {
        for &size in &args.sizes {
            let blocks = (f64::from(slots) * size) as u32;
            let what = || format!("{pattern} over {size} times the memory");
            let uses = pattern.references(blocks);
            if let Some(dir) = &args.traces {
                let path = dir.join(format!("{pattern}-{size}.trace"));
                write_trace(&path, pattern, blocks, &uses, info.mem_total)?;
            }
            let measured = measure(&npu, node, pattern, blocks, &uses, slots).with_context(what)?;
            let moved = Policy::ALL.map(|policy| simulate(policy, &uses, slots).bytes());
            let case = Case::new(pattern, size, uses.len(), &measured, moved, copy);
            eprintln!("{case}");
            cases.push(case);
        }
    }
    let report = Report::new(info.mem_total, copy, cases);
    println!("{report}");
    if let Some(path) = &args.json {
        super::write_json(path, &report)?;
    }
    if let Some(path) = &args.plot {
        let plot = plot::svg(&report);
        std::fs::write(path, plot).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.assert && !report.passes() {
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// What one case took.
struct Measured {
    time: Duration,
    /// The same commands while all they use is on the device.
    resident: Duration,
    /// How much of that was not on the device after all.
    resident_moved: u64,
    counters: Counters,
}

fn measure(
    npu: &Npu,
    node: Node,
    pattern: Pattern,
    blocks: u32,
    uses: &[u32],
    slots: u32,
) -> anyhow::Result<Measured> {
    let mut tiles = Tiles::new(pattern, blocks)?;
    let before = Counters::read(npu)?;
    let time = tiles.run(npu, uses)?;
    let counters = Counters::read(npu)?.since(&before);
    tiles.check(1)?;

    let mut resident = Duration::ZERO;
    let mut resident_moved = 0;
    for window in job::windows(uses, slots as usize * 3 / 4) {
        tiles.bring(node, window)?;
        let before = Counters::read(npu)?;
        resident += tiles.run(npu, window)?;
        resident_moved += Counters::read(npu)?.since(&before).moved();
    }
    tiles.check(2)?;
    Ok(Measured {
        time,
        resident,
        resident_moved,
        counters,
    })
}

/// Bytes per second of moving memory to the device and home: the faster of large and small pages
/// counts, and the best of some rounds.
fn copy_speed(npu: &Npu, node: Node, size: usize) -> anyhow::Result<f64> {
    let mut best: f64 = 0.0;
    let mut buffer = Buffer::new(size.next_multiple_of(HUGE_SIZE))?;
    buffer.fill(1);
    for _ in 0..3 {
        let before = Counters::read(npu)?;
        let start = std::time::Instant::now();
        buffer.prefetch(node)?;
        buffer.prefetch(Node::HOME)?;
        let time = start.elapsed();
        let moved = Counters::read(npu)?.since(&before).moved();
        best = best.max(moved as f64 / time.as_secs_f64());
    }
    ensure!(best > 0.0, "nothing was moved to measure the copy speed");
    Ok(best)
}

fn write_trace(
    path: &Path,
    pattern: Pattern,
    blocks: u32,
    uses: &[u32],
    memory: u64,
) -> anyhow::Result<()> {
    let record = |(at, &block): (usize, &u32)| Record {
        us: at as u64,
        dev: 1,
        addr: u64::from(block) * BLOCK,
        len: BLOCK,
        event: Event::Access {
            write: pattern.writes(block, blocks),
        },
    };
    let trace = Trace {
        memory: [(1, memory)].into(),
        records: uses.iter().enumerate().map(record).collect(),
    };
    std::fs::write(path, trace.to_string())
        .with_context(|| format!("cannot write {}", path.display()))
}
