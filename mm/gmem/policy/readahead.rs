// SPDX-License-Identifier: GPL-2.0

//! What a device will ask for next.
//!
//! A job that walks through memory faults in order, and each fault waits. [`Ahead`] finds such
//! walks among the last faults of a context, several at a time as a kernel reads several operands,
//! and names a window to bring before it is asked for. The window doubles when the walk reaches
//! it, up to what the caller allows.

use crate::range::PageRange;

/// Walks that are followed at a time.
pub(crate) const STREAMS: usize = 8;
/// Steps in a row that make a walk.
const CONFIDENCE: u8 = 2;
/// The longest step that is taken for a walk, in pages: 16 MiB.
const MAX_STRIDE: i64 = 4096;
/// The smallest window, 64 KiB.
pub(crate) const MIN_WINDOW: u64 = 16;
/// The largest window, 4 MiB.
pub(crate) const MAX_WINDOW: u64 = 1024;

/// What to bring: `count` times `each`, `stride` pages apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    each: PageRange,
    stride: i64,
    count: u32,
}

impl Window {
    /// The ranges. A sequential window is one range.
    pub(crate) fn ranges(self) -> impl Iterator<Item = PageRange> {
        (0..i64::from(self.count)).filter_map(move |i| {
            let first = self
                .each
                .first()
                .checked_add_signed(self.stride.checked_mul(i)?)?;
            PageRange::with_count(first, self.each.count())
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    /// The last fault.
    last: PageRange,
    /// From one fault to the next.
    stride: i64,
    /// So often in a row.
    hits: u8,
    /// Pages of the next window.
    window: u64,
    /// Where the walk faults next: behind what was brought.
    brought: u64,
    used: u32,
}

/// The walks of a context.
#[derive(Clone, Debug)]
pub(crate) struct Ahead {
    streams: [Option<Stream>; STREAMS],
    clock: u32,
    largest: u64,
}

impl Default for Ahead {
    /// Knows no walk.
    fn default() -> Self {
        Self {
            streams: [None; STREAMS],
            clock: 0,
            largest: MAX_WINDOW,
        }
    }
}

impl Ahead {
    /// Notes that the context faulted, and that `brought` - the faulting pages and what came with
    /// them - is on the device now. Returns what to bring ahead of the walk that this fault is a
    /// step of. The caller cuts the window to the VMA, and brings it only if it need not evict
    /// more than it brings.
    pub(crate) fn fault(&mut self, brought: PageRange) -> Option<Window> {
        self.clock = self.clock.wrapping_add(1);
        let (clock, largest) = (self.clock, self.largest);
        let found = self
            .streams
            .iter_mut()
            .flatten()
            .filter_map(|stream| Some((stream.step(brought)?, stream)))
            .min_by_key(|(step, _)| step.unsigned_abs());

        if let Some((step, stream)) = found {
            stream.used = clock;
            return stream.advance(brought, step, largest);
        }
        let new = Stream {
            last: brought,
            stride: 0,
            hits: 0,
            window: MIN_WINDOW,
            brought: brought.end(),
            used: clock,
        };
        let oldest = self
            .streams
            .iter_mut()
            .max_by_key(|s| s.map_or(u32::MAX, |s| clock.wrapping_sub(s.used)))?;
        *oldest = Some(new);
        None
    }

    /// Says how large windows may be at most, in pages.
    pub(crate) fn cap(&mut self, pages: u64) {
        self.largest = pages.clamp(MIN_WINDOW, MAX_WINDOW);
    }

    /// Is `page` where one of the walks goes next? Then a fault there should bring a large block.
    pub(crate) fn expects(&self, page: u64) -> bool {
        self.streams
            .iter()
            .flatten()
            .any(|s| s.hits >= CONFIDENCE && s.is_sequential() && s.brought == page)
    }
}

impl Stream {
    /// How far the fault is from the last one, if it may be a step of this walk.
    fn step(&self, range: PageRange) -> Option<i64> {
        let first = i64::try_from(range.first()).ok()?;
        let step = first.checked_sub(i64::try_from(self.last.first()).ok()?)?;
        let on = step == self.stride || range.first() == self.brought;

        if step == 0 || (!on && (self.hits >= CONFIDENCE || step.abs() > MAX_STRIDE)) {
            return None;
        }
        Some(step)
    }

    /// Does each step begin where the one before ended?
    fn is_sequential(&self) -> bool {
        u64::try_from(self.stride).is_ok_and(|stride| stride == self.last.count())
    }

    fn advance(&mut self, range: PageRange, step: i64, largest: u64) -> Option<Window> {
        // A walk goes on where its window ended, or where the last fault did.
        let strides = self.hits >= CONFIDENCE && !self.is_sequential();
        let passed = strides && range.first() == self.brought;
        let follows =
            !passed && (range.first() == self.brought || range.first() == self.last.end());
        let stride = if passed {
            self.stride
        } else if follows {
            i64::try_from(range.count()).ok()?
        } else {
            step
        };
        let goes_on = follows && self.is_sequential() || stride == self.stride;
        self.hits = if goes_on {
            self.hits.saturating_add(1)
        } else {
            1
        };
        self.stride = stride;
        self.last = range;
        self.brought = self.brought.max(range.end());
        if !goes_on || !follows {
            self.brought = range.end();
        }
        if self.hits < CONFIDENCE {
            self.window = MIN_WINDOW;
            return None;
        }
        // At least a step more: a walk by blocks of 2 MiB goes on by such.
        let pages = self.window.max(range.count()).min(largest);
        self.window = pages.saturating_mul(2).min(largest);

        if follows {
            let each = PageRange::with_count(range.end(), pages)?;
            self.brought = each.end();
            return Some(Window {
                each,
                stride: 0,
                count: 1,
            });
        }
        let first = range.first().checked_add_signed(stride)?;
        let count = u32::try_from(pages / range.count().max(1)).ok()?.max(1);
        self.brought = first.checked_add_signed(stride.checked_mul(i64::from(count))?)?;
        Some(Window {
            each: PageRange::with_count(first, range.count())?,
            stride,
            count,
        })
    }
}
