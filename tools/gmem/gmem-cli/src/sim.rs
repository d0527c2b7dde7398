// SPDX-License-Identifier: MIT OR GPL-2.0
//! `gmem sim`: a recorded trace under other policies.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{bail, ensure, Context};
use comfy_table::{presets, Table};
use gmem_sim::{simulate, Moved, Policy, Trace, BLOCK};
use serde::Serialize;

use crate::size::bytes;

/// Arguments of `gmem sim`.
#[derive(clap::Args)]
pub struct Args {
    /// A trace of `gmem record`, or of `gmem bench oversub --traces`.
    trace: PathBuf,
    /// Only this policy: ours, lru, fifo, allocation or belady; may be repeated.
    #[arg(long, value_name = "NAME")]
    policy: Vec<Policy>,
    /// Memory of the device in MiB [default: what the trace says]
    #[arg(long, value_name = "MIB")]
    device_mib: Option<u64>,
    /// The device, if the trace has several.
    #[arg(long, value_name = "NUMBER")]
    device: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One policy's result.
#[derive(Serialize)]
struct Row {
    policy: &'static str,
    bytes: u64,
    to_device: u64,
    to_host: u64,
    remote: u64,
    /// `bytes` as a multiple of Belady's.
    ratio: f64,
}

/// All results.
#[derive(Serialize)]
struct Report {
    device: u32,
    device_bytes: u64,
    uses: usize,
    blocks: usize,
    rows: Vec<Row>,
}

/// Simulates and prints.
pub fn main(args: &Args) -> anyhow::Result<ExitCode> {
    let path = args.trace.display();
    let text =
        std::fs::read_to_string(&args.trace).with_context(|| format!("cannot read {path}"))?;
    let trace = Trace::parse(&text).with_context(|| format!("cannot use {path}"))?;
    let device = device(&trace, args.device)?;
    let size = match args.device_mib {
        Some(mib) => mib
            .checked_mul(1 << 20)
            .context("so much memory cannot be")?,
        None => *trace
            .memory
            .get(&device)
            .context("the trace does not tell the size of the device; give it with --device-mib")?,
    };
    let slots = u32::try_from(size / BLOCK).context("so much memory cannot be simulated")?;
    ensure!(
        slots > 0,
        "the device has no memory; give some with --device-mib"
    );
    let report = report(&trace, device, slots, &args.policy);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(ExitCode::SUCCESS)
}

fn device(trace: &Trace, wanted: Option<u32>) -> anyhow::Result<u32> {
    let devices = trace.devices();
    match (wanted, &devices[..]) {
        (_, []) => bail!("no device used anything in this trace"),
        (Some(device), _) if devices.contains(&device) => Ok(device),
        (Some(device), _) => bail!("device {device} used nothing in this trace; {devices:?} did"),
        (None, &[device]) => Ok(device),
        (None, _) => bail!("the trace has the devices {devices:?}; choose one with --device"),
    }
}

fn report(trace: &Trace, device: u32, slots: u32, wanted: &[Policy]) -> Report {
    let uses = trace.references(device);
    let best = simulate(Policy::Belady, &uses, slots).bytes();
    let policies = Policy::ALL.into_iter();
    let rows = policies
        .filter(|policy| wanted.is_empty() || wanted.contains(policy))
        .map(|policy| Row::new(policy, &simulate(policy, &uses, slots), best))
        .collect();
    Report {
        device,
        device_bytes: u64::from(slots) * BLOCK,
        uses: uses.len(),
        blocks: uses.iter().max().map_or(0, |&last| last as usize + 1),
        rows,
    }
}

impl Row {
    fn new(policy: Policy, moved: &Moved, best: u64) -> Self {
        Self {
            policy: policy.name(),
            bytes: moved.bytes(),
            to_device: moved.to_device * BLOCK,
            to_host: moved.to_host * BLOCK,
            remote: moved.remote * BLOCK,
            ratio: moved.bytes() as f64 / best.max(1) as f64,
        }
    }
}

fn print(report: &Report) {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        "policy",
        "moved",
        "to device",
        "written back",
        "remote",
        "ratio",
    ]);
    for row in &report.rows {
        table.add_row([
            row.policy.to_owned(),
            bytes(row.bytes),
            bytes(row.to_device),
            bytes(row.to_host),
            bytes(row.remote),
            format!("{:.2}", row.ratio),
        ]);
    }
    println!("{table}");
    println!(
        "device {} with {}: {} uses of {} blocks of 64 KiB; ratio: to Belady's optimum",
        report.device,
        bytes(report.device_bytes),
        report.uses,
        report.blocks
    );
}
