// SPDX-License-Identifier: MIT OR GPL-2.0
//! `gmem demo`: the main job of GMEM on real input, every result checked.

mod chain;
mod corrupt;
mod input;
mod report;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{ensure, Context};
use gmem::{Npu, NpuInfo};

use crate::size::Size;
use report::{Report, Verdict};

/// Arguments of `gmem demo`.
#[derive(clap::Args)]
pub struct Args {
    /// Directory with text files, for example a kernel source tree.
    #[arg(long, value_name = "DIR")]
    input: Option<PathBuf>,
    /// How much text to work on; more than the memory of each NPU.
    #[arg(long, default_value = "64M")]
    bytes: Size,
    /// Flip a byte on NPU 0 on the way: the demo must notice and fail.
    #[arg(long)]
    corrupt: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Where text is looked for without `--input`.
const PLACES: [&str; 3] = ["/usr/src/linux", "/usr/share/doc", "/usr/share"];

fn input_dir(args: &Args) -> anyhow::Result<PathBuf> {
    if let Some(dir) = &args.input {
        ensure!(dir.is_dir(), "{} is no directory", dir.display());
        return Ok(dir.clone());
    }
    let found = PLACES.iter().map(PathBuf::from).find(|dir| dir.is_dir());
    found.context("name a directory with text files: --input DIR")
}

fn infos(npus: &[Npu]) -> gmem::Result<Vec<NpuInfo>> {
    npus.iter().map(Npu::info).collect()
}

/// Runs the demo.  Exit status 0 when everything was right and proven to have
/// happened on the devices, 1 when not, 2 when it could not start.
pub fn main(args: &Args) -> anyhow::Result<ExitCode> {
    gmem::probe()?;
    let dir = input_dir(args)?;
    let npus = Npu::open_all()?;
    let [zero, one, ..] = &npus[..] else {
        anyhow::bail!("the demo needs two NPUs; load the driver with count=2 or more");
    };
    let corrupt = args
        .corrupt
        .then(|| corrupt::Corrupt::of(zero))
        .transpose()?;
    let text = input::Text::read(&dir, args.bytes.0)?;
    eprintln!("{}", text.source);

    let pair = [zero.clone(), one.clone()];
    let before = infos(&pair)?;
    let vmstat = gmem::vmstat();
    let start = Instant::now();
    let mut verdict = Verdict::default();
    let ran = run(&pair, text, corrupt.as_ref(), &mut verdict);
    let seconds = start.elapsed().as_secs_f64();
    if let Err(error) = ran {
        verdict.fail(format!("{error:#}"));
    }
    let after = infos(&pair)?;
    let report = Report::new(&before, &after, &vmstat, seconds, verdict);
    Ok(report.print(args.json))
}

fn run(
    npus: &[Npu; 2],
    mut text: input::Text,
    corrupt: Option<&corrupt::Corrupt>,
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let counts = text::histograms(&npus[0], &text, corrupt, verdict)?;
    text::gathers(&npus[1], &text, &counts, verdict)?;
    chain::multiply(npus, &text, verdict)?;
    text.check_intact(verdict);
    Ok(())
}
