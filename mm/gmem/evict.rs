// SPDX-License-Identifier: GPL-2.0

//! Eviction: device memory goes home to make room, whoever owns it.
//!
//! It works on page frames, so that no process's mmap_lock is needed. It may run with the
//! mmap_lock and a block lock of the process that wants the room held, which is why everything
//! here only tries to lock.

use crate::{
    dmem::Payer,
    home,
    memory::{
        Memory,
        Run, //
    },
    sys, //
};
use kernel::{
    mm::device::{
        folio::LockedFolio,
        migrate::{
            split_device_folio,
            Arrays,
            Migration, //
        },
        PMD_PAGES, //
    },
    page::PAGE_SHIFT,
    prelude::*,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// How many chunks one caller tries to empty before it does without.
const MAX_VICTIMS: usize = 64;

/// How often [`everything`] goes over the memory before it gives up, 1 ms apart.
const MAX_PASSES: usize = 10_000;

/// Takes `nr` pages of device memory for `payer`, evicting the oldest chunks when there is no room,
/// or the oldest of those that a limit counts when that is in the way.
///
/// # Errors
///
/// `ENOSPC` when nothing can be evicted, `ENOMEM` when the host has no room.
pub(crate) fn take(memory: &Arc<Memory>, payer: &Payer, nr: usize) -> Result<Run> {
    let mut result = memory.take(payer, nr);
    let victims = MAX_VICTIMS.min(memory.nr_chunks());

    for _ in 0..victims {
        let refusal = match result {
            Ok(run) => return Ok(run),
            Err(refusal) if refusal.error != ENOSPC => return Err(refusal.error),
            Err(refusal) => refusal,
        };
        let Some(page) = memory.victim(refusal.limit.as_ref(), payer) else {
            return Err(ENOSPC);
        };
        let evicted = chunk(memory, page);
        if let Ok(pages) = evicted {
            memory.parts().stats.evicted.add(pages << PAGE_SHIFT);
            sys::count(sys::Event::Evict, pages);
        }
        let _ = evicted.or_else(|e| if e == ENOMEM { Err(e) } else { Ok(0) })?;
        result = memory.take(payer, nr);
    }
    result.map_err(|refusal| refusal.error)
}

/// Evicts what it can of the chunk that begins at `page`; returns how many pages left.
///
/// # Errors
///
/// `ENOMEM` when the host has no room, `EIO` when the device would not give the bytes, `EAGAIN`
/// when all pages are in use.
fn chunk(memory: &Memory, page: usize) -> Result<usize> {
    let mut arrays = Arrays::new(PMD_PAGES)?;
    let mut result = move_out(memory, page, &mut arrays);

    if let Ok(Moved::TooLarge) = result {
        // No huge host page: take the device page apart and move the pieces.
        split_device_folio(&memory.map, page)?;
        result = move_out(memory, page, &mut arrays);
    }
    let result = match result {
        Ok(Moved::Pages(pages)) => Ok(pages),
        Ok(Moved::TooLarge) => Err(EAGAIN),
        Err(e) => Err(e),
    };
    sys::trace_evict(
        memory.parts().id,
        page,
        result.unwrap_or(0),
        &result.map(|_| ()),
    );
    result
}

enum Moved {
    /// So many pages left.
    Pages(usize),
    /// The chunk is one huge page, and there is no huge host page.
    TooLarge,
}

fn move_out(memory: &Memory, page: usize, arrays: &mut Arrays) -> Result<Moved> {
    let mut m = Migration::from_pagemap(&memory.map, page..page + PMD_PAGES, arrays)?;
    if m.is_empty() {
        return Ok(Moved::Pages(0));
    }
    let huge = m.is_huge(0);
    let out = home::bring(&mut m, false, 0, |order, _| LockedFolio::alloc_evict(order))?;

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
/// `EIO` when the device would not give the bytes.
pub(crate) fn everything(memory: &Memory) -> Result {
    let mut last = EBUSY;

    for _ in 0..MAX_PASSES {
        if memory.used() == 0 {
            return Ok(());
        }
        for index in 0..memory.nr_chunks() {
            let page = index * PMD_PAGES;
            if memory.chunk_used(page) == 0 {
                continue;
            }
            match chunk(memory, page) {
                Ok(_) => last = EBUSY,
                Err(e) if e == EAGAIN => last = EBUSY,
                Err(e) => last = e,
            }
        }
        if memory.used() != 0 {
            fsleep(Delta::from_millis(1));
        }
    }
    Err(last)
}
