// SPDX-License-Identifier: GPL-2.0

//! Keeping some device memory free.
//!
//! Once a device was full, a worker evicts below the low watermark until the high watermark is
//! free, so that faults find room. A fault that finds none while the worker runs waits for what
//! it frees next; it evicts by itself only if no worker runs, or after a timeout.
//!
//! A device that was never full keeps what it has: a working set that just fits stays.
//!
//! What just came is about to be used, and stays, and what is on its way has to. If nothing else is
//! left the worker rests until a fault asks for room; only if none does for a while it evicts
//! those, too.

use crate::{
    device::{
        memory::Memory,
        worker::Mark, //
    },
    prelude::*,
    reclaim::{
        evict,
        victim::Hunt,
        waiting::Waiting, //
    }, //
};
use kernel::workqueue::WorkItem;

/// So many evictions in a row may come to nothing.
const MAX_FAILURES: usize = 16;

impl WorkItem for Memory {
    type Pointer = Arc<Memory>;

    fn run(memory: Arc<Memory>) {
        let worker = memory.worker.clone();
        work(&memory);
        // Who takes the memory away waits for the worker, and is to be the last who has it.
        drop(memory);
        worker.ended();
    }
}

fn work(memory: &Memory) {
    let worker = &memory.worker;

    while !make_room(memory, || worker.high(memory)) {
        if worker.is_asked() {
            continue;
        }
        // A whole chunk might be in use in parts.
        memory.rest();
        make_room(memory, || Mark::pages(memory));
        break;
    }
}

/// Evicts until there is enough free. Returns `false` if there is not, and what is left just
/// came or is on its way: it may leave later.
fn make_room(memory: &Memory, mark: impl Fn() -> Mark) -> bool {
    let worker = &memory.worker;
    let mut failures = 0;
    let mut hunt = Hunt::ahead(1);
    // It holds no lock that others wait for.
    let mut waiting = Waiting::unbounded();
    loop {
        let mark = mark();
        let free = memory.free(mark.whole);
        if free >= mark.pages || worker.is_closed() {
            return true;
        }
        if failures > MAX_FAILURES {
            return false;
        }
        if failures == 0 {
            hunt = Hunt::ahead(if mark.whole { PMD_PAGES } else { 1 });
        }
        match evict::one(memory, None, &mut hunt, &mut waiting) {
            // It knows now what to leave alone.
            Ok(0) => failures += 1,
            Ok(_) => {
                failures = 0;
                worker.has_freed();
            }
            // No host memory, or nothing that may leave.
            Err(_) => return !hunt.met_only_young(),
        }
    }
}
