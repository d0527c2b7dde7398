// SPDX-License-Identifier: MIT OR GPL-2.0
//! States that differ in names only are one.

use crate::state::{device_of, Frame, Pte, State, DEVS, FRAMES, HOST, PAGES, PROCS, ROOM};

/// Renames frames, so that states that differ in the names of frames only are one.
struct Names {
    new: [Option<Frame>; FRAMES],
    next: [Frame; DEVS + 1],
}

impl Names {
    fn of(&mut self, f: &mut Frame) {
        let old = *f as usize;
        *f = *self.new[old].get_or_insert_with(|| {
            let kind = device_of(old as Frame).map_or(0, |d| d + 1);
            self.next[kind] += 1;
            self.next[kind] - 1
        });
    }
}

impl State {
    /// Returns the same state with the threads and the frames in a fixed order.
    pub fn canonical(mut self) -> Self {
        self.threads.sort_unstable();
        let mut names = Names {
            new: [None; FRAMES],
            next: [0; DEVS + 1],
        };
        for (kind, next) in names.next.iter_mut().enumerate().skip(1) {
            *next = (HOST + (kind - 1) * ROOM) as Frame;
        }
        for pte in self.pte.iter_mut().flatten() {
            match pte {
                Pte::None => {}
                Pte::Map { f, .. } | Pte::Migration { f, .. } => names.of(f),
            }
        }
        for entry in self.entry.iter_mut().flatten().flatten().flatten() {
            names.of(&mut entry.f);
        }
        for copied in self.copies.iter_mut().flatten().flatten().flatten() {
            names.of(&mut copied.f);
            names.of(&mut copied.original);
        }
        for t in &mut self.threads {
            t.for_each_frame(|f| names.of(f));
        }
        let old = self.frames;
        for (f, page) in old.iter().enumerate() {
            let mut new = f as Frame;
            names.of(&mut new);
            self.frames[new as usize] = *page;
        }
        self
    }

    /// Returns something of a device in which names of frames and the order of threads do not
    /// matter: where it differs, it says which device comes first.
    pub fn sketch(&self, d: usize) -> (u64, u64) {
        let mut tables = self.devices[d] as u64;
        for p in 0..PROCS {
            tables = tables << 2 | self.contexts[p][d] as u64;
            for v in 0..PAGES {
                let here = match self.pte[p][v] {
                    Pte::None => 0,
                    Pte::Map { f, .. } => u64::from(device_of(f) == Some(d)),
                    Pte::Migration { f, .. } => 2 * u64::from(device_of(f) == Some(d)),
                };
                tables = tables << 4
                    | here
                    | u64::from(self.entry[p][d][v].is_some()) << 2
                    | u64::from(self.copies[p][d][v].is_some()) << 3;
            }
        }
        let threads = self.threads.iter();
        let threads = threads.filter(|t| t.has_device() && t.d as usize == d);
        let sum = threads.map(|t| {
            let (at, v) = t.at.number();
            let place = u64::from(at) << 5 | u64::from(v) << 4 | t.op as u64;
            1 << 48 | place << 3 | u64::from(t.p) << 2 | u64::from(t.moves)
        });
        (tables, sum.sum())
    }

    /// Returns the same state with the devices swapped.
    pub fn swapped(&self) -> Self {
        let mut s = self.clone();
        let swap = |f: &mut Frame| {
            if let Some(d) = device_of(*f) {
                *f = *f - (d * ROOM) as Frame + ((1 - d) * ROOM) as Frame;
            }
        };
        for pte in s.pte.iter_mut().flatten() {
            match pte {
                Pte::None => {}
                Pte::Map { f, .. } | Pte::Migration { f, .. } => swap(f),
            }
        }
        s.entry.iter_mut().for_each(|devs| devs.swap(0, 1));
        for entry in s.entry.iter_mut().flatten().flatten().flatten() {
            swap(&mut entry.f);
        }
        s.copies.iter_mut().for_each(|devs| devs.swap(0, 1));
        for copied in s.copies.iter_mut().flatten().flatten().flatten() {
            swap(&mut copied.f);
        }
        for f in 0..ROOM {
            s.frames.swap(HOST + f, HOST + ROOM + f);
        }
        s.contexts.iter_mut().for_each(|devs| devs.swap(0, 1));
        s.devices.swap(0, 1);
        for t in &mut s.threads {
            if t.has_device() {
                t.d = 1 - t.d;
            }
            t.for_each_frame(&swap);
        }
        s
    }
}

const _: () = assert!(DEVS == 2);
