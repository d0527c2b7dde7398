// SPDX-License-Identifier: GPL-2.0

//! What the directory knows of many pages, asked without a lock.

use crate::{
    prelude::*,
    space::directory::{
        bounds,
        entry,
        extent,
        Directory,
        MAPPED,
        ON_DEVICE, //
    }, //
};
use core::ops::ControlFlow;
use kernel::xarray_value::Mark;

/// How much a directory knows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Entries of one page.
    pub(crate) small: u64,
    /// Entries of one block.
    pub(crate) huge: u64,
    /// Pages that devices hold.
    pub(crate) on_device: u64,
    /// Pages that contexts map.
    pub(crate) mapped: u64,
}

impl Directory {
    /// Returns whether a context maps a page of `range`. Takes no lock.
    pub(crate) fn is_mapped(&self, range: PageRange) -> bool {
        bounds(range).is_some_and(|(first, last)| {
            self.values
                .for_each(first, last, Some(MAPPED), |_| ControlFlow::Break(()))
                .is_break()
        })
    }

    /// Returns the contexts that may map a page of `range`, one bit each. Takes no lock.
    pub(crate) fn contexts(&self, range: PageRange) -> u16 {
        let mut contexts = 0;

        if let Some((first, last)) = bounds(range) {
            let _: ControlFlow<()> = self.values.for_each(first, last, Some(MAPPED), |found| {
                contexts |= entry(found.value).contexts();
                ControlFlow::Continue(())
            });
        }
        contexts
    }

    /// Counts what the directory knows, entry by entry. Takes no lock.
    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();

        self.count(None, |pages| {
            let entries = if pages == 1 {
                &mut usage.small
            } else {
                &mut usage.huge
            };
            *entries = entries.wrapping_add(1);
        });
        self.count(Some(ON_DEVICE), |pages| {
            usage.on_device = usage.on_device.wrapping_add(pages);
        });
        self.count(Some(MAPPED), |pages| {
            usage.mapped = usage.mapped.wrapping_add(pages);
        });
        usage
    }

    /// Calls `f` with the number of pages of every entry that has `mark`.
    fn count(&self, mark: Option<Mark>, mut f: impl FnMut(u64)) {
        let _: ControlFlow<()> = self.values.for_each(0, usize::MAX, mark, |found| {
            f(extent(&found).count());
            ControlFlow::Continue(())
        });
    }
}
