// SPDX-License-Identifier: GPL-2.0

//! Eviction: device memory goes home to make room, whoever owns it.
//!
//! The policy says which unit; the devices say whether they used it since.
//!
//! It works on page frames, so that no process's mmap_lock is needed. It may run with the
//! mmap_lock and a block lock of the process that wants the room held, which is why everything
//! here only tries to lock.

use crate::{
    device::{
        dmem::{
            Limit,
            Payer, //
        },
        memory::Memory,
        run::Run,
        scratch::Scratch,
        units::Spot, //
    },
    migrate::{
        host_folio::{
            self,
            FolioStock, //
        },
        to_host, //
    },
    prelude::*,
    reclaim::{
        to_peer::{
            self,
            Sheltered, //
        },
        victim::{
            Hunt,
            Quest,
            Victim, //
        },
        waiting::Waiting, //
    },
    space::replicas, //
};
use kernel::{
    mm::device::migrate::split_device_folio,
    time::delay::fsleep, //
};

/// How many units one caller tries to evict before it does without.
const MAX_VICTIMS: usize = 64;

/// So often what leaves piece by piece may turn out not to be room for the caller.
const MAX_LOSSES: u32 = 3;

/// How often [`everything`] goes over the memory before it gives up, 1 ms apart.
const MAX_PASSES: usize = 10_000;

/// How often in a row the device may give nothing at all and say so before it is believed.
const MAX_REFUSALS: usize = 100;

/// Takes `nr` pages of device memory for what is at `spot`, for which `payer` pays, waiting for the
/// worker or evicting when there is no room; or when a limit is in the way, evicting what counts
/// against it. Says in `waiting` if it had to.
///
/// # Errors
///
/// `ENOSPC` when nothing can be evicted, `ENOMEM` when the host has no room; `EAGAIN` when as much
/// was done for `waiting` as may be under one hold of the locks.
pub(crate) fn take(
    memory: &Arc<Memory>,
    payer: &Payer,
    nr: usize,
    spot: Spot,
    waiting: &mut Waiting,
) -> Result<Run> {
    let mut quest = match waiting.quest.take() {
        Some(quest) if quest.nr == nr => quest,
        _ => Quest::new(nr),
    };

    while quest.victims < MAX_VICTIMS {
        let refusal = match memory.take(payer, nr, spot) {
            Ok(run) => {
                memory.worker.asked(memory, nr, true);
                return Ok(run);
            }
            Err(refusal) if refusal.error != ENOSPC => return Err(refusal.error),
            Err(refusal) => refusal,
        };
        waiting.waited = true;
        let evicted = match &refusal.limit {
            Some(limit) => chunk_of(memory, limit, &mut quest, waiting),
            None => {
                memory.worker.asked(memory, nr, false);
                if waiting.wait(&memory.worker) {
                    quest.victims += 1;
                    continue;
                }
                one(memory, Some(payer), &mut quest.hunt, waiting)
            }
        };
        let evicted = match evicted {
            Err(e) if waiting.must_pause() => {
                waiting.quest = Some(quest);
                return Err(e);
            }
            other => other?,
        };
        quest.victims += 1;
        memory.parts().stats.direct.add(evicted << PAGE_SHIFT);
        if evicted >= nr {
            // If the allocation fails now, another one was faster, or the free pages are scattered,
            // or in a chunk with another payer. Then a whole chunk has to be evicted.
            quest.losses += 1;
            if quest.losses > MAX_LOSSES {
                quest.hunt.want_chunk();
            }
        }
    }
    memory
        .take(payer, nr, spot)
        .map_err(|refusal| refusal.error)
}

/// Evicts what is worth least; returns how many pages left.
///
/// # Errors
///
/// `ENOSPC` when there is nothing that may leave, `ENOMEM` when the host has no room; `EAGAIN` when
/// `waiting` has to pause.
pub(crate) fn one(
    memory: &Memory,
    payer: Option<&Payer>,
    hunt: &mut Hunt,
    waiting: &mut Waiting,
) -> Result<usize> {
    let victim = hunt.next(memory, payer, waiting)?;
    if let Err(e) = waiting.move_pages(victim.nr) {
        hunt.keep(victim);
        return Err(e);
    }
    let Victim { first, nr, spot } = victim;

    let left = evicted(memory, first..first + nr, Some(spot), false)?;
    if left == 0 {
        hunt.in_vain(memory);
    }
    Ok(left)
}

/// Evicts a chunk that counts against a limit; returns how many pages left.
///
/// # Errors
///
/// As [`one`].
fn chunk_of(
    memory: &Memory,
    limit: &Limit,
    quest: &mut Quest,
    waiting: &mut Waiting,
) -> Result<usize> {
    waiting.move_pages(PMD_PAGES)?;
    let first = quest.round.next(memory, limit, waiting)?;

    evicted(memory, first..first + PMD_PAGES, None, true)
}

/// How many pages left.
struct Left {
    /// They were copied, to the host or to another device.
    home: usize,
    /// They were copies themselves.
    dropped: usize,
}

/// Evicts what it can, as [`pages`]; `limited` says that a limit asks for it. Returns how many
/// pages left.
///
/// # Errors
///
/// `ENOMEM` when the host has no room.
fn evicted(
    memory: &Memory,
    range: Range<usize>,
    spot: Option<Spot>,
    limited: bool,
) -> Result<usize> {
    let leaving = memory.leaving(range.start, range.len(), limited);

    match pages(memory, range.start, range.len(), spot) {
        Ok(left) => {
            if let Some(leaving) = leaving.filter(|_| left.home > 0) {
                memory.left(&leaving);
            }
            memory.parts().stats.evicted.add(left.home << PAGE_SHIFT);
            sys::count(sys::Event::Evict, left.home);
            Ok(left.home + left.dropped)
        }
        Err(e) if e == ENOMEM => Err(e),
        // In use for a moment, or the device would not give it: another one will do.
        Err(_) => Ok(0),
    }
}

/// Evicts what it can of `nr` pages from `first` on, the first of which was last seen at `spot`;
/// with `None` all go home, whoever has room. Returns how many pages left.
///
/// # Errors
///
/// `ENOMEM` when the host has no room, `EIO` when the device would not give the bytes, `EAGAIN`
/// when all pages are in use.
fn pages(memory: &Memory, first: usize, nr: usize, spot: Option<Spot>) -> Result<Left> {
    let dropped = replicas::drop_pages(memory, first..first + nr);
    let mut scratch = memory.scratch.lock();
    let Sheltered { pages, refused } = match spot {
        Some(spot) => to_peer::pages(memory, first, nr, spot, &mut scratch),
        None => Sheltered::NONE,
    };
    let result = if refused {
        match move_out_or_split(memory, first, nr, spot.unwrap_or_default(), &mut scratch) {
            Ok(home) => Ok(pages + home),
            Err(_) if pages > 0 => Ok(pages),
            Err(e) => Err(e),
        }
    } else {
        // What is still there is in use for a moment. Others are worth less.
        Ok(pages)
    };
    sys::trace_evict(memory.parts().id, first, &result);
    result.map(|home| Left { home, dropped })
}

fn move_out_or_split(
    memory: &Memory,
    first: usize,
    nr: usize,
    spot: Spot,
    scratch: &mut Scratch,
) -> Result<usize> {
    let mut result = move_out(memory, first..first + nr, spot, scratch)?;

    if let Moved::TooLarge = result {
        // No huge host page: take the device page apart and move the pieces.
        split_device_folio(&memory.map, first)?;
        result = move_out(memory, first..first + nr, spot, scratch)?;
    }
    match result {
        Moved::Pages(pages) => Ok(pages),
        Moved::TooLarge => Err(EAGAIN),
    }
}

enum Moved {
    /// So many pages left.
    Pages(usize),
    /// It is one huge page, and there is no huge host page.
    TooLarge,
}

fn move_out(
    memory: &Memory,
    pages: Range<usize>,
    spot: Spot,
    Scratch { arrays, runs }: &mut Scratch,
) -> Result<Moved> {
    let nr = pages.len();
    let m = Migration::from_pagemap(&memory.map, pages, arrays)?;
    if m.is_empty() {
        return Ok(Moved::Pages(0));
    }
    let mut stock = FolioStock::new();
    let huge = m.is_huge(0);
    let addr = (spot.page as usize) << PAGE_SHIFT;
    let out = to_host::bring(m, false, addr, runs, |order, index| {
        if sys::should_fail(sys::Site::Home) {
            return Err(ENOMEM);
        }
        if order > 0 {
            return host_folio::evict(order);
        }
        stock.evict(nr - index)
    });

    if out.moved > 0 {
        Ok(Moved::Pages(out.moved))
    } else if out.failed > 0 {
        Err(EIO)
    } else if huge && out.no_memory > 0 {
        Ok(Moved::TooLarge)
    } else if out.no_memory > 0 {
        Err(ENOMEM)
    } else {
        Ok(Moved::Pages(0))
    }
}

/// Brings everything home.
///
/// Nothing new arrives: the caller closed the device. What stays is in use for a moment - by a
/// migration, a reader of `/proc` - so this goes over the memory until it is empty.
///
/// # Errors
///
/// `EBUSY` when pages would not leave within ten seconds, `ENOMEM` when the host has no room,
/// `EIO` when the device would not give the bytes, which it is asked for a hundred times at least.
pub(crate) fn everything(memory: &Memory) -> Result {
    let mut last = EBUSY;
    let mut refusals = 0;

    memory.worker.close();
    for _ in 0..MAX_PASSES {
        if memory.used() == 0 {
            return Ok(());
        }
        let mut refused = true;
        for index in 0..memory.nr_chunks() {
            let page = index * PMD_PAGES;
            if memory.chunks().live(index) == 0 {
                continue;
            }
            match pages(memory, page, PMD_PAGES, None) {
                Ok(_) => last = EBUSY,
                Err(e) if e == EAGAIN => last = EBUSY,
                Err(e) => last = e,
            }
            refused &= last == EIO;
        }
        refusals = if refused { refusals + 1 } else { 0 };
        if refusals > MAX_REFUSALS {
            break;
        }
        if memory.used() != 0 {
            fsleep(Delta::from_millis(1));
        }
    }
    memory.worker.open();
    Err(last)
}
