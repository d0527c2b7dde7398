// SPDX-License-Identifier: GPL-2.0

//! How much to bring to a device at once.

use crate::range::{
    PageRange,
    BLOCK_ORDER, //
};

/// Order of what is moved where no large folio can be had, 64 KiB: enough to make copies and
/// device translations worth their while, and little to move in vain.
pub(crate) const RUN_ORDER: u32 = 4;

/// What is known about a fault when its block is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    /// The page that is needed.
    pub(crate) page: u64,
    /// The pages of the VMA, or the part of it that may be moved.
    pub(crate) vma: PageRange,
    /// What the caller is about to use; it need not have the page, and may be empty.
    pub(crate) hint: PageRange,
    /// May the VMA have large folios?
    pub(crate) huge_allowed: bool,
    /// The longest run of pages that the device can give.
    pub(crate) room: u64,
    /// Would a large folio have to push others out?
    pub(crate) scarce: bool,
    /// Is the page where a walk through memory goes next (`policy::ahead`)?
    pub(crate) expected: bool,
}

impl Fault {
    /// Chooses what is brought to the device: at least the page that is needed, all in the VMA and
    /// in one block of 2 MiB. That is 2 MiB where a large folio may be and is worth it, else the
    /// 64 KiB around the page and around what the hint names, else the page alone. `None` if the
    /// page is not in the VMA.
    ///
    /// Where there is room, large is always worth it. Where others have to leave for it, a fault
    /// in the middle of nowhere brings 64 KiB: of 2 MiB, the other 31 parts would be moved in
    /// vain, twice. A walk and a hint say that the rest will be used.
    pub(crate) fn choose(&self) -> Option<PageRange> {
        if !self.vma.has(self.page) {
            return None;
        }
        let page = PageRange::page(self.page)?;
        let block = PageRange::around(self.page, BLOCK_ORDER)?;

        let worth = !self.scarce || self.expected || self.hint.covers(block);
        if worth && self.huge_allowed && self.vma.covers(block) && block.count() <= self.room {
            return Some(block);
        }
        let run = page.align_out(RUN_ORDER);
        let wide = self
            .hint
            .intersect(block)
            .filter(|hint| hint.has(self.page))
            .map_or(run, |hint| hint.align_out(RUN_ORDER));
        [wide, run]
            .into_iter()
            .filter_map(|range| range.intersect(self.vma))
            .find(|range| range.count() <= self.room)
            .or(Some(page))
    }
}
