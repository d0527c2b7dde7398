// SPDX-License-Identifier: MIT OR GPL-2.0
//! `gmem-model [THREADS [PAGES [DEVICES [FORK [MISTAKE]]]]]`: explores all states of the coherence protocol.
//!
//! FORK is 1 or 0. With `lockstep` for a mistake, operations have to end when all take turns.

use gmem_model::{mistake::Mistake, model};
use stateright::{Checker, HasDiscoveries, Model};
use std::{env, process::ExitCode, thread, time::Instant};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let number = |i: usize, or: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(or);
    let mistake = args
        .get(4)
        .and_then(|name| Mistake::ALL.into_iter().find(|m| m.name() == *name));
    let model = model::Coherence {
        threads: number(0, 2),
        pages: number(1, 2),
        devices: number(2, 2),
        fork: number(3, 1) != 0,
        symmetric: args.len() < 5,
        lockstep: args.get(4).is_some_and(|name| name == "lockstep"),
        mistake,
    };
    let begin = Instant::now();
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let checker = model
        .checker()
        .threads(cpus)
        .finish_when(HasDiscoveries::Any)
        .spawn_bfs();
    let checker = loop {
        thread::sleep(std::time::Duration::from_secs(1));
        if checker.is_done() {
            break checker.join();
        }
        eprintln!(
            "{} {} {:?}",
            checker.unique_state_count(),
            checker.max_depth(),
            begin.elapsed()
        );
    };
    println!(
        "{} states, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.max_depth(),
        begin.elapsed().as_secs_f64()
    );
    let found = checker.discoveries();
    for (name, path) in &found {
        println!(
            "violated: {name}\n{}",
            model::trace(&path.clone().into_vec())
        );
    }
    ExitCode::from(u8::from(!found.is_empty()))
}
