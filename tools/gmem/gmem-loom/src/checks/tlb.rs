// SPDX-License-Identifier: MIT OR GPL-2.0
// Checks of the TLB.

use super::{
    subject::Tlb,
    {Miss, Translation},
};
use kernel::sync::atomic::{Atomic, Relaxed};
use loom::{cell::UnsafeCell, thread};
use std::sync::Arc;

pub(crate) const ALL: &[crate::Check] = &[nobody_reaches_a_page_that_left];

const SPACE: u64 = 1;
const VA: u64 = 0x5000;

struct Device {
    tlb: kernel::sync::Arc<Tlb>,
    /// The entry of the page table.
    present: Atomic<u32>,
    page: UnsafeCell<u32>,
}

impl Device {
    fn access(&self) {
        let step = self.tlb.begin();
        let walk = || match self.present.load(Relaxed) {
            0 => Err(Miss),
            _ => Ok(Translation),
        };
        if step.lookup(SPACE, VA, false, walk).is_ok() {
            // SAFETY: Loom finds who else is there.
            let found = self.page.with(|page| unsafe { *page });
            assert_eq!(found, 0, "not the page");
        }
    }
}

/// The core misses, fills its TLB and hits, while the page is taken away.
fn nobody_reaches_a_page_that_left() {
    let device = Arc::new(Device {
        tlb: Tlb::new().unwrap(),
        present: Atomic::new(1),
        page: UnsafeCell::new(0),
    });
    device.present.load(Relaxed);
    device.tlb.snapshot();
    let core = {
        let device = device.clone();
        thread::spawn(move || {
            device.access();
            device.access();
        })
    };
    device.present.store(0, Relaxed);
    device.tlb.flush(SPACE, VA..VA + 0x1000);
    device.tlb.drain(device.tlb.snapshot());
    // SAFETY: As in `access`.
    device.page.with_mut(|page| unsafe { *page = 1 });
    core.join().unwrap();
}
