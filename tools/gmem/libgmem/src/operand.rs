// SPDX-License-Identifier: MIT OR GPL-2.0
//! Operands of commands: memory lent to a device.

use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};
use std::sync::atomic::AtomicU64;

/// Types a device may write: any bytes are a valid value.
///
/// # Safety
///
/// The type has no padding, no invalid bit pattern and no interior pointers; it has a size, and an
/// alignment of at most 8.
pub unsafe trait Pod: Copy + 'static {}

macro_rules! pod {
    ($($t:ty),*) => {$(
        // SAFETY: A primitive number.
        unsafe impl Pod for $t {}
    )*};
}
pod!(u8, i8, u16, i16, u32, i32, u64, i64, usize, isize, f32, f64);

/// Memory a device may read.
///
/// # Invariants
///
/// The memory is borrowed for `'a`, and whatever it holds is valid to read.
pub struct Src<'a, T> {
    addr: u64,
    len: usize,
    borrow: PhantomData<&'a [T]>,
}

/// Memory a device may write and read.
///
/// The handle can be copied, so that a command can read what an earlier one
/// wrote: commands of one job run in order, and no Rust reference to the memory
/// is usable for `'a`.
///
/// # Invariants
///
/// The memory is mutably borrowed for `'a` (or consists of atomics), and any
/// bytes are valid in it.
pub struct Dst<'a, T> {
    addr: u64,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

macro_rules! operand {
    ($name:ident) => {
        impl<T> Clone for $name<'_, T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T> Copy for $name<'_, T> {}

        impl<T> std::fmt::Debug for $name<'_, T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(
                    f,
                    "{}({:#x}, {} elements)",
                    stringify!($name),
                    self.addr,
                    self.len
                )
            }
        }

        impl<'a, T: Pod> $name<'a, T> {
            /// Number of elements.
            #[allow(clippy::len_without_is_empty)]
            pub fn len(self) -> usize {
                self.len
            }

            /// Number of bytes.
            pub fn byte_len(self) -> u64 {
                (self.len * size_of::<T>()) as u64
            }

            /// The address, the same on the CPU and on the device.
            pub fn addr(self) -> u64 {
                self.addr
            }

            /// A part of it.
            ///
            /// # Panics
            ///
            /// If the range is not inside, as slicing does.
            pub fn slice(self, range: impl RangeBounds<usize>) -> Self {
                let (start, end) = bounds(range, self.len);
                Self {
                    addr: self.addr + (start * size_of::<T>()) as u64,
                    len: end - start,
                    borrow: PhantomData,
                }
            }

            /// The same bytes as elements of `U`; `None` if they do not fit.
            pub fn cast<U: Pod>(self) -> Option<$name<'a, U>> {
                let bytes = self.len * size_of::<T>();
                let fits = self.addr % align_of::<U>() as u64 == 0 && bytes % size_of::<U>() == 0;
                fits.then(|| $name {
                    addr: self.addr,
                    len: bytes / size_of::<U>(),
                    borrow: PhantomData,
                })
            }
        }
    };
}
operand!(Src);
operand!(Dst);

fn bounds(range: impl RangeBounds<usize>, len: usize) -> (usize, usize) {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&before) => before + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => last + 1,
        Bound::Excluded(&end) => end,
        Bound::Unbounded => len,
    };
    assert!(
        start <= end && end <= len,
        "range {start}..{end} is not inside 0..{len}"
    );
    (start, end)
}

impl<'a, T: Pod> Dst<'a, T> {
    /// The same memory, to read.
    pub fn src(self) -> Src<'a, T> {
        Src {
            addr: self.addr,
            len: self.len,
            borrow: PhantomData,
        }
    }
}

impl<'a> Dst<'a, u64> {
    /// A counter that the CPU may change at the same time.
    pub fn atomic(counter: &'a AtomicU64) -> Self {
        Self {
            addr: counter.as_ptr() as u64,
            len: 1,
            borrow: PhantomData,
        }
    }
}

impl<'a, T: Pod> From<&'a [T]> for Src<'a, T> {
    fn from(slice: &'a [T]) -> Self {
        Self {
            addr: slice.as_ptr() as u64,
            len: slice.len(),
            borrow: PhantomData,
        }
    }
}

impl<'a, T: Pod> From<&'a mut [T]> for Dst<'a, T> {
    fn from(slice: &'a mut [T]) -> Self {
        Self {
            addr: slice.as_mut_ptr() as u64,
            len: slice.len(),
            borrow: PhantomData,
        }
    }
}

impl<'a, T: Pod> From<Dst<'a, T>> for Src<'a, T> {
    fn from(dst: Dst<'a, T>) -> Self {
        dst.src()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_and_casts_keep_the_address() {
        let mut words = [0u32; 8];
        let base = words.as_ptr() as u64;
        let dst = Dst::from(&mut words[..]);
        assert_eq!(dst.byte_len(), 32);
        let part = dst.slice(2..6);
        assert_eq!((part.addr(), part.len()), (base + 8, 4));
        let bytes = part.cast::<u8>().unwrap();
        assert_eq!(bytes.len(), 16);
        assert!(bytes.slice(1..5).cast::<u32>().is_none());
        assert!(bytes.slice(0..3).cast::<u16>().is_none());
        assert_eq!(bytes.src().addr(), part.addr());
    }

    #[test]
    #[should_panic(expected = "not inside")]
    fn a_slice_outside_panics() {
        let bytes = [0u8; 4];
        let _ = Src::from(&bytes[..]).slice(2..5);
    }
}
