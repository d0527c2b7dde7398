// SPDX-License-Identifier: MIT OR GPL-2.0
//! Bytes moved over the size of the working set, one panel for each pattern.

use std::fmt::Write;

use gmem_sim::Pattern;

use super::report::{Case, Report};

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 50.0;
/// The measured bytes, then the simulated policies.
const COLOURS: [&str; 6] = [
    "#d62728", "#ff9896", "#9467bd", "#1f77b4", "#8c564b", "#2ca02c",
];

/// Draws a report.
pub fn svg(report: &Report) -> String {
    let mut out = String::new();
    let (width, height) = (2.0 * WIDTH, 2.0 * HEIGHT + 30.0);
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    );
    for (at, pattern) in Pattern::ALL.into_iter().enumerate() {
        let (x, y) = ((at % 2) as f64 * WIDTH, (at / 2) as f64 * HEIGHT);
        let cases: Vec<&Case> = report
            .cases
            .iter()
            .filter(|case| case.pattern == pattern.name())
            .collect();
        panel(&mut out, pattern, &cases, x, y);
    }
    let names = std::iter::once("measured").chain(report.policies);
    for (at, (name, colour)) in names.zip(COLOURS).enumerate() {
        let (x, y) = (MARGIN + at as f64 * 105.0, height - 12.0);
        let name = if name == "ours" {
            "ours, simulated"
        } else {
            name
        };
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"4\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{y}\">{name}</text>",
            y - 5.0,
            x + 16.0
        );
    }
    out + "</svg>\n"
}

fn panel(out: &mut String, pattern: Pattern, cases: &[&Case], x: f64, y: f64) {
    let right = cases.iter().map(|case| case.size).fold(1.0, f64::max);
    let all = cases
        .iter()
        .flat_map(|case| case.simulated_bytes.into_iter().chain([case.moved_bytes]));
    let top = all.max().unwrap_or(0).max(1) as f64 / f64::from(1 << 20);
    let left = x + MARGIN;
    let bottom = y + HEIGHT - MARGIN / 2.0;
    let (wide, high) = (WIDTH - 1.3 * MARGIN, HEIGHT - MARGIN);
    let at = |size: f64, bytes: u64| {
        let mib = bytes as f64 / f64::from(1 << 20);
        (left + size / right * wide, bottom - mib / top * high)
    };
    let _ = writeln!(
        out,
        "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{pattern}: MiB moved</text>\n\
         <path d=\"M{left},{} V{bottom} H{}\" fill=\"none\" stroke=\"black\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{top:.0}</text>",
        y + 16.0,
        bottom - high,
        left + wide,
        left - 4.0,
        bottom - high + 4.0,
    );
    for case in cases {
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}x</text>",
            at(case.size, 0).0,
            bottom + 14.0,
            case.size
        );
    }
    for (line, colour) in COLOURS.iter().enumerate() {
        let value = |case: &Case| match line.checked_sub(1) {
            None => case.moved_bytes,
            Some(policy) => case.simulated_bytes[policy],
        };
        let points: Vec<String> = cases
            .iter()
            .map(|case| at(case.size, value(case)))
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{}\"/>",
            points.join(" "),
            if line == 0 { 2.5 } else { 1.2 }
        );
    }
}
