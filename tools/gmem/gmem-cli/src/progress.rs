// SPDX-License-Identifier: MIT OR GPL-2.0
//! A bar on a terminal, a line elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// One step of the work.
pub struct Step {
    bar: Option<ProgressBar>,
    name: &'static str,
    start: Instant,
}

impl Step {
    /// Begins a step of `parts` parts.
    pub fn begin(name: &'static str, parts: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix:42} {bar:30} {pos}/{len}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(parts as u64)
                .with_style(style)
                .with_prefix(name)
        });
        Self {
            bar,
            name,
            start: Instant::now(),
        }
    }

    /// Says that a part is done.
    pub fn tick(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Ends the step with a line that says how long it took.
    pub fn end(self) -> Duration {
        let took = self.start.elapsed();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{:42} {:6.2} s", self.name, took.as_secs_f64());
        took
    }
}
