// SPDX-License-Identifier: GPL-2.0

//! Bringing pages to a device before it asks for them.
//!
//! The faults of a context are watched for walks through memory. What a walk reaches next is
//! brought by a worker, while the device uses what it has. Only pages that exist are brought: to
//! guess wrong costs a copy, but no memory.

use crate::{
    fault::{
        part::{
            Purpose,
            Request,
            Served, //
        },
        serve, //
    },
    policy::readahead::MAX_WINDOW,
    prelude::*,
    space::context::Context, //
};
use kernel::workqueue::{
    self,
    WorkItem, //
};

/// The part of a full device's memory that may come ahead at a time.
const SCARCE_PART: usize = 256;

/// Returns how many pages may come ahead at a time: where others have to leave for them, a small
/// part of the memory.
fn most(context: &Context) -> u64 {
    let most = context.device.with_memory(|memory| {
        if memory.worker.is_scarce() {
            (memory.pages() / SCARCE_PART) as u64
        } else {
            MAX_WINDOW
        }
    });
    most.unwrap_or(0)
}

impl WorkItem for Context {
    type Pointer = Arc<Context>;

    fn run(context: Arc<Context>) {
        bring(&context);
    }
}

/// Notes that the device faulted and was served; sends for what it wants next.
pub(crate) fn faulted(context: Arc<Context>, served: Served, write: bool) {
    let most = most(&context);
    let Served { brought, around } = served;
    if context.walks.fault(most, brought, around, write) {
        // If it is queued already it will find the window.
        let _ = workqueue::system_long().enqueue(context);
    }
}

fn bring(context: &Context) {
    let Some(next) = context.walks.next() else {
        return;
    };
    let inside = |range: PageRange| range.intersect(next.around);
    for range in next.window.ranges().map_while(inside) {
        let request = Request {
            range,
            write: next.write,
            purpose: Purpose::Ahead,
        };
        // Whatever ends it, the device will ask if it wants the rest.
        if serve::serve(context, request).is_err() {
            return;
        }
    }
}
