// SPDX-License-Identifier: MIT OR GPL-2.0
//! A thread that moves random parts of the heap to random devices, to show that
//! the program does not notice.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use gmem::sys::mem::{self, HUGE_SIZE, PAGE_SIZE};
use gmem::{Node, Npu};

use crate::stats::COUNTS;
use crate::HEAP;

/// xorshift64*, enough to choose pages.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end
    }
}

/// Starts the thread if the environment asks for it and there is a device.
pub fn set_up() {
    let period = std::env::var("GMEM_RUN_SHUFFLE_MS");
    let Some(period) = period.ok().and_then(|ms| ms.parse().ok()) else {
        return;
    };
    if !gmem::available() {
        return;
    }
    let Ok(npus) = Npu::open_all() else { return };
    let nodes = npus.iter().filter_map(|npu| npu.node().ok().flatten());
    let nodes: Vec<Node> = nodes.collect();
    if nodes.is_empty() {
        return;
    }
    COUNTS.devices.store(nodes.len() as u64, Relaxed);
    let thread = std::thread::Builder::new().name("gmem-shuffle".into());
    // The program's signals are not for the thread: it inherits the mask.
    let all = signals::block();
    // Without the thread the program still runs, and the counts say so.
    let _ = thread.spawn(move || run(&npus, &nodes, Duration::from_millis(period)));
    signals::restore(&all);
}

/// Moves for ever; the NPUs stay open, so that the devices know this process.
fn run(_npus: &[Npu], nodes: &[Node], period: Duration) {
    let mut random = Random(u64::from(std::process::id()) | 1 << 40);
    loop {
        std::thread::sleep(period);
        let pages = 1 + random.below(HUGE_SIZE / PAGE_SIZE);
        let node = nodes[random.below(nodes.len())];
        if let Some((start, len)) = HEAP.sample(random.next() >> 16, pages * PAGE_SIZE) {
            count(mem::prefetch(node.0, start, len), len);
        }
    }
}

fn count(result: Result<(), i32>, len: usize) {
    let counter = match result {
        Ok(()) => {
            COUNTS.bytes.fetch_add(len as u64, Relaxed);
            &COUNTS.moves
        }
        Err(libc::EBUSY | libc::ENOSPC) => &COUNTS.partial,
        // The range was chosen under the heap's lock, but moved without it.
        Err(libc::ENOMEM | libc::EINVAL) => &COUNTS.gone,
        Err(errno) => {
            COUNTS.last_error.store(errno as u64, Relaxed);
            &COUNTS.errors
        }
    };
    counter.fetch_add(1, Relaxed);
}

mod signals {
    use std::mem::MaybeUninit;

    /// Blocks all signals; returns the mask before.
    pub fn block() -> libc::sigset_t {
        let mut all = MaybeUninit::uninit();
        let mut old = MaybeUninit::uninit();
        // SAFETY: sigfillset() initialises `all`, pthread_sigmask() `old`.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
            old.assume_init()
        }
    }

    /// Sets the mask.
    pub fn restore(mask: &libc::sigset_t) {
        // SAFETY: A valid mask.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) };
    }
}
