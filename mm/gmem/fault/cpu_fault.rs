// SPDX-License-Identifier: GPL-2.0

//! Faults of the CPU on pages that are on a device: they come home.

use crate::{
    device::{
        memory::{
            owner,
            CpuFault,
            Frames, //
        },
        mmu::Mmu,
        scratch::Scratch, //
    },
    migrate::{
        home::{
            Home,
            Rooms, //
        },
        to_host, //
    },
    prelude::*,
    space::{
        address_space::Space,
        mapping,
        thrash::{
            Turn,
            HOST, //
        }, //
    }, //
};
use kernel::mm::device::{
    migrate::Select,
    pagemap::{
        Fault,
        FaultResult, //
    }, //
};

/// How often a CPU fault asks the device for a page before it gives up.
const COPY_ATTEMPTS: usize = 4;

/// A CPU fault on a small device page brings this much with it: 64 KiB.
const SMALL_ORDER: u32 = 4;

impl CpuFault for Frames {
    fn cpu_fault(&self, fault: &Fault<'_>) -> FaultResult {
        cpu_fault(fault, &self.parts.mmu)
    }
}

/// Brings a page home that the CPU touched, and what surrounds it. `mmu` is its device.
fn cpu_fault(fault: &Fault<'_>, mmu: &Mmu) -> FaultResult {
    sys::count(sys::Event::CpuFault, 1);
    let turn = Turn::begin(HOST);
    let vma = fault.vma();
    let order = if fault.order() >= BLOCK_ORDER {
        BLOCK_ORDER
    } else {
        SMALL_ORDER
    };
    let page = (fault.address() >> PAGE_SHIFT) as u64;
    let Some(range) =
        PageRange::around(page, order).and_then(|range| range.intersect(mapping::pages_of(vma)))
    else {
        return FaultResult::Bus;
    };
    let Ok(mut scratch) = Scratch::new(range.count() as usize) else {
        return FaultResult::NoMemory;
    };
    let home = Home::advised(vma, page);
    for _ in 0..COPY_ATTEMPTS {
        if mmu.has_ended() {
            // The bytes are lost. Zeroes instead of them would be a lie.
            return FaultResult::Poisoned;
        }
        match cpu_fault_once(fault, range, page, &home, &turn, &mut scratch) {
            Some(result) => return result,
            None => continue,
        }
    }
    if mmu.has_ended() {
        return FaultResult::Poisoned;
    }
    // As swap does when its disk will not answer. The page stays on the device.
    FaultResult::Bus
}

/// Returns [`None`] when the device would not give the page.
fn cpu_fault_once(
    fault: &Fault<'_>,
    range: PageRange,
    page: u64,
    home: &Home<'_>,
    turn: &Turn,
    Scratch { arrays, runs }: &mut Scratch,
) -> Option<FaultResult> {
    let vma = fault.vma();
    let bytes = range.bytes();
    let mut rooms = Rooms::new(home, range);
    let mut huge = None;
    if fault.is_huge() {
        huge = rooms.folio(PMD_ORDER, 0).ok();
        // The migration cannot take the folio apart, because the fault holds a reference of it.
        if huge.is_none() && fault.split().is_err() {
            // Another task holds a reference for a moment: the CPU retries the access.
            return Some(FaultResult::Done);
        }
    } else if fault.order() > 0 && fault.split().is_err() {
        // Mapped by PTEs, it has to be taken apart before the collection does that: there, lock
        // and reference of the fault would stay with the head, and not with the page of the fault.
        return Some(FaultResult::Done);
    }
    let select = Select {
        host: false,
        huge: huge.is_some(),
    };
    let Ok(m) = Migration::from_fault(fault, bytes.clone(), select, owner(), arrays) else {
        return Some(FaultResult::Bus);
    };
    if m.is_empty() {
        // Another task migrated it, or is about to: the CPU retries the access.
        return Some(FaultResult::Done);
    }
    let wanted = (page - range.first()) as usize;
    let mut starved = false;
    let outcome = to_host::bring(m, false, bytes.start, runs, |order, index| {
        if order > 0 {
            return huge.take().ok_or(ENOMEM);
        }
        let folio = rooms.folio(order, index);
        if index == wanted {
            starved = folio.is_err();
        }
        folio
    });
    if starved {
        return Some(FaultResult::NoMemory);
    }
    if outcome.failed > 0 && outcome.moved == 0 {
        return None;
    }
    if outcome.moved > 0 {
        if let Some(space) = Space::find(vma.mm()) {
            space.thrash.moved(range, turn);
        }
    }
    Some(FaultResult::Done)
}
