// SPDX-License-Identifier: MIT OR GPL-2.0
//! The order in which jobs use their blocks; always the same for the same size.

use std::fmt;
use std::str::FromStr;

/// How often a loop is walked.
const PASSES: usize = 10;
/// Uses of each block, on average, where chance picks them.
const USES: usize = 16;

/// A way to walk through memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// From the first block to the last, ten times.
    Loop,
    /// Any block, as likely as any other.
    Uniform,
    /// Any block, the k-th popular one with a probability of 1/k^0.99; the popular
    /// ones are scattered.
    Zipf,
    /// A product of matrices, tile by tile: for each row of tiles of A, which stays,
    /// all of B passes by; a tile of C is written once.
    Gemm,
}

impl Pattern {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Loop, Self::Uniform, Self::Zipf, Self::Gemm];

    /// The name in commands and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
            Self::Gemm => "gemm",
        }
    }

    /// Is this block written, or only read?
    pub fn writes(self, block: u32, blocks: u32) -> bool {
        match self {
            Self::Gemm => block >= 2 * side(blocks) * side(blocks),
            Self::Loop | Self::Uniform | Self::Zipf => true,
        }
    }

    /// The blocks in the order of their use, as numbers below `blocks`.
    pub fn references(self, blocks: u32) -> Vec<u32> {
        let uses = blocks as usize * USES;
        let mut random = Random::new(u64::from(blocks));
        match self {
            Self::Loop => (0..PASSES).flat_map(|_| 0..blocks).collect(),
            Self::Uniform => (0..uses).map(|_| random.below(blocks)).collect(),
            Self::Zipf => zipf(blocks, uses, &mut random),
            Self::Gemm => gemm(blocks),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|p| p.name() == text);
        found.ok_or_else(|| format!("'{text}' is no pattern; there are loop, uniform, zipf, gemm"))
    }
}

fn zipf(blocks: u32, uses: usize, random: &mut Random) -> Vec<u32> {
    let mut scattered: Vec<u32> = (0..blocks).collect();
    random.shuffle(&mut scattered);
    let mut total = 0.0;
    let up_to: Vec<f64> = (1..=blocks)
        .map(|rank| {
            total += f64::from(rank).powf(-0.99);
            total
        })
        .collect();
    let pick = || {
        let at = random.unit() * total;
        let rank = up_to.partition_point(|&sum| sum <= at);
        scattered[rank.min(scattered.len() - 1)]
    };
    std::iter::repeat_with(pick)
        .take(if blocks > 0 { uses } else { 0 })
        .collect()
}

/// Tiles on a side of each of the three matrices.
fn side(blocks: u32) -> u32 {
    (f64::from(blocks) / 3.0).sqrt() as u32
}

fn gemm(blocks: u32) -> Vec<u32> {
    let side = side(blocks);
    let (b, c) = (side * side, 2 * side * side);
    let mut uses = Vec::new();
    for i in 0..side {
        for j in 0..side {
            for k in 0..side {
                uses.extend([i * side + k, b + k * side + j]);
            }
            uses.push(c + i * side + j);
        }
    }
    uses
}

/// Numbers that look random (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u32) -> u32 {
        ((u128::from(self.draw()) * u128::from(end)) >> 64) as u32
    }

    /// A number from 0 to before 1.
    fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn shuffle(&mut self, items: &mut [u32]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u32 + 1) as usize;
            items.swap(last, other);
        }
    }
}
