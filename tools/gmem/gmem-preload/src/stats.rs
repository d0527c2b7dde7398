// SPDX-License-Identifier: MIT OR GPL-2.0
//! Counts of the shuffle thread, written at exit.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::OnceLock;

use crate::HEAP;

/// What the shuffle thread did.
pub struct Counts {
    /// Moves that succeeded.
    pub moves: AtomicU64,
    /// Bytes of those.
    pub bytes: AtomicU64,
    /// Moves of which some pages had to stay: in use by the kernel, or no room.
    pub partial: AtomicU64,
    /// Moves whose range the program unmapped meanwhile.
    pub gone: AtomicU64,
    /// Moves that failed for any other reason.
    pub errors: AtomicU64,
    /// errno of the last of those.
    pub last_error: AtomicU64,
    /// Devices that were opened.
    pub devices: AtomicU64,
}

/// The counts of this process.
pub static COUNTS: Counts = Counts {
    moves: AtomicU64::new(0),
    bytes: AtomicU64::new(0),
    partial: AtomicU64::new(0),
    gone: AtomicU64::new(0),
    errors: AtomicU64::new(0),
    last_error: AtomicU64::new(0),
    devices: AtomicU64::new(0),
};

static FILE: OnceLock<String> = OnceLock::new();

/// Reads the environment now: the program may change it.
pub fn set_up() {
    if let Ok(file) = std::env::var("GMEM_RUN_STATS") {
        if !file.is_empty() {
            let _ = FILE.set(file);
        }
    }
}

/// In a forked child, which has no shuffle thread: start from 0.
pub fn reset() {
    let Counts {
        moves,
        bytes,
        partial,
        gone,
        errors,
        last_error,
        devices,
    } = &COUNTS;
    for count in [moves, bytes, partial, gone, errors, last_error, devices] {
        count.store(0, Relaxed);
    }
}

fn line() -> String {
    let mut line = format!("{{\"pid\":{}", std::process::id());
    let counts = [
        ("moves", &COUNTS.moves),
        ("bytes", &COUNTS.bytes),
        ("partial", &COUNTS.partial),
        ("gone", &COUNTS.gone),
        ("errors", &COUNTS.errors),
        ("last_error", &COUNTS.last_error),
        ("devices", &COUNTS.devices),
    ];
    for (name, count) in counts {
        let _ = write!(line, ",\"{name}\":{}", count.load(Relaxed));
    }
    let _ = writeln!(line, ",\"heap_bytes\":{}}}", HEAP.footprint());
    line
}

/// Appends the counts to the file, one line for each process.
pub extern "C" fn write() {
    let Some(path) = FILE.get() else { return };
    // One write, so that lines of several processes do not mix; nobody is left
    // to hear of an error.
    if let Ok(mut file) = File::options().create(true).append(true).open(path) {
        let _ = file.write_all(line().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json() {
        reset();
        COUNTS.moves.store(3, Relaxed);
        let line = line();
        assert!(line.starts_with("{\"pid\":"), "{line}");
        assert!(line.contains(",\"moves\":3,\"bytes\":0,"), "{line}");
        assert!(line.ends_with("}\n"), "{line}");
        reset();
    }
}
