// SPDX-License-Identifier: MIT OR GPL-2.0
//! `malloc(3)` over peer-shared memory, for unmodified programs.
//!
//! `LD_PRELOAD=libgmem_preload.so PROGRAM`, or `gmem run PROGRAM`.  On a kernel
//! without GMEM it is an ordinary allocator and says nothing.
//!
//! Environment:
//!
//! - `GMEM_RUN_SHUFFLE_MS=10`: every 10 ms, move a random part of the heap to a
//!   random device.
//! - `GMEM_RUN_STATS=FILE`: at exit, append one line of JSON with counts.

mod malloc;
mod shuffle;
mod stats;

use gmem::Heap;

/// The heap of the process.
static HEAP: Heap = Heap::new();

extern "C" fn before_fork() {
    HEAP.before_fork();
}

extern "C" fn after_fork_parent() {
    HEAP.after_fork_parent();
}

extern "C" fn after_fork_child() {
    HEAP.after_fork_child();
    stats::reset();
}

/// Runs when the library is loaded; `malloc()` works before that.
extern "C" fn load() {
    // SAFETY: The handlers only lock, unlock and count.
    unsafe {
        libc::pthread_atfork(
            Some(before_fork),
            Some(after_fork_parent),
            Some(after_fork_child),
        );
    }
    stats::set_up();
    shuffle::set_up();
}

#[used]
#[link_section = ".init_array"]
static LOAD: extern "C" fn() = load;

#[used]
#[link_section = ".fini_array"]
static UNLOAD: extern "C" fn() = stats::write;
