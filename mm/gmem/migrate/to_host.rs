// SPDX-License-Identifier: GPL-2.0

//! Bringing pages home.

use crate::{
    device::{
        holds,
        memory::owner,
        scratch::{
            Runs,
            Scratch, //
        }, //
    },
    migrate::{
        home::{
            Home,
            Rooms, //
        },
        pieces::{
            for_each_piece,
            Origin,
            Piece, //
        }, //
    },
    prelude::*, //
};
use kernel::{
    mm::device::migrate::{
        Committed,
        Select,
        Source, //
    },
    time::delay::fsleep, //
};

/// Selects what of `range` is on a device.
pub(crate) fn select(range: PageRange) -> Select {
    Select {
        host: false,
        huge: range.is_block(),
    }
}

/// What a round of bringing pages home achieved.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Pages that came home.
    pub(crate) moved: usize,
    /// Pages for which there was no host memory.
    pub(crate) no_memory: usize,
    /// Pages whose copy failed; they are where they were.
    pub(crate) failed: usize,
}

/// Brings everything home that the migration collected.
///
/// `alloc` gets the order and the index of the page in the range. A huge page for which there is
/// no huge host page is taken apart when `split` says that the migration can do that. `runs` is
/// scratch memory.
pub(crate) fn bring(
    mut m: Migration<'_>,
    split: bool,
    addr: usize,
    runs: &mut Runs,
    mut alloc: impl FnMut(u32, usize) -> Result<LockedFolio>,
) -> Outcome {
    let mut out = Outcome::default();
    let mut huge = None;
    if m.is_huge(0) && matches!(m.source(0), Source::Device { .. }) {
        huge = alloc(PMD_ORDER, 0).ok();
        if huge.is_none() && !split {
            out.no_memory = PMD_PAGES;
            return out;
        }
    }
    let apart = huge.is_none();
    let mut convoy = Convoy::new(runs, if apart { 1 } else { PMD_PAGES });

    for_each_piece(&mut m, apart, |m, piece| {
        // Addresses without a page are collected too; they stay without.
        let Source::Device { pfn } = piece.source else {
            return;
        };
        let folio = match huge.take() {
            Some(folio) => Ok(folio),
            None => alloc(0, piece.index),
        };
        match folio {
            Ok(folio) => convoy.add(m, piece, pfn, folio, &mut out),
            Err(_) => out.no_memory += piece.pages,
        }
    });
    convoy.copy(&mut m, &mut out);
    convoy.report(&m.commit(), addr, &mut out);
    holds::PAGES.note(out.moved);
    out
}

/// Pages on their way home, device by device.
struct Convoy<'a> {
    /// The pages added last.
    group: Option<Group>,
    /// The pages before them: rarely any, so that this is rarely allocated.
    copied: KVec<Group>,
    /// The copies of the last group, until they are made.
    runs: &'a mut Runs,
    /// Pages of one index: 1, or those of a huge page.
    step: usize,
}

/// Pages of one device.
struct Group {
    from: Origin,
    /// Between which indexes they lie.
    indexes: core::ops::Range<usize>,
}

impl<'a> Convoy<'a> {
    fn new(runs: &'a mut Runs, step: usize) -> Self {
        runs.clear();
        Self {
            group: None,
            copied: KVec::new(),
            runs,
            step,
        }
    }

    /// Adds a page; the copies of another device are made first.
    #[inline]
    fn add(
        &mut self,
        m: &mut Migration<'_>,
        piece: Piece,
        pfn: usize,
        folio: LockedFolio,
        out: &mut Outcome,
    ) {
        let mut known = self.page(pfn);
        if known.is_none() {
            self.turn_to(m, piece, out);
            known = self.page(pfn);
        }
        // Without a group for it, or a device that has it, the page stays where it is.
        let (Some(page), Some(group)) = (known, &mut self.group) else {
            return;
        };
        let to = (folio.pfn() as u64) << PAGE_SHIFT;
        if !m.set_dst(piece.index, folio) {
            return;
        }
        group.indexes.end = piece.index + piece.pages;
        self.runs.push((page as u64) << PAGE_SHIFT, to, piece.len());
    }

    /// Returns which page of the last group's device `pfn` is.
    #[inline]
    fn page(&self, pfn: usize) -> Option<usize> {
        self.group.as_ref()?.from.page(pfn)
    }

    /// Begins a group for the device that has the page, if there is memory for one more.
    #[cold]
    fn turn_to(&mut self, m: &mut Migration<'_>, piece: Piece, out: &mut Outcome) {
        self.copy(m, out);
        let Some(from) = Origin::of(m, piece) else {
            return;
        };
        if let Some(before) = self.group.take() {
            if self.copied.reserve(1, GFP_KERNEL).is_err() {
                self.group = Some(before);
                out.no_memory += piece.pages;
                return;
            }
            let full = self.copied.push_within_capacity(before);
            debug_assert!(full.is_ok());
        }
        self.group = Some(Group {
            from,
            indexes: piece.index..piece.index,
        });
    }

    /// Copies what was added last. If that fails the device keeps the pages and the bytes.
    fn copy(&mut self, m: &mut Migration<'_>, out: &mut Outcome) {
        if let Some(group) = &self.group {
            let mmu = &group.from.parts.mmu;
            if mmu.copy_from_dev(self.runs.as_slice()).is_err() {
                for index in group.indexes.clone() {
                    if m.take_dst(index).is_some() {
                        out.failed += self.step;
                    }
                }
            }
        }
        self.runs.clear();
    }

    /// Counts what moved.
    fn report(&self, m: &Committed<'_>, addr: usize, out: &mut Outcome) {
        for Group { from, indexes } in Iterator::chain(self.copied.iter(), &self.group) {
            let moved = indexes.clone().filter(|index| m.moved(*index)).count();
            let pages = moved * self.step;
            if pages > 0 {
                let parts = &from.parts;
                parts.stats.from_dev.add(pages << PAGE_SHIFT);
                sys::count(sys::Event::ToHost, pages);
                sys::trace_migrate(parts.id, false, addr + (indexes.start << PAGE_SHIFT), pages);
                out.moved += pages;
            }
        }
    }
}

/// Brings the pages of `range`, which is inside the VMA and inside one block, home: to `node`, or
/// where the program prefers them.
///
/// # Errors
///
/// `EFAULT` when a device would not give its bytes, `ENOMEM`, `EBUSY` when pages would not leave.
pub(crate) fn prefetch(
    vma: &MmapVma,
    range: PageRange,
    node: Option<i32>,
    Scratch { arrays, runs }: &mut Scratch,
) -> Result {
    const ROUNDS: usize = 10;
    let bytes = range.bytes();
    let select = select(range);
    let home = match node {
        Some(node) => Home::on(vma, node),
        None => Home::advised(vma, range.first()),
    };

    for _ in 0..ROUNDS {
        let m = Migration::from_vma(vma, bytes.clone(), select, owner(), arrays)?;
        let mut rooms = Rooms::new(&home, range);
        let out = bring(m, true, bytes.start, runs, |order, index| {
            rooms.folio(order, index)
        });
        if out.failed > 0 {
            return Err(EFAULT);
        }
        if out.no_memory > 0 {
            return Err(ENOMEM);
        }
        // A page that did not migrate may be on the host, not exist, or be in use by another task
        // for a moment.
        if out.moved == range.count() as usize || !sys::any_on_device(vma, &bytes, owner()) {
            return Ok(());
        }
        if out.moved == 0 {
            fsleep(Delta::from_millis(5));
        }
    }
    Err(EBUSY)
}
