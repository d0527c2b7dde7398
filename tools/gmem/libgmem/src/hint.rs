// SPDX-License-Identifier: MIT OR GPL-2.0
//! Hints about ranges, and what the kernel keeps of them.

use crate::node::{absent, advise_error};
use crate::operand::Pod;
use crate::sys::mem;
use crate::{Error, Node, Result};

/// Where the kernel shows the attributes of all processes.
const FILE: &str = "/sys/kernel/debug/gmem/attributes";

/// Advice about a range: where devices' faults are to place it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Place it on this node; on [`Node::HOME`] it stays in host memory.
    Prefer(Node),
    /// No node is preferred.
    PreferNone,
    /// It is read much more than written.
    ReadMostly,
    /// It is not.
    NotReadMostly,
    /// This device uses it where it is.
    AccessedBy(Node),
    /// This device does not.
    NotAccessedBy(Node),
    /// Keep room for it on this device, and move it there.
    ///
    /// A promise of the kernel, within limits: [`advise()`] fails over them.
    Pin(Node),
    /// Keep no room on any device.
    Unpin,
}

impl Hint {
    fn call(self) -> (i32, i32) {
        match self {
            Self::Prefer(node) => (node.0, mem::MADV_PREFERRED_NODE),
            Self::PreferNone => (-1, mem::MADV_NO_PREFERRED_NODE),
            Self::ReadMostly => (-1, mem::MADV_READ_MOSTLY),
            Self::NotReadMostly => (-1, mem::MADV_NO_READ_MOSTLY),
            Self::AccessedBy(node) => (node.0, mem::MADV_ACCESSED_BY),
            Self::NotAccessedBy(node) => (node.0, mem::MADV_NO_ACCESSED_BY),
            Self::Pin(node) => (node.0, mem::MADV_PINNED),
            Self::Unpin => (-1, mem::MADV_UNPINNED),
        }
    }
}

/// Advises about the pages that hold `data`.
///
/// The advice is for whole pages, so for neighbours of `data` in its first and last
/// page too. It moves nothing by itself, except [`Hint::Pin`]. Without GMEM all memory
/// is plain memory, and only [`Hint::Pin`] is refused.
///
/// # Errors
///
/// [`Error::Advise`]: `EAGAIN` over a limit of pins, `ENODEV` when no device of the node
/// is open, `EBUSY` when some pages cannot be pinned. [`Error::NoGmem`] or
/// [`Error::Off`] for a pin.
pub fn advise<T: Pod>(data: &[T], hint: Hint) -> Result<()> {
    advise_raw(data.as_ptr() as usize, size_of_val(data), hint)
}

pub(crate) fn advise_raw(addr: usize, len: usize, hint: Hint) -> Result<()> {
    let (node, behavior) = hint.call();
    if len == 0 {
        return Ok(());
    }
    let fail = |errno| advise_error(node, errno);
    let start = addr / mem::PAGE_SIZE * mem::PAGE_SIZE;
    let end = addr.checked_add(len).ok_or_else(|| fail(libc::EINVAL))?;
    match mem::hint(node, start, end - start, behavior) {
        Err(errno) if absent(errno).is_some() && !matches!(hint, Hint::Pin(_)) => Ok(()),
        result => result.map_err(fail),
    }
}

/// What the kernel keeps of the hints about one range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The first address.
    pub start: usize,
    /// The address after the last.
    pub end: usize,
    /// The preferred node.
    pub preferred: Option<Node>,
    /// The nodes of devices that use the range where it is.
    pub accessed_by: Vec<Node>,
    /// Read much more than written.
    pub read_mostly: bool,
    /// The node that keeps room for it.
    pub pinned: Option<Node>,
}

/// The ranges of this process that have attributes, in order of addresses.
///
/// The kernel shows them in debugfs, which needs to be mounted, and by default root.
///
/// # Errors
///
/// [`Error::System`]: the file is not there, or not for this user.
pub fn attributes() -> Result<Vec<Attributes>> {
    attributes_of(std::process::id())
}

/// As [`attributes()`], of another process.
///
/// # Errors
///
/// As [`attributes()`].
pub fn attributes_of(pid: u32) -> Result<Vec<Attributes>> {
    let text = std::fs::read_to_string(FILE).map_err(|error| Error::System {
        call: "reading the attributes in debugfs",
        errno: error.raw_os_error().unwrap_or(libc::EIO),
    })?;
    Ok(parse(&text, pid))
}

/// The attributes of one address; `None` where there are none.
///
/// # Errors
///
/// As [`attributes()`].
pub fn attributes_at(addr: usize) -> Result<Option<Attributes>> {
    let found = attributes()?
        .into_iter()
        .find(|range| (range.start..range.end).contains(&addr));
    Ok(found)
}

fn parse(text: &str, pid: u32) -> Vec<Attributes> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            if words.next()?.parse() != Ok(pid) {
                return None;
            }
            let (start, end) = words.next()?.split_once('-')?;
            let mut range = Attributes {
                start: usize::from_str_radix(start, 16).ok()?,
                end: usize::from_str_radix(end, 16).ok()?,
                ..Attributes::default()
            };
            for word in words {
                let (name, nodes) = word.split_once('=').unwrap_or((word, ""));
                let mut nodes = nodes
                    .split(',')
                    .filter_map(|node| node.parse().ok().map(Node));
                match name {
                    "preferred" => range.preferred = nodes.next(),
                    "accessed_by" => range.accessed_by = nodes.collect(),
                    "read_mostly" => range.read_mostly = true,
                    "pinned" => range.pinned = nodes.next(),
                    // A newer kernel knows more.
                    _ => {}
                }
            }
            Some(range)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Buffer;

    #[test]
    fn lines_of_this_process_are_understood() {
        let text = "\
7 1000-3000 preferred=2 read_mostly
8 1000-2000 pinned=1
7 7f00dead0000-7f00dead1000 accessed_by=1,2 pinned=1 newer=3
nonsense
7 xyz
";
        let found = parse(text, 7);
        assert_eq!(
            found,
            [
                Attributes {
                    start: 0x1000,
                    end: 0x3000,
                    preferred: Some(Node(2)),
                    read_mostly: true,
                    ..Attributes::default()
                },
                Attributes {
                    start: 0x7f00_dead_0000,
                    end: 0x7f00_dead_1000,
                    accessed_by: vec![Node(1), Node(2)],
                    pinned: Some(Node(1)),
                    ..Attributes::default()
                },
            ]
        );
    }

    #[test]
    fn hints_on_plain_memory_do_nothing() {
        if crate::available() {
            return;
        }
        let buffer = Buffer::new(10_000).unwrap();
        for hint in [
            Hint::Prefer(Node(3)),
            Hint::PreferNone,
            Hint::ReadMostly,
            Hint::NotReadMostly,
            Hint::AccessedBy(Node(3)),
            Hint::NotAccessedBy(Node(3)),
            Hint::Unpin,
        ] {
            assert_eq!(advise(&buffer[1..], hint).map_err(|e| e.errno()), Ok(()));
        }
        let refused = advise(&buffer[..], Hint::Pin(Node(3)));
        assert!(matches!(refused, Err(Error::NoGmem | Error::Off)));
        let refused = attributes().unwrap_err();
        assert!(refused.errno() > 0);
    }

    #[test]
    fn an_overflow_is_refused() {
        let refused = advise_raw(usize::MAX - 10, 100, Hint::ReadMostly);
        assert_eq!(refused.unwrap_err().errno(), libc::EINVAL);
    }
}
