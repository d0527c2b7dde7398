// SPDX-License-Identifier: MIT OR GPL-2.0
//! The model, as `stateright` explores it.

use crate::{
    invariant::describe,
    merge,
    mistake::Mistake,
    run::{Kept, Run, Start},
    state::{device_of, Event, Pte, State, DEVS, FRAMES, HOST, PROCS},
    thread::{At, Op},
};
use stateright::{Model, Property};
use std::cmp::Ordering;

/// Operations under way at a time, at most; the host has frames for so many.
pub const THREADS: usize = 2;

/// What is left out because it makes no difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    /// Nothing: each step, each write and all entries of devices are there.
    Full,
    /// What `settle.rs` and `merge.rs` say; one entry of a device, any one, is followed at a time.
    Entry,
    /// That, and the entries, as `entry.rs` says.
    Tables,
}

/// A bound, and a mistake.
#[derive(Clone, Copy, Debug)]
pub struct Coherence {
    /// Operations under way at a time.
    pub threads: usize,
    /// Pages of the block.
    pub pages: usize,
    /// Devices that are used.
    pub devices: usize,
    /// May the process fork?
    pub fork: bool,
    /// Operations that never begin, a bit for each.
    pub without: u16,
    /// Are states one that differ in the names of the devices only? Traces are hard to read then.
    pub symmetric: bool,
    /// What is left out because it makes no difference.
    pub detail: Detail,
    /// Are all to end that take their steps in turn?
    pub lockstep: bool,
    /// What is done wrong.
    pub mistake: Option<Mistake>,
}

/// What happens.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Action {
    /// An operation begins.
    Begin(Start),
    /// One takes a step; a copy fails if so, and these entries are kept.
    Step(usize, bool, Kept),
    /// A CPU writes what it may write.
    CpuWrite(usize, usize),
    /// A device does.
    DeviceWrite(usize, usize, usize),
    /// An invalidation that changes nothing.
    Spurious(usize),
}

/// All operations.
pub const OPS: [Op; 9] = [
    Op::DeviceFault,
    Op::Duplicate,
    Op::CpuFault,
    Op::DontNeed,
    Op::Fork,
    Op::Exit,
    Op::Evict,
    Op::Detach,
    Op::Unplug,
];

impl Coherence {
    /// All of it: two operations at a time, two pages, two devices and a process that forks.
    pub const LARGE: Self = Self {
        threads: THREADS,
        pages: 2,
        devices: 2,
        fork: true,
        without: 0,
        symmetric: true,
        detail: Detail::Tables,
        lockstep: false,
        mistake: None,
    };

    fn is_full(&self) -> bool {
        self.detail == Detail::Full
    }

    /// Lists what can begin.
    fn starts(&self) -> impl Iterator<Item = Start> + '_ {
        let ops = OPS
            .into_iter()
            .filter(|op| self.without & 1 << *op as u16 == 0);
        let ops = ops.filter(|op| self.fork || *op != Op::Fork);
        ops.flat_map(move |op| {
            let procs = if matches!(op, Op::Evict | Op::Unplug | Op::Fork) {
                0..1
            } else {
                0..PROCS
            };
            let device = matches!(
                op,
                Op::DeviceFault | Op::Duplicate | Op::Evict | Op::Detach | Op::Unplug
            );
            let devs = if device { self.devices } else { 1 };
            let pages = if op == Op::CpuFault { self.pages } else { 1 };
            let writes = if matches!(op, Op::DeviceFault | Op::CpuFault) {
                2
            } else {
                1
            };
            procs.flat_map(move |p| {
                (0..devs).flat_map(move |d| {
                    (0..pages).flat_map(move |v| {
                        (0..writes).flat_map(move |write| {
                            let frames = if op == Op::Evict { HOST..FRAMES } else { 0..1 };
                            let frames = frames
                                .filter(move |f| op != Op::Evict || device_of(*f as u8) == Some(d));
                            frames.map(move |f| Start {
                                op,
                                p,
                                d,
                                v,
                                write: write == 1,
                                f: f as u8,
                            })
                        })
                    })
                })
            })
        })
    }

    /// Returns the one of the states that are the same as this one that is kept.
    pub fn named(&self, mut s: State) -> State {
        if !self.is_full() {
            s.settle();
        }
        if !self.symmetric || self.devices < DEVS {
            return s.canonical();
        }
        match s.sketch(0).cmp(&s.sketch(1)) {
            Ordering::Less => s.canonical(),
            Ordering::Greater => s.swapped().canonical(),
            Ordering::Equal => {
                let other = s.swapped().canonical();
                let s = s.canonical();
                if s.words() <= other.words() {
                    s
                } else {
                    other
                }
            }
        }
    }

    fn next(&self, s: &State, action: Action) -> Option<State> {
        let mut n = s.clone();
        match action {
            Action::Begin(start) if !self.is_full() => return merge::begin(start, s),
            Action::Begin(start) => return start.begin(s),
            Action::Step(i, fail, kept) => return Run::step(s, i, fail, kept),
            Action::CpuWrite(p, v) => match s.pte[p][v] {
                Pte::Map { f, w: true } if device_of(f).is_none() => n.write(f, p, v),
                _ => return None,
            },
            Action::DeviceWrite(p, d, v) => {
                let entry = s.entry[p][d][v].filter(|entry| entry.w)?;
                n.write(entry.f, p, v);
            }
            Action::Spurious(p) => {
                if !s.procs[p].alive {
                    return None;
                }
                n.invalidate_start(p, Event::Clear);
                n.invalidate_end(p);
            }
        }
        Some(n)
    }
}

impl Model for Coherence {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::first(self.pages, self.mistake)]
    }

    fn actions(&self, s: &State, actions: &mut Vec<Action>) {
        let none = if self.is_full() {
            Kept::All
        } else {
            Kept::Only(None)
        };
        for (i, t) in s.threads.iter().enumerate() {
            actions.push(Action::Step(i, false, none));
            if t.may_fail(!self.is_full()) {
                actions.push(Action::Step(i, true, none));
            }
            if self.detail == Detail::Entry && t.at == At::MapEnter && s.entries().next().is_none()
            {
                let pages = (0..self.pages).map(|v| Kept::Only(Some(v)));
                actions.extend(pages.map(|kept| Action::Step(i, false, kept)));
            }
        }
        if s.threads.len() < self.threads {
            actions.extend(self.starts().map(Action::Begin));
        }
        for p in 0..PROCS {
            actions.push(Action::Spurious(p));
            if !self.is_full() {
                continue;
            }
            for v in 0..self.pages {
                actions.push(Action::CpuWrite(p, v));
            }
            for d in 0..self.devices {
                for v in 0..self.pages {
                    actions.push(Action::DeviceWrite(p, d, v));
                }
            }
        }
    }

    fn next_state(&self, s: &State, action: Action) -> Option<State> {
        let mut n = self.next(s, action)?;
        if !self.is_full() {
            n.check_change(s);
        }
        n.told = 0;
        let n = self.named(n);
        (n != *s).then_some(n)
    }

    fn format_action(&self, action: &Action) -> String {
        format!("{action:?}")
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no lost write", |_, s: &State| s.no_lost_write()),
            Property::always("no stale read", |_, s: &State| s.no_stale_read()),
            Property::always("no dangling entry", |_, s: &State| s.no_dangling_entry()),
            Property::always("one holder", |_, s: &State| s.one_holder()),
            Property::always("copies can be used", |_, s: &State| s.copies_can_be_used()),
            Property::always("writers are alone", |_, s: &State| s.writers_are_alone()),
            Property::always("nothing on a gone device", |_, s: &State| {
                s.nothing_on_gone_device()
            }),
            Property::always("copies have a context", |_, s: &State| {
                s.copies_have_context()
            }),
            Property::always("idle holds nothing", |_, s: &State| s.idle_holds_nothing()),
            Property::always("nothing broken", |_, s: &State| s.nothing_broken()),
            Property::always("every wait ends", |m: &Self, s: &State| m.waits_end(s)),
            Property::always("all end in lockstep", |m: &Self, s: &State| {
                !m.lockstep || s.ends_in_lockstep()
            }),
        ]
    }
}

/// Writes a trace: each action, with the function of the kernel that it stands for.
pub fn trace(path: &[(State, Option<Action>)]) -> String {
    let mut text = String::new();
    for (n, (s, action)) in path.iter().enumerate() {
        let line = match action {
            None => format!("=> {}\n   {:?}\n   {:?}", summary(s), s.entry, s.copies),
            Some(Action::Step(i, fail, _)) => format!(
                "{}{}",
                describe(&s.threads[*i]),
                if *fail { ", the copy fails" } else { "" }
            ),
            Some(Action::Begin(start)) => format!("{start:?}"),
            Some(action) => format!("{action:?}"),
        };
        text += &format!("{n:3} {line}\n");
    }
    text
}

fn summary(s: &State) -> String {
    let used = s.frames.iter().enumerate().filter(|(_, page)| page.used);
    let used: Vec<_> = used.collect();
    format!("{:?} {:?} {:?} {:?}", s.pte, used, s.devices, s.broken)
}
