// SPDX-License-Identifier: GPL-2.0

//! Virtual addresses of a standalone address space.
//!
//! Free addresses are kept as gaps, sorted and never adjacent, in a slice that the caller provides
//! and may replace by a longer one. [`Space::alloc`] asks for that ahead of time, so that giving
//! addresses back never needs memory.

use crate::range::PageRange;
use core::{
    mem,
    ops::DerefMut, //
};

/// Which of the gaps that are large enough is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::enum_variant_names, reason = "these are their names")]
pub(crate) enum Policy {
    /// The one with the lowest address.
    FirstFit,
    /// The smallest one.
    BestFit,
    /// The first one behind the last allocation, or what is left of the one around its end.
    NextFit,
}

/// Why addresses were not given or taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Error {
    /// No gap is large enough, or the wanted addresses are not free.
    Full,
    /// The storage is too short: see [`Space::grow`].
    Storage,
    /// The range is empty, outside of the space, or free already.
    Invalid,
}

/// How many sizes, from one quantum on, have a cache.
const CACHED_SIZES: usize = 8;
/// How many ranges of a size are cached.
const CACHE_DEPTH: usize = 8;

/// Freed ranges of one size, to be used again without a look at the gaps.
#[derive(Clone, Copy, Debug, Default)]
struct Cache([Option<PageRange>; CACHE_DEPTH]);

impl Cache {
    fn meets(&self, range: PageRange) -> bool {
        let mut slots = self.0.iter();
        slots.any(|slot| slot.is_some_and(|other| other.intersect(range).is_some()))
    }
}

/// The addresses of one address space.
///
/// # Invariants
///
/// The first `used` ranges of `gaps` are not empty, sorted and not adjacent. `live` counts what is
/// given out or cached.
#[derive(Debug)]
pub(crate) struct Space<S> {
    gaps: S,
    used: usize,
    live: usize,
    whole: PageRange,
    policy: Policy,
    cursor: u64,
    quantum: u64,
    caches: Option<[Cache; CACHED_SIZES]>,
}

impl<S: DerefMut<Target = [PageRange]>> Space<S> {
    /// Makes a space where all of `whole` is free, with storage for at least one gap. Freed ranges
    /// of a few multiples of `quantum` pages are kept per size for a quick second use; 0 keeps
    /// none.
    pub(crate) fn new(
        mut gaps: S,
        whole: PageRange,
        policy: Policy,
        quantum: u64,
    ) -> Result<Self, Error> {
        if whole.is_empty() {
            return Err(Error::Invalid);
        }
        *gaps.first_mut().ok_or(Error::Storage)? = whole;
        Ok(Self {
            gaps,
            used: 1,
            live: 0,
            whole,
            policy,
            cursor: whole.first(),
            quantum,
            caches: (quantum != 0).then(Default::default),
        })
    }

    /// The storage that the next allocation asks for, in gaps.
    pub(crate) fn needed(&self) -> usize {
        self.live.saturating_add(2)
    }

    /// Moves the gaps to longer storage and returns the old one.
    pub(crate) fn grow(&mut self, mut gaps: S) -> Result<S, Error> {
        let old = self.gaps.get(..self.used).ok_or(Error::Storage)?;
        let new = gaps.get_mut(..self.used).ok_or(Error::Storage)?;

        for (new, old) in new.iter_mut().zip(old) {
            *new = *old;
        }
        Ok(mem::replace(&mut self.gaps, gaps))
    }

    /// Gives out `count` pages, aligned to `2^order` pages.
    pub(crate) fn alloc(&mut self, count: u64, order: u32) -> Result<PageRange, Error> {
        if count == 0 {
            return Err(Error::Invalid);
        }
        let fits = |range: &PageRange| fit(*range, count, order) == Some(*range);
        let slots = self.cache(count);

        if let Some(slot) = slots
            .iter_mut()
            .find(|slot| slot.as_ref().is_some_and(fits))
        {
            return slot.take().ok_or(Error::Full);
        }
        if self.gaps.len() < self.needed() {
            return Err(Error::Storage);
        }
        let mut found = self.search(count, order);
        if found.is_none() && self.flush() {
            found = self.search(count, order);
        }
        let (at, range) = found.ok_or(Error::Full)?;
        self.carve(at, range)?;
        self.cursor = range.end();
        Ok(range)
    }

    /// Gives out exactly `range`.
    pub(crate) fn alloc_fixed(&mut self, range: PageRange) -> Result<(), Error> {
        if range.is_empty() || !self.whole.covers(range) {
            return Err(Error::Invalid);
        }
        self.flush();
        if self.gaps.len() < self.needed() {
            return Err(Error::Storage);
        }
        let at = self.gaps().iter().position(|gap| gap.covers(range));
        self.carve(at.ok_or(Error::Full)?, range)
    }

    /// Takes back what was given out. Never fails for lack of storage if ranges come back whole.
    pub(crate) fn free(&mut self, range: PageRange) -> Result<(), Error> {
        let is_free = self.gaps().iter().any(|gap| gap.intersect(range).is_some());
        let caches = self.caches.as_ref();
        let is_cached = caches.is_some_and(|all| all.iter().any(|cache| cache.meets(range)));

        if range.is_empty() || !self.whole.covers(range) || is_free || is_cached {
            return Err(Error::Invalid);
        }
        if let Some(slot) = self
            .cache(range.count())
            .iter_mut()
            .find(|slot| slot.is_none())
        {
            *slot = Some(range);
            return Ok(());
        }
        self.give_back(range)
    }

    /// Empties the caches; returns whether there was anything.
    fn flush(&mut self) -> bool {
        let caches = self.caches.as_mut().map(mem::take);
        let mut any = false;

        for range in caches
            .into_iter()
            .flatten()
            .flat_map(|cache| cache.0)
            .flatten()
        {
            any |= self.give_back(range).is_ok();
        }
        any
    }

    fn gaps(&self) -> &[PageRange] {
        self.gaps.get(..self.used).unwrap_or_default()
    }

    fn cache(&mut self, count: u64) -> &mut [Option<PageRange>] {
        if count.checked_rem(self.quantum) != Some(0) {
            return &mut [];
        }
        let size = count.checked_div(self.quantum).unwrap_or(0).wrapping_sub(1);
        let size = usize::try_from(size).unwrap_or(usize::MAX);

        match self.caches.as_mut().and_then(|caches| caches.get_mut(size)) {
            Some(cache) => &mut cache.0,
            None => &mut [],
        }
    }

    /// The gap to take from, by number, and what to take.
    fn search(&self, count: u64, order: u32) -> Option<(usize, PageRange)> {
        let mut fitting = self
            .gaps()
            .iter()
            .enumerate()
            .filter_map(|(at, gap)| Some((at, *gap, fit(*gap, count, order)?)));
        let chosen = match self.policy {
            Policy::FirstFit => fitting.next(),
            Policy::BestFit => fitting.min_by_key(|(_, gap, _)| gap.count()),
            Policy::NextFit => {
                let rest = PageRange::new(self.cursor, self.whole.end())?;
                let mut behind = self.gaps().iter().enumerate().filter_map(|(at, gap)| {
                    Some((at, *gap, fit(gap.intersect(rest)?, count, order)?))
                });
                behind.next().or_else(|| fitting.next())
            }
        };
        chosen.map(|(at, _, range)| (at, range))
    }

    /// Takes `range` out of the gap that covers it.
    fn carve(&mut self, at: usize, range: PageRange) -> Result<(), Error> {
        let gap = *self.gaps().get(at).ok_or(Error::Full)?;
        let part = |first, end| PageRange::new(first, end).filter(|part| !part.is_empty());

        match (
            part(gap.first(), range.first()),
            part(range.end(), gap.end()),
        ) {
            (None, None) => self.remove(at),
            (Some(left), None) => self.set(at, left),
            (None, Some(right)) => self.set(at, right),
            (Some(left), Some(right)) => {
                self.insert(at, left)?;
                self.set(at.wrapping_add(1), right);
            }
        }
        self.live = self.live.saturating_add(1);
        Ok(())
    }

    /// Adds `range` to the gaps.
    fn give_back(&mut self, range: PageRange) -> Result<(), Error> {
        let at = self
            .gaps()
            .partition_point(|gap| gap.first() < range.first());
        let before = at.checked_sub(1);
        let joined = before.and_then(|before| self.gaps().get(before)?.join(range));
        let low = joined.unwrap_or(range);
        let both = self.gaps().get(at).and_then(|after| low.join(*after));

        match (before.filter(|_| joined.is_some()), both) {
            (Some(before), Some(all)) => {
                self.set(before, all);
                self.remove(at);
            }
            (Some(before), None) => self.set(before, low),
            (None, Some(all)) => self.set(at, all),
            (None, None) => self.insert(at, range)?,
        }
        self.live = self.live.saturating_sub(1);
        Ok(())
    }

    fn set(&mut self, at: usize, gap: PageRange) {
        if let Some(slot) = self.gaps.get_mut(at) {
            *slot = gap;
        }
    }

    fn insert(&mut self, at: usize, gap: PageRange) -> Result<(), Error> {
        let used = self.used.saturating_add(1);
        let mut carry = gap;

        for slot in self.gaps.get_mut(at..used).ok_or(Error::Storage)? {
            carry = mem::replace(slot, carry);
        }
        self.used = used;
        Ok(())
    }

    fn remove(&mut self, at: usize) {
        let mut carry = PageRange::default();

        for slot in self.gaps.get_mut(at..self.used).into_iter().flatten().rev() {
            carry = mem::replace(slot, carry);
        }
        self.used = self.used.saturating_sub(1);
    }
}

/// The first `count` pages of `gap` that are aligned to `2^order` pages.
fn fit(gap: PageRange, count: u64, order: u32) -> Option<PageRange> {
    let low = 1u64.checked_shl(order)?.wrapping_sub(1);
    let first = gap.first().checked_add(low)? & !low;

    PageRange::with_count(first, count).filter(|range| gap.covers(*range))
}
