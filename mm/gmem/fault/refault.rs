// SPDX-License-Identifier: GPL-2.0

//! Refaults: what the directory holds as valid is entered as the directory says.
//!
//! Another context maps the pages already, or the device lost its entry. The CPU page table is not
//! read and mmap_lock not taken: who changes it takes the contexts out of the directory first,
//! under the map lock. So does who takes the memory away, which is why no reference to it is
//! needed. The answer is one run: pages that are scattered are looked up one by one.

use crate::{
    advice::attributes_tree::Advice,
    fault::{
        map::touch,
        part::Request, //
    },
    prelude::*,
    space::{
        context::Context,
        entry::Entry, //
    }, //
};

/// Who asks.
struct Refault<'a> {
    context: &'a Context,
    mm: &'a MmWithUser,
    request: Request,
}

/// What the directory says.
struct Answer {
    pages: PageRange,
    run: MapRun,
    /// The context maps all of them: the device lost its entries.
    is_named: bool,
}

/// Enters what is asked for if the directory knows it. Returns the pages that the device has now,
/// or [`None`] when the CPU page table has to be asked.
pub(super) fn serve(context: &Context, mm: &MmWithUser, request: Request) -> Option<PageRange> {
    let Context { space, pmap, .. } = context;
    let asked = Refault {
        context,
        mm,
        request,
    };
    if !request.purpose.is_demand() {
        return None;
    }
    let taken = space.directory.taken();
    let Answer {
        pages,
        run,
        is_named,
    } = asked.answer()?;
    {
        let _charging = sys::Charging::to(mm);
        pmap.prepare(pages).ok()?;
    }
    let map = space.lock_map();
    if space.directory.taken() != taken {
        // Perhaps something else is true now.
        return None;
    }
    if !is_named {
        space.directory.join(&map, pages, context.bit());
    }
    // If it fails the directory says too much, which does no harm.
    context.install(&map, &[run]).ok()?;
    drop(map);

    let device = &context.device;
    device.parts.stats.refaults.add(1);
    if run.flags & bindings::GM_MAP_LOCAL == 0 {
        device.parts.stats.remote.add(pages.len_bytes() as usize);
    } else if !is_named {
        device.with_memory(|memory| touch(memory, &[run], space.key()));
    }
    Some(pages)
}

impl Refault<'_> {
    /// Makes a run of what the directory says about the request, of which there may be no more than
    /// one block has. Entries go in whole.
    fn answer(&self) -> Option<Answer> {
        let (range, directory) = (self.request.range, &self.context.space.directory);
        let (mut pages, entry) = directory.lookup(range.first())?;
        let (addr, flags) = self.entered(pages, entry)?;
        let mut contexts = entry.contexts() & self.context.bit();

        if pages.end() < range.end() && range.blocks().nth(1).is_some() {
            return None;
        }
        while pages.end() < range.end() {
            let (more, entry) = directory.lookup(pages.end())?;
            contexts &= entry.contexts();
            if self.entered(more, entry)? != (addr.wrapping_add(pages.len_bytes()), flags) {
                return None;
            }
            pages = pages.join(more)?;
        }
        let run = MapRun {
            va: pages.start_byte(),
            addr,
            nr_pages: pages.count() as u32,
            flags,
        };
        self.context.device.reach.covers(pages).then_some(Answer {
            pages,
            run,
            is_named: contexts != 0,
        })
    }

    /// Returns the address and the flags with which an entry that is valid for the request is
    /// entered.
    fn entered(&self, pages: PageRange, entry: Entry) -> Option<(u64, u32)> {
        let is_allowed = entry.is_writable() || !self.request.write;
        if !entry.is_mapped() || entry.is_duplicated() || !is_allowed {
            return None;
        }
        let kind = match u32::from(entry.holder()) {
            0 if self.stays(pages, entry) => bindings::GM_MAP_HOST,
            here if here == self.context.device.parts.id => bindings::GM_MAP_LOCAL,
            _ => return None,
        };
        let access = if entry.is_writable() {
            bindings::GM_ACCESS_READ | bindings::GM_ACCESS_WRITE
        } else {
            bindings::GM_ACCESS_READ
        };
        Some((entry.frame()? << PAGE_SHIFT, kind | access))
    }

    /// Returns whether a page of the host is used where it is: the page neither moves to the device
    /// nor is copied, or the device has no memory.
    fn stays(&self, pages: PageRange, entry: Entry) -> bool {
        let is_copied =
            || Advice::find(self.mm).is_some_and(|advice| advice.at(pages.first()).1.read_mostly);
        (entry.is_fixed() && !is_copied()) || self.context.device.with_memory(|_| ()).is_none()
    }
}
