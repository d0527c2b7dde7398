// SPDX-License-Identifier: GPL-2.0

//! The pieces of a migration: where each comes from, and how it is copied between devices.

use crate::{
    device::{
        memory::COOKIE,
        mmu::{
            Mmu,
            Parts, //
        }, //
    },
    migrate::host_folio,
    prelude::*, //
};
use kernel::mm::device::migrate::Source;

/// One page of a migration, or one huge page.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) index: usize,
    pub(crate) source: Source,
    /// In base pages.
    pub(crate) pages: usize,
}

impl Piece {
    /// Returns the length in bytes.
    pub(crate) fn len(&self) -> u64 {
        (self.pages as u64) << PAGE_SHIFT
    }
}

/// Calls `f` with every piece of the migration; `split` takes a huge source apart.
pub(crate) fn for_each_piece(
    m: &mut Migration<'_>,
    split: bool,
    mut f: impl FnMut(&mut Migration<'_>, Piece),
) {
    // A huge source has one element; the ones behind it are empty.
    let huge = m.is_huge(0).then(|| m.source(0));

    if let (Some(source), false) = (huge, split) {
        let piece = Piece {
            index: 0,
            source,
            pages: PMD_PAGES,
        };
        return f(m, piece);
    }
    for index in 0..m.len() {
        let source = huge.map_or_else(|| m.source(index), |source| source.after(index));
        let piece = Piece {
            index,
            source,
            pages: 1,
        };
        if source != Source::Unselected {
            f(m, piece);
        }
    }
}

/// The device that pages come from.
///
/// The page says it, which takes no lock.
pub(crate) struct Origin {
    pub(crate) parts: Parts,
    pfns: Range<usize>,
}

impl Origin {
    /// Returns where a piece comes from, if that is a device. To be asked before it is handed over.
    pub(crate) fn of(m: &Migration<'_>, piece: Piece) -> Option<Self> {
        let map = m.pagemap(piece.index, &COOKIE)?;

        Some(Self {
            parts: map.data().parts.clone(),
            pfns: map.pfns(),
        })
    }

    /// Returns which page of the device's memory `pfn` is.
    #[inline]
    pub(crate) fn page(&self, pfn: usize) -> Option<usize> {
        self.pfns
            .contains(&pfn)
            .then(|| pfn.wrapping_sub(self.pfns.start))
    }
}

/// As [`Origin::of`] the piece, which is at `pfn`, and which page it is there; `last` is where the
/// one before came from.
pub(crate) fn origin_of<'a>(
    last: &'a mut Option<Origin>,
    m: &Migration<'_>,
    piece: Piece,
    pfn: usize,
) -> Option<(&'a Origin, usize)> {
    if last.as_ref().and_then(|last| last.page(pfn)).is_none() {
        *last = Origin::of(m, piece);
    }
    let origin = last.as_ref()?;

    Some((origin, origin.page(pfn)?))
}

/// Copies from the memory of device `src` to that of `dst`, directly or through a host page.
pub(crate) fn copy_peer(dst: &Mmu, src: &Mmu, run: &CopyRun) -> Result {
    match dst.copy_peer(src, core::slice::from_ref(run)) {
        Err(e) if e == sys::eopnotsupp() => bounce(dst, src, run),
        result => result,
    }
}

fn bounce(dst: &Mmu, src: &Mmu, run: &CopyRun) -> Result {
    let page = host_folio::evict(0)?;
    let host = (page.pfn() as u64) << PAGE_SHIFT;
    let mut done = 0;

    while done < run.len {
        let one = |first: u64| CopyRun {
            dev_addr: first.wrapping_add(done),
            other: host,
            len: PAGE_SIZE,
        };
        src.copy_from_dev(&[one(run.other)])?;
        dst.copy_to_dev(&[one(run.dev_addr)])?;
        done = done.wrapping_add(PAGE_SIZE);
    }
    Ok(())
}
