// SPDX-License-Identifier: MIT OR GPL-2.0
//! An allocator over peer-shared memory.
//!
//! Small objects live in one range of addresses that grows upwards and is
//! managed by dlmalloc; objects of [`LARGE`] bytes and more get a mapping of
//! their own.  An address says by itself which of the two it is.

mod arena;
mod large;

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, Ordering};

use dlmalloc::Dlmalloc;

use crate::sys::lock::ForkLock;
use crate::sys::mem::{HUGE_SIZE, PAGE_SIZE};
use arena::Arena;
use large::Large;

/// Requests of this size and more get a mapping of their own.
const LARGE: usize = 1 << 20;
/// Alignment of every object.
const ALIGN: usize = 16;

/// A heap in peer-shared memory, safe to use from many threads and over `fork(2)`.
///
/// It allocates nothing outside itself and needs no start-up, so that it can
/// stand behind `malloc(3)`.  It must not move once it is used (it points into
/// itself), hence the `'static` borrows.
pub struct Heap {
    state: ForkLock<State>,
}

struct State {
    small: Dlmalloc<Arena>,
    large: Large,
}

impl Heap {
    /// An empty heap.
    pub const fn new() -> Self {
        let mut small = Dlmalloc::new_with_allocator(Arena::new());
        small.set_max_release_check_rate(0);
        assert!(small.set_granularity(HUGE_SIZE));
        Self {
            state: ForkLock::new(State {
                small,
                large: Large::new(),
            }),
        }
    }

    /// Memory for `size` bytes at a multiple of `align`, a power of two; null when
    /// there is none.  A `size` of 0 gives a unique address.
    pub fn alloc(&'static self, size: usize, align: usize) -> *mut u8 {
        debug_assert!(align.is_power_of_two());
        let mut state = self.state.lock();
        if size.saturating_add(align) < LARGE {
            // SAFETY: The alignment is a power of two.
            let object = unsafe { state.small.c_memalign(align, size) };
            if !object.is_null() {
                return object;
            }
        }
        state.large.alloc(size, align)
    }

    /// As [`alloc()`](Self::alloc), zeroed.
    pub fn alloc_zeroed(&'static self, size: usize, align: usize) -> *mut u8 {
        let object = self.alloc(size, align);
        if !object.is_null() && self.is_small(object) {
            // SAFETY: A new object of `size` bytes; large ones are fresh pages.
            unsafe { object.write_bytes(0, size) };
        }
        object
    }

    /// Gives an object back.
    ///
    /// # Safety
    ///
    /// `object` is null, or came from this heap and is not used any more.
    pub unsafe fn free(&'static self, object: *mut u8) {
        if object.is_null() {
            return;
        }
        let mut state = self.state.lock();
        if state.small.allocator().holds(object) {
            // SAFETY: The caller's promise.
            unsafe { state.small.c_free(object) };
        } else {
            // SAFETY: The caller's promise.
            unsafe { state.large.free(object) };
        }
    }

    /// Changes the size of an object, which may move it; null, and no change, when
    /// there is no memory.  The result is aligned to 16 bytes.
    ///
    /// # Safety
    ///
    /// `object` is null, or came from this heap; after success only the result
    /// is used.
    pub unsafe fn realloc(&'static self, object: *mut u8, size: usize) -> *mut u8 {
        if object.is_null() {
            return self.alloc(size, ALIGN);
        }
        let small = self.is_small(object);
        if small && size < LARGE {
            // SAFETY: The caller's promise.
            let moved = unsafe { self.state.lock().small.c_realloc(object, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        if !small && size >= LARGE {
            // SAFETY: The caller's promise.
            let moved = unsafe { self.state.lock().large.realloc(object, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        let moved = self.alloc(size, ALIGN);
        if !moved.is_null() {
            // SAFETY: Both objects are this heap's, and different ones.
            unsafe {
                let len = self.usable_size(object).min(size);
                moved.copy_from_nonoverlapping(object, len);
                self.free(object);
            }
        }
        moved
    }

    /// How many bytes of an object may be used.
    ///
    /// # Safety
    ///
    /// `object` is null or came from this heap.
    pub unsafe fn usable_size(&'static self, object: *mut u8) -> usize {
        if object.is_null() {
            return 0;
        }
        if !self.is_small(object) {
            // SAFETY: The caller's promise.
            return unsafe { large::usable_size(object) };
        }
        // dlmalloc keeps the size of the chunk and three flags in the word before
        // the object; the chunk's last word for the object is the next chunk's
        // first one, so one word is overhead.
        // SAFETY: A live object of dlmalloc has this word.
        let head = unsafe { object.cast::<usize>().sub(1).read() };
        (head & !7) - size_of::<usize>()
    }

    fn is_small(&'static self, object: *mut u8) -> bool {
        self.state.lock().small.allocator().holds(object)
    }

    /// Bytes of memory the heap has taken from the system.
    pub fn footprint(&'static self) -> usize {
        let state = self.state.lock();
        state.small.allocator().used().len() + state.large.bytes()
    }

    /// A range of whole pages of the heap, at most `max` bytes, chosen by a random
    /// number; `None` while the heap is empty.
    pub fn sample(&'static self, random: u64, max: usize) -> Option<(usize, usize)> {
        let state = self.state.lock();
        let used = state.small.allocator().used();
        let total = used.len() + state.large.bytes();
        let at = (random as usize).checked_rem(total)? / PAGE_SIZE * PAGE_SIZE;
        let (start, end) = match at.checked_sub(used.len()) {
            None => (used.start + at, used.end),
            Some(at) => state.large.find(at)?,
        };
        Some((start, max.min(end - start)))
    }

    /// To be called before `fork(2)`, see `pthread_atfork(3)`.
    pub fn before_fork(&'static self) {
        self.state.before_fork();
    }

    /// To be called after `fork(2)` in the parent.
    pub fn after_fork_parent(&'static self) {
        self.state.after_fork_parent();
    }

    /// To be called after `fork(2)` in the child.
    pub fn after_fork_child(&'static self) {
        self.state.after_fork_child();
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

/// Puts all of a Rust program's heap into peer-shared memory.
///
/// ```
/// #[global_allocator]
/// static GMEM: gmem::Gmem = gmem::Gmem;
///
/// let list: Vec<u32> = (0..1000).collect();
/// assert_eq!(list.iter().sum::<u32>(), 499_500);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Gmem;

static HEAP: Heap = Heap::new();
static FORK_HANDLED: AtomicBool = AtomicBool::new(false);

extern "C" fn prepare() {
    HEAP.before_fork();
}

extern "C" fn parent() {
    HEAP.after_fork_parent();
}

extern "C" fn child() {
    HEAP.after_fork_child();
}

impl Gmem {
    /// The heap behind it.
    pub fn heap(&self) -> &'static Heap {
        if !FORK_HANDLED.swap(true, Ordering::Relaxed) {
            // SAFETY: The handlers do nothing but lock and unlock.
            unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
        }
        &HEAP
    }
}

// SAFETY: Every object is exclusive, aligned and as large as asked for.
unsafe impl GlobalAlloc for Gmem {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.heap().alloc(layout.size(), layout.align())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.heap().alloc_zeroed(layout.size(), layout.align())
    }

    unsafe fn dealloc(&self, object: *mut u8, _layout: Layout) {
        // SAFETY: The caller's promise.
        unsafe { HEAP.free(object) }
    }

    unsafe fn realloc(&self, object: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() <= ALIGN {
            // SAFETY: The caller's promise.
            return unsafe { HEAP.realloc(object, size) };
        }
        let moved = HEAP.alloc(size, layout.align());
        if !moved.is_null() {
            // SAFETY: Both objects are the caller's, and different ones.
            unsafe {
                moved.copy_from_nonoverlapping(object, layout.size().min(size));
                HEAP.free(object);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests;
