// SPDX-License-Identifier: MIT OR GPL-2.0
//! The text: real files, in memory shared with the devices and once more in
//! ordinary memory.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context};
use gmem::Buffer;

use super::report::Verdict;
use crate::progress::Step;
use crate::size::Size;

/// The text is worked on in blocks of this size.
pub const BLOCK: usize = 2 << 20;

/// Less than this is no real input.
const MIN_UNIQUE: usize = 1 << 20;

/// What is text, by the end of the name.
const ENDINGS: [&str; 12] = [
    "rst", "txt", "c", "h", "rs", "py", "S", "dts", "yaml", "json", "md", "html",
];

/// Text from files.
pub struct Text {
    /// What the devices work on.
    pub shared: Buffer,
    /// The same bytes, never seen by a device.
    pub ordinary: Vec<u8>,
    /// Where it came from, for people.
    pub source: String,
}

struct Reader {
    into: Buffer,
    filled: usize,
    files: usize,
}

impl Reader {
    /// Fills from a file with read(2).  A file with a NUL byte is no text.
    fn file(&mut self, path: &Path) -> std::io::Result<()> {
        let mut file = File::open(path)?;
        let start = self.filled;
        loop {
            match file.read(&mut self.into[self.filled..]) {
                Ok(0) => break,
                Ok(len) => self.filled += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.filled = start;
                    return Err(error);
                }
            }
        }
        if self.into[start..self.filled].contains(&0) {
            self.filled = start;
        } else if self.filled > start {
            self.files += 1;
        }
        Ok(())
    }

    fn full(&self) -> bool {
        self.filled == self.into.len()
    }

    /// Reads the text files below `dir`, in order of their names.
    fn tree(&mut self, dir: &Path, step: &Step) -> anyhow::Result<()> {
        let entries =
            fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
        let mut entries: Vec<_> = entries.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if self.full() {
                break;
            }
            // Links are not followed: they may lead around in circles.
            let (kind, path) = (entry.file_type()?, entry.path());
            // What may not be read is left out.
            if kind.is_dir() {
                let _ = self.tree(&path, step);
            } else if kind.is_file() && is_text(&path) && self.file(&path).is_ok() {
                step.tick();
            }
        }
        Ok(())
    }
}

fn is_text(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.contains(&ending))
}

/// Where to look first in a kernel tree: some documentation, the sources of the
/// core, and then the headers that are large; a guest reads through a file system
/// on which every file costs time.
const KERNEL_TREE: [&str; 6] = [
    "Documentation/admin-guide/mm",
    "Documentation/mm",
    "mm",
    "kernel/sched",
    "kernel/bpf",
    "drivers/gpu/drm/amd/include/asic_reg",
];

/// Directories to read, in this order.
fn roots(dir: &Path) -> Vec<PathBuf> {
    let known = KERNEL_TREE.map(|name| dir.join(name));
    if known.iter().all(|root| root.is_dir()) {
        return known.into();
    }
    vec![dir.to_owned()]
}

impl Text {
    /// Reads `len` bytes of text, rounded up to blocks.  If the directory has less,
    /// what is there is repeated.
    pub fn read(dir: &Path, len: usize) -> anyhow::Result<Self> {
        let len = len.max(1).next_multiple_of(BLOCK);
        let step = Step::begin("reading files into shared memory", 0);
        let mut reader = Reader {
            into: Buffer::new(len)?,
            filled: 0,
            files: 0,
        };
        for root in roots(dir) {
            reader.tree(&root, &step)?;
        }
        step.end();
        let (unique, mut shared) = (reader.filled, reader.into);
        ensure!(
            unique >= MIN_UNIQUE.min(len),
            "{} has only {} of text; name another --input",
            dir.display(),
            Size(unique)
        );
        for start in (unique..len).step_by(unique) {
            let end = len.min(start + unique);
            shared.copy_within(0..end - start, start);
        }
        let source = format!(
            "{} of text from {} files of {}",
            Size(unique),
            reader.files,
            dir.display()
        );
        let ordinary = shared.to_vec();
        Ok(Self {
            shared,
            ordinary,
            source,
        })
    }

    /// The number of blocks.
    pub fn blocks(&self) -> usize {
        self.ordinary.len() / BLOCK
    }

    /// A block of the shared text and its copy.
    pub fn block(&self, number: usize) -> (&[u8], &[u8]) {
        let range = number * BLOCK..(number + 1) * BLOCK;
        (&self.shared[range.clone()], &self.ordinary[range])
    }

    /// After all the moving, every byte must be what it was.
    pub fn check_intact(&mut self, verdict: &mut Verdict) {
        let step = Step::begin("CPU: is the text intact?", self.blocks());
        for number in 0..self.blocks() {
            let (shared, ordinary) = self.block(number);
            verdict.check(shared == ordinary, || {
                let at = shared.iter().zip(ordinary).position(|(a, b)| a != b);
                let at = number * BLOCK + at.unwrap_or(0);
                format!("byte {at} of the text changed")
            });
            step.tick();
        }
        step.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_in_order_and_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("sub");
        fs::create_dir(&sub).unwrap();
        fs::write(dir.path().join("b.txt"), [b'b'; 700_000]).unwrap();
        fs::write(dir.path().join("a.c"), [b'a'; 500_000]).unwrap();
        fs::write(dir.path().join("binary.h"), [0; 100]).unwrap();
        fs::write(dir.path().join("image.png"), [b'p'; 100]).unwrap();
        fs::write(sub.join("c.rst"), [b'c'; 100_000]).unwrap();
        std::os::unix::fs::symlink(dir.path(), sub.join("loop.txt")).unwrap();
        let text = Text::read(dir.path(), 3 << 20).unwrap();
        assert_eq!((text.blocks(), text.shared.len()), (2, 4 << 20));
        assert_eq!(text.shared[..], text.ordinary[..]);
        let at = |at: usize| char::from(text.ordinary[at]);
        assert_eq!(
            (at(0), at(500_000), at(1_200_000), at(1_300_000)),
            ('a', 'b', 'c', 'a')
        );
        assert!(text.source.contains("from 3 files"), "{}", text.source);
    }

    #[test]
    fn too_little_text_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.txt"), "short").unwrap();
        let error = Text::read(dir.path(), 1 << 20).err().unwrap();
        assert!(error.to_string().contains("only 5 B of text"), "{error}");
    }
}
