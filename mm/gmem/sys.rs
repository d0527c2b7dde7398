// SPDX-License-Identifier: GPL-2.0

//! Safe names for the functions of the C shim.

use core::ops::Range;
use kernel::{
    bindings::{
        self,
        anon_vma, //
    },
    device,
    error::to_result,
    mm::{
        device::{
            mmap::MmapLocked,
            pagemap::{
                KeepMappings,
                Owner, //
            },
            vma::MmapVma, //
        },
        virt::VmaRef,
        Mm,
        MmWithUser, //
    },
    prelude::*,
    types::NotThreadSafe, //
};

pub(crate) use bindings::gm_copy as CopyRun;
pub(crate) use bindings::gm_map as MapRun;

/// The error of what a device or a kernel does not offer.
pub(crate) fn eopnotsupp() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as i32))
}

/// Where fault injection can strike.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Site {
    /// An allocation of device memory.
    Alloc = bindings::gmem_fail_site_GMEM_FAIL_ALLOC,
    /// A copy, or zero-fill, to the device.
    CopyTo = bindings::gmem_fail_site_GMEM_FAIL_COPY_TO,
    /// A copy from the device.
    CopyFrom = bindings::gmem_fail_site_GMEM_FAIL_COPY_FROM,
    /// A copy between devices.
    CopyPeer = bindings::gmem_fail_site_GMEM_FAIL_COPY_PEER,
    /// The check of a page-table read.
    Retry = bindings::gmem_fail_site_GMEM_FAIL_RETRY,
    /// An allocation for attributes.
    Attributes = bindings::gmem_fail_site_GMEM_FAIL_ATTRIBUTES,
    /// An allocation of host memory for what leaves a device.
    Home = bindings::gmem_fail_site_GMEM_FAIL_HOME,
    /// The driver's `pmap_create()`.
    PmapCreate = bindings::gmem_fail_site_GMEM_FAIL_PMAP_CREATE,
    /// The driver's `pmap_prepare()`.
    PmapPrepare = bindings::gmem_fail_site_GMEM_FAIL_PMAP_PREPARE,
    /// The driver's `pmap_enter()`.
    PmapEnter = bindings::gmem_fail_site_GMEM_FAIL_PMAP_ENTER,
    /// The wait for a copy, once it is over.
    Fence = bindings::gmem_fail_site_GMEM_FAIL_FENCE,
}

/// Returns whether fault injection wants `site` to fail now.
pub(crate) fn should_fail(site: Site) -> bool {
    // SAFETY: A plain call.
    unsafe { bindings::gmem_should_fail(site as bindings::gmem_fail_site) }
}

/// Says that a fault read a page table and has not looked at what it read. Waits there for a test
/// that asked for it; a plain call otherwise.
pub(crate) fn hold_read() {
    // SAFETY: A plain call; faults may sleep there.
    unsafe { bindings::gmem_hold_read() };
}

/// What stands for a process, as long as its `mm_struct` lives.
pub(crate) fn key(mm: &Mm) -> usize {
    mm.as_raw() as usize
}

/// What `/proc/vmstat` counts.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Event {
    /// A device fault that did work.
    Fault = bindings::gmem_event_GMEM_EVENT_FAULT,
    /// A CPU fault on a device page.
    CpuFault = bindings::gmem_event_GMEM_EVENT_CPU_FAULT,
    /// An invalidation that removed an entry.
    Invalidate = bindings::gmem_event_GMEM_EVENT_INVALIDATE,
    /// Pages that moved to a device.
    ToDevice = bindings::gmem_event_GMEM_EVENT_TO_DEVICE,
    /// Pages that came home.
    ToHost = bindings::gmem_event_GMEM_EVENT_TO_HOST,
    /// Pages zero-filled on a device.
    ZeroFill = bindings::gmem_event_GMEM_EVENT_ZERO_FILL,
    /// Pages that came home to make room.
    Evict = bindings::gmem_event_GMEM_EVENT_EVICT,
}

/// Counts `nr` of `event`.
pub(crate) fn count(event: Event, nr: usize) {
    if nr > 0 {
        // SAFETY: A plain call.
        unsafe { bindings::gmem_count(event as bindings::gmem_event, nr) };
    }
}

/// The VMA is shared with accelerators (`MAP_PEER_SHARED`).
pub(crate) const VM_PEER_SHARED: usize = 1 << bindings::VMA_PEER_SHARED_BIT;

/// Returns whether the kernel may read, count and move the VMA's pages: it is neither a driver's
/// mapping (`VM_IO`, `VM_PFNMAP`, `VM_MIXEDMAP`), nor secret, nor a shadow stack, nor of DAX or
/// hugetlbfs.
///
/// To be asked at each fault: mmap, mremap and drivers put other memory in the same place.
pub(crate) fn is_ordinary(vma: &VmaRef) -> bool {
    // SAFETY: `vma` is a valid VMA, and the lock that the reference stands for keeps its flags.
    unsafe { bindings::gmem_vma_is_ordinary(vma.as_ptr()) }
}

/// Keeps the anon_vmas of device pages that migrate.
pub(crate) const KEEP_ANON_VMAS: KeepMappings = KeepMappings {
    hold: hold_anon_vmas,
    put: put_anon_vmas,
};

/// Holds the anon_vmas of device pages that are about to migrate.
///
/// # Safety
///
/// As [`KeepMappings`] says.
unsafe fn hold_anon_vmas(pfns: &mut [usize], held: &mut [*mut anon_vma], stranger: usize) {
    // SAFETY: Both arrays have as many elements as the caller says; the frames have pages.
    unsafe {
        bindings::gmem_hold_anon_vmas(pfns.as_mut_ptr(), held.as_mut_ptr(), pfns.len(), stranger)
    };
}

/// Undoes [`hold_anon_vmas`].
///
/// # Safety
///
/// It filled the slice, which is not used afterwards.
unsafe fn put_anon_vmas(held: &mut [*mut anon_vma]) {
    // SAFETY: What is not NULL in the array is held since `hold_anon_vmas()`.
    unsafe { bindings::gmem_put_anon_vmas(held.as_mut_ptr(), held.len()) };
}

/// Throws away the contents of a page-aligned range, in bytes.
pub(crate) fn dontneed(mm: &MmWithUser, start: usize, len: usize) -> Result {
    // SAFETY: `mm` is alive; mmap_lock is not held, or the guard's lifetime would tell.
    to_result(unsafe {
        bindings::do_madvise(mm.as_raw(), start, len, bindings::MADV_DONTNEED as c_int)
    })
}

/// Reads in what is in swap of a page-aligned range, in bytes, and maps zeroes where nothing is.
pub(crate) fn populate(mm: &MmWithUser, start: usize, len: usize) -> Result {
    // SAFETY: As in `dontneed()`.
    to_result(unsafe {
        bindings::do_madvise(
            mm.as_raw(),
            start,
            len,
            bindings::MADV_POPULATE_READ as c_int,
        )
    })
}

/// Returns the first address of a range, in bytes, of which the page is in the memory of a device
/// that others than `owner` manage.
pub(crate) fn foreign(mmap: &impl MmapLocked, range: Range<usize>, owner: Owner) -> Option<usize> {
    let mm = mmap.mm().as_raw();
    // SAFETY: The process is alive, and its mmap_lock is held, as the guard shows.
    let addr =
        unsafe { bindings::gmem_find_on_device(mm, range.start, range.end, owner.as_raw(), false) };
    (addr < range.end).then_some(addr)
}

/// Returns whether any page of `range`, in bytes, which is inside the VMA, is in the memory of a
/// device that `owner` manages.
pub(crate) fn any_on_device(vma: &MmapVma, range: &Range<usize>, owner: Owner) -> bool {
    // SAFETY: The process is alive, and mmap_lock is held as the VMA shows.
    let addr = unsafe {
        bindings::gmem_find_on_device(
            vma.mm().as_raw(),
            range.start,
            range.end,
            owner.as_raw(),
            true,
        )
    };
    addr < range.end
}

/// Returns whether any page of the process is in swap.
pub(crate) fn has_swapped(mm: &MmWithUser) -> bool {
    // SAFETY: `mm` is alive.
    unsafe { bindings::gmem_has_swapped(mm.as_raw()) }
}

/// Returns whether the process was said to have advice.
pub(crate) fn has_advice(mm: &Mm) -> bool {
    // SAFETY: `mm` is alive.
    unsafe { bindings::gmem_has_advice(mm.as_raw()) }
}

/// Says that the process has advice, until it ends.
pub(crate) fn set_has_advice(mm: &Mm) {
    // SAFETY: `mm` is alive.
    unsafe { bindings::gmem_set_has_advice(mm.as_raw()) }
}

/// Returns the number of the process, 0 when the kernel does not know it.
pub(crate) fn pid_of(mm: &Mm) -> i32 {
    // SAFETY: `mm` is alive.
    unsafe { bindings::gmem_pid_of(mm.as_raw()) }
}

/// Counts `pages` against the limit of locked memory.
///
/// # Errors
///
/// `EAGAIN` over the limit.
pub(crate) fn charge_pinned(mm: &Mm, pages: usize) -> Result {
    // SAFETY: `mm` is alive.
    to_result(unsafe { bindings::gmem_charge_pinned(mm.as_raw(), pages) })
}

/// Ends what [`charge_pinned`] began.
pub(crate) fn uncharge_pinned(mm: &Mm, pages: usize) {
    // SAFETY: `mm` is alive.
    unsafe { bindings::gmem_uncharge_pinned(mm.as_raw(), pages) };
}

/// Returns how much of a device may be pinned.
pub(crate) fn pin_percent() -> usize {
    // SAFETY: A plain call.
    unsafe { bindings::gmem_get_pin_percent() as usize }
}

/// Makes the owner of an `mm_struct` pay for the kernel memory that the current task allocates with
/// `GFP_KERNEL_ACCOUNT`, until it is dropped.
///
/// # Invariants
///
/// `memcg` and `old` are from `gmem_charge_begin()`, called by the current task.
pub(crate) struct Charging {
    memcg: *mut bindings::mem_cgroup,
    old: *mut bindings::mem_cgroup,
    _not_send: NotThreadSafe,
}

impl Charging {
    pub(crate) fn to(mm: &Mm) -> Self {
        let mut old = core::ptr::null_mut();
        // SAFETY: The reference shows that the `mm_struct` is there.
        let memcg = unsafe { bindings::gmem_charge_begin(mm.as_raw(), &mut old) };

        // INVARIANT: Just returned.
        Self {
            memcg,
            old,
            _not_send: NotThreadSafe,
        }
    }
}

impl Drop for Charging {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; the value stayed with its task, and is dropped once.
        unsafe { bindings::gmem_charge_end(self.memcg, self.old) };
    }
}

/// Returns whether a fatal signal waits for the current task.
pub(crate) fn fatal_signal() -> bool {
    // SAFETY: A plain call.
    unsafe { bindings::gmem_fatal_signal() }
}

/// Returns the number of node ids; no node has this number or a higher one.
pub(crate) fn nr_node_ids() -> i32 {
    // SAFETY: A plain call.
    unsafe { bindings::gmem_nr_node_ids() as i32 }
}

/// Returns whether `nid` is a node with host memory.
pub(crate) fn is_host_node(nid: i32) -> bool {
    // SAFETY: A plain call; the function checks the range.
    unsafe { bindings::gmem_node_has_memory(nid) }
}

/// Brings a reserved node online; returns its id.
///
/// # Errors
///
/// `ENOSPC` when all are taken, `ENOMEM`.
pub(crate) fn node_online() -> Result<i32> {
    // SAFETY: A plain call, from a context that may sleep.
    let nid = unsafe { bindings::gmem_node_online() };
    to_result(nid.min(0)).map(|()| nid)
}

/// Tells the world of a node that [`node_online`] returned.
pub(crate) fn node_publish(
    nid: i32,
    parent: Option<&device::Device>,
    bandwidth: u32,
    latency: u32,
) {
    // The type is a transparent wrapper of the C structure.
    let parent = parent.map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: The node is online, the device valid or NULL.
    unsafe { bindings::gmem_node_publish(nid, parent.cast_mut().cast(), bandwidth, latency) };
}

/// Undoes [`node_publish`].
pub(crate) fn node_retract(nid: i32) {
    // SAFETY: The node is online.
    unsafe { bindings::gmem_node_retract(nid) };
}

/// Undoes [`node_online`].
pub(crate) fn node_offline(nid: i32) {
    // SAFETY: The node is online and has no pages.
    unsafe { bindings::gmem_node_offline(nid) };
}

/// Returns whether the cpuset of the current task has the node of a device.
pub(crate) fn node_allowed(nid: i32) -> bool {
    // SAFETY: A plain call; the function checks the range.
    unsafe { bindings::gmem_node_allowed(nid) }
}

/// Returns the device node that the memory policy of `vma`, or of its process, names for the
/// address; `nid` is the node of the device that asks.
pub(crate) fn policy_node(vma: &MmapVma, addr: usize, nid: i32) -> Option<i32> {
    // SAFETY: mmap_lock is held as long as the reference lives, by the type.
    let node = unsafe { bindings::gmem_policy_node(vma.as_ptr(), addr, nid) };
    (node >= 0).then_some(node)
}

kernel::tracepoint::declare_trace! {
    unsafe fn gmem_fault(dev: c_uint, addr: c_ulong, len: c_ulong, access: c_uint, ret: c_int);
    unsafe fn gmem_used(dev: c_uint, addr: c_ulong, len: c_ulong);
    unsafe fn gmem_migrate(dev: c_uint, to_device: bool, addr: c_ulong, pages: c_ulong);
    unsafe fn gmem_invalidate(start: c_ulong, end: c_ulong, contexts: c_uint);
    unsafe fn gmem_evict(dev: c_uint, page: c_ulong, pages: c_ulong, ret: c_int);
}

/// Trace point `gmem:gmem_fault`.
pub(crate) fn trace_fault(dev: u32, bytes: Range<usize>, access: u32, ret: &Result) {
    let ret = ret.as_ref().map_or_else(|e| e.to_errno(), |()| 0);
    // SAFETY: A trace point takes numbers.
    unsafe { gmem_fault(dev, bytes.start, bytes.len(), access, ret) };
}

/// Trace point `gmem:gmem_used`.
pub(crate) fn trace_used(dev: u32, bytes: Range<usize>) {
    // SAFETY: A trace point takes numbers.
    unsafe { gmem_used(dev, bytes.start, bytes.len()) };
}

/// Trace point `gmem:gmem_migrate`.
pub(crate) fn trace_migrate(dev: u32, to_device: bool, addr: usize, pages: usize) {
    // SAFETY: A trace point takes numbers.
    unsafe { gmem_migrate(dev, to_device, addr, pages) };
}

/// Trace point `gmem:gmem_invalidate`.
pub(crate) fn trace_invalidate(bytes: Range<usize>, contexts: u32) {
    // SAFETY: A trace point takes numbers.
    unsafe { gmem_invalidate(bytes.start, bytes.end, contexts) };
}

/// Trace point `gmem:gmem_evict`.
pub(crate) fn trace_evict(dev: u32, page: usize, pages: &Result<usize>) {
    let (pages, ret) = match pages {
        Ok(pages) => (*pages, 0),
        Err(e) => (0, e.to_errno()),
    };
    // SAFETY: A trace point takes numbers.
    unsafe { gmem_evict(dev, page, pages, ret) };
}
