// SPDX-License-Identifier: MIT OR GPL-2.0
//! `gmem run`

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Context;

/// Arguments of `gmem run`.
#[derive(clap::Args)]
pub struct Args {
    /// Move a random part of the heap to a random device every so many milliseconds.
    #[arg(long, value_name = "MS")]
    shuffle: Option<u32>,
    /// Append counts of what was moved to this file, one line of JSON per process.
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
    /// The library to load [default: libgmem_preload.so beside this program, or
    /// $GMEM_PRELOAD]
    #[arg(long, value_name = "FILE")]
    preload: Option<PathBuf>,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    program: Vec<OsString>,
}

const LIBRARY: &str = "libgmem_preload.so";

fn library(args: &Args) -> anyhow::Result<PathBuf> {
    let named = args.preload.clone();
    if let Some(path) = named.or_else(|| env::var_os("GMEM_PRELOAD").map(PathBuf::from)) {
        // The program may run elsewhere, and LD_PRELOAD looks from there.
        return path
            .canonicalize()
            .with_context(|| format!("cannot find {}", path.display()));
    }
    let program = env::current_exe().context("cannot tell where this program is")?;
    let dir = program.parent().context("this program is nowhere")?;
    let places = ["", "../lib", "../lib/gmem", "../lib/x86_64-linux-gnu"];
    let found = places
        .iter()
        .map(|place| dir.join(place).join(LIBRARY))
        .find(|path| path.exists());
    let path = found.with_context(|| {
        format!(
            "cannot find {LIBRARY} near {}; name it with --preload",
            dir.display()
        )
    })?;
    Ok(path.canonicalize()?)
}

/// Becomes the program.
pub fn main(args: &Args) -> anyhow::Result<ExitCode> {
    let mut preload = library(args)?.into_os_string();
    if let Some(others) = env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        preload.push(":");
        preload.push(others);
    }
    let (program, arguments) = args.program.split_first().context("no program")?;
    let mut command = Command::new(program);
    command.args(arguments).env("LD_PRELOAD", preload);
    if let Some(period) = args.shuffle {
        command.env("GMEM_RUN_SHUFFLE_MS", period.to_string());
    }
    if let Some(stats) = &args.stats {
        command.env("GMEM_RUN_STATS", std::path::absolute(stats)?);
    }
    // Python keeps small objects out of malloc otherwise.
    if env::var_os("PYTHONMALLOC").is_none() {
        command.env("PYTHONMALLOC", "malloc");
    }
    let error = command.exec();
    Err(error).with_context(|| format!("cannot run {}", program.to_string_lossy()))
}
