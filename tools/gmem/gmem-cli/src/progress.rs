// SPDX-License-Identifier: MIT OR GPL-2.0
//! A bar on a terminal, a line elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a bar is drawn: a guest's console is slow, and often ends in a file.
const PER_SECOND: u8 = 2;

fn wanted() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    std::io::stderr().is_terminal() && !dumb
}

/// One step of the work.
pub struct Step {
    bar: Option<ProgressBar>,
    name: &'static str,
    start: Instant,
}

impl Step {
    /// Begins a step of `parts` parts, 0 if their number is not known.
    pub fn begin(name: &'static str, parts: usize) -> Self {
        let bar = wanted().then(|| {
            let template = if parts == 0 {
                "{prefix:42} {pos}"
            } else {
                "{prefix:42} {bar:20} {pos}/{len}"
            };
            let style = ProgressStyle::with_template(template);
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            let target = ProgressDrawTarget::stderr_with_hz(PER_SECOND);
            ProgressBar::with_draw_target(Some(parts as u64), target)
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
