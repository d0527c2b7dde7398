// SPDX-License-Identifier: MIT OR GPL-2.0
//! The model within a small bound: nothing is wrong with it, and each mistake is found.

use gmem_model::{
    mistake::Mistake,
    model::{trace, Coherence, Detail},
    state::{Entry, State},
    thread::Op,
};
use stateright::{Checker, HasDiscoveries, Model};
use std::{
    collections::{HashSet, VecDeque},
    thread,
};

const SMALL: Coherence = Coherence {
    threads: 2,
    pages: 1,
    devices: 1,
    fork: false,
    without: 0,
    symmetric: false,
    detail: Detail::Full,
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
fn nothing_is_violated_with_two_of_all() {
    let (states, depth, found) = explore(Coherence {
        without: 1 << Op::DeviceFault as u16 | 1 << Op::Unplug as u16,
        ..Coherence::LARGE
    });
    println!("two devices and a fork: {states} states, depth {depth}");
    assert_eq!(found, []);
    let (states, depth, found) = explore(Coherence {
        threads: 1,
        ..Coherence::LARGE
    });
    println!("two pages, two devices and a fork, one at a time: {states} states, depth {depth}");
    assert_eq!(found, []);
}

/// Returns the page tables and the copies, with one entry of a device or none.
fn tables(s: &State, only: Option<(usize, usize, usize, Entry)>) -> State {
    let mut s = s.clone();
    s.entry = Default::default();
    if let Some((p, d, v, entry)) = only {
        s.entry[p][d][v] = Some(entry);
    }
    s.zero = 0;
    s.frames.iter_mut().for_each(|page| page.fresh = 0);
    s.canonical()
}

/// Finds where all that can be while nothing is under way.
fn idle(model: Coherence) -> HashSet<State> {
    let mut seen = HashSet::new();
    let mut next: VecDeque<State> = model.init_states().into();
    let mut actions = Vec::new();
    let mut idle = HashSet::new();
    while let Some(s) = next.pop_front() {
        if s.threads.is_empty() {
            idle.insert(tables(&s, None));
            idle.extend(s.entries().map(|entry| tables(&s, Some(entry))));
        }
        model.actions(&s, &mut actions);
        for action in actions.drain(..) {
            let new = model.next_state(&s, action);
            if let Some(new) = new.filter(|new| seen.insert(new.clone())) {
                next.push_back(new);
            }
        }
    }
    idle
}

#[test]
fn nothing_is_lost_by_what_is_left_out() {
    for (threads, pages, fork) in [(2, 1, false), (1, 2, false), (1, 1, true)] {
        let bound = Coherence {
            threads,
            pages,
            fork,
            ..SMALL
        };
        let less = Coherence {
            detail: Detail::Entry,
            ..bound
        };
        let (all, less) = (idle(bound), idle(less));
        println!("{} ways to be idle", all.len());
        assert_eq!(all.difference(&less).next(), None);
        assert_eq!(less.difference(&all).next(), None);
    }
}

#[test]
fn each_mistake_is_found() {
    let mut missed = Vec::new();
    for detail in [Detail::Full, Detail::Entry] {
        let all = Mistake::ALL.into_iter();
        for mistake in all.filter(|m| detail == Detail::Full || !m.needs_each_step()) {
            let (states, depth, found) = explore(Coherence {
                mistake: Some(mistake),
                // A fork multiplies the states; one operation at a time will do.
                threads: if mistake.needs_fork() { 1 } else { 2 },
                fork: mistake.needs_fork(),
                detail,
                ..SMALL
            });
            match found.first() {
                Some((name, trace)) => {
                    let steps = trace.lines().filter(|line| line.starts_with(' ')).count();
                    println!(
                        "{}, {detail:?}: {name} after {steps} steps, {states} states",
                        mistake.name()
                    );
                }
                None => missed.push((detail, mistake, states, depth)),
            }
        }
    }
    assert_eq!(missed, []);
}
