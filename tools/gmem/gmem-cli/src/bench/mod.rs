// SPDX-License-Identifier: MIT OR GPL-2.0
//! `gmem bench`: moving memory, against the kernel's HMM test device; more memory
//! than a device has; and files.

mod measure;
mod oversub;
mod row;
mod side;
mod weights;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{ensure, Context};
use gmem::sys::mem::HUGE_SIZE;
use gmem::Npu;

use measure::Timing;
use row::{Report, Row};
use side::{Gmem, Hmm, Side};

/// Arguments of `gmem bench`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Rounds; in each, both sides take their turn [default: 9, or 3 with
    /// --instructions]
    #[arg(long)]
    rounds: Option<usize>,
    /// Write the results to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The HMM test device (CONFIG_TEST_HMM).
    #[arg(long, value_name = "DEVICE", default_value = "/dev/hmm_dmirror0")]
    hmm: PathBuf,
    /// For a guest whose clock counts instructions: fewer rounds.
    #[arg(long)]
    instructions: bool,
    /// Exit with 1 when a row is slower than 0.95 of HMM or the geometric mean is
    /// below 1.1; without --instructions, of the rows that move at least 2 MiB.
    #[arg(long)]
    assert: bool,
}

/// Other benchmarks; without one, moving memory against the HMM test device.
#[derive(clap::Subcommand)]
enum What {
    /// Work on 0.5 to 4 times as much memory as the device has.
    Oversub(oversub::Args),
    /// Read a file again and again: mapped, against read into memory.
    Weights(weights::Args),
}

const SIZES: [usize; 4] = [64 << 10, 2 << 20, 16 << 20, 256 << 20];
/// The CPU touches this much device memory, page after page.
const FAULT_SIZE: usize = HUGE_SIZE;

/// One thing to measure.
#[derive(Clone, Copy)]
struct Case {
    huge: bool,
    size: usize,
    faults: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for huge in [false, true] {
        for size in SIZES {
            cases.push(Case {
                huge,
                size,
                faults: false,
            });
        }
        cases.push(Case {
            huge,
            size: FAULT_SIZE,
            faults: true,
        });
    }
    cases
}

/// Measures and prints.
pub fn main(args: &Args) -> anyhow::Result<ExitCode> {
    gmem::probe()?;
    match &args.what {
        Some(What::Oversub(args)) => return oversub::main(args),
        Some(What::Weights(args)) => return weights::main(args),
        None => {}
    }
    let room = Npu::open(0)?.info()?.mem_total as usize;
    let largest = SIZES[SIZES.len() - 1];
    ensure!(
        room >= largest,
        "the NPU has too little memory; load npu_stub with mem_mib=512"
    );
    let rounds = args.rounds.unwrap_or(if args.instructions { 3 } else { 9 });
    ensure!(rounds > 0, "at least one round is needed");
    let mut sides: [Box<dyn Side>; 2] = [Box::new(Gmem), Box::new(Hmm::at(&args.hmm))];

    let cases = cases();
    let mut rows: Vec<[Row; 2]> = cases.iter().map(Row::pair).collect();
    for round in 0..rounds {
        for (case, rows) in cases.iter().zip(&mut rows) {
            let [gmem, hmm] = &mut sides;
            let ours = one(case, gmem.as_mut())?;
            let theirs = one(case, hmm.as_mut())?;
            let copy = measure::memcpy(case.size)?;
            rows[0].add(ours.to_device, theirs.to_device, copy);
            rows[1].add(ours.home, theirs.home, copy);
        }
        eprintln!("round {} of {rounds}", round + 1);
    }

    let rows = cases
        .iter()
        .zip(rows)
        .flat_map(|(case, [to_device, home])| {
            // A fault row has one direction: going there was measured before.
            let to_device = (!case.faults).then_some(to_device);
            to_device.into_iter().chain([home])
        });
    let report = Report::new(rows, args.instructions);
    println!("{report}");
    if let Some(path) = &args.json {
        write_json(path, &report)?;
    }
    if args.assert && !report.passes() {
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a report as JSON.
fn write_json(path: &Path, report: &impl serde::Serialize) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(report)? + "\n";
    std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))
}

fn one(case: &Case, side: &mut dyn Side) -> anyhow::Result<Timing> {
    measure::side(case, side).with_context(|| format!("measuring {}", side.name()))
}
