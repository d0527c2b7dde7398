// SPDX-License-Identifier: GPL-2.0

//! Tests of a machine, without GMEM.

use super::*;
use crate::{
    gmem::{
        Access,
        Map,
        Mmu,
        VaRange, //
    },
    prelude::*,
    sync::Arc, //
};

const SIZE: usize = 4 << 20;
const VA: u64 = 0x20_0000;

struct Plain;

impl Emulated for Plain {}

type PlainMmu = SoftMmu<Plain>;

fn machine() -> Result<Arc<Machine<Plain>>> {
    Machine::new(Memory::new(SIZE)?, 1, Plain)
}

/// Makes a page table with `nr_pages` pages at [`VA`], of device memory at `addr`.
fn table(
    machine: &Arc<Machine<Plain>>,
    addr: u64,
    nr_pages: u32,
    access: Access,
) -> Result<Arc<SoftPmap<Plain>>> {
    let pmap = PlainMmu::pmap_create(machine.as_arc_borrow(), &())?;
    PlainMmu::pmap_prepare(&pmap, VaRange::new(VA, 2 << 20))?;
    PlainMmu::pmap_enter(&pmap, &[Map::local(VA, addr, nr_pages, access)])?;
    Ok(pmap)
}

fn tlb(machine: &Machine<Plain>) -> Result<&Tlb> {
    Ok(machine.tlbs().first().ok_or(EINVAL)?)
}

/// Looks `va` up in a step of its own; returns whether there is a way.
fn look(machine: &Machine<Plain>, table: &PageTable, va: u64, write: bool) -> Result<Option<Miss>> {
    let step = tlb(machine)?.begin().ok_or(ENODEV)?;
    let miss = step.lookup(table, va, write).err();
    Ok(miss)
}

#[macros::kunit_tests(gmem_soft)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_where_the_entry_leads() -> Result {
        let machine = machine()?;
        let pmap = table(&machine, 0x3000, 4, Access::WRITE)?;
        let step = tlb(&machine)?.begin().ok_or(ENODEV)?;
        let to = step.lookup(&pmap, VA + 0x2000, true).map_err(|_| EFAULT)?;
        to.store_bytes(machine.memory(), 10, b"bytes")?;
        let mut found = [0u8; 5];
        machine.memory().load_bytes(0x500a, &mut found)?;
        assert_eq!(&found, b"bytes");
        Ok(())
    }

    #[test]
    fn accesses_stay_inside_the_page() -> Result {
        let machine = machine()?;
        let mut two = [0u8; 2];
        for (addr, nr_pages, size) in [(0x3000, 1, 0x1000), (VA, 512, 0x20_0000)] {
            let pmap = table(&machine, addr, nr_pages, Access::READ)?;
            let step = tlb(&machine)?.begin().ok_or(ENODEV)?;
            let to = step.lookup(&pmap, VA, false).map_err(|_| EFAULT)?;
            assert_eq!(to.size(), size);
            assert!(to.load_bytes(machine.memory(), size - 2, &mut two).is_ok());
            assert!(to.load_bytes(machine.memory(), size - 1, &mut two).is_err());
            assert!(to
                .load_bytes(machine.memory(), usize::MAX, &mut two)
                .is_err());
            assert!(to.store_bytes(machine.memory(), 0, &two).is_err());
        }
        Ok(())
    }

    #[test]
    fn a_copy_is_used_until_the_flush() -> Result {
        let machine = machine()?;
        let pmap = table(&machine, 0x3000, 1, Access::WRITE)?;
        let page = || VaRange::new(VA, 0x1000);

        assert_eq!(look(&machine, &pmap, VA, true)?, None);
        assert!(PlainMmu::pmap_age(&pmap, page()));
        assert!(!PlainMmu::pmap_age(&pmap, page()));
        assert_eq!(look(&machine, &pmap, VA, false)?, None);
        PlainMmu::pmap_release(&pmap, page());
        assert_eq!(look(&machine, &pmap, VA, false)?, None);
        PlainMmu::tlb_invl(&pmap, page());
        assert_eq!(look(&machine, &pmap, VA, false)?, Some(Miss::Absent));
        Ok(())
    }

    #[test]
    fn a_page_table_is_for_its_own_machine() -> Result {
        let (machine, other) = (machine()?, machine()?);
        let pmap = table(&machine, 0x3000, 1, Access::READ)?;

        // A flush would not come there.
        assert_eq!(look(&other, &pmap, VA, false)?, Some(Miss::Foreign));
        assert_eq!(look(&machine, &pmap, VA, true)?, Some(Miss::ReadOnly));
        Ok(())
    }

    #[test]
    fn a_dead_machine_makes_no_step() -> Result {
        let machine = machine()?;
        let pmap = table(&machine, 0x3000, 1, Access::READ)?;

        assert_eq!(look(&machine, &pmap, VA, false)?, None);
        PlainMmu::dying(&machine);
        assert!(tlb(&machine)?.begin().is_none());
        Ok(())
    }

    #[test]
    fn there_is_one_step_at_a_time() -> Result {
        let machine = machine()?;
        let tlb = tlb(&machine)?;

        let step = tlb.begin();
        assert!(step.is_some() && tlb.begin().is_none());
        drop(step);
        // One that is forgotten blocks the TLB, and its flushes; nothing worse.
        core::mem::forget(tlb.begin());
        assert!(tlb.begin().is_none());
        Ok(())
    }

    #[test]
    fn what_fails_enters_nothing() -> Result {
        let machine = machine()?;
        let pmap = table(&machine, 0x3000, 1, Access::READ)?;
        let maps = [
            Map::local(VA + 0x1000, 0x4000, 1, Access::READ),
            Map::local(VA + 0x2000, 1 << 60, 1, Access::READ),
        ];

        assert!(PlainMmu::pmap_enter(&pmap, &maps).is_err());
        let miss = look(&machine, &pmap, VA + 0x1000, false)?;
        assert_eq!(miss, Some(Miss::Absent));
        Ok(())
    }
}
