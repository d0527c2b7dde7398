// SPDX-License-Identifier: MIT OR GPL-2.0
//! `gmem`: look at the devices, run the demo, the benchmarks and other programs, and
//! replay what they did.

mod bench;
mod cpu;
mod demo;
mod info;
mod progress;
mod record;
mod run;
mod sim;
mod size;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// One memory for the CPU and every accelerator.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show whether GMEM is there, the devices and the counters.
    Info(info::Args),
    /// Let the CPU and two NPUs work on the same memory and check every result.
    Demo(demo::Args),
    /// Measure moving memory, work on more than a device holds, or files.
    Bench(bench::Args),
    /// Run a program with its heap in memory shared with the devices.
    Run(run::Args),
    /// Record what the devices do while a program runs.
    Record(record::Args),
    /// Tell what other policies would have moved in a recorded trace.
    Sim(sim::Args),
}

/// The work could not be started.
const CANNOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Info(args) => info::main(&args),
        Command::Demo(args) => demo::main(&args),
        Command::Bench(args) => bench::main(&args),
        Command::Run(args) => run::main(&args),
        Command::Record(args) => record::main(&args),
        Command::Sim(args) => sim::main(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("gmem: {error:#}");
        ExitCode::from(CANNOT_RUN)
    })
}
