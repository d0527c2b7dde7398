// SPDX-License-Identifier: MIT OR GPL-2.0
//! The range of addresses for small objects.

use std::cell::Cell;
use std::ops::Range;
use std::ptr::null_mut;

use crate::sys::mem;

/// What is reserved at most; it costs addresses, not memory.
const RESERVE_MAX: usize = 64 << 30;
/// What is tried at least, where a limit on addresses holds.
const RESERVE_MIN: usize = 16 << 20;

/// A reserved range, made usable from its start as it grows.
///
/// # Invariants
///
/// `start <= end <= limit`; `start..limit` is one mapping of this value, of which
/// `start..end` is readable and writable.  All are 0 before the first use.
pub(super) struct Arena {
    start: Cell<usize>,
    end: Cell<usize>,
    limit: Cell<usize>,
}

impl Arena {
    pub(super) const fn new() -> Self {
        Self {
            start: Cell::new(0),
            end: Cell::new(0),
            limit: Cell::new(0),
        }
    }

    /// Whether the address belongs to the reserved range.
    pub(super) fn holds(&self, object: *mut u8) -> bool {
        (self.start.get()..self.limit.get()).contains(&(object as usize))
    }

    /// The usable range.
    pub(super) fn used(&self) -> Range<usize> {
        self.start.get()..self.end.get()
    }

    fn reserve(&self) -> Option<()> {
        let flags = mem::MAP_PEER_SHARED | libc::MAP_NORESERVE;
        let mut len = RESERVE_MAX;
        while len >= RESERVE_MIN {
            match mem::map_aligned(len, mem::HUGE_SIZE, libc::PROT_NONE, flags) {
                Ok(start) => {
                    self.start.set(start as usize);
                    self.end.set(start as usize);
                    self.limit.set(start as usize + len);
                    return Some(());
                }
                Err(_) => len /= 2,
            }
        }
        None
    }

    fn grow(&self, size: usize) -> Option<*mut u8> {
        if self.limit.get() == 0 {
            self.reserve()?;
        }
        let old = self.end.get();
        let new = old
            .checked_add(size)
            .filter(|&new| new <= self.limit.get())?;
        // SAFETY: The range is inside the reservation and not in use yet.
        unsafe { mem::commit(old as *mut u8, size) }.ok()?;
        self.end.set(new);
        Some(old as *mut u8)
    }
}

// SAFETY: Every range it hands out is new, readable, writable and stays so.
unsafe impl dlmalloc::Allocator for Arena {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        match self.grow(size) {
            Some(start) => (start, size, 0),
            None => (null_mut(), 0, 0),
        }
    }

    fn remap(&self, _ptr: *mut u8, _old: usize, _new: usize, _can_move: bool) -> *mut u8 {
        null_mut()
    }

    fn free_part(&self, _ptr: *mut u8, _old: usize, _new: usize) -> bool {
        false
    }

    fn free(&self, _ptr: *mut u8, _size: usize) -> bool {
        false
    }

    fn can_release_part(&self, _flags: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        mem::PAGE_SIZE
    }
}
