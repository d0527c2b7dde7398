// SPDX-License-Identifier: MIT OR GPL-2.0
//! Objects with a mapping of their own.

use std::ptr::{null_mut, NonNull};

use crate::sys::mem::{self, HUGE_SIZE, MAP_PEER_SHARED, PAGE_SIZE};

/// Stands right before the object.
///
/// # Invariants
///
/// `base..base + mapped` is one mapping that holds this header and the object.
struct Header {
    magic: usize,
    base: usize,
    mapped: usize,
    next: Option<NonNull<Header>>,
    prev: Option<NonNull<Header>>,
}

/// Room for the header; a multiple of a cache line.
const HEAD: usize = 64;
const MAGIC: usize = 0x676d_656d_1a26_e0b1;

const _: () = assert!(size_of::<Header>() <= HEAD);

/// The list of all large objects.
///
/// # Invariants
///
/// The list holds the header of every live large object; `bytes` is the sum of
/// their mappings.
pub(super) struct Large {
    first: Option<NonNull<Header>>,
    bytes: usize,
}

// SAFETY: The headers belong to the list, whichever thread holds it.
unsafe impl Send for Large {}

/// The header of an object; ends the program if it is none of ours.
///
/// # Safety
///
/// `object` came from [`Large::alloc()`] and is live.
unsafe fn header(object: *mut u8) -> NonNull<Header> {
    // SAFETY: The header stands right before the object.
    let header = unsafe { NonNull::new_unchecked(object.sub(HEAD).cast::<Header>()) };
    // SAFETY: As above.
    if unsafe { header.read() }.magic != MAGIC {
        // No formatting: this may be malloc itself.
        let text = b"gmem: this address is not from malloc, or was freed before\n";
        // SAFETY: A valid buffer.
        unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
        std::process::abort();
    }
    header
}

/// How many bytes of the object may be used.
///
/// # Safety
///
/// As for [`header()`].
pub(super) unsafe fn usable_size(object: *mut u8) -> usize {
    // SAFETY: The caller's promise.
    let header = unsafe { header(object).read() };
    header.base + header.mapped - object as usize
}

impl Large {
    pub(super) const fn new() -> Self {
        Self {
            first: None,
            bytes: 0,
        }
    }

    /// Sum of all mappings.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The part from byte `at` of all mappings, in list order, to the end of its one.
    pub(super) fn find(&self, mut at: usize) -> Option<(usize, usize)> {
        let mut next = self.first;
        while let Some(header) = next {
            // SAFETY: By the type's invariants.
            let header = unsafe { header.as_ref() };
            if at < header.mapped {
                return Some((header.base + at, header.base + header.mapped));
            }
            at -= header.mapped;
            next = header.next;
        }
        None
    }

    pub(super) fn alloc(&mut self, size: usize, align: usize) -> *mut u8 {
        self.try_alloc(size, align).unwrap_or(null_mut())
    }

    fn try_alloc(&mut self, size: usize, align: usize) -> Option<*mut u8> {
        let head = align.max(HEAD);
        let mapped = size
            .checked_add(head)?
            .checked_next_multiple_of(PAGE_SIZE)?;
        let page = if mapped >= HUGE_SIZE {
            HUGE_SIZE
        } else {
            PAGE_SIZE
        };
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let base = mem::map_aligned(mapped, page.max(align), prot, MAP_PEER_SHARED).ok()?;
        // SAFETY: Inside the new mapping, as `head` and `size` fit.
        let object = unsafe { base.add(head) };
        let header = Header {
            magic: MAGIC,
            base: base as usize,
            mapped,
            next: None,
            prev: None,
        };
        // SAFETY: The room before the object is ours, and aligned as HEAD is.
        unsafe {
            let place = NonNull::new_unchecked(object.sub(HEAD).cast::<Header>());
            place.write(header);
            self.link(place);
        }
        Some(object)
    }

    /// # Safety
    ///
    /// As for [`header()`].
    pub(super) unsafe fn free(&mut self, object: *mut u8) {
        // SAFETY: The caller's promise; the mapping goes with its header.
        unsafe {
            let header = header(object);
            self.unlink(header);
            let Header { base, mapped, .. } = header.read();
            // Out of memory for the kernel's own books: keep the pages.
            let _ = mem::unmap(base as *mut u8, mapped);
        }
    }

    /// # Safety
    ///
    /// As for [`header()`]; after success only the result is used.
    pub(super) unsafe fn realloc(&mut self, object: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: The caller's promise.
        let old = unsafe { header(object) };
        // SAFETY: As above.
        let Header { base, mapped, .. } = unsafe { old.read() };
        let head = object as usize - base;
        let wanted = size.checked_add(head);
        let wanted = wanted.and_then(|wanted| wanted.checked_next_multiple_of(PAGE_SIZE));
        let Some(wanted) = wanted else {
            return null_mut();
        };
        if wanted == mapped {
            return object;
        }
        // SAFETY: The header moves with the mapping, so it leaves the list first
        // and comes back where it is then, also when nothing moved.
        unsafe {
            self.unlink(old);
            let moved = mem::remap(base as *mut u8, mapped, wanted);
            let (base, mapped, result) = match moved {
                Ok(moved) => (moved as usize, wanted, moved.add(head)),
                Err(_) => (base, mapped, null_mut()),
            };
            let mut place = header((base + head) as *mut u8);
            place.as_mut().base = base;
            place.as_mut().mapped = mapped;
            self.link(place);
            result
        }
    }

    /// # Safety
    ///
    /// `header` is valid and in no list.
    unsafe fn link(&mut self, mut header: NonNull<Header>) {
        // SAFETY: The caller's promise, and the type's invariants.
        unsafe {
            header.as_mut().prev = None;
            header.as_mut().next = self.first;
            if let Some(mut next) = self.first {
                next.as_mut().prev = Some(header);
            }
            self.bytes += header.as_ref().mapped;
        }
        self.first = Some(header);
    }

    /// # Safety
    ///
    /// `header` is in this list.
    unsafe fn unlink(&mut self, header: NonNull<Header>) {
        // SAFETY: The caller's promise, and the type's invariants.
        unsafe {
            let Header {
                next, prev, mapped, ..
            } = header.read();
            match prev {
                Some(mut prev) => prev.as_mut().next = next,
                None => self.first = next,
            }
            if let Some(mut next) = next {
                next.as_mut().prev = prev;
            }
            self.bytes -= mapped;
        }
    }
}
