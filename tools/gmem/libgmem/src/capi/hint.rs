// SPDX-License-Identifier: MIT OR GPL-2.0

use std::ffi::{c_int, c_void};

use super::code;
use crate::hint::{advise_raw, attributes_at};
use crate::{Hint, Node};

/// Hint: faults place the range on the node; 0 keeps it in host memory.
pub const GMEM_PREFER: c_int = 1;
/// Hint: no node is preferred.
pub const GMEM_PREFER_NONE: c_int = 2;
/// Hint: the range is read much more than written.
pub const GMEM_READ_MOSTLY: c_int = 3;
/// Hint: it is not.
pub const GMEM_NOT_READ_MOSTLY: c_int = 4;
/// Hint: the node's device uses the range where it is.
pub const GMEM_ACCESSED_BY: c_int = 5;
/// Hint: it does not.
pub const GMEM_NOT_ACCESSED_BY: c_int = 6;
/// Hint: keep room for the range on the node's device, and move it there.
pub const GMEM_PIN: c_int = 7;
/// Hint: keep no room on any device.
pub const GMEM_UNPIN: c_int = 8;

/// What the kernel keeps of the hints about a range.
#[repr(C)]
pub struct gmem_attributes {
    /// The first address of the range.
    pub start: usize,
    /// The address after the last.
    pub end: usize,
    /// Nodes of devices that use the range where it is: bit n is node n.
    pub accessed_by: u64,
    /// The preferred node, -1 for none.
    pub preferred: i32,
    /// The node that keeps room for it, -1 for none.
    pub pinned: i32,
    /// 1 if it is read much more than written.
    pub read_mostly: i32,
    /// Zero.
    pub pad: i32,
}

fn hint(hint: c_int, node: Node) -> Option<Hint> {
    Some(match hint {
        GMEM_PREFER => Hint::Prefer(node),
        GMEM_PREFER_NONE => Hint::PreferNone,
        GMEM_READ_MOSTLY => Hint::ReadMostly,
        GMEM_NOT_READ_MOSTLY => Hint::NotReadMostly,
        GMEM_ACCESSED_BY => Hint::AccessedBy(node),
        GMEM_NOT_ACCESSED_BY => Hint::NotAccessedBy(node),
        GMEM_PIN => Hint::Pin(node),
        GMEM_UNPIN => Hint::Unpin,
        _ => return None,
    })
}

/// Advises about the pages that hold the range.
///
/// Where a hint needs no node, it is ignored.
#[no_mangle]
pub extern "C" fn gmem_advise(
    addr: *const c_void,
    size: usize,
    which: c_int,
    node: c_int,
) -> c_int {
    match hint(which, Node(node)) {
        Some(hint) => code(advise_raw(addr as usize, size, hint)),
        None => -libc::EINVAL,
    }
}

/// Asks what the kernel keeps of the hints about an address; -ENOENT when there is
/// nothing. It reads debugfs, which by default needs root.
///
/// # Safety
///
/// `out` is NULL or points to memory for the answer.
#[no_mangle]
pub unsafe extern "C" fn gmem_attributes_at(
    addr: *const c_void,
    out: *mut gmem_attributes,
) -> c_int {
    if out.is_null() {
        return -libc::EINVAL;
    }
    let found = match attributes_at(addr as usize) {
        Ok(Some(found)) => found,
        Ok(None) => return -libc::ENOENT,
        Err(error) => return code(Err(error)),
    };
    let node = |node: Option<Node>| node.map_or(-1, |node| node.0);
    let bit = |node: &Node| u32::try_from(node.0).ok().and_then(|n| 1u64.checked_shl(n));
    let answer = gmem_attributes {
        start: found.start,
        end: found.end,
        accessed_by: found
            .accessed_by
            .iter()
            .filter_map(bit)
            .fold(0, |all, bit| all | bit),
        preferred: node(found.preferred),
        pinned: node(found.pinned),
        read_mostly: found.read_mostly.into(),
        pad: 0,
    };
    // SAFETY: The caller's promise.
    unsafe { out.write(answer) };
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_arguments_are_refused() {
        let byte = 0u8;
        let addr = std::ptr::from_ref(&byte).cast();
        for which in [0, 9, -1] {
            assert_eq!(gmem_advise(addr, 1, which, 0), -libc::EINVAL);
        }
        // SAFETY: NULL is allowed.
        let refused = unsafe { gmem_attributes_at(addr, std::ptr::null_mut()) };
        assert_eq!(refused, -libc::EINVAL);
    }

    #[test]
    fn every_hint_has_a_number() {
        let all: Vec<_> = (1..=8).map(|which| hint(which, Node(1)).unwrap()).collect();
        for (i, one) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|other| other != one));
        }
    }
}
