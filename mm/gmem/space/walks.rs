// SPDX-License-Identifier: GPL-2.0

//! The walks of a context through memory, as its faults show them.

use crate::{
    policy::readahead::{
        Ahead,
        Window, //
    },
    prelude::*, //
};

#[derive(Default)]
struct State {
    walks: Ahead,
    /// A newer one takes the place of an older one: the walk is past that.
    next: Option<Next>,
}

/// What to bring next.
pub(crate) struct Next {
    pub(crate) window: Window,
    /// Where the walk goes; what lies behind its end is of another kind.
    pub(crate) around: PageRange,
    /// Whether the device will write it.
    pub(crate) write: bool,
}

/// The walks of a context.
#[pin_data]
pub(crate) struct Walks {
    #[pin]
    state: Mutex<State>,
}

impl Walks {
    /// No fault was seen yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_mutex!(State::default(), "gmem_walks"),
        })
    }

    /// Returns whether a walk goes to `page` next.
    pub(crate) fn expect(&self, page: u64) -> bool {
        self.state.lock().walks.expects(page)
    }

    /// Notes that the device faulted and has `brought` now, pages of what lies `around`; at most
    /// `most` pages may come ahead. Returns whether some are to come.
    pub(crate) fn fault(
        &self,
        most: u64,
        brought: PageRange,
        around: PageRange,
        write: bool,
    ) -> bool {
        let mut state = self.state.lock();
        state.walks.cap(most);
        let Some(window) = state.walks.fault(brought) else {
            return false;
        };
        state.next = Some(Next {
            window,
            around,
            write,
        });
        true
    }

    /// Returns what to bring next.
    pub(crate) fn next(&self) -> Option<Next> {
        self.state.lock().next.take()
    }
}
