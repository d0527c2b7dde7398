// SPDX-License-Identifier: MIT OR GPL-2.0
//! Medians, spreads and ratios.

use std::fmt;

use comfy_table::{presets, Table};
use serde::Serialize;

use super::Case;
use crate::size::Size;

/// Slowest row that passes, as a part of HMM's speed.
const ROW_MIN: f64 = 0.95;
/// Least geometric mean that passes.
const MEAN_MIN: f64 = 1.1;
/// By the clock only moves of this size count: what else the machine does is longer than others.
/// Instruction counts repeat, and count for each row.
const CLOCK_MIN: usize = 2 << 20;

/// The rounds of one measurement.
pub struct Row {
    pages: &'static str,
    size: usize,
    what: &'static str,
    gmem: Vec<f64>,
    hmm: Vec<f64>,
    memcpy: Vec<f64>,
}

impl Row {
    /// The rows of the two directions.
    pub fn pair(case: &Case) -> [Self; 2] {
        let back = if case.faults { "CPU faults" } else { "home" };
        ["to device", back].map(|what| Self {
            pages: if case.huge { "2 MiB" } else { "4 KiB" },
            size: case.size,
            what,
            gmem: Vec::new(),
            hmm: Vec::new(),
            memcpy: Vec::new(),
        })
    }

    /// Adds a round, in nanoseconds.
    pub fn add(&mut self, gmem: f64, hmm: f64, memcpy: f64) {
        self.gmem.push(gmem);
        self.hmm.push(hmm);
        self.memcpy.push(memcpy);
    }
}

/// The value in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        len if len % 2 == 0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted[middle],
    }
}

#[derive(Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        Self {
            median: median(values),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(0.0, f64::max),
        }
    }
}

#[derive(Serialize)]
struct Result {
    pages: &'static str,
    bytes: usize,
    what: &'static str,
    gmem: Spread,
    hmm: Spread,
    memcpy: Spread,
    /// Speed as a part of HMM's, of the rounds.
    ratio: Spread,
    /// Whether the ratio decides.
    judged: bool,
}

/// All results.
#[derive(Serialize)]
pub struct Report {
    unit: &'static str,
    rounds: usize,
    rows: Vec<Result>,
    geometric_mean: f64,
}

impl Report {
    /// Sums the rounds up.
    pub fn new(rows: impl Iterator<Item = Row>, instructions: bool) -> Self {
        let (mut rounds, mut results) = (0, Vec::new());
        for row in rows {
            let pairs = row.hmm.iter().zip(&row.gmem);
            let ratios: Vec<f64> = pairs.map(|(hmm, gmem)| hmm / gmem).collect();
            rounds = ratios.len();
            results.push(Result {
                pages: row.pages,
                bytes: row.size,
                what: row.what,
                gmem: Spread::of(&row.gmem),
                hmm: Spread::of(&row.hmm),
                memcpy: Spread::of(&row.memcpy),
                ratio: Spread::of(&ratios),
                judged: instructions || row.size >= CLOCK_MIN,
            });
        }
        let judged = results.iter().filter(|row| row.judged);
        let logs: Vec<f64> = judged.map(|row| row.ratio.median.ln()).collect();
        Self {
            unit: if instructions { "instructions" } else { "ns" },
            rounds,
            geometric_mean: (logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp(),
            rows: results,
        }
    }

    /// Whether no row and not the mean is too slow.
    pub fn passes(&self) -> bool {
        let mut judged = self.rows.iter().filter(|row| row.judged);
        self.geometric_mean >= MEAN_MIN && judged.all(|row| row.ratio.median >= ROW_MIN)
    }
}

/// Thousands of nanoseconds, or of instructions.
fn thousands(spread: &Spread) -> String {
    let [median, min, max] = [spread.median, spread.min, spread.max].map(|value| value / 1000.0);
    format!("{median:.1} ({min:.1}..{max:.1})")
}

/// The ratio with its spread; in brackets when it does not decide.
fn ratio(row: &Result) -> String {
    let Spread { median, min, max } = row.ratio;
    let text = format!("{median:.2} ({min:.2}..{max:.2})");
    if row.judged {
        text
    } else {
        format!("[{text}]")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN).set_header([
            "pages",
            "size",
            "what",
            "GMEM",
            "HMM test device",
            "memcpy",
            "ratio",
        ]);
        for row in &self.rows {
            table.add_row([
                row.pages.to_owned(),
                Size(row.bytes).to_string(),
                row.what.to_owned(),
                thousands(&row.gmem),
                thousands(&row.hmm),
                thousands(&row.memcpy),
                ratio(row),
            ]);
        }
        let unit = if self.unit == "ns" {
            "us"
        } else {
            "1000 instructions"
        };
        writeln!(f, "{table}")?;
        writeln!(
            f,
            "{unit} of one move: median (min..max) of {} rounds; ratio: speed as a part of HMM's",
            self.rounds
        )?;
        if self.rows.iter().any(|row| !row.judged) {
            writeln!(
                f,
                "[ratio]: too short for the clock, judged by instructions only"
            )?;
        }
        write!(
            f,
            "geometric mean of the ratios that are judged: {:.2}",
            self.geometric_mean
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(gmem: &[f64], hmm: &[f64]) -> Row {
        sized(2 << 20, gmem, hmm)
    }

    fn sized(size: usize, gmem: &[f64], hmm: &[f64]) -> Row {
        let [mut row, _] = Row::pair(&Case {
            huge: true,
            size,
            faults: false,
        });
        for (&gmem, &hmm) in gmem.iter().zip(hmm) {
            row.add(gmem, hmm, 5.0);
        }
        row
    }

    #[test]
    fn medians_and_means() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        let rows = [
            row(&[1000.0, 2000.0, 1000.0], &[2000.0; 3]),
            row(&[4000.0], &[2000.0]),
        ];
        let report = Report::new(rows.into_iter(), false);
        let ratios = [&report.rows[0], &report.rows[1]].map(|row| row.ratio.median);
        assert_eq!(ratios, [2.0, 0.5]);
        assert_eq!(
            (report.rows[0].ratio.min, report.rows[0].ratio.max),
            (1.0, 2.0)
        );
        assert!((report.geometric_mean - 1.0).abs() < 1e-9);
        assert!(!report.passes());
        assert!(report.to_string().contains("1.0 (1.0..2.0)"), "{report}");
        assert!(Report::new([row(&[1.0], &[1.2])].into_iter(), true).passes());
    }
    #[test]
    fn the_clock_judges_long_moves_only() {
        let rows = |long: f64| {
            let short = sized(64 << 10, &[2.0], &[1.0]);
            [short, sized(2 << 20, &[1.0], &[long])].into_iter()
        };
        let clock = Report::new(rows(1.2), false);
        assert!(clock.passes());
        assert!((clock.geometric_mean - 1.2).abs() < 1e-9);
        assert!(clock.to_string().contains("[0.50 (0.50..0.50)]"), "{clock}");
        assert!(!Report::new(rows(0.9), false).passes());
        assert!(!Report::new(rows(8.0), true).passes());
    }
}
