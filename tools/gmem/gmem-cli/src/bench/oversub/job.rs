// SPDX-License-Identifier: MIT OR GPL-2.0
//! The commands, and what they leave in memory.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use gmem::{Buffer, Dst, Job, Node, Npu};
use gmem_sim::{Pattern, BLOCK};

/// Numbers of a tile.
const WORDS: usize = BLOCK as usize / size_of::<u32>();
/// Numbers of a row; the first row of a tile gets the sum of the first two.
const ROW: usize = 256;
/// Commands for one use.
const COMMANDS: usize = 2;

/// What the device and the kernel counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    pub faults: u64,
    pub to_device: u64,
    pub to_host: u64,
    pub evicted: u64,
    pub remote: u64,
    /// Faults of a device that waited for data, and those of them that waited for room;
    /// `None` if the kernel does not tell.
    pub waited: Option<(u64, u64)>,
}

impl Counters {
    /// Reads them.
    pub fn read(npu: &Npu) -> anyhow::Result<Self> {
        let info = npu.info()?;
        Ok(Self {
            faults: info.faults,
            to_device: info.to_dev,
            to_host: info.from_dev,
            evicted: info.evicted,
            remote: info.remote,
            waited: waited(Path::new("/sys/kernel/debug/gmem")),
        })
    }

    /// What was added since.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            faults: self.faults - before.faults,
            to_device: self.to_device - before.to_device,
            to_host: self.to_host - before.to_host,
            evicted: self.evicted - before.evicted,
            remote: self.remote - before.remote,
            waited: self
                .waited
                .zip(before.waited)
                .map(|(now, before)| (now.0 - before.0, now.1 - before.1)),
        }
    }

    /// Bytes that went over the wire.
    pub fn moved(&self) -> u64 {
        self.to_device + self.to_host + self.remote
    }
}

/// Faults and those that waited, by the first device's statistics in debugfs.
fn waited(debugfs: &Path) -> Option<(u64, u64)> {
    let mut devices: Vec<_> = std::fs::read_dir(debugfs).ok()?.flatten().collect();
    devices.retain(|device| device.path().is_dir());
    devices.sort_by_key(std::fs::DirEntry::file_name);
    let stats = std::fs::read_to_string(devices.first()?.path().join("stats")).ok()?;
    let value = |name: &str| {
        let mut lines = stats.lines();
        let text = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        text.trim().parse().ok()
    };
    Some((value("demand_faults")?, value("evict_wait")?))
}

/// The working set.
pub struct Tiles {
    buffer: Buffer,
    pattern: Pattern,
    blocks: u32,
    /// How often each tile was written.
    written: Vec<u32>,
}

/// A number that belongs to this place.
fn first_value(at: usize) -> u32 {
    ((at as u64 ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

impl Tiles {
    /// Tiles in host memory, filled by the CPU.
    pub fn new(pattern: Pattern, blocks: u32) -> anyhow::Result<Self> {
        let mut buffer = Buffer::new(blocks as usize * BLOCK as usize)?;
        let words = buffer.view_mut::<u32>().iter_mut().enumerate();
        words.for_each(|(at, word)| *word = first_value(at));
        Ok(Self {
            buffer,
            pattern,
            blocks,
            written: vec![0; blocks as usize],
        })
    }

    /// Lets the NPU use the tiles in this order; returns how long it took.
    pub fn run(&mut self, npu: &Npu, uses: &[u32]) -> anyhow::Result<Duration> {
        let batch = npu.info()?.max_cmds as usize / COMMANDS;
        let start = Instant::now();
        for uses in uses.chunks(batch.max(1)) {
            let all = Dst::from(self.buffer.view_mut::<u32>());
            let mut job = Job::new();
            for &block in uses {
                let first = block as usize * WORDS;
                let tile = all.slice(first..first + WORDS);
                job = job.read(tile)?;
                if self.pattern.writes(block, self.blocks) {
                    let (row, next) = (tile.slice(..ROW), tile.slice(ROW..2 * ROW));
                    job = job.vadd(row, row, next)?;
                    self.written[block as usize] += 1;
                }
            }
            npu.run(job)?;
        }
        Ok(start.elapsed())
    }

    /// Brings the tiles of a window to the device, and all others home.
    pub fn bring(&self, node: Node, window: &[u32]) -> anyhow::Result<()> {
        self.buffer.prefetch(Node::HOME)?;
        let mut blocks = window.to_vec();
        blocks.sort_unstable();
        blocks.dedup();
        for run in blocks.chunk_by(|a, b| a + 1 == *b) {
            let first = run[0] as usize * BLOCK as usize;
            let bytes = &self.buffer[first..first + run.len() * BLOCK as usize];
            gmem::prefetch(bytes, node)?;
        }
        Ok(())
    }

    /// Checks every number, on the CPU.
    pub fn check(&self, round: u32) -> anyhow::Result<()> {
        let words = self.buffer.view::<u32>();
        for (block, tile) in words.chunks_exact(WORDS).enumerate() {
            let base = block * WORDS;
            let times = self.written[block];
            for (at, &word) in tile.iter().enumerate() {
                let added = if at < ROW { times } else { 0 };
                let next = first_value(base + at + ROW).wrapping_mul(added);
                ensure!(
                    word == first_value(base + at).wrapping_add(next),
                    "round {round}: number {at} of tile {block} is wrong, after {times} writes"
                );
            }
        }
        Ok(())
    }
}

/// Cuts uses into windows of at most `most` different blocks.
pub fn windows(uses: &[u32], most: usize) -> Vec<&[u32]> {
    let blocks = uses.iter().max().map_or(0, |&last| last as usize + 1);
    let mut seen_in = vec![0; blocks];
    let (mut windows, mut start, mut different) = (Vec::new(), 0, 0);
    for (at, &block) in uses.iter().enumerate() {
        // Windows are counted from 1.
        let fresh = seen_in[block as usize] != windows.len() + 1;
        if fresh && different == most.max(1) {
            windows.push(&uses[start..at]);
            (start, different) = (at, 0);
        }
        if seen_in[block as usize] != windows.len() + 1 {
            seen_in[block as usize] = windows.len() + 1;
            different += 1;
        }
    }
    if start < uses.len() {
        windows.push(&uses[start..]);
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_fit_and_are_all_uses() {
        let uses = Pattern::Zipf.references(100);
        for most in [1, 7, 60, 1000] {
            let windows = windows(&uses, most);
            assert_eq!(windows.concat(), uses);
            for window in windows {
                let mut blocks = window.to_vec();
                blocks.sort_unstable();
                blocks.dedup();
                assert!(!window.is_empty() && blocks.len() <= most);
            }
        }
        assert!(windows(&[], 3).is_empty());
    }

    #[test]
    fn waiting_is_read_from_debugfs() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(waited(dir.path()), None);
        std::fs::write(dir.path().join("a-file"), "").unwrap();
        std::fs::create_dir(dir.path().join("npu0-1")).unwrap();
        let stats = dir.path().join("npu0-1/stats");
        std::fs::write(&stats, "faults 9\ndemand_faults 7\nevict_wait 2\n").unwrap();
        assert_eq!(waited(dir.path()), Some((7, 2)));
        std::fs::write(&stats, "faults 9\n").unwrap();
        assert_eq!(waited(dir.path()), None);
    }

    #[test]
    fn a_wrong_number_is_seen() {
        let mut tiles = Tiles::new(Pattern::Loop, 2).unwrap();
        tiles.check(1).unwrap();
        tiles.written[1] = 1;
        let error = tiles.check(1).unwrap_err().to_string();
        assert!(error.contains("tile 1 is wrong, after 1 writes"), "{error}");
        let words = tiles.buffer.view_mut::<u32>();
        for at in WORDS..WORDS + ROW {
            words[at] = words[at].wrapping_add(words[at + ROW]);
        }
        tiles.check(1).unwrap();
    }
}
