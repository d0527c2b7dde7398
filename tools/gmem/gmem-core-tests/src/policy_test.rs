// SPDX-License-Identifier: MIT OR GPL-2.0
//! Walks and bounces.

use proptest::prelude::*;

use crate::policy::pingpong::*;
use crate::policy::readahead::*;
use crate::policy::Key;
use crate::range::PageRange;

/// The pages of all ranges of a window.
fn pages(window: &Window) -> u64 {
    window.ranges().map(|range| range.count()).sum()
}

fn range(first: u64, count: u64) -> PageRange {
    PageRange::with_count(first, count).unwrap()
}

#[test]
fn a_walk_is_served_ahead_in_growing_windows() {
    let mut ahead = Ahead::default();
    let (mut next, mut windows) = (10_000, Vec::new());
    for _ in 0..12 {
        let fault = range(next, 16);
        next = fault.end();
        if let Some(window) = ahead.fault(fault) {
            let ranges: Vec<_> = window.ranges().collect();
            assert_eq!(ranges, [range(next, pages(&window))]);
            assert!(ahead.expects(ranges[0].end()));
            windows.push(pages(&window));
            next = ranges[0].end();
        }
    }
    assert_eq!(windows[0], MIN_WINDOW);
    assert!(
        windows
            .windows(2)
            .all(|w| w[1] == (2 * w[0]).min(MAX_WINDOW)),
        "{windows:?}"
    );
    assert_eq!(windows.last(), Some(&MAX_WINDOW));
}

#[test]
fn a_stride_is_served_where_it_steps() {
    let mut ahead = Ahead::default();
    let faults = (0..5).map(|i| range(1000 + i * 416, 16));
    let last = faults
        .filter_map(|fault| Some((fault, ahead.fault(fault)?)))
        .last();
    let (fault, window) = last.expect("five steps are a walk");
    assert!(window.ranges().count() > 1);
    for (i, each) in window.ranges().enumerate() {
        assert_eq!(each, range(fault.first() + (i as u64 + 1) * 416, 16));
    }
}

#[test]
fn windows_are_as_large_as_allowed() {
    let mut ahead = Ahead::default();
    ahead.cap(0);
    let walk = |ahead: &mut Ahead, mut next: u64| {
        let mut largest = 0;
        for _ in 0..12 {
            let window = ahead.fault(range(next, 16));
            next += 16 + window.map_or(0, |window| pages(&window));
            largest = window.map_or(largest, |window| pages(&window).max(largest));
        }
        largest
    };
    assert_eq!(walk(&mut ahead, 1 << 20), MIN_WINDOW);
    ahead.cap(u64::MAX);
    assert_eq!(walk(&mut ahead, 1 << 24), MAX_WINDOW);
}

proptest! {
    #[test]
    fn faults_anywhere_are_no_walk(seed in any::<u64>()) {
        let (mut ahead, mut state, mut brought) = (Ahead::default(), seed, 0);
        for _ in 0..200 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            // Blocks in a gigabyte: neighbours are rare, but happen.
            let fault = range((state >> 50) * 16, 16);
            brought += ahead.fault(fault).map_or(0, |window| pages(&window));
        }
        prop_assert!(brought < 200 * 16 / 4, "{} pages", brought);
    }

    #[test]
    fn windows_are_bounded(faults in prop::collection::vec((0u64..3000, 1u64..600), 0..60)) {
        let mut ahead = Ahead::default();
        for (first, count) in faults {
            if let Some(window) = ahead.fault(range(first, count)) {
                prop_assert!(pages(&window) <= MAX_WINDOW.max(count));
                prop_assert!(window.ranges().count() <= MAX_WINDOW as usize);
                prop_assert!(window.ranges().all(|range| !range.is_empty()));
            }
        }
    }
}

fn bounces() -> Bounces<Vec<Bounce>> {
    Bounces::new(vec![Bounce::default(); 64])
}

#[test]
fn a_block_that_bounces_stays_longer_each_time() {
    let (mut table, key) = (bounces(), Key::new(1, 0x1000));
    let mut now = 1_000_000;
    let mut last = 0;
    for round in 0..8 {
        let mut moves = 0;
        let until = loop {
            table.moved(key, u8::from(moves % 2 == 0), now, now);
            moves += 1;
            now += 100;
            if let Some(until) = table.stays_until(key, now) {
                break until;
            }
            assert!(moves < 20, "round {round}: it bounces and is not stopped");
        };
        let pause = until - now;
        assert!(
            pause >= last.min(PAUSE_US << MAX_DOUBLINGS).saturating_sub(200),
            "{pause} after {last}"
        );
        assert!(pause <= PAUSE_US << MAX_DOUBLINGS);
        last = pause;
        now = until;
        assert_eq!(table.stays_until(key, now), None);
    }
    assert!(last > 20 * PAUSE_US);
    // After a long quiet time it begins anew.
    now += 100 * last;
    for i in 0..=BOUNCES {
        table.moved(key, i % 2, now, now);
    }
    assert!(table
        .stays_until(key, now)
        .is_some_and(|until| until - now <= PAUSE_US));
}

#[test]
fn moves_that_are_rare_or_one_way_do_not_count() {
    let (mut table, key) = (bounces(), Key::new(1, 0x1000));
    for i in 0..100 {
        table.moved(key, (i % 2) as u8, 1 + i * CLOSE_US, 1 + i * CLOSE_US);
        assert_eq!(table.stays_until(key, 1 + i * CLOSE_US), None);
    }
    let now = 1 << 40;
    for i in 0..100 {
        table.moved(key, 1, now + i, now + i);
        assert_eq!(table.stays_until(key, now + i), None);
    }
    assert_eq!(table.stays_until(Key::new(2, 0x9000), now), None);
}

#[test]
fn how_long_a_move_takes_does_not_count() {
    let (mut table, key) = (bounces(), Key::new(1, 0x1000));
    let mut now = 1_000_000;
    for i in 0..=BOUNCES {
        assert_eq!(table.stays_until(key, now), None);
        let asked = now + 100;
        now = asked + 3 * CLOSE_US;
        table.moved(key, i % 2, asked, now);
    }
    assert!(table.stays_until(key, now).is_some());
    // But the time between does.
    let (mut table, mut now) = (bounces(), 1_000_000);
    for i in 0..100 {
        table.moved(key, i % 2, now + CLOSE_US, now + CLOSE_US + 100);
        now += CLOSE_US + 100;
        assert_eq!(table.stays_until(key, now), None);
    }
}
