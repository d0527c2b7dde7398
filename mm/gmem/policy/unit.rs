// SPDX-License-Identifier: GPL-2.0

//! What leaves a device together.

/// Pages of a slot, 64 KiB.
pub(crate) const SLOT_PAGES: usize = 16;
/// Slots of a chunk, 2 MiB.
pub(crate) const CHUNK_SLOTS: u32 = 32;
/// Pages of a chunk.
pub(crate) const CHUNK_PAGES: usize = SLOT_PAGES * CHUNK_SLOTS as usize;

/// One slot, or a whole chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unit {
    slot: u32,
    whole: bool,
}

impl Unit {
    /// The slot that `page` of the device is in.
    pub(crate) const fn slot_of(page: usize) -> Self {
        Self::slot((page / SLOT_PAGES) as u32)
    }

    /// The chunk that `page` of the device is in.
    pub(crate) const fn chunk_of(page: usize) -> Self {
        Self::chunk((page / CHUNK_PAGES) as u32)
    }

    /// The slot with this number.
    pub(crate) const fn slot(slot: u32) -> Self {
        Self { slot, whole: false }
    }

    /// The chunk with this number.
    pub(crate) const fn chunk(chunk: u32) -> Self {
        Self {
            slot: chunk.wrapping_mul(CHUNK_SLOTS),
            whole: true,
        }
    }

    /// The number of its first slot.
    pub(crate) const fn first_slot(self) -> u32 {
        self.slot
    }

    /// The number of its slots.
    pub(crate) const fn slots(self) -> u32 {
        if self.whole {
            CHUNK_SLOTS
        } else {
            1
        }
    }

    /// Its first page.
    pub(crate) const fn first_page(self) -> usize {
        (self.slot as usize).wrapping_mul(SLOT_PAGES)
    }

    /// The number of its pages.
    pub(crate) const fn pages(self) -> usize {
        if self.whole {
            CHUNK_PAGES
        } else {
            SLOT_PAGES
        }
    }

    /// Is it a whole chunk?
    pub(crate) const fn is_whole(self) -> bool {
        self.whole
    }

    /// The chunk that it is, or is in.
    pub(crate) const fn around(self) -> Self {
        Self::chunk(self.slot / CHUNK_SLOTS)
    }
}
