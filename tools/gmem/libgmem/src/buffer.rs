// SPDX-License-Identifier: MIT OR GPL-2.0
//! Memory for the CPU and every device.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::operand::Pod;
use crate::sys::mem;
use crate::{Error, Node, Result};

/// Zeroed memory shared with all attached devices, or plain memory where the
/// kernel knows no GMEM.
///
/// Buffers of 2 MiB and more start at a multiple of 2 MiB.
///
/// # Invariants
///
/// `base` is the start of a private mapping of `mapped` bytes that belongs to
/// this value alone, or dangling when `mapped` is 0; `len <= mapped`.
pub struct Buffer {
    base: NonNull<u8>,
    len: usize,
    mapped: usize,
}

// SAFETY: The mapping belongs to the value and is reached through borrows only.
unsafe impl Send for Buffer {}
// SAFETY: As above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Memory shared with the devices.
    ///
    /// # Errors
    ///
    /// [`Error::Map`].
    pub fn new(len: usize) -> Result<Self> {
        Self::map(len, mem::MAP_PEER_SHARED)
    }

    /// Memory for the CPU alone, otherwise equal; to compare with.
    ///
    /// # Errors
    ///
    /// [`Error::Map`].
    pub fn private(len: usize) -> Result<Self> {
        Self::map(len, 0)
    }

    fn map(len: usize, flags: i32) -> Result<Self> {
        let fail = |errno| Error::Map { len, errno };
        if len == 0 {
            return Ok(Self {
                base: NonNull::<u64>::dangling().cast(),
                len: 0,
                mapped: 0,
            });
        }
        let mapped = len
            .checked_next_multiple_of(mem::PAGE_SIZE)
            .filter(|&mapped| mapped <= isize::MAX as usize)
            .ok_or(fail(libc::ENOMEM))?;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let base = if len >= mem::HUGE_SIZE {
            mem::map_aligned(mapped, mem::HUGE_SIZE, prot, flags)
        } else {
            mem::map(mapped, prot, flags)
        };
        let base = NonNull::new(base.map_err(fail)?).ok_or(fail(libc::ENOMEM))?;
        Ok(Self { base, len, mapped })
    }

    /// Asks for 2 MiB pages, or forbids them.
    ///
    /// # Errors
    ///
    /// [`Error::System`] where the kernel has no transparent huge pages.
    pub fn set_huge(&mut self, huge: bool) -> Result<()> {
        if self.mapped == 0 {
            return Ok(());
        }
        let advice = if huge {
            libc::MADV_HUGEPAGE
        } else {
            libc::MADV_NOHUGEPAGE
        };
        // SAFETY: The range is this value's mapping; page sizes change no content.
        unsafe { mem::madvise(self.base.as_ptr(), self.mapped, advice) }.map_err(|errno| {
            Error::System {
                call: "madvise",
                errno,
            }
        })
    }

    /// The memory as elements of `T`; bytes that make no whole element are left out.
    pub fn view<T: Pod>(&self) -> &[T] {
        // SAFETY: A mapping is aligned for every number, initialised, and `T`
        // has no invalid values; the borrow is that of `self`.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().cast(), self.len / size_of::<T>()) }
    }

    /// As [`view()`](Self::view), to write.
    pub fn view_mut<T: Pod>(&mut self) -> &mut [T] {
        // SAFETY: As above, and the borrow is exclusive.
        unsafe {
            std::slice::from_raw_parts_mut(self.base.as_ptr().cast(), self.len / size_of::<T>())
        }
    }

    /// Moves all of it to `node`.
    ///
    /// # Errors
    ///
    /// See [`crate::prefetch()`].
    pub fn prefetch(&self, node: Node) -> Result<()> {
        crate::prefetch(self, node)
    }

    /// Advises about all of it.
    ///
    /// # Errors
    ///
    /// See [`crate::advise()`].
    pub fn advise(&self, hint: crate::Hint) -> Result<()> {
        crate::advise(self, hint)
    }

    /// Gives all pages back to the system; the content becomes zero.
    ///
    /// # Errors
    ///
    /// See [`crate::free_eager()`].
    pub fn clear(&mut self) -> Result<()> {
        let (base, mapped) = (self.base.as_ptr(), self.mapped);
        // SAFETY: The whole mapping is this value's, and the borrow exclusive.
        crate::node::discard(unsafe { std::slice::from_raw_parts_mut(base, mapped) })
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.view()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.view_mut()
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({:p}, {} bytes)", self.base, self.len)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.mapped > 0 {
            // SAFETY: The mapping is this value's and nothing borrows it any more.
            let unmapped = unsafe { mem::unmap(self.base.as_ptr(), self.mapped) };
            debug_assert_eq!(unmapped, Ok(()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn is_zeroed_and_writable() {
        let mut buffer = Buffer::new(10_000).unwrap();
        assert_eq!(buffer.len(), 10_000);
        assert!(buffer.iter().all(|&byte| byte == 0));
        buffer.fill(7);
        assert_eq!(buffer.view::<u32>()[2499], 0x0707_0707);
        assert_eq!(buffer.view::<u32>().len(), 2500);
        buffer.view_mut::<u64>()[0] = 0;
        assert_eq!(&buffer[7..9], [0, 7]);
    }

    #[test]
    fn empty_and_impossible_sizes() {
        assert!(Buffer::new(0).unwrap().is_empty());
        assert!(Buffer::new(0).unwrap().view::<u64>().is_empty());
        assert!(matches!(Buffer::new(usize::MAX), Err(Error::Map { .. })));
        assert!(matches!(Buffer::new(1 << 62), Err(Error::Map { .. })));
    }

    #[test]
    fn clear_zeroes_all_of_it() {
        let mut buffer = Buffer::new(3 * mem::PAGE_SIZE + 5).unwrap();
        buffer.fill(1);
        buffer.clear().unwrap();
        assert!(buffer.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn pages_can_be_small_or_large() {
        let mut buffer = Buffer::new(mem::HUGE_SIZE).unwrap();
        for huge in [true, false] {
            match buffer.set_huge(huge) {
                Ok(()) | Err(Error::System { .. }) => buffer[0] = 1,
                Err(other) => panic!("{other}"),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn alignment(len in 1usize..8 << 20) {
            let buffer = Buffer::new(len).unwrap();
            let align = if len >= mem::HUGE_SIZE { mem::HUGE_SIZE } else { mem::PAGE_SIZE };
            prop_assert_eq!(buffer.as_ptr() as usize % align, 0);
            prop_assert_eq!(buffer.len(), len);
            prop_assert_eq!(buffer[len - 1], 0);
        }
    }
}
