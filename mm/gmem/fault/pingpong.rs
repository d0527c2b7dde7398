// SPDX-License-Identifier: GPL-2.0

//! Blocks of an address space that bounce between the CPU and devices.
//!
//! What a side asks for moves there, and when two sides ask in turn the policy says for how long
//! the block should stay on the host, where the CPU uses it as it is and devices reach it remotely.

use crate::{
    prelude::*,
    space::{
        address_space::Space,
        thrash::Hold, //
    }, //
};
use kernel::{
    time::msecs_to_jiffies,
    workqueue::{
        self,
        WorkItem, //
    }, //
};

impl WorkItem for Space {
    type Pointer = Arc<Space>;

    fn run(space: Arc<Space>) {
        let_go(&space);
    }
}

/// Lets devices reach `range` remotely until then. Afterwards its entries are taken away, so that
/// they ask again. The caller does not hold the map lock.
pub(crate) fn hold(space: &Arc<Space>, range: PageRange, until_us: u64) {
    match space.thrash.hold(range, until_us) {
        Hold::Known => return,
        Hold::Instead(early) => space.forget(early),
        Hold::New => {}
    }
    sleep(space, until_us);
}

fn sleep(space: &Arc<Space>, until_us: u64) {
    let delay = msecs_to_jiffies(space.thrash.ms_to(until_us));
    // If it waits already it will look at all of them.
    let _ = workqueue::system_long().enqueue_delayed(space.clone(), delay);
}

fn let_go(space: &Arc<Space>) {
    loop {
        match space.thrash.next_over() {
            Ok(range) => space.forget(range),
            Err(Some(next)) => return sleep(space, next),
            Err(None) => return,
        }
    }
}
