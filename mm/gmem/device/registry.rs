// SPDX-License-Identifier: GPL-2.0

//! Devices: what a driver registered, who is inside, and the list of all of them.

use crate::{
    device::{
        gate::{
            Gate,
            Inside, //
        },
        holds,
        memory::Memory,
        mmu::{
            Mmu,
            Parts, //
        },
        node::{
            self,
            Speed, //
        },
        stats::Stats, //
    },
    prelude::*, //
};
use kernel::{
    debugfs::Scope,
    device,
    str::CString,
    sync::GlobalGuard, //
};

/// The largest number of devices: what fits into a directory entry.
pub(crate) const MAX_DEVICES: usize = 63;

/// What a driver says of its device; `struct gm_dev_desc`, checked.
pub(crate) struct Description {
    pub(crate) name: CString,
    pub(crate) mmu: Mmu,
    pub(crate) caps: u64,
    pub(crate) reach: PageRange,
    pub(crate) parent: Option<ARef<device::Device>>,
    pub(crate) speed: Speed,
}

/// Who can still use a device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Its driver.
    Driver,
    /// Processes, whose pages are lost there.
    Nobody,
    /// It is off the list.
    Unlisted,
}

/// The memory of a device.
#[derive(Default)]
pub(crate) struct Held {
    /// What is registered.
    pub(crate) live: Option<Arc<Memory>>,
    /// That of a dead device: processes still have pages there.
    pub(crate) lost: Option<Arc<Memory>>,
}

impl Held {
    /// Returns the memory, in whichever state.
    fn any(&self) -> Option<&Arc<Memory>> {
        self.live.as_ref().or(self.lost.as_ref())
    }
}

/// The directory of a device in debugfs. It holds the device, which therefore has to let go of it.
pub(crate) type DebugDir = Pin<KBox<Scope<Arc<Device>>>>;

/// One device.
#[pin_data]
pub(crate) struct Device {
    pub(crate) parts: Parts,
    pub(crate) name: CString,
    pub(crate) caps: u64,
    pub(crate) reach: PageRange,
    /// Until the device is dead.
    #[pin]
    pub(crate) parent: Mutex<Option<ARef<device::Device>>>,
    pub(crate) speed: Speed,
    /// Held while memory comes or goes; taken with the gate closed, or by who is inside.
    #[pin]
    pub(crate) owner: Mutex<Owner>,
    #[pin]
    pub(crate) memory: Mutex<Held>,
    /// Closed when the memory, or the device, goes away.
    #[pin]
    pub(crate) gate: Gate,
    #[pin]
    pub(crate) contexts: Mutex<usize>,
    #[pin]
    pub(crate) debug_dir: Mutex<Option<DebugDir>>,
}

/// Proof that the device takes part: it cannot be destroyed, nor its memory leave, until the value
/// is dropped. Nothing else keeps the memory but a page of it.
pub(crate) struct Entered<'a> {
    // Dropped first: who waits at the gate takes the memory away.
    memory: Option<Arc<Memory>>,
    _inside: Inside<'a>,
}

impl Entered<'_> {
    /// Returns the memory, if any is registered.
    pub(crate) fn memory(&self) -> Option<&Arc<Memory>> {
        self.memory.as_ref()
    }
}

kernel::sync::global_lock! {
    // SAFETY: Initialized by `init()` before any other function of GMEM runs.
    pub(crate) unsafe(uninit) static DEVICES: Mutex<KVec<Option<Arc<Device>>>> = KVec::new();
}

fn lock_list() -> GlobalGuard<DEVICES> {
    holds::LISTS.add(1);
    DEVICES.lock()
}

impl Device {
    /// Makes a device and puts it on the list.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when there are [`MAX_DEVICES`] already, `ENOMEM`.
    pub(crate) fn new(desc: Description) -> Result<Arc<Self>> {
        let stats = Arc::new(Stats::default(), GFP_KERNEL)?;
        let mut devices = lock_list();
        let index = match devices.iter().position(Option::is_none) {
            Some(index) => index,
            None if devices.len() < MAX_DEVICES => {
                devices.push(None, GFP_KERNEL)?;
                devices.len() - 1
            }
            None => return Err(ENOSPC),
        };
        let parts = Parts {
            id: index as u32 + 1,
            mmu: desc.mmu,
            stats,
        };
        let device = Arc::pin_init(
            pin_init!(Self {
                parts,
                name: desc.name,
                caps: desc.caps,
                reach: desc.reach,
                parent <- new_mutex!(desc.parent, "gmem_parent"),
                speed: desc.speed,
                owner <- new_mutex!(Owner::Driver, "gmem_owner"),
                memory <- new_mutex!(Held::default(), "gmem_device"),
                gate <- Gate::new(),
                contexts <- new_mutex!(0, "gmem_contexts"),
                debug_dir <- new_mutex!(None, "gmem_debug_dir"),
            }),
            GFP_KERNEL,
        )?;
        if let Some(entry) = devices.get_mut(index) {
            *entry = Some(device.clone());
        }
        drop(devices);
        Ok(device)
    }

    /// Takes the device off the list; its memory has left before.
    pub(crate) fn unlist(&self) {
        // Waits for readers, so not under a lock that they take.
        let dir = self.debug_dir.lock().take();
        drop(dir);
        let mut devices = lock_list();
        if let Some(entry) = devices.get_mut(self.parts.id as usize - 1) {
            // The reference of the caller outlives this one, so nothing is freed under the lock.
            *entry = None;
        }
    }

    /// Begins work on the device.
    ///
    /// # Errors
    ///
    /// `ENODEV` when the device is going away.
    pub(crate) fn enter(&self) -> Result<Entered<'_>> {
        let inside = self.gate.enter()?;
        Ok(Entered {
            memory: self.memory.lock().live.clone(),
            _inside: inside,
        })
    }

    /// Calls `f` with the memory, if any is registered, which stays meanwhile.
    pub(crate) fn with_memory<R>(&self, f: impl FnOnce(&Memory) -> R) -> Option<R> {
        self.memory.lock().live.as_deref().map(f)
    }

    /// Returns whether the memory is the node `hnid`.
    fn is_at(&self, hnid: i32) -> bool {
        self.with_memory(|memory| memory.hnid == hnid) == Some(true)
    }

    /// Returns how many bytes of the memory are pinned.
    pub(crate) fn pinned(&self) -> usize {
        self.with_memory(|memory| memory.reserved(None) << PAGE_SHIFT)
            .unwrap_or(0)
    }

    /// Returns the counters.
    pub(crate) fn stats(&self) -> bindings::gm_dev_stats {
        let (total, used) = self
            .with_memory(|memory| (memory.pages(), memory.used()))
            .unwrap_or((0, 0));
        bindings::gm_dev_stats {
            mem_total: (total as u64) << PAGE_SHIFT,
            mem_free: (total.saturating_sub(used) as u64) << PAGE_SHIFT,
            contexts: *self.contexts.lock() as u64,
            ..self.parts.stats.report()
        }
    }
}

/// Returns all devices. Between them no lock is held.
pub(crate) fn all() -> impl Iterator<Item = Arc<Device>> {
    (0..MAX_DEVICES).filter_map(|index| lock_list().get(index)?.clone())
}

/// Returns the device with this number.
pub(crate) fn by_id(id: u32) -> Option<Arc<Device>> {
    let index = usize::try_from(id.checked_sub(1)?).ok()?;
    lock_list().get(index)?.clone()
}

/// Returns the node id of the memory of the device with this number.
pub(crate) fn hnid_of(id: u32) -> i32 {
    let devices = lock_list();
    let device = devices.get((id as usize).wrapping_sub(1));
    let hnid = device
        .and_then(Option::as_ref)
        .and_then(|device| device.with_memory(|memory| memory.hnid));
    hnid.unwrap_or_else(|| node::substitute(id))
}

/// Returns the device of a node id.
pub(crate) fn by_hnid(hnid: i32) -> Option<Arc<Device>> {
    let devices = lock_list();
    let mut devices = devices.iter().flatten();
    devices.find(|device| device.is_at(hnid)).cloned()
}

/// Returns the counters of the device whose memory is the node `hnid`.
pub(crate) fn counters(hnid: i32) -> Option<Arc<Stats>> {
    // As below: the counters may outlive the memory.
    let devices = lock_list();
    let mut devices = devices.iter().flatten();
    let device = devices.find(|device| device.is_at(hnid))?;
    Some(device.parts.stats.clone())
}

/// Returns how many pages the node `hnid` has and how many of them are free.
pub(crate) fn usage(hnid: i32) -> Option<(usize, usize)> {
    // References are not taken: the caller reads a file of the node and must not be the last user
    // of its memory.
    let devices = lock_list();
    devices.iter().flatten().find_map(|device| {
        let held = device.memory.lock();
        let memory = held.any().filter(|memory| memory.hnid == hnid)?;
        Some((memory.pages(), memory.pages().saturating_sub(memory.used())))
    })
}
