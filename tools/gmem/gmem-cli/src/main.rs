// SPDX-License-Identifier: MIT OR GPL-2.0
//! `gmem`: look at the devices, run the demo, the benchmark and other programs.

mod bench;
mod cpu;
mod demo;
mod info;
mod progress;
mod run;
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
    /// Compare moving memory with the kernel's HMM test device.
    Bench(bench::Args),
    /// Run a program with its heap in memory shared with the devices.
    Run(run::Args),
}

/// The work could not be started.
const CANNOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Info(args) => info::main(&args),
        Command::Demo(args) => demo::main(&args),
        Command::Bench(args) => bench::main(&args),
        Command::Run(args) => run::main(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("gmem: {error:#}");
        ExitCode::from(CANNOT_RUN)
    })
}
