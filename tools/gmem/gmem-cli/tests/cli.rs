// SPDX-License-Identifier: MIT OR GPL-2.0
//! What the command says, and how it ends, on any machine.

use std::path::PathBuf;
use std::process::{Command, Output};

fn gmem(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gmem"))
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn texts() {
    trycmd::TestCases::new().case("tests/cmd/*.toml");
}

#[test]
fn info_is_json() {
    let output = gmem(&["info", "--json"]);
    assert!(output.status.success());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["available"], gmem::available());
    assert_eq!(report["npus"].as_array().unwrap().len(), gmem::list().len());
    assert_eq!(report["reason"].is_null(), gmem::available());
}

#[test]
fn without_a_device_work_cannot_start() {
    if gmem::available() && !gmem::list().is_empty() {
        return;
    }
    for command in ["demo", "bench"] {
        let output = gmem(&[command]);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.starts_with("gmem: "), "{errors}");
        assert!(
            errors.contains("boot") || errors.contains("load"),
            "{errors}"
        );
    }
}

/// A program that shows what it was started with.
fn run(extra: &[&str], program: &[&str]) -> Output {
    let library = PathBuf::from("/dev/null");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gmem"));
    command.args(["run", "--preload", library.to_str().unwrap()]);
    command.args(extra).args(program).env_remove("LD_PRELOAD");
    command.output().unwrap()
}

#[test]
fn run_sets_the_environment_and_passes_arguments() {
    let show = "echo \"$LD_PRELOAD $GMEM_RUN_SHUFFLE_MS $GMEM_RUN_STATS $PYTHONMALLOC $1\" >&2";
    let output = run(
        &["--shuffle", "10", "--stats", "/tmp/s"],
        &["sh", "-c", show, "sh", "--flag"],
    );
    let errors = text(&output.stderr);
    assert!(
        errors.contains("/dev/null 10 /tmp/s malloc --flag"),
        "{errors}"
    );
}

#[test]
fn run_returns_the_programs_status() {
    assert_eq!(run(&[], &["sh", "-c", "exit 7"]).status.code(), Some(7));
    let output = run(&[], &["/nonexistent/program"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("cannot run /nonexistent/program"));
}
