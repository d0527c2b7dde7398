// SPDX-License-Identifier: GPL-2.0

//! Tests of standalone address spaces, with a device that only notes what it is told.

#[macros::kunit_tests(gmem_standalone)]
mod tests {
    use super::super::*;
    use crate::{
        faux,
        gmem::{
            Caps,
            Context,
            Device,
            Fence,
            Hint,
            HostRun,
            Map,
            Mmu,
            Options,
            VaRange,
            ZeroRun, //
        },
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            ArcBorrow, //
        },
    };

    const PAGE: u64 = 4096;
    const BLOCK: u64 = 2 << 20;
    /// Where the space begins, and the addresses that page tables note.
    const START: u64 = 1 << 30;
    const SLOTS: usize = 8;
    /// What the device can reach.
    const REACH: u64 = START + 2 * BLOCK;
    const END: u64 = START + 4 * BLOCK;

    // SAFETY: Null is what `THIS_MODULE` is for built-in code.
    static THIS_MODULE: ThisModule = unsafe { ThisModule::from_ptr(core::ptr::null_mut()) };

    /// Entries of the first pages: the address of the host page, or 0.
    struct Pmap {
        slots: [Atomic<u64>; SLOTS],
        flushes: Atomic<u32>,
        fails: bool,
    }

    impl Pmap {
        fn slot(&self, va: u64) -> Option<&Atomic<u64>> {
            self.slots.get((va.checked_sub(START)? / PAGE) as usize)
        }

        fn entry(&self, va: u64) -> u64 {
            self.slot(va).map_or(0, |slot| slot.load(Relaxed))
        }

        fn is_empty(&self) -> bool {
            self.slots.iter().all(|slot| slot.load(Relaxed) == 0)
        }
    }

    struct Recorder;

    #[vtable]
    impl Mmu for Recorder {
        type DevData = ();
        type Pmap = Pmap;
        /// Whether the page table fails to take entries.
        type FileData = bool;

        fn pmap_create(_dev: ArcBorrow<'_, ()>, fails: &bool) -> Result<Arc<Pmap>> {
            let pmap = Pmap {
                slots: [const { Atomic::new(0) }; SLOTS],
                flushes: Atomic::new(0),
                fails: *fails,
            };
            Ok(Arc::new(pmap, GFP_KERNEL)?)
        }

        fn pmap_prepare(_pmap: &Pmap, _range: VaRange) -> Result {
            Ok(())
        }

        fn pmap_enter(pmap: &Pmap, maps: &[Map]) -> Result {
            if pmap.fails {
                return Err(EFAULT);
            }
            for map in maps {
                for (index, va) in map.range().step_by(PAGE as usize).enumerate() {
                    if let Some(slot) = pmap.slot(va) {
                        slot.store(map.addr() + index as u64 * PAGE, Relaxed);
                    }
                }
            }
            Ok(())
        }

        fn pmap_release(pmap: &Pmap, range: VaRange) {
            for va in (range.start()..range.end()).step_by(PAGE as usize) {
                if let Some(slot) = pmap.slot(va) {
                    slot.store(0, Relaxed);
                }
            }
        }

        fn tlb_invl(pmap: &Pmap, _range: VaRange) {
            pmap.flushes.add(1, Relaxed);
        }

        fn prepare_page(_dev: &(), _runs: &[ZeroRun]) -> Result<Fence> {
            Err(EIO)
        }

        fn copy_to_dev(_dev: &(), _runs: &[HostRun]) -> Result<Fence> {
            Err(EIO)
        }

        fn copy_from_dev(_dev: &(), _runs: &[HostRun]) -> Result<Fence> {
            Err(EIO)
        }
    }

    /// A device and a space that begins at `START`.
    struct Bench {
        space: Arc<AddressSpace>,
        device: Arc<Device<Recorder>>,
        _parent: faux::Registration,
    }

    impl Bench {
        /// Returns [`None`] when GMEM was switched off at boot.
        fn new() -> Result<Option<Self>> {
            let parent = faux::Registration::new(c"gmem-kunit", None)?;
            let options = Options {
                module: &THIS_MODULE,
                parent: parent.as_ref(),
                name: c"kunit",
                caps: Caps::NONE,
                page_sizes: PAGE,
                va_start: 0,
                va_end: REACH,
                bandwidth: 0,
                latency: 0,
            };
            let device = match Device::new(options, Arc::new((), GFP_KERNEL)?) {
                Err(e) if e.to_errno() == -(bindings::EOPNOTSUPP as i32) => return Ok(None),
                device => device?,
            };
            Ok(Some(Self {
                space: AddressSpace::standalone(START, END, Policy::FirstFit, 0)?,
                device,
                _parent: parent,
            }))
        }

        fn attach(&self) -> Result<Context<Recorder>> {
            self.space.attach(&self.device, &false)
        }
    }

    fn pages(nr: usize) -> Result<KVec<Page>> {
        let mut pages = KVec::new();
        for _ in 0..nr {
            pages.push(Page::alloc_page(GFP_KERNEL)?, GFP_KERNEL)?;
        }
        Ok(pages)
    }

    fn run(va: u64, addr: u64, nr_pages: u32) -> bindings::gm_map {
        bindings::gm_map {
            va,
            addr,
            nr_pages,
            flags: Access::READ.as_raw(),
        }
    }

    /// Enters runs whose addresses need not be those of pages: the device does not use them.
    fn map_raw(space: &AddressSpace, va: u64, maps: &[bindings::gm_map]) -> Result {
        // SAFETY: The space is valid, and so are the runs.
        to_result(unsafe {
            bindings::gm_as_map(space.as_raw(), va, maps.as_ptr(), maps.len() as u32)
        })
    }

    fn unmap_raw(space: &AddressSpace, va: u64, len: u64) -> Result {
        // SAFETY: The space is valid.
        to_result(unsafe { bindings::gm_as_unmap(space.as_raw(), va, len) })
    }

    #[test]
    fn policies_choose_their_gap() -> Result {
        if Bench::new()?.is_none() {
            return Ok(());
        }
        // Pages 0 to 1 and page 3 are left, and what is behind page 4.
        for (policy, wanted) in [
            (Policy::FirstFit, START),
            (Policy::BestFit, START + 3 * PAGE),
            (Policy::NextFit, START + 5 * PAGE),
        ] {
            let space = AddressSpace::standalone(START, END, policy, 0)?;
            let first = space.alloc(2 * PAGE, 0)?;
            let _second = space.alloc(PAGE, 0)?;
            let third = space.alloc(PAGE, 0)?;
            let _fourth = space.alloc(PAGE, 0)?;
            drop(first);
            drop(third);
            assert_eq!(space.alloc(PAGE, 0)?.va(), wanted);
        }
        Ok(())
    }

    #[test]
    fn quantum_brings_back_what_was_freed() -> Result {
        if Bench::new()?.is_none() {
            return Ok(());
        }
        for (quantum, wanted) in [(0, START + 4 * PAGE), (2 * PAGE, START)] {
            let space = AddressSpace::standalone(START, END, Policy::NextFit, quantum)?;
            let first = space.alloc(4 * PAGE, 0)?;
            assert_eq!(first.va(), START);
            drop(first);
            assert_eq!(space.alloc(4 * PAGE, 0)?.va(), wanted);
        }
        Ok(())
    }

    #[test]
    fn addresses_are_checked() -> Result {
        let Some(bench) = Bench::new()? else {
            return Ok(());
        };
        let space = &bench.space;
        let made = |start, end, quantum| {
            AddressSpace::standalone(start, end, Policy::BestFit, quantum).err()
        };

        assert_eq!(made(START, START, 0), Some(EINVAL));
        assert_eq!(made(END, START, 0), Some(EINVAL));
        assert_eq!(made(START + 1, END, 0), Some(EINVAL));
        assert_eq!(made(START, END, 1), Some(EINVAL));
        assert_eq!(made(START, 0, 0), None);

        assert_eq!(space.alloc(0, 0).err(), Some(EINVAL));
        assert_eq!(space.alloc(PAGE + 1, 0).err(), Some(EINVAL));
        assert_eq!(space.alloc(PAGE, 3 * PAGE).err(), Some(EINVAL));
        assert_eq!(space.alloc(END - START + PAGE, 0).err(), Some(ENOSPC));

        let taken = space.reserve(START + PAGE, PAGE)?;
        assert_eq!(space.reserve(START, 2 * PAGE).err(), Some(EEXIST));
        assert_eq!(space.reserve(START - PAGE, PAGE).err(), Some(EINVAL));
        assert_eq!(space.alloc(PAGE, 2 * PAGE)?.va(), START);
        assert_eq!(space.alloc(2 * PAGE, BLOCK)?.va(), START + BLOCK);
        // Only what was taken can be given back, and only whole.
        for (va, len) in [(START, PAGE), (START + PAGE, 2 * PAGE), (START, 2 * PAGE)] {
            // SAFETY: The space is valid.
            let freed = unsafe { bindings::gm_as_free_va(space.as_raw(), va, len) };
            assert_eq!(to_result(freed), Err(EINVAL));
        }
        drop(taken);
        assert_eq!(space.reserve(START, END - START)?.va(), START);
        Ok(())
    }

    #[test]
    fn pages_reach_every_context() -> Result {
        let Some(bench) = Bench::new()? else {
            return Ok(());
        };
        let addresses = bench.space.alloc(4 * PAGE, 0)?;
        assert_eq!(addresses.map(pages(1)?, Access::READ).err(), Some(ENODEV));

        let (one, two) = (bench.attach()?, bench.attach()?);
        let mapping = bench
            .space
            .alloc(4 * PAGE, 0)?
            .map(pages(3)?, Access::WRITE)?;
        for (index, page) in (0u64..).zip(mapping.pages()) {
            // SAFETY: The page is valid.
            let addr = (unsafe { bindings::page_pfn(page.as_ptr()) } as u64) << PAGE_SHIFT;
            let va = mapping.va() + index * PAGE;
            assert_eq!(one.pmap().entry(va), addr);
            assert_eq!(two.pmap().entry(va), addr);
        }
        assert_eq!(one.pmap().entry(mapping.va() + 3 * PAGE), 0);
        assert_eq!(bench.device.stats().remote, 2 * 3 * PAGE);

        // There is nothing to fault in.
        let fault = one.fault(mapping.va(), PAGE, Access::READ, Hint::Demand);
        assert_eq!(fault, Err(EINVAL));

        // A context that goes loses its entries, the other one does not.
        let pmap = two.pmap().clone();
        drop(two);
        assert!(pmap.is_empty());
        assert!(!one.pmap().is_empty());

        // A new one would miss what is there.
        assert_eq!(bench.attach().err(), Some(EBUSY));
        assert_eq!(one.pmap().flushes.load(Relaxed), 0);
        drop(mapping);
        assert!(one.pmap().is_empty());
        assert_eq!(one.pmap().flushes.load(Relaxed), 1);
        assert!(bench.attach().is_ok());
        Ok(())
    }

    #[test]
    fn failure_leaves_nothing_behind() -> Result {
        let Some(bench) = Bench::new()? else {
            return Ok(());
        };
        let good = bench.attach()?;
        let bad = bench.space.attach(&bench.device, &true)?;
        let addresses = bench.space.alloc(4 * PAGE, 0)?;
        assert_eq!(addresses.map(pages(4)?, Access::READ).err(), Some(EFAULT));
        assert!(good.pmap().is_empty());
        assert_eq!(good.pmap().flushes.load(Relaxed), 1);

        // The addresses are free again, and the directory has forgotten them.
        drop(bad);
        let addresses = bench.space.reserve(START, 4 * PAGE)?;
        let mapping = addresses.map(pages(4)?, Access::READ)?;
        assert_ne!(good.pmap().entry(START), 0);
        drop(mapping);

        let far = bench.space.reserve(REACH - PAGE, 2 * PAGE)?;
        assert_eq!(far.map(pages(2)?, Access::READ).err(), Some(ERANGE));
        Ok(())
    }

    #[test]
    fn runs_are_checked() -> Result {
        let Some(bench) = Bench::new()? else {
            return Ok(());
        };
        let context = bench.attach()?;
        let space = &bench.space;
        let _addresses = space.reserve(START, BLOCK + PAGE)?;
        let both = |second| map_raw(space, START, &[run(START, 0x4000, 1), second]);
        let bad = |map| map_raw(space, START, &[map]);

        assert_eq!(map_raw(space, START, &[]), Err(EINVAL));
        assert_eq!(bad(run(START + PAGE, 0, 1)), Err(EINVAL));
        assert_eq!(bad(run(START + 1, 0, 1)), Err(EINVAL));
        assert_eq!(bad(run(START, 1, 1)), Err(EINVAL));
        assert_eq!(bad(run(START, 0, 0)), Err(EINVAL));
        assert_eq!(bad(run(START, 0, 513)), Err(EINVAL));
        assert_eq!(bad(run(START, !(PAGE - 1), 2)), Err(EINVAL));
        for flags in [0, 2, 0x101] {
            let map = bindings::gm_map {
                flags,
                ..run(START, 0, 1)
            };
            assert_eq!(bad(map), Err(EINVAL));
        }
        assert_eq!(both(run(START + 2 * PAGE, 0, 1)), Err(EINVAL));
        assert_eq!(both(run(START, 0, 1)), Err(EINVAL));
        // Behind what was taken.
        let beyond = START + BLOCK + PAGE;
        assert_eq!(map_raw(space, beyond, &[run(beyond, 0, 1)]), Err(EINVAL));
        assert!(context.pmap().is_empty());

        both(run(START + PAGE, 0x9000, 2))?;
        assert_eq!(context.pmap().entry(START + 2 * PAGE), 0xa000);
        assert_eq!(
            map_raw(space, START + 2 * PAGE, &[run(START + 2 * PAGE, 0, 1)]),
            Err(EEXIST)
        );
        // A part can go, and what is gone can go again.
        unmap_raw(space, START + PAGE, PAGE)?;
        unmap_raw(space, START + PAGE, PAGE)?;
        assert_eq!(context.pmap().entry(START), 0x4000);
        assert_eq!(context.pmap().entry(START + PAGE), 0);
        assert_eq!(unmap_raw(space, START, 0), Err(EINVAL));
        assert_eq!(unmap_raw(space, START, 2 * BLOCK), Err(EINVAL));
        unmap_raw(space, START, BLOCK)?;
        assert!(context.pmap().is_empty());
        Ok(())
    }

    #[test]
    fn blocks_go_whole() -> Result {
        let Some(bench) = Bench::new()? else {
            return Ok(());
        };
        let context = bench.attach()?;
        let space = &bench.space;
        let _addresses = space.reserve(START, 2 * BLOCK)?;

        map_raw(
            space,
            START,
            &[run(START, 4 * BLOCK, 512), run(START + BLOCK, PAGE, 1)],
        )?;
        assert_eq!(unmap_raw(space, START, PAGE), Err(EINVAL));
        assert_eq!(unmap_raw(space, START + PAGE, BLOCK), Err(EINVAL));
        assert_eq!(context.pmap().entry(START + PAGE), 4 * BLOCK + PAGE);
        // SAFETY: The space is valid, and is not freed.
        let (freed, destroyed) = unsafe {
            (
                bindings::gm_as_free_va(space.as_raw(), START, 2 * BLOCK),
                bindings::gm_as_destroy(space.as_raw()),
            )
        };
        assert_eq!(to_result(freed), Err(EBUSY));
        assert_eq!(to_result(destroyed), Err(EBUSY));
        unmap_raw(space, START, BLOCK)?;
        assert!(context.pmap().is_empty());
        // Small runs can follow where the block was.
        map_raw(space, START, &[run(START, PAGE, 3)])?;
        assert_eq!(context.pmap().entry(START + PAGE), 2 * PAGE);
        unmap_raw(space, START, 2 * BLOCK)
    }
}
