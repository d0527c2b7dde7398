// SPDX-License-Identifier: GPL-2.0

//! GMEM for drivers: one memory manager for every accelerator.
//!
//! A driver implements [`Mmu`], makes a [`Device`] and registers its memory. For every process
//! that opens the device it attaches the process's [`AddressSpace`]; from then on it calls
//! [`Context::fault`] when the device misses a translation, or before a launch when the device
//! cannot fault. Where a page lies, moving it, taking it away and accounting for it is GMEM's
//! work, which it does through the functions of [`Mmu`].
//!
//! Beside this, [`soft`] has the parts of an emulated device, and [`node`], [`thread`] and
//! [`eventfd`] what a driver needs to be used by processes.
//!
//! C header: [`include/linux/gmem.h`](srctree/include/linux/gmem.h)
//!
//! # Examples
//!
//! An emulated device with 4 MiB of memory and one page-table entry:
//!
//! ```
//! use kernel::{
//!     faux,
//!     gmem::{
//!         soft,
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
//!         Arc,
//!         ArcBorrow, //
//!     }, //
//! };
//!
//! struct Toy {
//!     memory: soft::Memory,
//! }
//!
//! struct Pmap {
//!     page: u64,
//!     slot: soft::Slot,
//! }
//!
//! struct ToyMmu;
//!
//! #[vtable]
//! impl Mmu for ToyMmu {
//!     type DevData = Toy;
//!     type Pmap = Pmap;
//!     type FileData = u64;
//!
//!     fn pmap_create(_dev: ArcBorrow<'_, Toy>, page: &u64) -> Result<Arc<Pmap>> {
//!         let slot = soft::Slot::new();
//!         Ok(Arc::new(Pmap { page: *page, slot }, GFP_KERNEL)?)
//!     }
//!
//!     fn pmap_prepare(_pmap: &Pmap, _range: VaRange) -> Result {
//!         Ok(())
//!     }
//!
//!     fn pmap_enter(pmap: &Pmap, maps: &[Map]) -> Result {
//!         for map in maps {
//!             for nr in 0..map.nr_pages() {
//!                 if map.va() + u64::from(nr) * 4096 == pmap.page {
//!                     pmap.slot.enter(map, nr)?;
//!                 }
//!             }
//!         }
//!         Ok(())
//!     }
//!
//!     fn pmap_release(pmap: &Pmap, range: VaRange) {
//!         if (range.start()..range.end()).contains(&pmap.page) {
//!             pmap.slot.clear();
//!         }
//!     }
//!
//!     fn tlb_invl(_pmap: &Pmap, _range: VaRange) {
//!         // There is no TLB, and clearing the slot waited for the accesses.
//!     }
//!
//!     fn prepare_page(toy: &Toy, runs: &[ZeroRun]) -> Result<Fence> {
//!         runs.iter().try_for_each(|run| run.zero(&toy.memory))?;
//!         Ok(Fence::DONE)
//!     }
//!
//!     fn copy_to_dev(toy: &Toy, runs: &[HostRun]) -> Result<Fence> {
//!         runs.iter().try_for_each(|run| run.copy_to_dev(&toy.memory))?;
//!         Ok(Fence::DONE)
//!     }
//!
//!     fn copy_from_dev(toy: &Toy, runs: &[HostRun]) -> Result<Fence> {
//!         runs.iter().try_for_each(|run| run.copy_from_dev(&toy.memory))?;
//!         Ok(Fence::DONE)
//!     }
//! }
//!
//! # // SAFETY: Null is what `THIS_MODULE` is for built-in code.
//! # static THIS_MODULE: ThisModule = unsafe { ThisModule::from_ptr(core::ptr::null_mut()) };
//! const SIZE: usize = 4 << 20;
//!
//! let parent = faux::Registration::new(c"gmem-toy", None)?;
//! let memory = soft::Memory::new(SIZE)?;
//! memory.store_bytes(4096, b"bytes")?;
//! let toy = Arc::new(Toy { memory }, GFP_KERNEL)?;
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
//! let device = match Device::<ToyMmu>::new(options, toy) {
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
//!
//! // Device memory checks its bounds.
//! let mut word = [0u8; 5];
//! device.data().memory.load_bytes(4096, &mut word)?;
//! assert_eq!(&word, b"bytes");
//! assert!(device.data().memory.load_bytes(SIZE as u64 - 4, &mut word).is_err());
//! # Ok::<(), Error>(())
//! ```

pub mod eventfd;
pub mod node;
pub mod soft;
pub mod thread;

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
