// SPDX-License-Identifier: MIT OR GPL-2.0
//! `gmem info`

use std::collections::BTreeMap;
use std::process::ExitCode;

use comfy_table::{presets, Table};
use gmem::{Npu, NpuInfo};
use serde::Serialize;

use crate::size;

/// Arguments of `gmem info`.
#[derive(clap::Args)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Also show what this process advised about its memory.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
}

#[derive(Serialize)]
struct Report {
    available: bool,
    reason: Option<String>,
    npus: Vec<Device>,
    vmstat: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<Vec<Range>>,
}

/// [`gmem::Attributes`] for JSON.
#[derive(Serialize)]
struct Range {
    start: usize,
    end: usize,
    preferred: Option<i32>,
    accessed_by: Vec<i32>,
    read_mostly: bool,
    pinned: Option<i32>,
}

impl From<gmem::Attributes> for Range {
    fn from(range: gmem::Attributes) -> Self {
        Self {
            start: range.start,
            end: range.end,
            preferred: range.preferred.map(|node| node.0),
            accessed_by: range.accessed_by.iter().map(|node| node.0).collect(),
            read_mostly: range.read_mostly,
            pinned: range.pinned.map(|node| node.0),
        }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}-{:x}", self.start, self.end)?;
        if let Some(node) = self.preferred {
            write!(f, " prefers {node}")?;
        }
        for node in &self.accessed_by {
            write!(f, " accessed by {node}")?;
        }
        if self.read_mostly {
            write!(f, " read mostly")?;
        }
        match self.pinned {
            Some(node) => write!(f, " pinned to {node}"),
            None => Ok(()),
        }
    }
}

#[derive(Serialize)]
struct Device {
    path: String,
    #[serde(flatten)]
    info: Option<Info>,
    error: Option<String>,
}

/// [`NpuInfo`] with names for JSON.
#[derive(Serialize)]
pub struct Info {
    index: u32,
    node: i32,
    replays_faults: bool,
    mem_total: u64,
    mem_free: u64,
    va_bits: u32,
    max_jobs: u32,
    max_cmds: u32,
    /// What the device has done since it was loaded.
    pub counters: Counters,
}

/// The counters of a device.
#[derive(Clone, Serialize)]
pub struct Counters {
    pub faults: u64,
    pub to_dev: u64,
    pub from_dev: u64,
    pub zeroed: u64,
    pub peer: u64,
    pub evicted: u64,
    pub invalidated: u64,
    pub remote: u64,
}

impl Counters {
    /// What was counted between two looks.
    pub fn between(before: &NpuInfo, after: &NpuInfo) -> Self {
        let part = |get: fn(&NpuInfo) -> u64| get(after).saturating_sub(get(before));
        Self {
            faults: part(|info| info.faults),
            to_dev: part(|info| info.to_dev),
            from_dev: part(|info| info.from_dev),
            zeroed: part(|info| info.zeroed),
            peer: part(|info| info.peer),
            evicted: part(|info| info.evicted),
            invalidated: part(|info| info.invalidated),
            remote: part(|info| info.remote),
        }
    }
}

impl From<&NpuInfo> for Info {
    fn from(info: &NpuInfo) -> Self {
        Self {
            index: info.index,
            node: info.hnid,
            replays_faults: info.flags & gmem::sys::npu::INFO_FAULTS != 0,
            mem_total: info.mem_total,
            mem_free: info.mem_free,
            va_bits: info.va_bits,
            max_jobs: info.max_jobs,
            max_cmds: info.max_cmds,
            counters: Counters::between(&NpuInfo::default(), info),
        }
    }
}

fn device(path: &std::path::Path) -> Device {
    let found = Npu::open_path(path).and_then(|npu| npu.info());
    Device {
        path: path.display().to_string(),
        info: found.as_ref().ok().map(Info::from),
        error: found.err().map(|error| error.to_string()),
    }
}

/// Prints what there is.
pub fn main(args: &Args) -> anyhow::Result<ExitCode> {
    let probed = gmem::probe();
    let attributes = match args.pid {
        Some(pid) => Some(gmem::attributes_of(pid)?),
        None => None,
    };
    let report = Report {
        available: probed.is_ok(),
        reason: probed.err().map(|error| error.to_string()),
        npus: gmem::list().iter().map(|path| device(path)).collect(),
        vmstat: gmem::vmstat(),
        attributes: attributes.map(|all| all.into_iter().map(Range::from).collect()),
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(report: &Report) {
    match &report.reason {
        None => println!("GMEM: available"),
        Some(reason) => println!("GMEM: not available: {reason}"),
    }
    if report.npus.is_empty() {
        println!("NPUs: none");
    }
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        "device",
        "node",
        "memory",
        "free",
        "faults",
        "to device",
        "from device",
        "evicted",
        "jobs",
    ]);
    for npu in &report.npus {
        match (&npu.info, &npu.error) {
            (Some(info), _) => {
                table.add_row([
                    npu.path.clone(),
                    info.node.to_string(),
                    size::bytes(info.mem_total),
                    size::bytes(info.mem_free),
                    info.counters.faults.to_string(),
                    size::bytes(info.counters.to_dev),
                    size::bytes(info.counters.from_dev),
                    size::bytes(info.counters.evicted),
                    format!("max {}", info.max_jobs),
                ]);
            }
            (None, error) => println!("{}: {}", npu.path, error.as_deref().unwrap_or("?")),
        }
    }
    if table.row_count() > 0 {
        println!("{table}");
    }
    for (name, value) in &report.vmstat {
        println!("{name} {value}");
    }
    for range in report.attributes.iter().flatten() {
        println!("{range}");
    }
}
