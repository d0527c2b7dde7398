// SPDX-License-Identifier: MIT OR GPL-2.0
//! The model and the kernel name the same things.

use gmem_model::{mistake::Mistake, thread::At};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// Is `text` the source of a file that has the function?
fn has(file: &str, text: &str, function: &str) -> bool {
    let begins = |line: &str| {
        let Some((head, _)) = line.split_once(&format!("{function}(")) else {
            return false;
        };
        if file.ends_with(".rs") {
            return head.ends_with("fn ") && !line.trim_start().starts_with("//");
        }
        // A definition in C begins at the margin, and is no call.
        let margin = line.starts_with(|c: char| c.is_ascii_alphabetic());
        margin && !line.ends_with(';') && (head.is_empty() || head.ends_with([' ', '*']))
    };
    text.lines().any(begins) || text.contains(&format!("fn {function}<"))
}

/// Each step names a file and functions in it. Files of the rest of the kernel are there when this
/// runs in its tree.
#[test]
fn each_step_is_a_function_of_the_kernel() {
    let mut gone = Vec::new();
    let mut seen = 0;
    for at in At::ALL {
        let (file, rest) = at.kernel().split_once(' ').expect("a file and a function");
        let own = file.starts_with("mm/gmem/");
        let Ok(text) = fs::read_to_string(root().join(file)) else {
            if own {
                gone.push(at.kernel());
            }
            continue;
        };
        let functions: Vec<_> = rest
            .split([' ', ','])
            .filter_map(|word| word.strip_suffix(':').unwrap_or(word).strip_suffix("()"))
            .filter_map(|path| path.rsplit("::").next())
            .collect();
        assert!(!functions.is_empty(), "{at:?} names no function");
        for function in functions {
            seen += 1;
            if !has(file, &text, function) {
                gone.push(at.kernel());
            }
        }
    }
    assert_eq!(gone, [""; 0]);
    assert!(seen >= 20, "only {seen} functions of mm/gmem are named");
}

fn names(dir: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(dir).expect("a directory");
    let names = files.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("a name"));
    names.filter(|name| name.ends_with(".patch")).collect()
}

/// Each mistake is a mutation that the tests in the guest run against, or a change of its own; and
/// no change is left that no mistake is.
#[test]
fn each_mistake_is_a_change_of_the_kernel() {
    let all = names(&root().join("scripts/mutations"));
    let own = names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("mutations"));
    let mut needed = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for mistake in Mistake::ALL {
        match mistake.mutation() {
            Some(name) => {
                assert!(all.contains(&format!("{name}.patch")), "{name} is gone");
                assert!(taken.insert(name), "{name} is two mistakes");
            }
            None => drop(needed.insert(mistake.name() + ".patch")),
        }
    }
    assert_eq!(own, needed);
    assert!(taken.len() >= 10, "only {} are mutations", taken.len());
}

/// The changes can be made.
#[test]
fn each_change_applies() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutations");
    let mut stale = Vec::new();
    for name in names(&dir) {
        let mut git = Command::new("git");
        git.arg("apply").arg("--check").arg(dir.join(&name));
        // Outside of a repository, so that it does not matter which one this is in.
        git.current_dir(root())
            .env("GIT_CEILING_DIRECTORIES", root());
        git.env("GIT_DIR", "/nonexistent");
        if !git.status().expect("git").success() {
            stale.push(name);
        }
    }
    assert_eq!(stale, [""; 0]);
}
