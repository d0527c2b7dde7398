// SPDX-License-Identifier: MIT OR GPL-2.0
//! A trace buffer of our own in tracefs, with the events `gmem:*`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{anyhow, Context};
use gmem_sim::{Event, Record};

/// How long to wait when there is no event.
const IDLE: Duration = Duration::from_millis(10);

/// The buffer; goes when dropped.
pub struct Instance {
    dir: PathBuf,
    stop: Arc<AtomicBool>,
}

/// What was read.
#[derive(Default)]
pub struct Recorded {
    pub records: Vec<Record>,
    /// Events that the kernel could not keep.
    pub lost: u64,
}

impl Instance {
    /// Makes the buffer.
    pub fn new(tracefs: &Path, buffer_kib: u32) -> anyhow::Result<Self> {
        let name = format!("gmem-{}", std::process::id());
        let dir = tracefs.join("instances").join(name);
        fs::create_dir(&dir).with_context(|| {
            format!(
                "cannot make {}; recording needs root and a mounted tracefs (or --tracefs)",
                dir.display()
            )
        })?;
        let this = Self {
            dir,
            stop: Arc::new(AtomicBool::new(false)),
        };
        this.write("buffer_size_kb", &buffer_kib.to_string())?;
        // Times of one clock on all CPUs, in microseconds.
        this.write("trace_clock", "mono")?;
        Ok(this)
    }

    fn write(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, value)
            .with_context(|| format!("cannot write {value} to {}", path.display()))
    }

    /// Begins to record.
    pub fn start(&self) -> anyhow::Result<JoinHandle<std::io::Result<Recorded>>> {
        let path = self.dir.join("trace_pipe");
        let open = File::options()
            .read(true)
            .custom_flags(libc_nonblock())
            .open(&path);
        let pipe = open.with_context(|| format!("cannot read {}", path.display()))?;
        self.write("events/gmem/enable", "1")
            .context("the kernel has no trace points of GMEM")?;
        let stop = self.stop.clone();
        Ok(std::thread::spawn(move || {
            read(BufReader::new(pipe), &stop)
        }))
    }

    /// Stops, and returns all that was recorded.
    pub fn stop(&self, reader: JoinHandle<std::io::Result<Recorded>>) -> anyhow::Result<Recorded> {
        self.write("events/gmem/enable", "0")?;
        self.stop.store(true, Relaxed);
        let recorded = reader
            .join()
            .map_err(|_| anyhow!("the reader of events broke"))?;
        recorded.context("cannot read the events")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Without it the buffer stays until the next boot; nothing else can be done.
        let _ = fs::remove_dir(&self.dir);
    }
}

const fn libc_nonblock() -> i32 {
    // O_NONBLOCK of x86-64 and arm64.
    0o4000
}

fn read(mut pipe: impl BufRead, stop: &AtomicBool) -> std::io::Result<Recorded> {
    let mut recorded = Recorded::default();
    let mut line = String::new();
    loop {
        // Looked at first: what was recorded before the stop is read after it.
        let stopped = stop.load(Relaxed);
        match pipe.read_line(&mut line) {
            Ok(0) => {}
            Ok(_) if line.ends_with('\n') => {
                recorded.add(&line);
                line.clear();
                continue;
            }
            Ok(_) => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        if stopped {
            return Ok(recorded);
        }
        std::thread::sleep(IDLE);
    }
}

impl Recorded {
    /// Adds a line of `trace_pipe`; what is no event of ours says nothing.
    fn add(&mut self, line: &str) {
        if let Some((_, lost)) = line.split_once("[LOST ") {
            let number = lost
                .split(' ')
                .next()
                .and_then(|number| number.parse().ok());
            self.lost += number.unwrap_or(1);
        } else if let Some(record) = parse(line) {
            self.records.push(record);
        }
    }
}

/// `TASK-PID [CPU] FLAGS SECONDS: EVENT: FIELDS`
fn parse(line: &str) -> Option<Record> {
    // A task may be called anything, so look for the time.
    let (us, rest) = line
        .match_indices(": ")
        .find_map(|(at, _)| Some((time(&line[..at])?, &line[at + 2..])))?;
    let (event, fields) = rest.split_once(": ")?;
    let word = |name: &str| {
        let mut words = fields.split_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    };
    let number = |name: &str| {
        let text = word(name)?;
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    };
    let ret = || word("ret")?.parse().ok();
    let pages = || number("pages")?.checked_mul(4096);
    let (addr, len, event) = match event.trim().strip_prefix("gmem_")? {
        "fault" => {
            let write = word("access")? == "write";
            let event = Event::Fault { write, ret: ret()? };
            (number("addr")?, number("len")?, event)
        }
        "used" => (number("addr")?, number("len")?, Event::Used),
        "migrate" => {
            let to_device = fields.split_whitespace().any(|word| word == "to_device");
            (number("addr")?, pages()?, Event::Migrate { to_device })
        }
        "evict" => {
            let first = number("page")?.checked_mul(4096)?;
            (first, pages()?, Event::Evict { ret: ret()? })
        }
        "invalidate" => {
            let start = number("start")?;
            let contexts = number("contexts")?;
            let len = number("end")?.checked_sub(start)?;
            (start, len, Event::Invalidate { contexts })
        }
        _ => return None,
    };
    Some(Record {
        us,
        dev: number("dev").unwrap_or(0).try_into().ok()?,
        addr,
        len,
        event,
    })
}

/// Microseconds, if the text ends in a time with six digits after the point.
fn time(head: &str) -> Option<u64> {
    let (seconds, fraction) = head.split_whitespace().last()?.split_once('.')?;
    let seconds: u64 = seconds.parse().ok()?;
    let fraction: u64 = fraction.parse().ok().filter(|_| fraction.len() == 6)?;
    seconds.checked_mul(1_000_000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: &str = "\
      npu0-core0-93      [001] .....    12.000345: gmem_fault: dev=1 addr=0x7f0000010000 len=65536 access=write ret=0
 gmem-evictd-1      [000] ...1.    12.001000: gmem_used: dev=1 addr=0x10000 len=65536
CPU:1 [LOST 7 EVENTS]
          python3-7       [000] d..2.    12.001001: gmem_evict: dev=1 page=32 pages=16 ret=-16
          a: b-7          [000] .....    12.001002: gmem_migrate: dev=1 to_host addr=0x20000 pages=16
          x-7             [000] .....    12.500000: sched_switch: dev=1
          x-7             [000] .....    13.000000: gmem_invalidate: start=0x1000 end=0x3000 contexts=0x1
";

    #[test]
    fn lines_become_records() {
        let recorded = read(PIPE.as_bytes(), &AtomicBool::new(true)).unwrap();
        assert_eq!(recorded.lost, 7);
        let lines: Vec<String> = recorded.records.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "12000345 fault 1 0x7f0000010000 65536 write 0",
                "12001000 used 1 0x10000 65536",
                "12001001 evict 1 32 16 -16",
                "12001002 migrate 1 to_host 0x20000 16",
                "13000000 invalidate 0x1000 0x3000 0x1",
            ]
        );
    }

    #[test]
    fn without_tracefs_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let Err(error) = Instance::new(&dir.path().join("none"), 64) else {
            panic!("there is no tracefs");
        };
        assert!(error.to_string().contains("needs root"), "{error}");
    }
}
