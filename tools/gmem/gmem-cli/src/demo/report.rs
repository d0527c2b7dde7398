// SPDX-License-Identifier: MIT OR GPL-2.0
//! What moved where, and whether all was right.

use std::collections::BTreeMap;
use std::process::ExitCode;

use comfy_table::{presets, Table};
use gmem::NpuInfo;
use serde::Serialize;

use crate::info::Counters;
use crate::size;

/// The outcome of all comparisons.
#[derive(Default, Serialize)]
pub struct Verdict {
    checks: u64,
    failures: Vec<String>,
}

impl Verdict {
    /// Notes the result of a comparison.
    pub fn check(&mut self, right: bool, what: impl FnOnce() -> String) {
        self.checks += 1;
        if !right {
            self.failures.push(what());
        }
    }

    /// Notes a failure.
    pub fn fail(&mut self, what: String) {
        self.failures.push(what);
    }
}

#[derive(Serialize)]
struct Device {
    index: u32,
    mem_total: u64,
    #[serde(flatten)]
    moved: Counters,
}

/// All that the demo tells.
#[derive(Serialize)]
pub struct Report {
    ok: bool,
    seconds: f64,
    npus: Vec<Device>,
    vmstat: BTreeMap<String, u64>,
    #[serde(flatten)]
    verdict: Verdict,
}

impl Report {
    /// Compares the counters before and after, and decides.
    pub fn new(
        before: &[NpuInfo],
        after: &[NpuInfo],
        vmstat: &BTreeMap<String, u64>,
        seconds: f64,
        mut verdict: Verdict,
    ) -> Self {
        let npus: Vec<Device> = before
            .iter()
            .zip(after)
            .map(|(before, after)| Device {
                index: after.index,
                mem_total: after.mem_total,
                moved: Counters::between(before, after),
            })
            .collect();
        for npu in &npus {
            let (got, size) = (npu.moved.to_dev, npu.mem_total);
            verdict.check(got > size, || {
                let (got, size) = (size::bytes(got), size::bytes(size));
                format!(
                    "NPU {} received {got}, not more than its {size}; use more --bytes",
                    npu.index
                )
            });
        }
        let evicted = npus.iter().any(|npu| npu.moved.evicted > 0);
        verdict.check(evicted, || "nothing was evicted; use more --bytes".into());
        let now = gmem::vmstat().into_iter();
        let past = |name: &str| vmstat.get(name).copied().unwrap_or(0);
        Self {
            ok: verdict.failures.is_empty(),
            seconds,
            npus,
            vmstat: now
                .map(|(name, value)| (name.clone(), value.saturating_sub(past(&name))))
                .collect(),
            verdict,
        }
    }

    /// Prints the report; its last line is `demo: ok` or `demo: FAILED: ...`.
    pub fn print(&self, json: bool) -> ExitCode {
        let last = match self.verdict.failures.first() {
            None => "demo: ok".to_owned(),
            Some(first) if self.verdict.failures.len() == 1 => format!("demo: FAILED: {first}"),
            Some(first) => {
                let more = self.verdict.failures.len() - 1;
                format!("demo: FAILED: {first} (and {more} more)")
            }
        };
        if json {
            println!("{}", serde_json::to_string_pretty(self).unwrap_or_default());
            eprintln!("{last}");
        } else {
            println!("\n{}", self.table());
            for (name, value) in &self.vmstat {
                println!("{name:32} {value:>12}");
            }
            println!(
                "{} results compared in {:.2} s",
                self.verdict.checks, self.seconds
            );
            println!("{last}");
        }
        if self.ok {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN).set_header([
            "NPU",
            "memory",
            "faults",
            "to NPU",
            "of it from NPU",
            "zeroed",
            "from NPU",
            "evicted",
            "remote",
        ]);
        for npu in &self.npus {
            let moved = &npu.moved;
            let mut row = vec![
                npu.index.to_string(),
                size::bytes(npu.mem_total),
                moved.faults.to_string(),
            ];
            row.extend(
                [
                    moved.to_dev,
                    moved.peer,
                    moved.zeroed,
                    moved.from_dev,
                    moved.evicted,
                    moved.remote,
                ]
                .map(size::bytes),
            );
            table.add_row(row);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn infos(to_dev: u64, evicted: u64) -> [NpuInfo; 2] {
        let info = NpuInfo {
            mem_total: 100,
            to_dev,
            evicted,
            ..NpuInfo::default()
        };
        [info, info]
    }

    fn report(to_dev: u64, evicted: u64, verdict: Verdict) -> Report {
        let vmstat = BTreeMap::new();
        Report::new(&infos(0, 0), &infos(to_dev, evicted), &vmstat, 1.0, verdict)
    }

    #[test]
    fn ok_needs_movement_and_eviction() {
        assert!(report(101, 1, Verdict::default()).ok);
        assert!(!report(100, 1, Verdict::default()).ok);
        assert!(!report(101, 0, Verdict::default()).ok);
    }

    #[test]
    fn a_wrong_result_fails() {
        let mut verdict = Verdict::default();
        verdict.check(true, || unreachable!());
        verdict.check(false, || "wrong".into());
        let report = report(101, 1, verdict);
        assert!(!report.ok);
        assert_eq!(
            (report.verdict.checks, &report.verdict.failures[..]),
            (5, &["wrong".to_owned()][..])
        );
    }
}
