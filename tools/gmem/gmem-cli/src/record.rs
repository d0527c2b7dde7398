// SPDX-License-Identifier: MIT OR GPL-2.0
//! `gmem record`: the kernel's trace points as a file for `gmem sim`.

mod tracefs;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{ensure, Context};
use gmem_sim::Trace;

use tracefs::Instance;

/// Arguments of `gmem record`.
#[derive(clap::Args)]
pub struct Args {
    /// The file to write.
    #[arg(short, long, value_name = "FILE", default_value = "gmem.trace")]
    output: PathBuf,
    /// Where tracefs is mounted.
    #[arg(long, value_name = "DIR", default_value = "/sys/kernel/tracing")]
    tracefs: PathBuf,
    /// Kernel memory for events that were not read yet, for each CPU.
    #[arg(long, value_name = "KIB", default_value_t = 4096)]
    buffer_kib: u32,
    /// The program to run, and its arguments; all devices are recorded meanwhile.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<String>,
}

/// Records while the program runs; ends as it does.
pub fn main(args: &Args) -> anyhow::Result<ExitCode> {
    let path = args.output.display();
    let file = File::create(&args.output).with_context(|| format!("cannot write {path}"))?;
    let instance = Instance::new(&args.tracefs, args.buffer_kib)?;
    let reader = instance.start()?;
    let status = Command::new(&args.program[0])
        .args(&args.program[1..])
        .status();
    let recorded = instance.stop(reader)?;
    let status = status.with_context(|| format!("cannot run {}", args.program[0]))?;

    let trace = Trace {
        memory: device_memory(Path::new("/sys/kernel/debug/gmem")),
        records: recorded.records,
    };
    let mut file = BufWriter::new(file);
    write!(file, "{trace}")
        .and_then(|()| file.flush())
        .with_context(|| format!("cannot write {path}"))?;
    eprintln!("gmem: {} events in {path}", trace.records.len());
    ensure!(
        recorded.lost == 0,
        "{} events were lost; give a larger --buffer-kib",
        recorded.lost
    );
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    Ok(ExitCode::from(
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
    ))
}

/// The memory of all devices: `NAME-NUMBER/stats` in debugfs has it in its first line.
fn device_memory(debugfs: &Path) -> std::collections::BTreeMap<u32, u64> {
    let entries = std::fs::read_dir(debugfs).into_iter().flatten().flatten();
    let memory = |path: PathBuf| {
        let (_, number) = path.file_name()?.to_str()?.rsplit_once('-')?;
        let stats = std::fs::read_to_string(path.join("stats")).ok()?;
        let total = stats
            .lines()
            .find_map(|line| line.strip_prefix("mem_total "))?;
        Some((number.parse().ok()?, total.trim().parse().ok()?))
    };
    entries.filter_map(|entry| memory(entry.path())).collect()
}
