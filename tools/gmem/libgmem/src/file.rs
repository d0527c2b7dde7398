// SPDX-License-Identifier: MIT OR GPL-2.0
//! Files that the CPU and every device read.

use std::fs::File;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use crate::operand::Pod;
use crate::sys::mem;
use crate::{Error, Hint, Result};

/// A file in memory, to read: model weights, tables.
///
/// It is read mostly ([`Hint::ReadMostly`]): each device that reads it keeps a copy, so that it
/// reads at the speed of its own memory from then on, and the page cache is the only other place
/// that has the bytes. Without GMEM it is a plain mapping.
///
/// # Invariants
///
/// `base` is the start of a mapping of `len` bytes of a file, to read, that belongs to this value
/// alone, or dangling when `len` is 0.
pub struct FileMap {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: The mapping belongs to the value and is only read.
unsafe impl Send for FileMap {}
// SAFETY: As above.
unsafe impl Sync for FileMap {}

impl FileMap {
    /// Maps all of `file`.
    ///
    /// # Safety
    ///
    /// Nobody writes to the file or truncates it while it is mapped: the bytes behind the slice
    /// would change, or be gone.
    ///
    /// # Errors
    ///
    /// [`Error::System`] when this is no regular file, or one that cannot be mapped;
    /// [`Error::Advise`] when the kernel is out of memory.
    pub unsafe fn new(file: &File) -> Result<Self> {
        let fail = |call| move |errno| Error::System { call, errno };
        let about = file
            .metadata()
            .map_err(|error| fail("fstat")(error.raw_os_error().unwrap_or(libc::EIO)))?;
        if !about.is_file() {
            return Err(fail("mmap")(libc::ENODEV));
        }
        let len = usize::try_from(about.len()).map_err(|_| fail("mmap")(libc::EOVERFLOW))?;
        if len == 0 {
            return Ok(Self {
                base: NonNull::<u64>::dangling().cast(),
                len,
            });
        }
        let base = mem::map_file(file.as_raw_fd(), len).map_err(fail("mmap"))?;
        let base = NonNull::new(base).ok_or(fail("mmap")(libc::ENOMEM))?;
        let map = Self { base, len };
        crate::advise(&map[..], Hint::ReadMostly)?;
        Ok(map)
    }

    /// The file as elements of `T`; bytes that make no whole element are left out.
    pub fn view<T: Pod>(&self) -> &[T] {
        let len = self.len / size_of::<T>();
        if len == 0 {
            return &[];
        }
        // SAFETY: A mapping is aligned for every `T`, which has no invalid values; nobody changes
        // the bytes, as who made the mapping promised.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().cast(), len) }
    }

    /// Takes the mapping out: its address, and its length in bytes.
    pub(crate) fn into_raw(self) -> (*mut u8, usize) {
        let parts = (self.base.as_ptr(), self.len);
        std::mem::forget(self);
        parts
    }

    /// Takes a mapping over that [`Self::into_raw()`] gave away.
    ///
    /// # Safety
    ///
    /// It was not taken over before.
    pub(crate) unsafe fn from_raw(base: NonNull<u8>, len: usize) -> Self {
        Self { base, len }
    }
}

impl Deref for FileMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.view()
    }
}

impl std::fmt::Debug for FileMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileMap({:p}, {} bytes)", self.base, self.len)
    }
}

impl Drop for FileMap {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: The mapping is this value's and nothing borrows it any more.
            let unmapped = unsafe { mem::unmap(self.base.as_ptr(), self.len) };
            debug_assert_eq!(unmapped, Ok(()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn has_the_bytes_of_the_file() {
        let bytes: Vec<u8> = (0..10_003u32).map(|at| (at % 251) as u8).collect();
        // SAFETY: Nobody else knows the file.
        let map = unsafe { FileMap::new(&file_of(&bytes)) }.unwrap();
        assert_eq!(&map[..], &bytes[..]);
        assert_eq!(map.view::<u64>().len(), 1250);
        assert_eq!(map.view::<u32>()[1], u32::from_ne_bytes([4, 5, 6, 7]));
    }

    #[test]
    fn empty_and_impossible_files() {
        // SAFETY: Nobody else knows the file.
        assert!(unsafe { FileMap::new(&file_of(&[])) }.unwrap().is_empty());
        let dir = File::open("/").unwrap();
        // SAFETY: It is not mapped.
        let error = unsafe { FileMap::new(&dir) }.unwrap_err();
        assert!(
            matches!(error, Error::System { call: "mmap", .. }),
            "{error}"
        );
    }
}
