// SPDX-License-Identifier: MIT OR GPL-2.0
//! One turn of one side.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::ensure;
use gmem::sys::mem::{HUGE_SIZE, PAGE_SIZE};
use gmem::Buffer;

use super::side::Side;
use super::Case;

/// Moves are repeated for this long.
const SHORTEST: Duration = Duration::from_millis(50);

/// Nanoseconds of one move.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub to_device: f64,
    pub home: f64,
}

/// A number that belongs to this place.
fn pattern(at: usize) -> u64 {
    (at as u64 ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn fill(buffer: &mut Buffer) {
    let words = buffer.view_mut::<u64>().iter_mut().enumerate();
    words.for_each(|(at, word)| *word = pattern(at));
}

fn intact(buffer: &Buffer) -> bool {
    let mut words = buffer.view::<u64>().iter().enumerate();
    words.all(|(at, &word)| word == pattern(at))
}

/// Reads one byte of each page.
fn touch(bytes: &[u8]) {
    for page in bytes.chunks_exact(PAGE_SIZE) {
        black_box(page[0]);
    }
}

/// Moves memory there and back and checks what came back.
pub fn side(case: &Case, side: &dyn Side) -> anyhow::Result<Timing> {
    // A large page needs a whole block, also when only a part of it is moved.
    let len = if case.huge {
        case.size.max(HUGE_SIZE)
    } else {
        case.size
    };
    let mut buffer = side.buffer(len)?;
    buffer.set_huge(case.huge)?;
    fill(&mut buffer);
    let mut mover = side.open(case.size)?;
    let bytes = &buffer[..case.size];
    let before = mover.received()?;
    let (mut there, mut back) = (Duration::ZERO, Duration::ZERO);
    let mut moves = 0u32;
    loop {
        let start = Instant::now();
        mover.to_device(bytes)?;
        there += start.elapsed();
        let start = Instant::now();
        if case.faults {
            touch(bytes);
        } else {
            mover.home(bytes)?;
        }
        back += start.elapsed();
        moves += 1;
        if there + back >= SHORTEST {
            break;
        }
    }
    if let (Some(before), Some(after)) = (before, mover.received()?) {
        let (got, wanted) = (after - before, case.size as u64 * u64::from(moves));
        ensure!(
            got >= wanted,
            "only {got} of {wanted} bytes reached the device"
        );
    }
    drop(mover);
    ensure!(intact(&buffer), "the content changed on the way");
    let one = |total: Duration| total.as_nanos() as f64 / f64::from(moves);
    Ok(Timing {
        to_device: one(there),
        home: one(back),
    })
}

/// Nanoseconds to copy this much in this process.
pub fn memcpy(size: usize) -> gmem::Result<f64> {
    let (mut to, mut from) = (Buffer::private(size)?, Buffer::private(size)?);
    to.fill(1);
    from.fill(2);
    let (mut copies, start) = (0u32, Instant::now());
    loop {
        to.copy_from_slice(black_box(&from));
        copies += 1;
        if start.elapsed() >= SHORTEST {
            return Ok(start.elapsed().as_nanos() as f64 / f64::from(copies));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::side::Mover;
    use super::*;

    /// Counts, and spoils a byte when told.
    struct Fake(bool);
    struct FakeMover(u64);

    impl Side for Fake {
        fn name(&self) -> &'static str {
            "fake"
        }

        fn buffer(&self, len: usize) -> gmem::Result<Buffer> {
            Buffer::private(len)
        }

        fn open(&self, _len: usize) -> anyhow::Result<Box<dyn Mover>> {
            Ok(Box::new(FakeMover(u64::from(self.0))))
        }
    }

    impl Mover for FakeMover {
        fn to_device(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
            if self.0 & 1 == 0 {
                self.0 += bytes.len() as u64;
            }
            Ok(())
        }

        fn home(&mut self, _bytes: &[u8]) -> anyhow::Result<()> {
            Ok(())
        }

        fn received(&self) -> anyhow::Result<Option<u64>> {
            Ok(Some(self.0))
        }
    }

    const CASE: Case = Case {
        huge: false,
        size: 64 << 10,
        faults: false,
    };

    #[test]
    fn moves_are_repeated_and_counted() {
        let timing = side(&CASE, &Fake(false)).unwrap();
        assert!(timing.to_device < SHORTEST.as_nanos() as f64);
        let error = side(&CASE, &Fake(true)).unwrap_err();
        assert!(error.to_string().contains("reached the device"), "{error}");
    }

    #[test]
    fn a_changed_byte_is_seen() {
        let mut buffer = Buffer::private(1 << 16).unwrap();
        fill(&mut buffer);
        assert!(intact(&buffer));
        buffer[40_000] ^= 1;
        assert!(!intact(&buffer));
    }
}
