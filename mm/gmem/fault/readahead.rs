// SPDX-License-Identifier: GPL-2.0

//! Bringing pages to a device before it asks for them.
//!
//! The faults of a context are watched for walks through memory. What a walk reaches next is
//! brought by a worker, while the device uses what it has. Only pages that exist are brought: to
//! guess wrong costs a copy, but no memory.

use crate::{
    fault::serve::{
        self,
        Purpose,
        Request,
        Served, //
    },
    policy::readahead::{
        Ahead,
        Window,
        MAX_WINDOW, //
    },
    range::PageRange,
    space::context::Context, //
};
use kernel::{
    impl_has_work,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    workqueue::{
        self,
        WorkItem, //
    }, //
};

/// The part of a full device's memory that may come ahead at a time.
const SCARCE_PART: usize = 256;

#[derive(Default)]
struct State {
    walks: Ahead,
    /// A newer one takes the place of an older one: the walk is past that.
    next: Option<Next>,
}

/// What to bring next.
struct Next {
    window: Window,
    /// Where the walk goes; what lies behind its end is of another kind.
    around: PageRange,
    /// Whether the device will write it.
    write: bool,
}

/// The walks of a context.
#[pin_data]
pub(crate) struct Walks {
    #[pin]
    state: Mutex<State>,
}

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

impl_has_work! {
    impl HasWork<Context> for Context { self.work }
}

impl WorkItem for Context {
    type Pointer = Arc<Context>;

    fn run(context: Arc<Context>) {
        context.walks.bring(&context);
    }
}

impl Walks {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_mutex!(State::default(), "gmem_walks"),
        })
    }

    /// Returns whether a walk goes to `page` next.
    pub(crate) fn expect(&self, page: u64) -> bool {
        self.state.lock().walks.expects(page)
    }

    /// Notes that the device faulted and was served; sends for what it wants next.
    pub(crate) fn faulted(&self, context: Arc<Context>, served: Served, write: bool) {
        let most = most(&context);
        let mut state = self.state.lock();
        state.walks.cap(most);
        let Some(window) = state.walks.fault(served.brought) else {
            return;
        };
        state.next = Some(Next {
            window,
            around: served.around,
            write,
        });
        drop(state);
        // If it is queued already it will find the window.
        let _ = workqueue::system_long().enqueue(context);
    }

    fn bring(&self, context: &Context) {
        let next = self.state.lock().next.take();
        let Some(next) = next else {
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
}
