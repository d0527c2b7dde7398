// SPDX-License-Identifier: MIT OR GPL-2.0
//! The model within a small bound: nothing is wrong with it, and each mistake is found.

use gmem_model::{
    mistake::Mistake,
    model::{trace, Coherence},
};
use stateright::{Checker, HasDiscoveries, Model};
use std::{collections::BTreeSet, fs, thread};

const SMALL: Coherence = Coherence {
    threads: 2,
    pages: 1,
    devices: 1,
    fork: false,
    symmetric: false,
    lockstep: false,
    mistake: None,
};

/// Explores; returns the states, the depth, and the traces of what is violated.
fn explore(model: Coherence) -> (usize, usize, Vec<(&'static str, String)>) {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let checker = model
        .checker()
        .threads(cpus)
        .finish_when(HasDiscoveries::Any);
    let checker = checker.spawn_bfs().join();
    let found = checker.discoveries().into_iter();
    (
        checker.unique_state_count(),
        checker.max_depth(),
        found
            .map(|(name, path)| (name, trace(&path.into_vec())))
            .collect(),
    )
}

#[test]
fn nothing_is_violated() {
    let (states, depth, found) = explore(SMALL);
    println!("{states} states, depth {depth}");
    assert_eq!(found, []);
    assert!(states >= 100_000, "only {states} states");
}

#[test]
fn each_mistake_is_found() {
    let mut missed = Vec::new();
    for mistake in Mistake::ALL {
        let (states, depth, found) = explore(Coherence {
            mistake: Some(mistake),
            // A fork multiplies the states; one operation at a time will do.
            threads: if mistake.needs_fork() { 1 } else { 2 },
            fork: mistake.needs_fork(),
            ..SMALL
        });
        match found.first() {
            Some((name, trace)) => {
                let steps = trace.lines().filter(|line| line.starts_with(' ')).count();
                println!(
                    "{}: {name} after {steps} steps, {states} states",
                    mistake.name()
                );
            }
            None => missed.push((mistake, states, depth)),
        }
    }
    assert_eq!(missed, []);
}

#[test]
fn each_mistake_is_a_change_of_the_kernel() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/mutations");
    let names = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let patches: BTreeSet<_> = names.map(|name| name.into_string().unwrap()).collect();
    let mistakes = Mistake::ALL.map(|mistake| mistake.name() + ".patch");
    assert_eq!(patches, BTreeSet::from(mistakes));
}
