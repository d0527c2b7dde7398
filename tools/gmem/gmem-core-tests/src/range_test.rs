// SPDX-License-Identifier: MIT OR GPL-2.0
//! A range is a set of page numbers.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::range::*;

const CHUNK_PAGES: u64 = 1 << CHUNK_ORDER;

fn set(range: PageRange) -> BTreeSet<u64> {
    (range.first()..range.end()).collect()
}

fn small() -> impl Strategy<Value = PageRange> {
    (0u64..200, 0u64..200).prop_map(|(a, b)| PageRange::new(a.min(b), a.max(b)).unwrap())
}

/// Ranges near the ends of the address space, near blocks, anywhere.
fn any_range() -> impl Strategy<Value = PageRange> {
    let page = prop_oneof![
        0u64..2000,
        MAX_PAGES - 2000..=MAX_PAGES,
        CHUNK_PAGES - 600..CHUNK_PAGES + 600,
        0..=MAX_PAGES
    ];
    (page.clone(), page).prop_map(|(a, b)| PageRange::new(a.min(b), a.max(b)).unwrap())
}

proptest! {
    #[test]
    fn the_set_operations(a in small(), b in small(), page in 0u64..220) {
        let (x, y) = (set(a), set(b));
        prop_assert_eq!(a.count() as usize, x.len());
        prop_assert_eq!(a.is_empty(), x.is_empty());
        prop_assert_eq!(a.last(), x.last().copied());
        prop_assert_eq!(a.has(page), x.contains(&page));
        prop_assert_eq!(a.covers(b), y.is_subset(&x));
        let common: BTreeSet<u64> = x.intersection(&y).copied().collect();
        prop_assert_eq!(a.intersect(b).map(set).unwrap_or_default(), common.clone());
        prop_assert_eq!(a.intersect(b).is_none(), common.is_empty());
        let both: BTreeSet<u64> = x.union(&y).copied().collect();
        let hull = both.first().zip(both.last()).map(|(first, last)| (*first..=*last).collect());
        prop_assert_eq!(set(a.hull(b)), hull.unwrap_or_default());
        match a.join(b) {
            Some(both) => prop_assert_eq!(set(both), x.union(&y).copied().collect()),
            None => prop_assert_ne!(a.end(), b.first()),
        }
    }

    #[test]
    fn whole_blocks_around(range in any_range(), order in 0u32..20) {
        let size = 1u128 << order.min(CHUNK_ORDER);
        let (first, end) = (u128::from(range.first()), u128::from(range.end()));
        let out = range.align_out(order);
        prop_assert!(out.covers(range));
        prop_assert_eq!(u128::from(out.first()), first / size * size);
        let up = end.div_ceil(size) * size;
        prop_assert_eq!(u128::from(out.end()), up.min(u128::from(MAX_PAGES)));
    }

    #[test]
    fn pieces_tile_the_range(first in 0u64..3000, count in 0u64..3000, order in 0u32..12) {
        let range = PageRange::with_count(first, count).unwrap();
        let mut next = range.first();
        for piece in range.pieces(order) {
            prop_assert_eq!(piece.first(), next);
            prop_assert!(!piece.is_empty());
            prop_assert_eq!(piece.first() >> order, piece.last().unwrap() >> order);
            next = piece.end();
            // Only a border of a block, or the end, cuts.
            prop_assert!(next == range.end() || next.trailing_zeros() >= order);
        }
        prop_assert_eq!(next, range.end());
    }

    #[test]
    fn blocks_are_such_pieces(range in any_range()) {
        prop_assume!(range.count() < 1 << 20);
        prop_assert!(range.blocks().eq(range.pieces(BLOCK_ORDER)));
        prop_assert_eq!(range.chunk_index(), range.first() / CHUNK_PAGES);
    }

    #[test]
    fn bytes_outside(start in prop_oneof![0u64..20_000, u64::MAX - 20_000..=u64::MAX, any::<u64>()],
                                len in prop_oneof![0u64..20_000, any::<u64>()]) {
        let (wide, page) = (u128::from(start), u128::from(PAGE_SIZE));
        let end = wide + u128::from(len);
        match PageRange::from_bytes(start, len) {
            Some(range) if len == 0 => prop_assert!(range.is_empty()),
            Some(range) => {
                prop_assert_eq!(u128::from(range.first()), wide / page);
                prop_assert_eq!(u128::from(range.end()), end.div_ceil(page));
            }
            None => prop_assert!(end > 1 << 64),
        }
    }

    #[test]
    fn the_block_around_a_page(page in prop_oneof![0u64..5000, MAX_PAGES - 10..MAX_PAGES + 10], order in 0u32..60) {
        match PageRange::around(page, order) {
            Some(block) => {
                prop_assert!(block.has(page));
                prop_assert_eq!(block.count(), 1 << order);
                prop_assert_eq!(block.first() % block.count(), 0);
                prop_assert_eq!(block.is_block(), order == BLOCK_ORDER);
            }
            None => prop_assert!(page >= MAX_PAGES || order >= 52),
        }
    }

    #[test]
    fn sizes_in_bytes(range in small()) {
        prop_assert_eq!(range.start_byte(), range.first() * PAGE_SIZE);
        prop_assert_eq!(range.end_byte(), range.end() * PAGE_SIZE);
        prop_assert_eq!(range.len_bytes(), range.count() * PAGE_SIZE);
    }
}

#[test]
fn what_is_no_range_is_refused() {
    assert_eq!(PageRange::new(2, 1), None);
    assert_eq!(PageRange::new(0, MAX_PAGES + 1), None);
    assert_eq!(PageRange::with_count(u64::MAX, 2), None);
    assert_eq!(PageRange::page(MAX_PAGES), None);
    assert!(PageRange::ALL.covers(PageRange::page(MAX_PAGES - 1).unwrap()));
    assert_eq!(BLOCK_PAGES, 512);
}
