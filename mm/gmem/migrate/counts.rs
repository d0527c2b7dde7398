// SPDX-License-Identifier: GPL-2.0

//! Counting what a migration to a device moved: noted before the sources are gone, reported when it
//! is certain.

use crate::{
    device::{
        memory::Memory,
        stats::Stats, //
    },
    migrate::pieces::{
        for_each_piece,
        origin_of,
        Piece, //
    },
    prelude::*, //
};
use kernel::mm::device::migrate::{
    Committed,
    Source, //
};

/// Pages on their way to a device, by where they come from.
#[derive(Default)]
pub(crate) struct Counts {
    holes: PieceSet,
    host: PieceSet,
    peer: PieceSet,
    /// `peer` again, device by device.
    sources: KVec<(Arc<Stats>, PieceSet)>,
}

/// What a migration came to, in pages.
pub(crate) struct Report {
    /// What came from elsewhere.
    pub(crate) moved: usize,
    /// Holes that were to be filled, and were not.
    pub(crate) unfilled: usize,
}

/// One bit a page of the block.
#[derive(Clone, Copy, Default)]
struct PieceSet {
    bits: [u64; PMD_PAGES / 64],
    step: usize,
}

impl PieceSet {
    fn add(&mut self, piece: Piece) {
        self.step = piece.pages;
        if let Some(word) = self.bits.get_mut(piece.index / 64) {
            *word |= 1 << (piece.index % 64);
        }
    }

    fn pages(&self) -> usize {
        let bits: u32 = self.bits.iter().map(|word| word.count_ones()).sum();

        bits as usize * self.step
    }

    fn moved(&self, m: &Committed<'_>) -> usize {
        let mut pages = 0;
        for (i, word) in self.bits.iter().enumerate() {
            let mut word = *word;
            while word != 0 {
                let index = (i << 6) + word.trailing_zeros() as usize;
                word &= word - 1;
                if m.moved(index) {
                    pages += self.step;
                }
            }
        }
        pages
    }
}

impl Counts {
    /// Notes everything that has a destination.
    pub(crate) fn of(m: &mut Migration<'_>, apart: bool) -> Self {
        let mut counts = Self::default();
        let mut last = None;

        for_each_piece(m, apart, |m, piece| {
            if m.dst_pfn(piece.index).is_none() {
                return;
            }
            match piece.source {
                Source::Hole => counts.holes.add(piece),
                Source::Host { .. } => counts.host.add(piece),
                Source::Device { pfn } => {
                    counts.peer.add(piece);
                    if let Some((origin, _)) = origin_of(&mut last, m, piece, pfn) {
                        counts.add_source(&origin.parts.stats, piece);
                    }
                }
                Source::Unselected => {}
            }
        });
        counts
    }

    fn add_source(&mut self, stats: &Arc<Stats>, piece: Piece) {
        let known = self
            .sources
            .iter_mut()
            .find(|(source, _)| Arc::ptr_eq(source, stats));
        if let Some((_, pages)) = known {
            pages.add(piece);
            return;
        }
        let mut pages = PieceSet::default();
        pages.add(piece);
        // Without memory for it a counter stays behind, which is no reason to fail.
        let _ = self.sources.push((stats.clone(), pages), GFP_KERNEL);
    }

    /// Counts what moved to `memory`; `addr` is the address of the first page.
    pub(crate) fn report(&self, memory: &Memory, addr: usize, m: &Committed<'_>) -> Report {
        let parts = memory.parts();
        let (holes, host, peer) = (self.holes.moved(m), self.host.moved(m), self.peer.moved(m));
        let all = holes + host + peer;

        parts.stats.zeroed.add(holes << PAGE_SHIFT);
        parts.stats.to_dev.add((host + peer) << PAGE_SHIFT);
        parts.stats.peer.add(peer << PAGE_SHIFT);
        sys::count(sys::Event::ZeroFill, holes);
        sys::count(sys::Event::ToDevice, host + peer);
        for (stats, pages) in &self.sources {
            stats.from_dev.add(pages.moved(m) << PAGE_SHIFT);
        }
        if all > 0 {
            sys::trace_migrate(parts.id, true, addr, all);
        }
        Report {
            moved: host + peer,
            unfilled: self.holes.pages() - holes,
        }
    }
}
