// SPDX-License-Identifier: MIT OR GPL-2.0
// Checks of the usage of chunks.

use super::subject::{Chunks, Taking};
use kernel::{
    mm::device::PMD_PAGES,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        Mutex,
    },
};
use loom::{cell::UnsafeCell, thread};
use std::sync::Arc;

pub(crate) const ALL: &[crate::Check] = &[
    a_page_found_free_is_let_go,
    pages_found_free_are_let_go,
    an_empty_chunk_is_let_go_and_told_once,
    chunks_that_empty_at_once_are_both_told,
    a_chunk_in_use_again_is_not_given_away,
    a_page_looked_at_twice_is_the_same,
];

/// A memory of which some pages are in use.
struct Memory {
    chunks: Chunks,
    /// What is in the first page of each word. Who uses or is given it writes to it.
    bytes: [UnsafeCell<u32>; 2],
    /// Held to take pages.
    allocator: Mutex<Taking>,
}

impl Memory {
    fn new(nr: usize) -> Self {
        let (chunks, taking) = Chunks::new(nr).unwrap();
        let memory = Self {
            chunks,
            bytes: [0; 2].map(UnsafeCell::new),
            allocator: Mutex::new(taking),
        };
        for chunk in 0..nr {
            // Touches all atomics.
            memory.take(chunk, 0, 1);
            memory.chunks.hold(chunk * PMD_PAGES);
            memory.chunks.is_used(chunk * PMD_PAGES, PMD_PAGES);
            memory.chunks.put(chunk * PMD_PAGES, 1);
            memory.chunks.release(chunk * PMD_PAGES);
        }
        memory.drain();
        memory
    }

    fn take(&self, chunk: usize, first: usize, nr: usize) {
        self.chunks.take(&mut self.allocator.lock(), chunk, first, nr);
    }

    fn write(&self, page: usize) {
        // SAFETY: Loom finds who else is there.
        self.bytes[page / 64].with_mut(|byte| unsafe { *byte += 1 });
    }

    /// The last use of pages.
    fn leave(&self, page: usize, nr: usize) {
        self.write(page);
        self.chunks.put(page, nr);
    }

    /// As the allocator: takes the first free pages.
    fn find(&self, nr: usize) -> Option<usize> {
        let mut taking = self.allocator.lock();
        let first = self.chunks.find(&taking, 0, nr)?;
        self.chunks.take(&mut taking, 0, first, nr);
        Some(first)
    }

    fn drain(&self) -> Vec<usize> {
        let mut taking = self.allocator.lock();
        let mut told = Vec::new();
        self.chunks.drain(&mut taking, |chunk| told.push(chunk));
        told
    }
}

fn spawn(memory: &Arc<Memory>, f: impl FnOnce(&Memory) + 'static) -> thread::JoinHandle<()> {
    let memory = memory.clone();
    thread::spawn(move || f(&memory))
}

fn a_page_found_free_is_let_go() {
    let memory = Memory::new(1);
    memory.take(0, 0, PMD_PAGES);
    let memory = Arc::new(memory);
    let user = spawn(&memory, |memory| memory.leave(0, 1));
    if let Some(page) = memory.find(1) {
        assert_eq!(page, 0);
        memory.write(page);
        assert_eq!(memory.find(1), None);
    }
    user.join().unwrap();
}

fn pages_found_free_are_let_go() {
    let memory = Memory::new(1);
    memory.take(0, 0, PMD_PAGES);
    let memory = Arc::new(memory);
    let user = spawn(&memory, |memory| memory.leave(0, 16));
    if let Some(page) = memory.find(16) {
        assert_eq!(page, 0);
        memory.write(page);
    }
    user.join().unwrap();
    let free = if memory.chunks.is_used(0, 1) { 0 } else { 16 };
    assert_eq!(memory.chunks.used(), PMD_PAGES - free);
    assert_eq!(memory.chunks.live(0), PMD_PAGES - free);
}

fn an_empty_chunk_is_let_go_and_told_once() {
    let memory = Memory::new(1);
    memory.take(0, 0, 1);
    memory.take(0, 64, 1);
    let memory = Arc::new(memory);
    let other = spawn(&memory, |memory| memory.leave(0, 1));
    memory.leave(64, 1);
    let mut told = memory.drain().len();
    if told > 0 {
        // Taken whole by somebody else.
        memory.write(0);
        memory.write(64);
    }
    other.join().unwrap();
    told += memory.drain().len();
    assert_eq!(told, 1);
}

fn chunks_that_empty_at_once_are_both_told() {
    let memory = Memory::new(2);
    memory.take(0, 0, 1);
    memory.take(1, 0, 1);
    let memory = Arc::new(memory);
    let other = spawn(&memory, |memory| memory.chunks.put(PMD_PAGES, 1));
    memory.chunks.put(0, 1);
    other.join().unwrap();
    assert_eq!(memory.drain(), [0, 1]);
}

fn a_chunk_in_use_again_is_not_given_away() {
    let memory = Memory::new(1);
    memory.take(0, 0, 1);
    let memory = Arc::new(memory);
    let user = spawn(&memory, |memory| memory.leave(0, 1));
    let again = memory.find(1);
    assert!(again.is_some());
    assert_eq!(memory.drain(), []);
    user.join().unwrap();
    assert_eq!(memory.drain(), []);
}

/// As `Migration::from_pagemap()`: it takes a reference for each of its two looks.
fn a_page_looked_at_twice_is_the_same() {
    struct Page {
        references: Atomic<i32>,
        /// What the page is.
        identity: Atomic<u32>,
    }

    fn get(page: &Page) -> bool {
        let mut old = page.references.load(Relaxed);
        while old > 0 {
            match page.references.cmpxchg(old, old + 1, Full) {
                Ok(_) => return true,
                Err(now) => old = now,
            }
        }
        false
    }

    fn put(page: &Page, memory: &Memory) {
        if page.references.fetch_sub(1, Full) == 1 {
            memory.chunks.put(0, 1);
        }
    }

    fn look(page: &Page, memory: &Memory) -> Option<u32> {
        let identity = get(page).then(|| page.identity.load(Relaxed))?;
        put(page, memory);
        Some(identity)
    }

    let memory = Memory::new(1);
    memory.take(0, 0, PMD_PAGES);
    let memory = Arc::new(memory);
    let page = Arc::new(Page {
        references: Atomic::new(1),
        identity: Atomic::new(1),
    });
    page.references.load(Relaxed);
    page.identity.load(Relaxed);

    let evictor = {
        let page = page.clone();
        spawn(&memory, move |memory| {
            memory.chunks.hold(0);
            let looks = [look(&page, memory), look(&page, memory)];
            memory.chunks.release(0);
            if let [Some(first), Some(second)] = looks {
                assert_eq!(first, second, "the page is another one");
            }
        })
    };
    let user = {
        let page = page.clone();
        spawn(&memory, move |memory| put(&page, memory))
    };
    if memory.find(1).is_some() {
        page.identity.store(2, Relaxed);
        page.references.fetch_add(1, Full);
    }
    evictor.join().unwrap();
    user.join().unwrap();
}
