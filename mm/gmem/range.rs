// SPDX-License-Identifier: GPL-2.0

//! Ranges of pages.

use core::ops::Range;

/// The core supports pages of 4 KiB only; Kconfig sees to it.
pub(crate) const PAGE_SHIFT: u32 = 12;
/// Bytes of a page.
pub(crate) const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;
/// Order of a block: what one large folio covers, 2 MiB.
pub(crate) const BLOCK_ORDER: u32 = 9;
/// Pages of a block.
pub(crate) const BLOCK_PAGES: u64 = 1 << BLOCK_ORDER;
/// Order of a chunk: what one interval notifier watches, 512 MiB.
pub(crate) const CHUNK_ORDER: u32 = 17;
/// One more than the highest page number that can be.
pub(crate) const MAX_PAGES: u64 = 1 << (u64::BITS - PAGE_SHIFT);

/// Pages from `first` to before `end`.
///
/// # Invariants
///
/// `first <= end <= MAX_PAGES`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct PageRange {
    first: u64,
    end: u64,
}

impl PageRange {
    /// The whole address space.
    pub(crate) const ALL: Self = Self {
        first: 0,
        end: MAX_PAGES,
    };

    /// Pages from `first` to before `end`; `None` if that is no range.
    pub(crate) const fn new(first: u64, end: u64) -> Option<Self> {
        if first <= end && end <= MAX_PAGES {
            Some(Self { first, end })
        } else {
            None
        }
    }

    /// `count` pages from `first`.
    pub(crate) const fn with_count(first: u64, count: u64) -> Option<Self> {
        match first.checked_add(count) {
            Some(end) => Self::new(first, end),
            None => None,
        }
    }

    /// The one page `page`.
    pub(crate) const fn page(page: u64) -> Option<Self> {
        Self::with_count(page, 1)
    }

    /// The block of `2^order` pages that has `page`.
    pub(crate) const fn around(page: u64, order: u32) -> Option<Self> {
        if order >= u64::BITS - PAGE_SHIFT || page >= MAX_PAGES {
            return None;
        }
        Self::with_count(align_down(page, order), 1u64.wrapping_shl(order))
    }

    /// The pages that have a byte of `start..start + len`; `None` on overflow.
    pub(crate) const fn from_bytes(start: u64, len: u64) -> Option<Self> {
        let first = start >> PAGE_SHIFT;

        if len == 0 {
            return Self::new(first, first);
        }
        match start.checked_add(len.wrapping_sub(1)) {
            Some(last) => Self::new(first, (last >> PAGE_SHIFT).wrapping_add(1)),
            None => None,
        }
    }

    /// The first page.
    pub(crate) const fn first(self) -> u64 {
        self.first
    }

    /// The page after the last one.
    pub(crate) const fn end(self) -> u64 {
        self.end
    }

    /// The last page, if there is one.
    pub(crate) const fn last(self) -> Option<u64> {
        if self.is_empty() {
            None
        } else {
            Some(self.end.wrapping_sub(1))
        }
    }

    /// The number of pages.
    pub(crate) const fn count(self) -> u64 {
        self.end.wrapping_sub(self.first)
    }

    /// Has the range no page?
    pub(crate) const fn is_empty(self) -> bool {
        self.first == self.end
    }

    /// The address of the first byte.
    pub(crate) const fn start_byte(self) -> u64 {
        self.first << PAGE_SHIFT
    }

    /// The address after the last byte; 0 when that is past the highest address.
    pub(crate) const fn end_byte(self) -> u64 {
        self.end << PAGE_SHIFT
    }

    /// The number of bytes; that of [`PageRange::ALL`] does not fit and gives 0.
    pub(crate) const fn len_bytes(self) -> u64 {
        self.count() << PAGE_SHIFT
    }

    /// The bytes, as the kernel names them.
    pub(crate) const fn bytes(self) -> Range<usize> {
        self.start_byte() as usize..self.end_byte() as usize
    }

    /// Is `page` in the range?
    pub(crate) const fn has(self, page: u64) -> bool {
        self.first <= page && page < self.end
    }

    /// Are all pages of `other` in this range?
    pub(crate) const fn covers(self, other: Self) -> bool {
        other.is_empty() || (self.first <= other.first && other.end <= self.end)
    }

    /// The pages in both ranges; `None` if there are none.
    pub(crate) fn intersect(self, other: Self) -> Option<Self> {
        let first = self.first.max(other.first);
        let end = self.end.min(other.end);

        (first < end).then_some(Self { first, end })
    }

    /// The pages from the first one of both to the last one.
    pub(crate) fn hull(self, other: Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            _ => Self {
                first: self.first.min(other.first),
                end: self.end.max(other.end),
            },
        }
    }

    /// The range of both when `other` begins where this one ends.
    pub(crate) const fn join(self, other: Self) -> Option<Self> {
        if self.end == other.first {
            Some(Self {
                first: self.first,
                end: other.end,
            })
        } else {
            None
        }
    }

    /// The smallest range of whole blocks of `2^order` pages that covers this one.
    #[must_use]
    pub(crate) fn align_out(self, order: u32) -> Self {
        let order = order.min(CHUNK_ORDER);
        let end = match self.end.checked_add(low_mask(order)) {
            Some(end) => align_down(end, order).min(MAX_PAGES),
            None => MAX_PAGES,
        };

        Self {
            first: align_down(self.first, order),
            end,
        }
    }

    /// Is it one whole block of 2 MiB?
    pub(crate) const fn is_block(self) -> bool {
        self.count() == BLOCK_PAGES && self.first & low_mask(BLOCK_ORDER) == 0
    }

    /// The parts of the range in each block of 2 MiB, in order.
    pub(crate) fn blocks(self) -> Pieces {
        self.pieces(BLOCK_ORDER)
    }

    /// The number of the chunk that the first page is in.
    pub(crate) const fn chunk_index(self) -> u64 {
        self.first >> CHUNK_ORDER
    }

    /// The parts of the range in each block of `2^order` pages, in order.
    pub(crate) fn pieces(self, order: u32) -> Pieces {
        Pieces {
            rest: self,
            order: order.min(CHUNK_ORDER),
        }
    }
}

/// The iterator that [`PageRange::pieces`] returns.
#[derive(Clone, Debug)]
pub(crate) struct Pieces {
    rest: PageRange,
    order: u32,
}

impl Iterator for Pieces {
    type Item = PageRange;

    fn next(&mut self) -> Option<PageRange> {
        let PageRange { first, end } = self.rest;

        if first >= end {
            return None;
        }
        // INVARIANT: `first < cut <= end`, as `first | mask < MAX_PAGES`.
        let cut = (first | low_mask(self.order)).wrapping_add(1).min(end);
        self.rest.first = cut;
        Some(PageRange { first, end: cut })
    }
}

const fn low_mask(order: u32) -> u64 {
    1u64.wrapping_shl(order).wrapping_sub(1)
}

const fn align_down(page: u64, order: u32) -> u64 {
    page & !low_mask(order)
}
