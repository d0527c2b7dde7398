// SPDX-License-Identifier: MIT OR GPL-2.0
//! Every wait ends.

use crate::{
    model::Coherence,
    run::{Kept, Run},
    state::State,
};
use std::{
    cell::RefCell,
    collections::HashSet,
    hash::{BuildHasherDefault, Hasher},
};

/// After so many steps one at a time all take turns.
const STEPS: usize = 400;

const SALT: u64 = 0xd1b5_4a32_d192_ed03;
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// What is hashed is one already.
#[derive(Default)]
struct Fingerprint(u64);

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64((*byte).into());
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

/// Returns a fingerprint of the state, as good as 64 bits can be.
fn fingerprint(s: &State) -> u64 {
    let words = s.words().into_iter();
    words.fold(0, |hash, word| {
        let product = u128::from(hash ^ word ^ SALT) * u128::from(FACTOR);
        (product >> 64) as u64 ^ product as u64
    })
}

std::thread_local! {
    /// States from which all operations under way can end.
    static ENDS: RefCell<HashSet<u64, BuildHasherDefault<Fingerprint>>> = RefCell::default();
}

impl Coherence {
    /// Can all operations under way end if nothing new begins? As that is asked in each state, one
    /// that waits for ever in spite of that is in a state in which it cannot end.
    ///
    /// Follows one way from here until it comes to a state that was asked for before.
    pub fn waits_end(&self, s: &State) -> bool {
        if s.threads.is_empty() {
            return true;
        }
        ENDS.with_borrow_mut(|ends| {
            let mut way = vec![fingerprint(s)];
            if ends.contains(&way[0]) {
                return true;
            }
            let mut at = s.clone();
            let end = loop {
                let mut threads = 0..at.threads.len();
                let next = threads.find_map(|i| Run::step(&at, i, false, Kept::Only(None)));
                let Some(next) = next else { break false };
                at = self.named(next);
                at.told = 0;
                if at.threads.is_empty() {
                    break true;
                }
                let hash = fingerprint(&at);
                if ends.contains(&hash) {
                    break true;
                }
                if way.len() == STEPS {
                    way.truncate(1);
                    break s.waits_end();
                }
                way.push(hash);
            };
            if end {
                ends.extend(way);
            }
            end
        })
    }
}
