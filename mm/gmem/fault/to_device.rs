// SPDX-License-Identifier: GPL-2.0

//! Moving pages to a device.

use crate::{
    device::{
        dmem::Payer,
        memory::{
            owner,
            Memory, //
        },
        pools::Tenant,
        run::Run,
        scratch::{
            Batch,
            Runs, //
        },
        units::Spot, //
    },
    fault::part::Work,
    migrate::{
        counts::Counts,
        pieces::{
            copy_peer,
            for_each_piece,
            origin_of, //
        }, //
    },
    prelude::*,
    reclaim::{
        evict,
        waiting::Waiting, //
    }, //
};
use kernel::mm::device::{
    migrate::{
        Select,
        Source, //
    },
    vma as vma_info, //
};

/// Pages are taken from the device in runs of this many where no whole chunk can be had: 64 KiB.
const RUN_PAGES: usize = 16;

/// What is to move.
pub(crate) struct Job<'a> {
    pub(crate) memory: &'a Arc<Memory>,
    pub(crate) payer: &'a Payer,
    /// For whose pinned pages the range is, if it is pinned.
    pub(crate) pool: Option<Tenant>,
    pub(crate) vma: &'a MmapVma,
    /// Inside the VMA and inside one block.
    pub(crate) range: PageRange,
    /// Leave pages alone that the CPU may not write: the caller wants to write, and would only
    /// have to bring them back to break COW.
    pub(crate) exclusive_only: bool,
    /// Leave addresses alone that have no page yet.
    pub(crate) existing_only: bool,
    /// The key of the address space.
    pub(crate) space: usize,
}

impl Job<'_> {
    /// Returns where page `index` of the range is.
    fn spot(&self, index: usize) -> Spot {
        let range = Spot {
            space: self.space,
            page: self.range.first(),
        };
        range.after(index)
    }

    /// Takes room for `nr` pages from page `index` of the range on.
    ///
    /// What comes ahead pushes nothing out of a device that was never full.
    fn take(&self, nr: usize, index: usize, waiting: &mut Waiting) -> Result<Run> {
        let spot = self.spot(index);

        if self.existing_only && !self.memory.worker.is_scarce() {
            let taken = self.memory.take(self.payer, nr, spot);
            return taken.map_err(|refusal| refusal.error);
        }
        evict::take(self.memory, self.payer, nr, spot, waiting)
    }
}

/// Device memory for a range, taken before any page is touched.
struct Destination {
    runs: KVec<Run>,
    step: usize,
}

impl Destination {
    /// Takes room for `pages` pages from what is kept for pinned pages, in runs of `step`.
    fn reserved(memory: &Arc<Memory>, tenant: Tenant, pages: usize, step: usize) -> Result<Self> {
        let nr = pages.div_ceil(step.max(1));
        let mut runs = KVec::with_capacity(nr, GFP_KERNEL)?;
        for _ in 0..nr {
            let run = memory.take_reserved(tenant, step).ok_or(ENOSPC)?;
            runs.push(run, GFP_KERNEL)?;
        }
        Ok(Self { runs, step })
    }

    /// Takes room for a job.
    ///
    /// A pinned page that a child shares still lies in the room of its own copy; then there is too
    /// little, and the page comes to room that is not kept.
    fn of(job: &Job<'_>, pages: usize, waiting: &mut Waiting) -> Result<Self> {
        if let Some(tenant) = job.pool {
            let steps = [PMD_PAGES, RUN_PAGES, 1];
            for step in steps.into_iter().filter(|step| *step <= pages) {
                if let Ok(reserved) = Self::reserved(job.memory, tenant, pages, step) {
                    return Ok(reserved);
                }
            }
        }
        Self::take(job, pages, waiting)
    }

    /// Takes room for `pages` pages; a whole block comes as one chunk when there is one. Small
    /// pages make no whole chunk leave.
    ///
    /// # Errors
    ///
    /// `ENOSPC` or `ENOMEM` when there is no room for a single page.
    fn take(job: &Job<'_>, pages: usize, waiting: &mut Waiting) -> Result<Self> {
        let mut runs = KVec::new();
        let whole = vma_info::thp_allowed(job.vma) || !job.memory.worker.is_scarce();
        if pages == PMD_PAGES && whole && !waiting.no_chunk {
            match job.take(PMD_PAGES, 0, waiting) {
                Ok(run) => {
                    runs.push(run, GFP_KERNEL)?;
                    return Ok(Self {
                        runs,
                        step: PMD_PAGES,
                    });
                }
                Err(e) if waiting.must_pause() => return Err(e),
                Err(_) => waiting.no_chunk = true,
            }
        }
        let step = if pages == 1 { 1 } else { RUN_PAGES };
        let mut covered = 0;
        while covered < pages {
            match job.take(step, covered, waiting) {
                Ok(run) => runs.push(run, GFP_KERNEL)?,
                Err(e) if covered == 0 || waiting.must_pause() => return Err(e),
                Err(_) => break,
            }
            covered += step;
        }
        Ok(Self { runs, step })
    }

    fn pages(&self) -> usize {
        self.runs.iter().map(Run::len).sum()
    }

    fn whole(&mut self) -> Option<&mut Run> {
        self.runs.first_mut().filter(|run| run.len() == PMD_PAGES)
    }

    fn run(&mut self, index: usize) -> Option<(&mut Run, usize)> {
        let step = self.step.max(1);
        Some((self.runs.get_mut(index / step)?, index % step))
    }
}

/// What moved.
pub(crate) struct Moved {
    /// The number of pages, without those that were made.
    pub(crate) pages: usize,
    /// There was device memory for a part of the pages only.
    pub(crate) short: bool,
}

/// Moves what can be moved of the range; pages that are there already stay.
///
/// # Errors
///
/// `ENOSPC` when the device has no room, `ENOMEM` when the host has none, `EIO` when a copy failed;
/// `EAGAIN` when the core would not fill a hole: somebody else did, or its memory cgroup is full;
/// `EINVAL` for a VMA whose pages cannot move. Any of them when `work.waiting` has to pause.
pub(crate) fn to_device(job: &Job<'_>, work: &mut Work<'_>) -> Result<Moved> {
    let pages = job.range.count() as usize;
    let mut dst = Destination::of(job, pages, &mut work.waiting)?;
    let short = dst.pages() < pages;
    // What was evicted for it counts, too. The room is there when it is tried again.
    work.waiting.move_pages(dst.pages().min(pages))?;
    let bytes = job.range.bytes();
    let select = Select {
        host: true,
        huge: job.range.is_block(),
    };
    let Batch { arrays, runs, .. } = &mut *work.batch;
    let mut m = Migration::from_vma(job.vma, bytes, select, owner(), arrays)?;
    if m.is_empty() {
        return Ok(Moved { pages: 0, short });
    }
    let apart = !place(job, &mut m, &mut dst);
    // The core fills a huge hole as a whole, and does not look whether all pages have a place.
    if apart && m.is_huge(0) && m.source(0) == Source::Hole && short {
        (0..pages).for_each(|index| drop(m.take_dst(index)));
        return Err(ENOSPC);
    }
    let result = copy(job, &mut m, apart, runs);
    let counts = Counts::of(&mut m, apart);
    let addr = job.range.start_byte() as usize;
    let report = counts.report(job.memory, addr, &m.commit());
    if result.is_ok() && report.unfilled > 0 {
        return Err(EAGAIN);
    }
    let pages = report.moved;
    result.map(|()| Moved { pages, short })
}

/// Says for each page where it goes. Returns whether a huge page goes in one piece.
fn place(job: &Job<'_>, m: &mut Migration<'_>, dst: &mut Destination) -> bool {
    if m.is_huge(0) && wanted(job, m, 0) {
        let huge_ok = m.source(0) != Source::Hole || vma_info::thp_allowed(job.vma);
        let folio = dst.whole().filter(|_| huge_ok).and_then(Run::huge_folio);
        if folio.is_some_and(|folio| m.set_dst(0, folio)) {
            return true;
        }
    }
    // A huge source without a huge destination is taken apart by the migration.
    let apart = m.is_huge(0);
    for_each_piece(m, apart, |m, piece| {
        if !wanted(job, m, if apart { 0 } else { piece.index }) {
            return;
        }
        let folio = dst
            .run(piece.index)
            .and_then(|(run, offset)| run.folio(offset));
        if let Some(folio) = folio {
            // Without a destination it stays where it is.
            let _ = m.set_dst(piece.index, folio);
        }
    });
    false
}

/// Decides whether a collected page is to move.
fn wanted(job: &Job<'_>, m: &Migration<'_>, index: usize) -> bool {
    match m.source(index) {
        Source::Unselected => false,
        Source::Hole => !job.existing_only,
        Source::Host { .. } => m.is_writable(index) || !job.exclusive_only,
        Source::Device { pfn } => {
            job.memory.map.page(pfn).is_none() && (m.is_writable(index) || !job.exclusive_only)
        }
    }
}

/// Fills the destinations; a page whose copy fails loses its destination.
fn copy(job: &Job<'_>, m: &mut Migration<'_>, apart: bool, runs: &mut Runs) -> Result {
    // Zeroes, then host pages: one call of the driver each.
    let zeroed = fill(job, m, apart, runs, true);
    let copied = fill(job, m, apart, runs, false);
    let moved = copy_from_peers(job, m, apart);

    zeroed.and(copied).and(moved)
}

/// Fills those whose source is a hole, or else those whose source is on the host.
fn fill(job: &Job<'_>, m: &mut Migration<'_>, apart: bool, runs: &mut Runs, holes: bool) -> Result {
    let memory = &job.memory.map;
    let mmu = &job.memory.parts().mmu;

    runs.clear();
    for_each_piece(m, apart, |m, piece| {
        let Some(page) = m.dst_pfn(piece.index).and_then(|pfn| memory.page(pfn)) else {
            return;
        };
        let to = (page as u64) << PAGE_SHIFT;
        match piece.source {
            // The other side of a zero-fill follows the device side, so that runs join.
            Source::Hole if holes => runs.push(to, to, piece.len()),
            Source::Host { pfn } if !holes => {
                runs.push(to, (pfn as u64) << PAGE_SHIFT, piece.len());
            }
            _ => {}
        }
    });
    let done = if holes {
        mmu.zero(runs.as_slice())
    } else {
        mmu.copy_to_dev(runs.as_slice())
    };
    if done.is_err() {
        for_each_piece(m, apart, |m, piece| match piece.source {
            Source::Hole if holes => drop(m.take_dst(piece.index)),
            Source::Host { .. } if !holes => drop(m.take_dst(piece.index)),
            _ => {}
        });
    }
    done.map_err(|_| EIO)
}

/// Copies the pages of other devices, one by one: they are few or huge.
fn copy_from_peers(job: &Job<'_>, m: &mut Migration<'_>, apart: bool) -> Result {
    let memory = &job.memory.map;
    let mmu = &job.memory.parts().mmu;
    let mut result = Ok(());
    let mut last = None;

    for_each_piece(m, apart, |m, piece| {
        let Source::Device { pfn } = piece.source else {
            return;
        };
        let Some(to) = m.dst_pfn(piece.index).and_then(|pfn| memory.page(pfn)) else {
            return;
        };
        let mut lost = false;
        let done = origin_of(&mut last, m, piece, pfn)
            .ok_or(EIO)
            .and_then(|(src, page)| {
                lost = src.parts.mmu.has_ended();
                let run = sys::CopyRun {
                    dev_addr: (to as u64) << PAGE_SHIFT,
                    other: (page as u64) << PAGE_SHIFT,
                    len: piece.len(),
                };
                copy_peer(mmu, &src.parts.mmu, &run)
            });
        if done.is_err() {
            drop(m.take_dst(piece.index));
            // What is lost cannot come; who reads the page table for it learns that.
            if !lost {
                result = Err(EIO);
            }
        }
    });
    result
}
