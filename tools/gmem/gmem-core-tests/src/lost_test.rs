// SPDX-License-Identifier: MIT OR GPL-2.0
//! What was brought and left before it was used.

use crate::policy::lost::*;
use crate::range::*;

const BLOCK: u64 = 512;

fn block(n: u64) -> PageRange {
    PageRange::with_count(n * BLOCK, BLOCK).unwrap()
}

#[test]
fn a_walk_that_pushes_others_out_loses_nothing() {
    let mut losses = Losses::new();
    for n in 0..100 {
        assert!(!losses.has(n * BLOCK));
        losses.served(block(n), true);
    }
}

#[test]
fn who_comes_back_for_another_reason_lost_nothing() {
    let mut losses = Losses::new();
    for _ in 0..100 {
        assert!(!losses.has(1));
        losses.served(block(0), false);
    }
}

#[test]
fn two_operands_push_each_other_out() {
    let mut losses = Losses::new();
    losses.served(block(0), true);
    assert!(!losses.has(7 * BLOCK));
    losses.served(block(7), true);
    // The next page of the first operand is gone, that of the second one is not.
    assert!(losses.has(1));
    assert!(!losses.has(7 * BLOCK + 1));
    // It is forgotten after a while.
    (0..8).for_each(|n| losses.served(block(100 + n), false));
    assert!(!losses.has(1));
}
