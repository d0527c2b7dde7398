// SPDX-License-Identifier: GPL-2.0

//! The pages of a migration, and what became of them.

use super::super::vma::MmapVma;
use crate::bindings::{
    self,
    anon_vma, //
};
use core::marker::PhantomData;

pub(super) const VALID: usize = bindings::MIGRATE_PFN_VALID as usize;
pub(super) const SELECTED: usize = bindings::MIGRATE_PFN_MIGRATE as usize;
pub(super) const WRITE: usize = bindings::MIGRATE_PFN_WRITE as usize;
pub(super) const COMPOUND: usize = bindings::MIGRATE_PFN_COMPOUND as usize;
pub(super) const SHIFT: u32 = bindings::MIGRATE_PFN_SHIFT;

/// Where the bytes of one source page are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Not part of the migration.
    Unselected,
    /// No page yet: the destination is to be filled with zeroes.
    Hole,
    /// A host page.
    Host {
        /// The page frame.
        pfn: usize,
    },
    /// A page in device memory.
    Device {
        /// The page frame.
        pfn: usize,
    },
}

impl Source {
    /// Returns the source of the page `pages` further on in the same folio.
    pub fn after(self, pages: usize) -> Self {
        match self {
            Self::Host { pfn } => Self::Host {
                pfn: pfn.wrapping_add(pages),
            },
            Self::Device { pfn } => Self::Device {
                pfn: pfn.wrapping_add(pages),
            },
            other => other,
        }
    }
}

pub(super) enum Kind<'a> {
    Vma(bindings::migrate_vma),
    /// With what is held until the pages are mapped again.
    Pfns {
        held: &'a mut [*mut anon_vma],
        put: unsafe fn(&mut [*mut anon_vma]),
    },
}

/// The collected pages, before and after the commit.
///
/// # Invariants
///
/// `src` and `dst` are as the C functions left them; a `dst` element that is not 0 owns the lock
/// and a reference of its folio.
pub(super) struct Pages<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) src: &'a mut [usize],
    pub(super) dst: &'a mut [usize],
    pub(super) _p: PhantomData<&'a MmapVma>,
}

impl Pages<'_> {
    #[inline]
    pub(super) fn entry(&self, i: usize) -> usize {
        self.src.get(i).copied().unwrap_or(0)
    }

    #[inline]
    pub(super) fn dst_pfn(&self, i: usize) -> Option<usize> {
        let dst = self.dst.get(i).copied().unwrap_or(0);
        (dst & VALID != 0).then_some(dst >> SHIFT)
    }
}

impl Drop for Pages<'_> {
    fn drop(&mut self) {
        match &mut self.kind {
            // SAFETY: Set up; called once.
            Kind::Vma(args) => unsafe { bindings::migrate_vma_finalize(args) },
            // SAFETY: As above; then nobody looks for the mappings of the pages any more.
            Kind::Pfns { held, put } => unsafe {
                bindings::migrate_device_finalize(
                    self.src.as_mut_ptr(),
                    self.dst.as_mut_ptr(),
                    self.src.len(),
                );
                put(held);
            },
        }
    }
}

/// A migration whose pages were handed over to their destinations.
///
/// A destination cannot be taken back:
///
/// ```ignore,compile_fail
/// let committed = migration.commit();
/// // error[E0382]: borrow of moved value: `migration`
/// migration.take_dst(0);
/// // error[E0599]: no method named `take_dst` found for struct `Committed`
/// committed.take_dst(0);
/// ```
pub struct Committed<'a>(pub(super) Pages<'a>);

impl Committed<'_> {
    /// Returns whether page `i` moved.
    ///
    /// A huge page answers at its first element.
    #[inline]
    pub fn moved(&self, i: usize) -> bool {
        self.0.entry(i) & SELECTED != 0 && self.0.dst_pfn(i).is_some()
    }
}
