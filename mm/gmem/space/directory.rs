// SPDX-License-Identifier: GPL-2.0

//! The logical page table: what the device side of an address space knows about its pages.
//!
//! One directory per address space. An entry covers one page or one block of 2 MiB. Lookups take no
//! lock; every change needs the map lock, so that an entry and the device page tables change
//! together. Memory is reserved before the map lock is taken.

use crate::{
    range::{
        PageRange,
        BLOCK_ORDER, //
    },
    space::entry::{
        merge,
        would_lose,
        Entry,
        Holder, //
    }, //
};
use core::cell::Cell;
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed, //
    },
    xarray_value::{
        Found,
        Mark,
        Marks,
        Reserved,
        Update,
        Value,
        ValueArray, //
    }, //
};

/// Entries of pages that a device holds.
pub(super) const ON_DEVICE: Mark = Mark::Mark0;
/// Entries of pages that a context maps.
pub(super) const MAPPED: Mark = Mark::Mark1;

const _: () = assert!(Entry::BITS <= Value::BITS);

/// What [`Directory::enter`] is to note.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Enter {
    /// Who holds the pages.
    pub(crate) holder: Holder,
    /// The frame of the first one in the memory of the holder, and those behind it of the others;
    /// [`None`] if it is not known.
    pub(crate) frame: Option<u64>,
    /// The contexts that are about to map them, one bit each.
    pub(crate) contexts: u16,
    /// Was write access validated?
    pub(crate) writable: bool,
    /// Are the pages copies of what the holder has?
    pub(crate) duplicated: bool,
    /// Are the pages of a kind that never moves to a device?
    pub(crate) fixed: bool,
}

/// Proof that the map lock of the address space is held, which is above.
pub(crate) trait MapLocked {}

/// The logical page table of one address space.
#[pin_data]
pub(crate) struct Directory {
    #[pin]
    pub(super) values: ValueArray,
    /// How often pages were taken from contexts; changes under the map lock.
    taken: Atomic<u64>,
}

impl Directory {
    /// Makes an empty directory.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            values <- ValueArray::new(),
            taken: Atomic::new(0),
        })
    }

    /// Looks up the entry of `page` and all pages it covers. Takes no lock.
    pub(crate) fn lookup(&self, page: u64) -> Option<(PageRange, Entry)> {
        let found = self.values.load(page as usize)?;

        Some((extent(&found), entry(found.value)))
    }

    /// Reserves the memory that [`Directory::enter`] with the same `range` and `huge` needs. May
    /// sleep, so the map lock must not be held.
    ///
    /// The reservation lasts until something in the range is forgotten.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: `huge`, and the range is no block.
    /// - `EEXIST`: an entry of the other size is in the way; it must be forgotten first.
    /// - `ENOMEM`: out of memory.
    pub(crate) fn reserve(&self, range: PageRange, huge: bool) -> Result {
        let Some((first, last)) = bounds(range) else {
            return Ok(());
        };
        if !huge {
            return self.values.reserve_leaves(first, last);
        }
        if !range.is_block() {
            return Err(EINVAL);
        }
        self.values.reserve_entry(first, BLOCK_ORDER)
    }

    /// Notes that contexts map the pages of `range`, as one entry when `huge`. What is there is
    /// merged when the holder is the same. On failure nothing was changed.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: `huge`, and the range is no block.
    /// - `EAGAIN`: the range is not reserved, or not any more.
    /// - `EEXIST`: a larger entry is in the way; it must be forgotten first.
    /// - `EBUSY`: what a context maps there would be lost; it must be invalidated first.
    pub(crate) fn enter(
        &self,
        _map: &impl MapLocked,
        range: PageRange,
        huge: bool,
        new: Enter,
    ) -> Result {
        let Some((first, last)) = bounds(range) else {
            return Ok(());
        };
        if huge && !range.is_block() {
            return Err(EINVAL);
        }
        let order = if huge { BLOCK_ORDER } else { 0 };
        let new = |page: usize| {
            let frame = new
                .frame
                .map(|frame| frame.wrapping_add(page.wrapping_sub(first) as u64));

            Entry::new(new.holder, frame)
                .with_contexts(new.contexts)
                .with_writable(new.writable)
                .with_duplicated(new.duplicated)
                .with_fixed(new.fixed)
        };
        let below = Cell::new(0);

        self.values.store_range(
            first,
            last,
            order,
            |found| {
                let old = entry(found.value);
                let is_smaller = found.order < order;

                if would_lose(old, new(found.base), is_smaller) {
                    return Err(EBUSY);
                }
                if is_smaller {
                    below.set(below.get() | old.contexts());
                }
                Ok(())
            },
            |page, old| {
                let new = new(page);
                let merged = match old.map(entry) {
                    Some(old) if old.holder() == new.holder() => merge(old, new),
                    _ => new,
                };
                packed(merged.with_contexts(below.get()))
            },
        )
    }

    /// Notes that contexts map what is mapped in `range` already, which covers entries whole.
    pub(crate) fn join(&self, _map: &impl MapLocked, range: PageRange, contexts: u16) {
        if let Some((first, last)) = bounds(range) {
            let add = |found: Found| {
                let (value, marks) = packed(entry(found.value).with_contexts(contexts));
                Update::Replace(value, marks)
            };
            self.values
                .update(first, last, Some(MAPPED), Reserved::Keep, add);
        }
    }

    /// Takes the pages of `range` from all contexts.
    ///
    /// Entries change whole. `f` is told which contexts had mapped which pages, in order of
    /// addresses and with as few calls as that takes; the pages may reach beyond `range`. It runs
    /// under the map lock only.
    ///
    /// With `forget` nothing remains of the entries and reservations of the range: the pages went
    /// away or may have another holder. Without, the holder stays known and reservations stay:
    /// this is for a change of access rights, and for the notification that a migration which has
    /// reserved the range gets of itself.
    pub(crate) fn invalidate(
        &self,
        _map: &impl MapLocked,
        range: PageRange,
        forget: bool,
        f: impl FnMut(u16, PageRange),
    ) {
        let reserved = if forget {
            Reserved::Drop
        } else {
            Reserved::Keep
        };
        self.take(range, None, reserved, u16::MAX, f, |left| {
            if forget {
                Update::Erase
            } else {
                keep(left, Update::Vacate)
            }
        });
    }

    /// Takes the pages of `range` from `contexts`, and tells `f` which ones they had mapped.
    ///
    /// Entries change whole, so the pages may reach beyond `range`.
    pub(crate) fn detach(
        &self,
        _map: &impl MapLocked,
        range: PageRange,
        contexts: u16,
        f: impl FnMut(u16, PageRange),
    ) {
        self.take(range, Some(MAPPED), Reserved::Keep, contexts, f, |left| {
            // Whose copies are left, if any, their contexts will tell.
            let duplicated = left.is_duplicated() && left.is_mapped();

            keep(left.with_duplicated(duplicated), Update::Erase)
        });
    }

    /// Returns how often pages were taken from contexts. What a lookup after this said is still
    /// true under the map lock if the number is the same.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Acquire)
    }

    /// Takes the pages of `range` from `contexts`. `f` gets runs of pages that the same contexts
    /// lose, after the entries were changed; `update` says what becomes of an entry without them.
    fn take(
        &self,
        range: PageRange,
        mark: Option<Mark>,
        reserved: Reserved,
        contexts: u16,
        mut f: impl FnMut(u16, PageRange),
        update: impl Fn(Entry) -> Update,
    ) {
        let Some((mut next, last)) = bounds(range) else {
            return;
        };
        self.taken.add(1, Relaxed);
        loop {
            let mut run: Option<(u16, PageRange)> = None;
            let mut rest = None;

            self.values.update(next, last, mark, reserved, |found| {
                let old = entry(found.value);
                let lost = old.contexts() & contexts;

                if lost != 0 {
                    let pages = extent(&found);
                    let longer = match run {
                        None => Some(pages),
                        Some((same, run)) if same == lost => run.join(pages),
                        Some(_) => None,
                    };
                    let Some(longer) = longer else {
                        rest = Some(found.base);
                        return Update::Stop;
                    };
                    run = Some((lost, longer));
                }
                match update(old.without_contexts(contexts)) {
                    Update::Replace(value, _) if value == found.value => Update::Keep,
                    update => update,
                }
            });
            if let Some((lost, pages)) = run {
                f(lost, pages);
            }
            let Some(base) = rest else {
                return;
            };
            next = base;
        }
    }
}

/// The first and the last index; `None` for the empty range.
pub(super) fn bounds(range: PageRange) -> Option<(usize, usize)> {
    Some((range.first() as usize, range.last()? as usize))
}

pub(super) fn extent(found: &Found) -> PageRange {
    PageRange::around(found.base as u64, found.order).unwrap_or_default()
}

pub(super) fn entry(value: Value) -> Entry {
    Entry::from_bits(value.bits() as u64)
}

/// The value and the marks that stand for `entry`.
fn packed(entry: Entry) -> (Value, Marks) {
    (
        Value::from_bits_truncate(entry.bits() as usize),
        Marks::NONE
            .with(ON_DEVICE, entry.on_device())
            .with(MAPPED, entry.is_mapped()),
    )
}

/// Leaves an entry that says something; does `otherwise` to one that does not.
fn keep(entry: Entry, otherwise: Update) -> Update {
    if entry.is_mapped() || entry.is_worth_keeping() {
        let (value, marks) = packed(entry);

        Update::Replace(value, marks)
    } else {
        otherwise
    }
}
