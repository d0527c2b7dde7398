// SPDX-License-Identifier: MIT OR GPL-2.0
//! What is evicted as soon as it comes.

use crate::policy::churn::*;
use crate::policy::Key;

const BLOCK: u32 = 512;

fn table() -> Churns<Vec<Churn>> {
    Churns::new(vec![Churn::default(); 256])
}

fn key(n: u64) -> Key {
    Key::new(1, n * u64::from(BLOCK))
}

/// Walks over `blocks` blocks with room for `room` of them, each evicted in the order of arrival.
/// Returns how many of `steps` requests found a block that had been pushed out.
fn walk(blocks: u64, room: usize, steps: u64) -> usize {
    let (mut table, mut now, mut pushed) = (table(), 0, 0);
    let mut there: Vec<(u64, u32)> = Vec::new();
    for step in 0..steps {
        let block = step % blocks;
        if there.iter().any(|(have, _)| *have == block) {
            continue;
        }
        if table.is_pushed_out(key(block), now) {
            pushed += 1;
            continue;
        }
        if there.len() == room {
            let (old, arrived) = there.remove(0);
            table.evicted(key(old), arrived, now);
        }
        now += BLOCK;
        there.push((block, now));
    }
    pushed
}

#[test]
fn two_operands_with_room_for_one_push_each_other_out() {
    let pushed = walk(2, 1, 100);
    assert!(pushed >= 20, "{pushed}");
}

#[test]
fn what_has_room_is_never_pushed_out() {
    assert_eq!(walk(4, 4, 100), 0);
}

#[test]
fn a_walk_that_never_returns_loses_nothing() {
    assert_eq!(walk(u64::MAX, 1, 1000), 0);
}

#[test]
fn who_stays_long_or_comes_back_late_is_not_pushed_out() {
    // Each stays for 16 arrivals.
    assert_eq!(walk(24, 16, 1000), 0);
    // Each is away for 31.
    assert_eq!(walk(32, 1, 1000), 0);
}

#[test]
fn it_takes_some_in_a_row() {
    let mut table = table();
    let mut now = 0;
    for times in 1..=TIMES {
        assert!(!table.is_pushed_out(key(0), now), "{times}");
        table.evicted(key(0), now, now + BLOCK);
        now += 2 * BLOCK;
    }
    assert!(!table.is_pushed_out(key(1), now));
    assert!(table.is_pushed_out(key(0), now));
    // As good as new.
    assert!(!table.is_pushed_out(key(0), now));
}

#[test]
fn one_that_stayed_begins_anew() {
    let mut table = table();
    table.evicted(key(0), 0, BLOCK);
    table.evicted(key(0), BLOCK, 2 * BLOCK);
    table.evicted(key(0), 2 * BLOCK, 2 * BLOCK + SOON);
    table.evicted(key(0), 3 * BLOCK + SOON, 4 * BLOCK + SOON);
    assert!(!table.is_pushed_out(key(0), 4 * BLOCK + SOON));
}

#[test]
fn the_clock_may_wrap() {
    let mut table = table();
    let mut now = u32::MAX - BLOCK;
    for _ in 0..TIMES {
        table.evicted(key(0), now, now.wrapping_add(BLOCK));
        now = now.wrapping_add(BLOCK);
    }
    assert!(table.is_pushed_out(key(0), now));
}
