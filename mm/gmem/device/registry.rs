// SPDX-License-Identifier: GPL-2.0

//! Devices: what a driver registered, and the list of all of them.

use crate::{
    advice::pin,
    device::{
        debugfs::{
            self,
            DeviceDir, //
        },
        dmem,
        memory::Memory,
        mmu::Mmu,
        node::{
            self,
            Node,
            Speed, //
        },
        stats::Stats, //
    },
    range::PageRange,
    reclaim::evict,
    replica::replicas, //
};
use kernel::{
    bindings,
    device,
    new_condvar,
    new_mutex,
    page::PAGE_SHIFT,
    prelude::*,
    str::CString,
    sync::{
        aref::ARef,
        Arc,
        CondVar,
        Mutex, //
    }, //
};

/// The largest number of devices: what fits into a directory entry.
pub(crate) const MAX_DEVICES: usize = 63;

/// What moves pages of a device: its functions and its counters, without its lifetime.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) id: u32,
    pub(crate) mmu: Mmu,
    pub(crate) stats: Arc<Stats>,
}

/// What a driver says of its device; `struct gm_dev_desc`, checked.
pub(crate) struct Description {
    pub(crate) name: CString,
    pub(crate) mmu: Mmu,
    pub(crate) caps: u64,
    pub(crate) reach: PageRange,
    pub(crate) parent: Option<ARef<device::Device>>,
    pub(crate) speed: Speed,
}

/// Whether work may begin, and how much is under way.
struct Gate {
    open: bool,
    inside: usize,
}

/// One device.
#[pin_data]
pub(crate) struct Device {
    pub(crate) parts: Parts,
    pub(crate) name: CString,
    pub(crate) caps: u64,
    pub(crate) reach: PageRange,
    parent: Option<ARef<device::Device>>,
    speed: Speed,
    /// The node of the memory; locked while memory comes or goes.
    #[pin]
    node: Mutex<Option<Node>>,
    #[pin]
    memory: Mutex<Option<Arc<Memory>>>,
    #[pin]
    gate: Mutex<Gate>,
    #[pin]
    idle: CondVar,
    #[pin]
    contexts: Mutex<usize>,
    #[pin]
    debug_dir: Mutex<Option<DeviceDir>>,
}

/// Proof that the device takes part: it cannot be destroyed, nor its memory leave, until the value
/// is dropped.
pub(crate) struct Entered<'a>(&'a Device);

kernel::sync::global_lock! {
    // SAFETY: Initialized by `init()` before any other function of GMEM runs.
    pub(crate) unsafe(uninit) static DEVICES: Mutex<KVec<Option<Arc<Device>>>> = KVec::new();
}

impl Device {
    /// Makes a device and puts it on the list.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when there are [`MAX_DEVICES`] already, `ENOMEM`.
    pub(crate) fn new(desc: Description) -> Result<Arc<Self>> {
        let stats = Arc::new(Stats::new(), GFP_KERNEL)?;
        let mut devices = DEVICES.lock();
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
                parent: desc.parent,
                speed: desc.speed,
                node <- new_mutex!(None, "gmem_node"),
                memory <- new_mutex!(None, "gmem_device"),
                gate <- new_mutex!(Gate { open: true, inside: 0 }, "gmem_gate"),
                idle <- new_condvar!("gmem_idle"),
                contexts <- new_mutex!(0, "gmem_contexts"),
                debug_dir <- new_mutex!(None, "gmem_debug_dir"),
            }),
            GFP_KERNEL,
        )?;
        if let Some(entry) = devices.get_mut(index) {
            *entry = Some(device.clone());
        }
        drop(devices);
        *device.debug_dir.lock() = debugfs::add(&device);
        Ok(device)
    }

    /// Takes the device off the list; its memory has left before.
    pub(crate) fn unlist(&self) {
        // Waits for readers, so not under a lock that they take.
        let dir = self.debug_dir.lock().take();
        drop(dir);
        let mut devices = DEVICES.lock();
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
        let mut gate = self.gate.lock();
        if !gate.open {
            return Err(ENODEV);
        }
        gate.inside += 1;
        Ok(Entered(self))
    }

    /// Returns the memory, if any is registered.
    pub(crate) fn memory(&self) -> Option<Arc<Memory>> {
        self.memory.lock().clone()
    }

    /// Returns whether the memory is the node `hnid`.
    fn is_at(&self, hnid: i32) -> bool {
        let memory = self.memory.lock();
        memory.as_ref().is_some_and(|memory| memory.hnid() == hnid)
    }

    /// Adds memory of `size` bytes.
    ///
    /// # Errors
    ///
    /// `EBUSY` when there is some already; as [`Memory::new`].
    pub(crate) fn register_memory(&self, size: usize) -> Result {
        let _inside = self.enter()?;
        let mut node = self.node.lock();
        if self.memory().is_some() {
            return Err(EBUSY);
        }
        let new = Node::new()?;
        let hnid = match &new {
            Some(node) => node.id(),
            None => node::substitute(self.parts.id),
        };
        let memory = Memory::new(self.parts.clone(), &self.name, size, hnid, new.as_ref())?;
        *self.memory.lock() = Some(memory);
        if let Some(new) = &new {
            new.publish(self.parent.as_deref(), self.speed);
        }
        *node = new;
        Ok(())
    }

    /// Takes the memory away after everything in it went home.
    ///
    /// New work is refused from the start; when this fails the device works again.
    ///
    /// # Errors
    ///
    /// `EBUSY` when pages would not leave, `ENOMEM` when the host has no room, `ENODEV` when there
    /// is no memory.
    pub(crate) fn unregister_memory(&self) -> Result {
        {
            let mut gate = self.gate.lock();
            if !gate.open {
                return Err(ENODEV);
            }
            gate.open = false;
            while gate.inside > 0 {
                self.idle.wait(&mut gate);
            }
        }
        pin::device_gone(self.parts.id);
        let result = match self.memory() {
            Some(memory) => {
                replicas::drop_memory(&memory);
                evict::everything(&memory)
            }
            None => Err(ENODEV),
        };
        if result.is_ok() {
            let mut node = self.node.lock();
            if let Some(node) = &*node {
                node.retract();
            }
            let memory = self.memory.lock().take();
            // The worker does not find the memory any more, and is not to be the one that drops it.
            dmem::return_wait();
            // The last user of the pages is gone, so this does not wait.
            drop(memory);
            *node = None;
        }
        self.gate.lock().open = true;
        result
    }

    /// Returns how many bytes of the memory are pinned.
    pub(crate) fn pinned(&self) -> usize {
        self.memory()
            .map_or(0, |memory| memory.reserved(None) << PAGE_SHIFT)
    }

    /// Counts an attached context.
    pub(crate) fn context_added(&self) {
        *self.contexts.lock() += 1;
    }

    /// Counts a detached context.
    pub(crate) fn context_removed(&self) {
        *self.contexts.lock() -= 1;
    }

    /// Returns the counters.
    pub(crate) fn stats(&self) -> bindings::gm_dev_stats {
        let (total, used) = match self.memory() {
            Some(memory) => (memory.pages(), memory.used()),
            None => (0, 0),
        };
        bindings::gm_dev_stats {
            mem_total: (total as u64) << PAGE_SHIFT,
            mem_free: (total.saturating_sub(used) as u64) << PAGE_SHIFT,
            contexts: *self.contexts.lock() as u64,
            ..self.parts.stats.report()
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut gate = self.0.gate.lock();
        gate.inside -= 1;
        if gate.inside == 0 {
            self.0.idle.notify_all();
        }
    }
}

/// Returns the memory that the page frame `pfn` belongs to, and which page of it that is.
///
/// The caller holds a reference to the page, which keeps the memory.
pub(crate) fn memory_of(pfn: usize) -> Option<(Arc<Memory>, usize)> {
    let devices = DEVICES.lock();
    devices.iter().flatten().find_map(|device| {
        let memory = device.memory()?;
        let page = memory.map.page(pfn)?;
        Some((memory, page))
    })
}

/// Calls `f` with each device. `f` may take locks.
pub(crate) fn for_each(mut f: impl FnMut(&Device)) {
    for index in 0..MAX_DEVICES {
        let device = DEVICES.lock().get(index).cloned().flatten();
        if let Some(device) = device {
            f(&device);
        }
    }
}

/// Returns the device with this number.
pub(crate) fn by_id(id: u32) -> Option<Arc<Device>> {
    let index = usize::try_from(id.checked_sub(1)?).ok()?;
    DEVICES.lock().get(index)?.clone()
}

/// Returns the node id of the memory of the device with this number.
pub(crate) fn hnid_of(id: u32) -> i32 {
    let devices = DEVICES.lock();
    let device = devices.get((id as usize).wrapping_sub(1));
    let hnid = device.and_then(Option::as_ref).and_then(|device| {
        let memory = device.memory.lock();
        memory.as_ref().map(|memory| memory.hnid())
    });
    hnid.unwrap_or_else(|| node::substitute(id))
}

/// Returns the device of a node id.
pub(crate) fn by_hnid(hnid: i32) -> Option<Arc<Device>> {
    let devices = DEVICES.lock();
    let mut devices = devices.iter().flatten();
    devices.find(|device| device.is_at(hnid)).cloned()
}

/// Returns the counters of the device whose memory is the node `hnid`.
pub(crate) fn counters(hnid: i32) -> Option<Arc<Stats>> {
    // As below: the counters may outlive the memory.
    let devices = DEVICES.lock();
    devices.iter().flatten().find_map(|device| {
        let memory = device.memory.lock();
        memory.as_ref().filter(|memory| memory.hnid() == hnid)?;
        Some(device.parts.stats.clone())
    })
}

/// Returns how many pages the node `hnid` has and how many of them are free.
pub(crate) fn usage(hnid: i32) -> Option<(usize, usize)> {
    // References are not taken: the caller reads a file of the node and must not be the last user
    // of its memory.
    let devices = DEVICES.lock();
    devices.iter().flatten().find_map(|device| {
        let memory = device.memory.lock();
        let memory = memory.as_ref().filter(|memory| memory.hnid() == hnid)?;
        Some((memory.pages(), memory.pages().saturating_sub(memory.used())))
    })
}
