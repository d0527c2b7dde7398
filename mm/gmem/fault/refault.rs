// SPDX-License-Identifier: GPL-2.0

//! Refaults: what the directory holds as valid is entered as the directory says.
//!
//! Another context maps the pages already, or the device lost its entry. The CPU page table is not
//! read and mmap_lock not taken: who changes it takes the contexts out of the directory first,
//! under the map lock.

use crate::{
    advice::attributes_tree::Advice,
    device::memory::Memory,
    fault::{
        map::{
            push,
            touch, //
        },
        part::Request, //
    },
    range::PageRange,
    space::{
        context::Context,
        directory::Directory,
        entry::Entry, //
    },
    sys::{
        self,
        MapRun, //
    }, //
};
use kernel::{
    bindings,
    mm::MmWithUser,
    page::PAGE_SHIFT,
    prelude::*,
    sync::Arc, //
};

/// Who asks.
pub(crate) struct Refault<'a> {
    pub(crate) context: &'a Context,
    pub(crate) mm: &'a MmWithUser,
    pub(crate) memory: Option<&'a Arc<Memory>>,
    pub(crate) request: Request,
}

/// What the directory says.
struct Answer {
    pages: PageRange,
    /// It says of all of them that the context maps them: the device lost its entries.
    is_named: bool,
}

impl Refault<'_> {
    /// Enters what is asked for if the directory knows it. Returns the pages that the device has
    /// now, or [`None`] when the CPU page table has to be asked.
    pub(crate) fn serve(&self, maps: &mut KVVec<MapRun>) -> Option<PageRange> {
        let Context { space, pmap, .. } = self.context;
        if !self.request.purpose.is_demand() {
            return None;
        }
        let taken = space.directory.taken();
        let mut answer = self.build(&space.directory, maps)?;
        {
            let _charging = sys::Charging::to(self.mm);
            let (start, len) = (answer.pages.start_byte(), answer.pages.len_bytes());
            pmap.prepare(start as usize, len as usize).ok()?;
        }
        let map = space.lock_map();
        if space.directory.taken() != taken {
            // Perhaps something else is true now; the lock keeps it.
            let again = self.build(&space.directory, maps)?;
            if !answer.pages.covers(again.pages) {
                return None;
            }
            answer = again;
        }
        let Answer { pages, is_named } = answer;
        if !is_named {
            space.directory.join(&map, pages, self.context.bit());
        }
        // If it fails the directory says too much, which does no harm.
        self.context.install(&map, maps).ok()?;
        drop(map);

        let stats = &self.context.device.parts.stats;
        stats.refaults.add(1);
        for run in maps.iter() {
            if run.flags & bindings::GM_MAP_LOCAL == 0 {
                stats.remote.add((run.nr_pages as usize) << PAGE_SHIFT);
            }
        }
        if !is_named {
            touch(self.memory, maps, space.key());
        }
        Some(pages)
    }

    /// Makes runs of what the directory says about the request, of which there may be no more than
    /// one block has. Entries go in whole.
    fn build(&self, directory: &Directory, maps: &mut KVVec<MapRun>) -> Option<Answer> {
        let range = self.request.range;
        let (mut pages, entry) = directory.lookup(range.first())?;
        let mut contexts = entry.contexts() & self.context.bit();

        maps.clear();
        push(maps, self.run(pages, entry)?, true);
        if pages.end() < range.end() && range.blocks().nth(1).is_some() {
            return None;
        }
        while pages.end() < range.end() {
            let (more, entry) = directory.lookup(pages.end())?;
            contexts &= entry.contexts();
            push(maps, self.run(more, entry)?, true);
            pages = pages.join(more)?;
        }
        Some(Answer {
            pages,
            is_named: contexts != 0,
        })
    }

    /// Returns the run for an entry that is valid for the request, and where the pages stay.
    fn run(&self, pages: PageRange, entry: Entry) -> Option<MapRun> {
        let denied = self.request.write && !entry.is_writable();
        if !entry.is_mapped() || entry.is_duplicated() || denied {
            return None;
        }
        let frame = entry.frame()?;
        let kind = if entry.holder() == 0 {
            self.stays(pages, entry).then_some(bindings::GM_MAP_HOST)?
        } else {
            let here = u32::from(entry.holder()) == self.context.device.parts.id;
            here.then_some(bindings::GM_MAP_LOCAL)?
        };
        let access = if entry.is_writable() {
            bindings::GM_ACCESS_READ | bindings::GM_ACCESS_WRITE
        } else {
            bindings::GM_ACCESS_READ
        };
        Some(MapRun {
            va: pages.start_byte(),
            addr: frame << PAGE_SHIFT,
            nr_pages: pages.count() as u32,
            flags: kind | access,
        })
    }

    /// Returns whether a page of the host is used where it is: the device has no memory, or the
    /// page neither moves there nor is copied.
    fn stays(&self, pages: PageRange, entry: Entry) -> bool {
        self.memory.is_none()
            || (entry.is_fixed()
                && !Advice::find(self.mm)
                    .is_some_and(|advice| advice.at(pages.first()).1.read_mostly))
    }
}
