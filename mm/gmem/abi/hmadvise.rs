// SPDX-License-Identifier: GPL-2.0

//! hmadvise(2).

use super::export::exports;
use crate::{
    advice::{
        attributes::{
            Change,
            Node, //
        },
        attributes_tree::Advice,
        pin, //
    },
    device::registry::{
        self,
        Device, //
    },
    fault::prefetch,
    prelude::*,
    reclaim::reserve,
    space::{
        address_space::Space,
        mapping,
        replicas, //
    }, //
};
use kernel::{
    bindings::mm_struct,
    page::PAGE_MASK, //
};

exports! {
    fn gmem_hmadvise(hnid: c_int, start: usize, len: usize, behavior: c_int) -> c_int = system_call;
    fn gmem_prefetch(mm: *mut mm_struct, hnid: c_int, start: usize, len: usize) -> c_int = move_to;
}

/// "No node", for behaviours that need none.
const NO_NODE: i32 = -1;

/// Where advice points.
enum Place {
    Nowhere,
    Host(i32),
    Device(Arc<Device>),
}

/// hmadvise(2), called by the shim.
fn system_call(hnid: i32, start: usize, len: usize, behavior: i32) -> Result {
    let task = kernel::current!();
    hmadvise(task.mm().ok_or(EINVAL)?, hnid, start, len, behavior)
}

/// Moves a range of any process to a node, as `MADV_PREFETCH` does.
fn move_to(mm: &MmWithUser, hnid: i32, start: usize, len: usize) -> Result {
    hmadvise(mm, hnid, start, len, bindings::MADV_PREFETCH as c_int)
}

/// Serves the system call.
///
/// # Errors
///
/// See Documentation/userspace-api/gmem.rst.
fn hmadvise(mm: &MmWithUser, hnid: i32, start: usize, len: usize, behavior: i32) -> Result {
    let behavior = u32::try_from(behavior)?;
    let todo = Todo::new(behavior, place(hnid)?)?;
    if start & !PAGE_MASK != 0 {
        return Err(EINVAL);
    }
    let range = PageRange::from_bytes(start as u64, len as u64).ok_or(EINVAL)?;
    if range.is_empty() {
        return Ok(());
    }

    match todo {
        Todo::DontNeed => {
            let _ = mapping::check(mm, range)?;
            sys::dontneed(mm, start, range.len_bytes() as usize)
        }
        Todo::PrefetchDevice(device) => prefetch::to_device(mm, &device, range),
        Todo::PrefetchHost(nid) => prefetch::to_host(mm, range, Some(nid)),
        Todo::Change(device, change) => {
            // What is advised is forgotten when the device goes, so that it may not have gone yet.
            let _entered = device.as_deref().map(Device::enter).transpose()?;
            attribute(mm, range, change)
        }
        Todo::Pin(device) => pin(mm, &device, range),
        Todo::Unpin(id) => unpin(mm, range, id),
    }
}

/// What a behaviour asks for.
enum Todo {
    DontNeed,
    PrefetchDevice(Arc<Device>),
    PrefetchHost(i32),
    /// What is named is the device.
    Change(Option<Arc<Device>>, Change),
    Pin(Arc<Device>),
    Unpin(Option<u32>),
}

impl Todo {
    /// # Errors
    ///
    /// `EINVAL` for an unknown behaviour, and for a place that does not go with it.
    fn new(behavior: u32, place: Place) -> Result<Self> {
        let node = place.node();
        let named = place.device().cloned();
        let change = match (behavior, place) {
            (bindings::MADV_DONTNEED, _) => return Ok(Self::DontNeed),
            (bindings::MADV_PREFETCH, Place::Device(device)) => {
                return Ok(Self::PrefetchDevice(device));
            }
            (bindings::MADV_PREFETCH, Place::Host(nid)) => {
                return Ok(Self::PrefetchHost(nid));
            }
            (bindings::MADV_PINNED, Place::Device(device)) => return Ok(Self::Pin(device)),
            (bindings::MADV_UNPINNED, Place::Device(device)) => {
                return Ok(Self::Unpin(Some(device.parts.id)));
            }
            (bindings::MADV_UNPINNED, Place::Nowhere) => return Ok(Self::Unpin(None)),
            (bindings::MADV_PREFERRED_NODE, _) => Change::Prefer(node.ok_or(EINVAL)?),
            (bindings::MADV_NO_PREFERRED_NODE, _) => Change::NoPrefer(node),
            (bindings::MADV_READ_MOSTLY, _) => Change::ReadMostly(true),
            (bindings::MADV_NO_READ_MOSTLY, _) => Change::ReadMostly(false),
            (bindings::MADV_ACCESSED_BY, Place::Device(device)) => {
                Change::AccessedBy(device.parts.id)
            }
            (bindings::MADV_NO_ACCESSED_BY, Place::Device(device)) => {
                Change::NoAccessedBy(Some(device.parts.id))
            }
            (bindings::MADV_NO_ACCESSED_BY, Place::Nowhere) => Change::NoAccessedBy(None),
            _ => return Err(EINVAL),
        };
        Ok(Self::Change(named, change))
    }
}

impl Place {
    fn device(&self) -> Option<&Arc<Device>> {
        match self {
            Self::Device(device) => Some(device),
            _ => None,
        }
    }

    fn node(&self) -> Option<Node> {
        match self {
            Self::Nowhere => None,
            Self::Host(nid) => Some(Node::Host(*nid)),
            Self::Device(device) => Some(Node::Device(device.parts.id)),
        }
    }
}

/// Changes the attributes of what is mapped of the range.
fn attribute(mm: &MmWithUser, range: PageRange, change: Change) -> Result {
    let holes = mapping::check(mm, range)?;
    let advice = Advice::get(mm)?;
    // Unmapping takes attributes away under mmap_lock, so they are given under it.
    let mmap = mm.mmap_read_lock();

    mapping::for_each_vma(&mmap, range, |vma, part| {
        // It may have become another mapping since it was checked.
        if !mapping::is_shared(vma) {
            return Ok(());
        }
        let changed = advice.change(part, change, |_, _, _| {});
        // Also if it holds for the head of the part only.
        if change == Change::ReadMostly(false) {
            if let Some(space) = Space::find(mm) {
                replicas::drop_range(&space, part);
            }
        }
        changed
    })?;
    holes
}

/// Pins the range, and brings it to the device.
fn pin(mm: &MmWithUser, device: &Arc<Device>, range: PageRange) -> Result {
    prefetch::contexts_on(mm, device)?;
    let _ = mapping::check(mm, range)?;
    let (news, all) = reserve::pin(mm, device, range)?;
    let mut home = Ok(());
    if news {
        // What is on a device already is not where room is kept.
        home = prefetch::to_host(mm, range, None);
        if home.is_err_and(|e| e == EFAULT || e == EINTR) {
            return home;
        }
    }
    prefetch::to_device(mm, device, range)?;
    home?;
    if all {
        Ok(())
    } else {
        Err(EBUSY)
    }
}

/// Unpins the range.
fn unpin(mm: &MmWithUser, range: PageRange, id: Option<u32>) -> Result {
    let holes = mapping::check(mm, range)?;
    if pin::unpin(mm, range, id)? {
        // It would take the room of what stays pinned. A page that cannot leave now is only late.
        let _ = prefetch::to_host(mm, range, None);
    }
    holes
}

fn place(hnid: i32) -> Result<Place> {
    if hnid == NO_NODE {
        return Ok(Place::Nowhere);
    }
    if sys::is_host_node(hnid) {
        return Ok(Place::Host(hnid));
    }
    let device = registry::by_hnid(hnid).ok_or(EINVAL)?;
    if !sys::node_allowed(hnid) {
        return Err(EPERM);
    }
    Ok(Place::Device(device))
}
