// SPDX-License-Identifier: MIT OR GPL-2.0
//! `gmem-model [THREADS [PAGES [DEVICES [FORK [WORD]...]]]]`: explores all states of the coherence
//! protocol; `2 2 2 1` when nothing is said.
//!
//! FORK is 1 or 0. A WORD is the name of a mistake; `lockstep`, so that operations have to end when
//! all take turns; `entry`, to follow an entry of a device; `full`, to explore each step, each
//! write and all entries; `without-OPERATION`, so that one of those never begins.

use gmem_model::{
    mistake::{name_of, Mistake},
    model::{self, Coherence, Detail},
};
use stateright::{Checker, HasDiscoveries, Model};
use std::{
    env,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

const BETWEEN: Duration = Duration::from_millis(100);
/// So often it says how far it is.
const TELL: Duration = Duration::from_secs(10);

/// Reads the arguments; fails with the one that says nothing.
fn bound(args: &[String]) -> Result<Coherence, String> {
    let mut model = Coherence::LARGE;
    let fork = &mut 1;
    let numbers = [
        &mut model.threads,
        &mut model.pages,
        &mut model.devices,
        fork,
    ];
    let most = [model::THREADS, 2, 2, 1];
    for ((arg, number), most) in args.iter().zip(numbers).zip(most) {
        *number = arg.parse().map_err(|_| arg.clone())?;
        if *number > most {
            return Err(arg.clone());
        }
    }
    model.fork = *fork != 0;
    for word in args.iter().skip(most.len()) {
        let op = word.strip_prefix("without-");
        let op = op.and_then(|name| model::OPS.into_iter().find(|op| name_of(op) == name));
        let mistake = Mistake::ALL.into_iter().find(|m| m.name() == *word);
        match (word.as_str(), op, mistake) {
            ("lockstep", ..) => model.lockstep = true,
            ("entry", ..) => model.detail = Detail::Entry,
            ("full", ..) => model.detail = Detail::Full,
            (_, Some(op), _) => model.without |= 1 << op as u16,
            (_, _, Some(_)) => model.mistake = mistake,
            _ => return Err(word.clone()),
        }
    }
    if model.mistake.is_some() && model.detail == Detail::Tables {
        model.detail = Detail::Entry;
    }
    // Traces are hard to read where devices change their names.
    model.symmetric = args.len() <= most.len();
    Ok(model)
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let model = match bound(&args) {
        Ok(model) => model,
        Err(what) => {
            eprintln!("gmem-model: what is {what:?}?");
            return ExitCode::from(2);
        }
    };
    let begin = Instant::now();
    let checker = model.checker().finish_when(HasDiscoveries::Any);
    let checker = checker.spawn_bfs();
    let mut told = begin;
    while !checker.is_done() {
        thread::sleep(BETWEEN);
        if told.elapsed() >= TELL {
            told = Instant::now();
            let (states, depth) = (checker.unique_state_count(), checker.max_depth());
            eprintln!(
                "{states} states, depth {depth}, {:.0} s",
                begin.elapsed().as_secs_f64()
            );
        }
    }
    let checker = checker.join();
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
