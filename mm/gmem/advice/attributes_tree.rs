// SPDX-License-Identifier: GPL-2.0

//! The attributes of each process: where they are kept, and how they follow its memory.
//!
//! They belong to the process, not to a mirror: they can be set before a device is attached and
//! outlive the last one. A bit of the `mm_struct` says that there are any, so that a process
//! without pays one test of a word when it forks, unmaps or exits.

use crate::{
    advice::{
        attributes::{
            Attributes,
            Change,
            Map,
            NoMemory,
            MAX_PARTS, //
        },
        pin::Lost,
        ranges::Ranges, //
    },
    device::holds,
    prelude::*, //
};
use kernel::{
    mm::device::arc_table::{
        ArcTable,
        Entry,
        Writer, //
    },
    sync::GlobalGuard, //
};

/// So many ranges with different advice a process may have: about as many as it may have mappings
/// (`vm.max_map_count`).
const MAX_RANGES: usize = 1 << 16;

/// What one process advised.
#[pin_data]
pub(crate) struct Advice {
    pub(crate) mm: ARef<Mm>,
    #[pin]
    map: Mutex<Map<Ranges>>,
    /// Held while pages are pinned or unpinned, except by unmapping them.
    #[pin]
    pins: Mutex<()>,
}

/// The advice of processes, by the address of their `mm_struct`; it is taken out when that has no
/// user any more. Every fault looks for it.
static FOUND: ArcTable<Advice> = ArcTable::new();

kernel::sync::global_lock! {
    // SAFETY: Initialized by `init()` before any other function of GMEM runs.
    pub(crate) unsafe(uninit) static ADVICE: Mutex<Writer<Advice>> = writer();
}

const fn writer() -> Writer<Advice> {
    // SAFETY: Called once, for the list.
    unsafe { FOUND.writer() }
}

fn lock_list() -> GlobalGuard<ADVICE> {
    holds::LISTS.add(1);
    ADVICE.lock()
}

impl Advice {
    /// Finds what a process advised. Takes no lock.
    pub(crate) fn find(mm: &Mm) -> Option<Arc<Self>> {
        if !sys::has_advice(mm) {
            return None;
        }
        FOUND.get(sys::key(mm))
    }

    /// Finds or makes the advice of a process, whose `mm_struct` has users.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn get(mm: &Mm) -> Result<Arc<Self>> {
        if let Some(advice) = Self::find(mm) {
            return Ok(advice);
        }
        // Made before it is known to be needed: nothing is allocated under the lock.
        let new = Arc::pin_init(
            pin_init!(Self {
                mm: mm.into(),
                map <- new_mutex!(Map::new(Ranges::new()), "gmem_advice"),
                pins <- new_mutex!((), "gmem_pins"),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let entry = Entry::new(sys::key(mm), new.clone(), GFP_KERNEL_ACCOUNT)?;
        let mut everybody = lock_list();
        if let Some(advice) = FOUND.get(sys::key(mm)) {
            return Ok(advice);
        }
        everybody.insert(entry);
        sys::set_has_advice(mm);
        Ok(new)
    }

    /// Returns the advice of all processes. Between them no lock is held.
    pub(crate) fn all() -> impl Iterator<Item = Arc<Self>> {
        let mut last = None;
        core::iter::from_fn(move || {
            let (key, advice) = lock_list().next(last)?;
            last = Some(key);
            Some(advice)
        })
    }

    /// Returns the attributes of a page, and the pages around it that have the same.
    pub(crate) fn at(&self, page: u64) -> (PageRange, Attributes) {
        self.map.lock().at(page)
    }

    /// Returns the first range that has a page of `range`, cut to it, and its attributes.
    fn first_in(&self, range: PageRange) -> Option<(PageRange, Attributes)> {
        self.map.lock().first_in(range)
    }

    /// Calls `f` with all ranges that have a page of `range`, cut to it, and their attributes.
    pub(crate) fn for_each(&self, range: PageRange, f: impl FnMut(PageRange, Attributes)) {
        self.map.lock().for_each(range, f);
    }

    /// Changes the attributes of the pages of `range`; `seen` is told which pages had and have
    /// which.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or `ENOSPC` when the process has [`MAX_RANGES`]; pages in front of some page are
    /// changed then.
    pub(crate) fn change(
        &self,
        range: PageRange,
        change: Change,
        seen: impl FnMut(PageRange, Attributes, Attributes),
    ) -> Result {
        let mut map = self.map.lock();
        map.tree_mut().limit = MAX_RANGES;
        let result = map.change(range, |old| old.with(change), seen);
        let tree = map.tree_mut();
        tree.limit = usize::MAX;
        let is_full = tree.count.saturating_add(MAX_PARTS) > MAX_RANGES;
        result.map_err(|NoMemory| if is_full { ENOSPC } else { ENOMEM })
    }

    /// Forgets what was advised about `range`. Returns the pins that are lost by it.
    fn clear(&self, range: PageRange) -> Lost {
        let mut lost = Lost::new();
        let lose = |part, attributes| lost.add(part, attributes);
        self.map.lock().clear(range, lose);
        lost
    }

    /// Takes the lock under which pages are pinned and unpinned.
    pub(crate) fn lock_pins(&self) -> MutexGuard<'_, ()> {
        self.pins.lock()
    }
}

/// The pages of `range` are unmapped.
pub(crate) fn unmapped(mm: &Mm, range: PageRange) {
    if let Some(advice) = Advice::find(mm) {
        advice.clear(range).release(mm);
    }
}

/// The pages of `range` moved, those of `to` and behind are theirs now; with `keep` the range stays
/// mapped.
///
/// # Errors
///
/// `ENOMEM`; nothing is changed then.
pub(crate) fn moved(mm: &Mm, range: PageRange, to: u64, keep: bool) -> Result {
    let Some(advice) = Advice::find(mm) else {
        return Ok(());
    };
    let mut lost = Lost::new();
    let lose = |part, attributes| lost.add(part, attributes);
    let result = advice.map.lock().relocate(range, to, keep, lose);
    lost.release(mm);
    result.map_err(|NoMemory| ENOMEM)
}

/// The pages of `range` became those of a child too.
///
/// A child for which there is no memory has less advice.
pub(crate) fn forked(child: &Mm, parent: &Mm, range: PageRange) {
    let Some(from) = Advice::find(parent) else {
        return;
    };
    let ended = FORGOTTEN.load(Acquire);
    copy(child, &from, range);
    // A device that was forgotten meanwhile may have been so in the parent after it was copied from
    // there, and before it got into the child. That is rare, and less advice is always correct.
    if FORGETTING.fetch_add(0u64, Full) != ended {
        if let Some(to) = Advice::find(child) {
            let _ = to.change(PageRange::ALL, Change::Forget(None), |_, _, _| {});
        }
    }
}

fn copy(child: &Mm, from: &Advice, range: PageRange) {
    let mut rest = range;
    // One range at a time: the locks of two processes are not held together.
    while let Some((part, attributes)) = from.first_in(rest) {
        let inherited = attributes.inherited();
        if !inherited.is_none() {
            let Ok(to) = Advice::get(child) else { return };
            let done = to.map.lock().change(part, |_| inherited, |_, _, _| {});
            if done.is_err() {
                return;
            }
        }
        rest = PageRange::new(part.end(), range.end()).unwrap_or_default();
    }
}

/// How many devices were, or are being, forgotten.
static FORGETTING: Atomic<u64> = Atomic::new(0);

/// How many devices were forgotten.
static FORGOTTEN: Atomic<u64> = Atomic::new(0);

/// Forgets the advice for a device that is about to go, and for which none can be given any more:
/// the next device may get its number.
pub(crate) fn device_gone(id: u32) {
    FORGETTING.fetch_add(1u64, Full);
    for advice in Advice::all() {
        // Removing needs memory at most to cut a range, and no range is cut here.
        let _ = advice.change(PageRange::ALL, Change::Forget(Some(id)), |_, _, _| {});
    }
    FORGOTTEN.fetch_add(1u64, Full);
}

/// The process ended.
pub(crate) fn exited(mm: &Mm) {
    let advice = FOUND.get(sys::key(mm));
    // Dropped at the end, as that waits for those who look.
    let _gone = lock_list().remove(sys::key(mm));
    let Some(advice) = advice else { return };
    let _pins = advice.lock_pins();
    advice.clear(PageRange::ALL).release(mm);
}
