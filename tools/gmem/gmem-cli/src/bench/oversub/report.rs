// SPDX-License-Identifier: MIT OR GPL-2.0
//! Results, and the bars they have to reach.

use std::fmt;

use comfy_table::{presets, Table};
use gmem_sim::{Pattern, Policy};
use serde::Serialize;

use super::Measured;
use crate::size::{bytes, Size};

/// The working set, as a multiple of the memory, at which bars count.
const BAR_SIZE: f64 = 2.0;
/// Longest time beyond that of resident data, in times of copying what was moved.
const MAX_COPY_TIMES: f64 = 1.5;
/// Largest part of faults that wait for room.
const MAX_WAITED: f64 = 0.05;
/// Most bytes, as a multiple of Belady's; zipf, and the patterns that can be foreseen.
const MAX_ZIPF: f64 = 1.9;
const MAX_REGULAR: f64 = 1.3;
/// Fewest times that FIFO moves more than the kernel.
const MIN_FIFO: f64 = 1.3;

/// One pattern over one working set.
#[derive(Serialize)]
pub struct Case {
    pub pattern: &'static str,
    /// Multiple of the memory of the device.
    pub size: f64,
    uses: usize,
    seconds: f64,
    resident_seconds: f64,
    resident_moved_bytes: u64,
    /// Time of the moved bytes at the measured copy speed.
    copy_seconds: f64,
    /// Time beyond that of resident data, in times of `copy_seconds`.
    copy_times: Option<f64>,
    pub moved_bytes: u64,
    to_device_bytes: u64,
    evicted_bytes: u64,
    remote_bytes: u64,
    faults: u64,
    /// Faults that did not only map ahead, and those of them that waited for room.
    waited: Option<(u64, u64)>,
    /// What policies would have moved, in the order of [`Policy::ALL`].
    pub simulated_bytes: [u64; Policy::ALL.len()],
    to_belady: f64,
    to_simulated: f64,
    fifo_to_ours: f64,
}

/// A bar.
#[derive(Serialize)]
struct Bar {
    what: String,
    /// `None`: was not measured.
    value: Option<f64>,
    limit: f64,
    passes: bool,
}

/// All results.
#[derive(Serialize)]
pub struct Report {
    device_bytes: u64,
    copy_bytes_per_second: f64,
    pub policies: [&'static str; Policy::ALL.len()],
    pub cases: Vec<Case>,
    bars: Vec<Bar>,
}

impl Case {
    pub fn new(
        pattern: Pattern,
        size: f64,
        uses: usize,
        measured: &Measured,
        simulated_bytes: [u64; Policy::ALL.len()],
        copy: f64,
    ) -> Self {
        let counters = &measured.counters;
        let moved = counters.moved();
        let of = |policy| {
            let at = Policy::ALL.iter().position(|&other| other == policy);
            at.map_or(0, |at| simulated_bytes[at]).max(1) as f64
        };
        let seconds = measured.time.as_secs_f64();
        let resident = measured.resident.as_secs_f64();
        let copy_seconds = moved as f64 / copy;
        Self {
            pattern: pattern.name(),
            size,
            uses,
            seconds,
            resident_seconds: resident,
            resident_moved_bytes: measured.resident_moved,
            copy_seconds,
            copy_times: (moved > 0).then(|| (seconds - resident) / copy_seconds),
            moved_bytes: moved,
            to_device_bytes: counters.to_device,
            evicted_bytes: counters.evicted,
            remote_bytes: counters.remote,
            faults: counters.faults,
            waited: counters.waited,
            simulated_bytes,
            to_belady: moved as f64 / of(Policy::Belady),
            to_simulated: moved as f64 / of(Policy::Ours),
            fifo_to_ours: of(Policy::Fifo) / moved.max(1) as f64,
        }
    }

    fn waited_part(&self) -> Option<f64> {
        self.waited
            .map(|(faults, waited)| waited as f64 / faults.max(1) as f64)
    }
}

impl Report {
    /// Holds the results against the bars.
    pub fn new(device_bytes: u64, copy: f64, cases: Vec<Case>) -> Self {
        let mut bars = Vec::new();
        for pattern in Pattern::ALL {
            let case = cases
                .iter()
                .find(|case| case.pattern == pattern.name() && case.size == BAR_SIZE);
            let mut most = |what: &str, limit: f64, value: Option<f64>| {
                let passes = value.is_some_and(|value| value <= limit);
                let what = format!("{pattern}: {what}, at most");
                bars.push(Bar {
                    what,
                    value,
                    limit,
                    passes,
                });
            };
            match pattern {
                Pattern::Zipf => {
                    most(
                        "bytes to Belady's",
                        MAX_ZIPF,
                        case.map(|case| case.to_belady),
                    );
                    let waited = case.and_then(Case::waited_part);
                    most("part of faults that waited for room", MAX_WAITED, waited);
                }
                Pattern::Loop | Pattern::Gemm => {
                    most(
                        "bytes to Belady's",
                        MAX_REGULAR,
                        case.map(|case| case.to_belady),
                    );
                }
                Pattern::Uniform => {}
            }
            let times = case.and_then(|case| case.copy_times);
            most("time of moving to time of copying", MAX_COPY_TIMES, times);
            if pattern == Pattern::Zipf {
                let value = case.map(|case| case.fifo_to_ours);
                bars.push(Bar {
                    what: format!("{pattern}: FIFO's bytes to ours, at least"),
                    value,
                    limit: MIN_FIFO,
                    passes: value.is_some_and(|value| value >= MIN_FIFO),
                });
            }
        }
        Self {
            device_bytes,
            copy_bytes_per_second: copy,
            policies: Policy::ALL.map(Policy::name),
            cases,
            bars,
        }
    }

    /// Whether all bars were reached.
    pub fn passes(&self) -> bool {
        self.bars.iter().all(|bar| bar.passes)
    }
}

/// A number with two digits, or `-`.
fn two(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.2}"))
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {:.1} s, resident {:.1} s, {} moved, {:.2} of Belady's",
            self.pattern,
            self.size,
            self.seconds,
            self.resident_seconds,
            bytes(self.moved_bytes),
            self.to_belady
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN).set_header([
            "pattern",
            "size",
            "s",
            "resident s",
            "copy s",
            "copies",
            "moved",
            "Belady",
            "FIFO",
            "simulated",
            "waited",
        ]);
        for case in &self.cases {
            table.add_row([
                case.pattern.to_owned(),
                case.size.to_string(),
                format!("{:.2}", case.seconds),
                format!("{:.2}", case.resident_seconds),
                format!("{:.2}", case.copy_seconds),
                two(case.copy_times),
                bytes(case.moved_bytes),
                two(Some(case.to_belady)),
                two(Some(case.fifo_to_ours)),
                two(Some(case.to_simulated)),
                case.waited_part()
                    .map_or("-".to_owned(), |part| format!("{:.1} %", part * 100.0)),
            ]);
        }
        writeln!(f, "{table}")?;
        writeln!(
            f,
            "device {}, copies {}/s; copies: time beyond that of resident data, in times of\n\
             copying what was moved; Belady, simulated: moved to what Belady and our policy move\n\
             in the simulator; FIFO: what FIFO moves there to moved; waited: of the faults",
            bytes(self.device_bytes),
            Size(self.copy_bytes_per_second as usize)
        )?;
        for bar in &self.bars {
            let verdict = if bar.passes { "ok  " } else { "MISS" };
            let value = two(bar.value);
            writeln!(f, "{verdict} {} {}: {value}", bar.what, bar.limit)?;
        }
        write!(f, "bars: {}", if self.passes() { "ok" } else { "missed" })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::job::Counters;
    use super::*;

    /// Everything that counts as it should be, if `waited` of 100 faults waited.
    fn case(pattern: Pattern, waited: u64, moved: u64) -> Case {
        let measured = Measured {
            time: Duration::from_secs(4),
            resident: Duration::from_secs(1),
            resident_moved: 0,
            counters: Counters {
                faults: 100,
                to_device: moved,
                waited: Some((100, waited)),
                ..Counters::default()
            },
        };
        // Ours, LRU, FIFO, allocation, Belady.
        Case::new(pattern, 2.0, 9, &measured, [1000, 1, 1400, 1, 1000], 500.0)
    }

    fn report(waited: u64, moved: u64) -> Report {
        let cases = Pattern::ALL.map(|pattern| case(pattern, waited, moved));
        Report::new(64, 500.0, cases.into())
    }

    #[test]
    fn every_bar_counts() {
        assert!(report(4, 1000).passes());
        assert!(!report(6, 1000).passes());
        // FIFO and time.
        assert!(!report(4, 1100).passes());
        assert!(!report(4, 900).passes());
        assert!(!Report::new(64, 500.0, Vec::new()).passes());
        let text = report(6, 1000).to_string();
        assert!(text.contains("MISS zipf: part of faults"), "{text}");
        assert!(text.ends_with("bars: missed"), "{text}");
    }

    #[test]
    fn what_was_not_counted_fails() {
        let mut cases = Pattern::ALL.map(|pattern| case(pattern, 0, 1000));
        cases.iter_mut().for_each(|case| case.waited = None);
        assert!(!Report::new(64, 500.0, cases.into()).passes());
    }
}
