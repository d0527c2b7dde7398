// SPDX-License-Identifier: MIT OR GPL-2.0
// Checks of the TLB.

use super::{subject::Tlb, PageTable};
use kernel::sync::atomic::{Atomic, Relaxed};
use loom::{cell::UnsafeCell, thread};
use std::sync::Arc;

pub(crate) const ALL: &[crate::Check] = &[
    nobody_reaches_a_page_that_left,
    nobody_reaches_a_page_once_stopped,
    there_is_one_step_at_a_time,
];

const VA: u64 = 0x5000;

struct Device {
    tlb: kernel::sync::Arc<Tlb>,
    table: PageTable,
    page: UnsafeCell<u32>,
}

impl Device {
    fn new() -> Arc<Self> {
        let device = Self {
            tlb: Tlb::new().unwrap(),
            table: PageTable {
                present: Atomic::new(1),
            },
            page: UnsafeCell::new(0),
        };
        // Touches the atomics.
        device.table.present.load(Relaxed);
        device.tlb.snapshot();
        Arc::new(device)
    }

    /// Makes an access if a step can begin.
    fn access(&self) {
        let Some(step) = self.tlb.begin() else { return };
        if step.lookup(&self.table, VA, false).is_ok() {
            // SAFETY: Loom finds who else is there.
            let found = self.page.with(|page| unsafe { *page });
            assert_eq!(found, 0, "not the page");
        }
    }

    /// Gives the page to somebody else.
    fn free(&self) {
        // SAFETY: As in `access`.
        self.page.with_mut(|page| unsafe { *page = 1 });
    }
}

fn spawn(device: &Arc<Device>, f: impl FnOnce(&Device) + 'static) -> thread::JoinHandle<()> {
    let device = device.clone();
    thread::spawn(move || f(&device))
}

/// The core misses, fills its TLB and hits, while the page is taken away.
fn nobody_reaches_a_page_that_left() {
    let device = Device::new();
    let core = spawn(&device, |device| {
        device.access();
        device.access();
    });
    device.table.present.store(0, Relaxed);
    device.tlb.flush(PageTable::SPACE, VA..VA + 0x1000);
    device.tlb.drain(device.tlb.snapshot());
    device.free();
    core.join().unwrap();
}

/// The device dies: nothing is taken out of its page tables any more.
fn nobody_reaches_a_page_once_stopped() {
    let device = Device::new();
    let core = spawn(&device, |device| {
        device.access();
        device.access();
    });
    device.tlb.stop();
    device.free();
    assert!(device.tlb.begin().is_none());
    core.join().unwrap();
}

/// A flush waits for one step, so that there must be no other.
fn there_is_one_step_at_a_time() {
    let device = Device::new();
    let steps = Arc::new(Atomic::new(0u32));
    steps.load(Relaxed);
    let step = |device: &Device, steps: &Atomic<u32>| {
        if let Some(_step) = device.tlb.begin() {
            assert_eq!(steps.fetch_add(1, Relaxed), 0, "two steps");
            steps.fetch_sub(1, Relaxed);
        }
    };
    let other = {
        let steps = steps.clone();
        spawn(&device, move |device| step(device, &steps))
    };
    step(&device, &steps);
    other.join().unwrap();
}
