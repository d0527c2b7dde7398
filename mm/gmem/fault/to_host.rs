// SPDX-License-Identifier: GPL-2.0

//! Bringing pages home: CPU faults, prefetch to a CPU node, eviction.

use crate::{
    device::{
        holds,
        memory::{
            owner,
            CpuFault,
            Frames, //
        },
        mmu::Mmu,
        scratch::{
            Runs,
            Scratch, //
        }, //
    },
    fault::{
        batch::{
            for_each_piece,
            Origin,
            Piece, //
        },
        home::{
            Home,
            Rooms, //
        },
        pingpong::{
            self,
            Turn, //
        }, //
    },
    range::{
        PageRange,
        BLOCK_ORDER, //
    },
    space::{
        address_space::Space,
        mapping, //
    },
    sys, //
};
use kernel::{
    mm::device::{
        folio::LockedFolio,
        migrate::{
            Committed,
            Migration,
            Select,
            Source, //
        },
        pagemap::{
            Fault,
            FaultResult, //
        },
        vma::MmapVma,
        PMD_ORDER,
        PMD_PAGES, //
    },
    page::PAGE_SHIFT,
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// How often a CPU fault asks the device for a page before it gives up.
const COPY_ATTEMPTS: usize = 4;

/// A CPU fault on a small device page brings this much with it: 64 KiB.
const SMALL_ORDER: u32 = 4;

/// Selects what of `range` is on a device.
pub(crate) fn select(range: PageRange) -> Select {
    Select {
        huge: range.is_block(),
        ..DEVICE_ONLY
    }
}

const DEVICE_ONLY: Select = Select {
    host: false,
    device: true,
    huge: true,
};

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

impl CpuFault for Frames {
    fn cpu_fault(&self, fault: &Fault<'_>) -> FaultResult {
        cpu_fault(fault, &self.parts.mmu)
    }
}

/// Brings a page home that the CPU touched, and what surrounds it. `mmu` is its device.
fn cpu_fault(fault: &Fault<'_>, mmu: &Mmu) -> FaultResult {
    sys::count(sys::Event::CpuFault, 1);
    let turn = Turn::begin(pingpong::HOST);
    let vma = fault.vma();
    let order = if fault.order() >= BLOCK_ORDER {
        BLOCK_ORDER
    } else {
        SMALL_ORDER
    };
    let page = (fault.address() >> PAGE_SHIFT) as u64;
    let Some(range) =
        PageRange::around(page, order).and_then(|range| range.intersect(mapping::pages_of(vma)))
    else {
        return FaultResult::Bus;
    };
    let Ok(mut scratch) = Scratch::new(range.count() as usize) else {
        return FaultResult::NoMemory;
    };
    let home = Home::advised(vma, page);
    for _ in 0..COPY_ATTEMPTS {
        if mmu.has_ended() {
            // The bytes are lost. Zeroes instead of them would be a lie.
            return FaultResult::Poisoned;
        }
        match cpu_fault_once(fault, range, page, &home, &turn, &mut scratch) {
            Some(result) => return result,
            None => continue,
        }
    }
    if mmu.has_ended() {
        return FaultResult::Poisoned;
    }
    // As swap does when its disk will not answer. The page stays on the device.
    FaultResult::Bus
}

/// Returns [`None`] when the device would not give the page.
fn cpu_fault_once(
    fault: &Fault<'_>,
    range: PageRange,
    page: u64,
    home: &Home<'_>,
    turn: &Turn,
    Scratch { arrays, runs }: &mut Scratch,
) -> Option<FaultResult> {
    let vma = fault.vma();
    let bytes = range.start_byte() as usize..range.end_byte() as usize;
    let mut rooms = Rooms::new(home, range);
    let mut huge = None;
    if fault.is_huge() {
        huge = rooms.folio(PMD_ORDER, 0).ok();
        // The migration cannot take the folio apart, because the fault holds a reference of it.
        if huge.is_none() && fault.split().is_err() {
            // Another task holds a reference for a moment: the CPU retries the access.
            return Some(FaultResult::Done);
        }
    } else if fault.order() > 0 && fault.split().is_err() {
        // Mapped by PTEs, it has to be taken apart before the collection does that: there, lock
        // and reference of the fault would stay with the head, and not with the page of the fault.
        return Some(FaultResult::Done);
    }
    let select = Select {
        huge: huge.is_some(),
        ..DEVICE_ONLY
    };
    let Ok(m) = Migration::from_fault(fault, bytes.clone(), select, owner(), arrays) else {
        return Some(FaultResult::Bus);
    };
    if m.is_empty() {
        // Another task migrated it, or is about to: the CPU retries the access.
        return Some(FaultResult::Done);
    }
    let wanted = (page - range.first()) as usize;
    let mut starved = false;
    let outcome = bring(m, false, bytes.start, runs, |order, index| {
        if order > 0 {
            return huge.take().ok_or(ENOMEM);
        }
        let folio = rooms.folio(order, index);
        if index == wanted {
            starved = folio.is_err();
        }
        folio
    });
    if starved {
        return Some(FaultResult::NoMemory);
    }
    if outcome.failed > 0 && outcome.moved == 0 {
        return None;
    }
    if outcome.moved > 0 {
        if let Some(space) = Space::find(vma.mm()) {
            space.thrash.moved(range, turn);
        }
    }
    Some(FaultResult::Done)
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
    let bytes = range.start_byte() as usize..range.end_byte() as usize;
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
