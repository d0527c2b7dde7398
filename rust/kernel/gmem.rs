// SPDX-License-Identifier: GPL-2.0

//! GMEM for drivers: one memory manager for every accelerator.
//!
//! A driver implements [`Mmu`], makes a [`Device`] and registers its memory. For every process
//! that opens the device it attaches the process's [`AddressSpace`]; from then on it calls
//! [`Context::fault`] when the device misses a translation, or before a launch when the device
//! cannot fault. Where a page lies, moving it, taking it away and accounting for it is GMEM's
//! work, which it does through the functions of [`Mmu`].
//!
//! Beside this, [`soft`] has the parts of an emulated device.
//!
//! C header: [`include/linux/gmem.h`](srctree/include/linux/gmem.h)
//!
//! # Examples
//!
//! A device of which only the bookkeeping is there. It has 4 MiB of memory and maps one page,
//! whose address goes into a register; a real one would be told to copy as well.
//!
//! ```
//! use kernel::{
//!     faux,
//!     gmem::{
//!         AddressSpace,
//!         Caps,
//!         Device,
//!         Fence,
//!         HostRun,
//!         Map,
//!         MemoryType,
//!         Mmu,
//!         Options,
//!         VaRange,
//!         ZeroRun, //
//!     },
//!     prelude::*,
//!     sync::{
//!         atomic::{
//!             Atomic,
//!             Relaxed, //
//!         },
//!         Arc,
//!         ArcBorrow, //
//!     }, //
//! };
//!
//! struct Pmap {
//!     page: u64,
//!     register: Atomic<u64>,
//! }
//!
//! struct ToyMmu;
//!
//! #[vtable]
//! impl Mmu for ToyMmu {
//!     type DevData = ();
//!     type Pmap = Pmap;
//!     type FileData = u64;
//!
//!     fn pmap_create(_dev: ArcBorrow<'_, ()>, page: &u64) -> Result<Arc<Pmap>> {
//!         let register = Atomic::new(0);
//!         Ok(Arc::new(Pmap { page: *page, register }, GFP_KERNEL)?)
//!     }
//!
//!     fn pmap_prepare(_pmap: &Pmap, _range: VaRange) -> Result {
//!         Ok(())
//!     }
//!
//!     fn pmap_enter(pmap: &Pmap, maps: &[Map]) -> Result {
//!         let ours = maps.iter().find(|map| map.range().contains(&pmap.page));
//!         if let Some(map) = ours {
//!             let addr = map.addr() + (pmap.page - map.va());
//!             pmap.register.store(addr, Relaxed);
//!         }
//!         Ok(())
//!     }
//!
//!     fn pmap_release(pmap: &Pmap, range: VaRange) {
//!         if (range.start()..range.end()).contains(&pmap.page) {
//!             pmap.register.store(0, Relaxed);
//!         }
//!     }
//!
//!     fn tlb_invl(_pmap: &Pmap, _range: VaRange) {
//!         // A real device is asked to forget its translations, and answers when it has.
//!     }
//!
//!     fn prepare_page(_dev: &(), _runs: &[ZeroRun]) -> Result<Fence> {
//!         Ok(Fence::DONE)
//!     }
//!
//!     fn copy_to_dev(_dev: &(), _runs: &[HostRun]) -> Result<Fence> {
//!         Ok(Fence::DONE)
//!     }
//!
//!     fn copy_from_dev(_dev: &(), _runs: &[HostRun]) -> Result<Fence> {
//!         Ok(Fence::DONE)
//!     }
//! }
//!
//! # // SAFETY: Null is what `THIS_MODULE` is for built-in code.
//! # static THIS_MODULE: ThisModule = unsafe { ThisModule::from_ptr(core::ptr::null_mut()) };
//! const SIZE: usize = 4 << 20;
//!
//! let parent = faux::Registration::new(c"gmem-toy", None)?;
//!
//! let options = Options {
//!     module: &THIS_MODULE,
//!     parent: parent.as_ref(),
//!     name: c"toy",
//!     caps: Caps::REPLAYABLE,
//!     page_sizes: 4096,
//!     va_start: 0,
//!     va_end: 1 << 47,
//!     bandwidth: 0,
//!     latency: 0,
//! };
//! let device = match Device::<ToyMmu>::new(options, Arc::new((), GFP_KERNEL)?) {
//!     Ok(device) => device,
//!     // The kernel was booted with gmem=off.
//!     Err(e) if e.to_errno() == -(kernel::bindings::EOPNOTSUPP as i32) => return Ok(()),
//!     Err(e) => return Err(e),
//! };
//!
//! // Without memory there is no node.
//! assert_eq!(device.hnid(), None);
//! device.register_physmem(SIZE as u64, MemoryType::Private)?;
//! assert!(device.hnid().is_some());
//! assert_eq!(device.stats().mem_total, SIZE as u64);
//! assert_eq!(device.stats().mem_free, SIZE as u64);
//!
//! // A process that opens the device is attached here. This is a kernel thread: it has no
//! // address space.
//! assert!(AddressSpace::current(false).is_err());
//!
//! // The memory can be taken back, and registered again.
//! device.unregister_physmem()?;
//! assert_eq!(device.hnid(), None);
//! assert_eq!(device.stats().mem_total, 0);
//! # Ok::<(), Error>(())
//! ```
//!
//! An emulated device, whose core loads from memory:
//!
//! ```
//! use kernel::{
//!     gmem::soft,
//!     prelude::*, //
//! };
//!
//! struct Toy;
//!
//! // Nothing to add. `Device::<soft::SoftMmu<Toy>>::new(options, machine)` makes the device.
//! impl soft::Emulated for Toy {}
//!
//! fn load(
//!     machine: &soft::Machine<Toy>,
//!     table: &soft::PageTable,
//!     va: u64,
//!     buf: &mut [u8],
//! ) -> Result {
//!     let tlb = machine.tlbs().first().ok_or(EINVAL)?;
//!     let step = tlb.begin().ok_or(ENODEV)?;
//!     // A core that finds nothing ends the step, calls `Context::fault()` and tries again.
//!     let to = step.lookup(table, va, false).map_err(|_| EFAULT)?;
//!     to.load_bytes(machine.memory(), va as usize & (to.size() - 1), buf)
//! }
//!
//! const SIZE: usize = 4 << 20;
//!
//! let machine = soft::Machine::new(soft::Memory::new(SIZE)?, 1, Toy)?;
//! let memory = machine.memory();
//! memory.store_bytes(4096, b"bytes")?;
//!
//! // Device memory checks its bounds.
//! let mut word = [0u8; 5];
//! memory.load_bytes(4096, &mut word)?;
//! assert_eq!(&word, b"bytes");
//! assert!(memory.load_bytes(SIZE as u64 - 4, &mut word).is_err());
//!
//! // A core makes one step at a time.
//! let tlb = machine.tlbs().first().ok_or(EINVAL)?;
//! let step = tlb.begin();
//! assert!(step.is_some());
//! assert!(tlb.begin().is_none());
//! drop(step);
//! assert!(tlb.begin().is_some());
//! # let _ = load;
//! # Ok::<(), Error>(())
//! ```

pub mod soft;

mod context;
mod device;
mod mmu;
mod standalone;
mod types;
mod vtable;

pub use self::{
    context::{
        AddressSpace,
        Context, //
    },
    device::{
        Device,
        Options, //
    },
    mmu::Mmu,
    standalone::{
        Addresses,
        Mapping,
        Policy, //
    },
    types::{
        Access,
        Caps,
        Fence,
        Hint,
        HostRun,
        Map,
        MemoryType,
        PeerRun,
        Stats,
        VaRange,
        ZeroRun, //
    },
};
