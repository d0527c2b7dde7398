// SPDX-License-Identifier: MIT OR GPL-2.0
//! Two NPUs look at the text: one counts bytes, the other gathers words and counts
//! again.

use std::collections::VecDeque;

use gmem::{scope, Buffer, Dst, Job, Npu};

use super::corrupt::Corrupt;
use super::input::{Text, BLOCK};
use super::report::Verdict;
use crate::cpu;
use crate::progress::Step;

/// Each command counts the bytes of one part.
const PART: usize = 64 << 10;
/// Counts of one block.
const BLOCK_COUNTS: usize = BLOCK / PART * 256;
/// Jobs that are under way at once.
const DEPTH: usize = 8;
/// Blocks that are gathered before the CPU looks.
const SLOTS: usize = 4;
/// Of every so many words one is gathered, so that all pages are visited.
const STRIDE: usize = 16;
/// Words gathered from a block.
const WORDS: usize = BLOCK / size_of::<u32>() / STRIDE;

/// NPU 0 counts the bytes of every part; the CPU counts its own copy.  Returns the
/// NPU's counts, 256 for each part.
pub fn histograms(
    npu: &Npu,
    text: &Text,
    corrupt: Option<&Corrupt>,
    verdict: &mut Verdict,
) -> anyhow::Result<Buffer> {
    let mut counts = Buffer::new(text.blocks() * BLOCK_COUNTS * size_of::<u64>())?;
    let step = Step::begin("NPU 0: byte histograms", text.blocks());
    let middle = text.blocks() / 2;
    let all = Dst::from(counts.view_mut::<u64>());
    let mut unarmed = None;
    scope(|s| {
        let mut running = VecDeque::new();
        for number in 0..text.blocks() {
            if let Some(corrupt) = corrupt.filter(|_| number == middle) {
                unarmed = corrupt.arm().err();
            }
            let (block, _) = text.block(number);
            let out = all.slice(number * BLOCK_COUNTS..(number + 1) * BLOCK_COUNTS);
            let mut job = Job::new();
            for (i, part) in block.chunks_exact(PART).enumerate() {
                job = job.histogram(out.slice(i * 256..(i + 1) * 256), part)?;
            }
            running.push_back(s.submit(npu, job)?);
            if running.len() == DEPTH {
                running.pop_front().map_or(Ok(()), |job| job.wait())?;
            }
            step.tick();
        }
        Ok(())
    })?;
    step.end();
    unarmed.map_or(Ok(()), Err)?;

    let step = Step::begin("CPU: the same on a copy", text.blocks());
    let parts = counts.view::<u64>().chunks_exact(256);
    for (number, (found, part)) in parts.zip(text.ordinary.chunks_exact(PART)).enumerate() {
        verdict.check(found == cpu::histogram(part), || {
            format!("the histogram of part {number} is wrong")
        });
    }
    step.end();
    Ok(counts)
}

/// Every so many words of a block, in a fixed and wild order.
fn wild_order(index: &mut [u32]) {
    for (i, slot) in index.iter_mut().enumerate() {
        *slot = (i * STRIDE + i % STRIDE) as u32;
    }
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for i in (1..index.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        index.swap(i, (state % (i as u64 + 1)) as usize);
    }
}

/// NPU 1 gathers words of each block, which the CPU gathers from its own copy too,
/// and counts the bytes of the block, which must be as many as NPU 0 found.
pub fn gathers(
    npu: &Npu,
    text: &Text,
    counts: &Buffer,
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let mut index = Buffer::new(WORDS * size_of::<u32>())?;
    wild_order(index.view_mut());
    let ordinary_index = index.view::<u32>().to_vec();
    let mut gathered = Buffer::new(SLOTS * index.len())?;
    let mut recount = Buffer::new(SLOTS * 256 * size_of::<u64>())?;
    let step = Step::begin("NPU 1: gather, count; CPU: compare", text.blocks());
    let numbers: Vec<usize> = (0..text.blocks()).collect();
    for group in numbers.chunks(SLOTS) {
        recount.fill(0);
        scope(|s| {
            let words = gathered.view_mut::<u32>().chunks_exact_mut(WORDS);
            let sums = recount.view_mut::<u64>().chunks_exact_mut(256);
            for ((&number, words), sums) in group.iter().zip(words).zip(sums) {
                let job = Job::new().gather(words, text.words(number), index.view())?;
                s.submit(npu, job.histogram(sums, text.block(number).0)?)?;
            }
            Ok(())
        })?;
        let words = gathered.view::<u32>().chunks_exact(WORDS);
        let sums = recount.view::<u64>().chunks_exact(256);
        for ((&number, words), sums) in group.iter().zip(words).zip(sums) {
            verdict.check(sums == block_counts(counts, number), || {
                format!("NPU 1 counts other bytes in block {number} than NPU 0")
            });
            let table = text.ordinary_words(number);
            let equal = words
                .iter()
                .copied()
                .eq(cpu::gather(&table, &ordinary_index));
            verdict.check(equal, || {
                format!("the gathered words of block {number} are wrong")
            });
            step.tick();
        }
    }
    step.end();
    Ok(())
}

/// The sum of the counts of a block's parts.
fn block_counts(counts: &Buffer, number: usize) -> [u64; 256] {
    let parts = &counts.view::<u64>()[number * BLOCK_COUNTS..][..BLOCK_COUNTS];
    let mut sum = [0; 256];
    for part in parts.chunks_exact(256) {
        sum.iter_mut()
            .zip(part)
            .for_each(|(sum, part)| *sum += part);
    }
    sum
}

impl Text {
    fn words(&self, number: usize) -> &[u32] {
        &self.shared.view()[number * BLOCK / 4..][..BLOCK / 4]
    }

    fn ordinary_words(&self, number: usize) -> Vec<u32> {
        let (_, bytes) = self.block(number);
        let word = |word: &[u8]| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        bytes.chunks_exact(4).map(word).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_visits_every_page_once() {
        let mut index = vec![0; WORDS];
        wild_order(&mut index);
        assert!(!index.is_sorted());
        index.sort_unstable();
        index.dedup();
        assert_eq!(index.len(), WORDS);
        let mut pages: Vec<u32> = index.iter().map(|&word| word / 1024).collect();
        pages.dedup();
        assert!(pages.iter().copied().eq(0..(BLOCK / 4096) as u32));
    }

    #[test]
    fn counts_of_parts_add_up() {
        let mut counts = Buffer::new(2 * BLOCK_COUNTS * 8).unwrap();
        let words = counts.view_mut::<u64>();
        words[BLOCK_COUNTS] = 5;
        words[BLOCK_COUNTS + 256] = 6;
        assert_eq!(block_counts(&counts, 1)[0], 11);
        assert_eq!(block_counts(&counts, 0), [0; 256]);
    }
}
