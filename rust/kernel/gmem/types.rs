// SPDX-License-Identifier: GPL-2.0

//! The small values that pass between GMEM and a driver.

use crate::{
    bindings,
    bits::{
        bit_u32,
        bit_u64, //
    },
    page::PAGE_SHIFT, //
};
use core::ops::Range;

/// Access rights of a device mapping, and the access that faulted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access(u32);

impl Access {
    // The values of GM_ACCESS_*, which bindgen cannot evaluate.
    const READ_BIT: u32 = bit_u32(0);
    const WRITE_BIT: u32 = bit_u32(1);

    /// Loads.
    pub const READ: Self = Self(Self::READ_BIT);
    /// Loads and stores.
    pub const WRITE: Self = Self(Self::READ_BIT | Self::WRITE_BIT);

    /// Returns the access of a load or of a store.
    pub const fn new(write: bool) -> Self {
        if write {
            Self::WRITE
        } else {
            Self::READ
        }
    }

    pub(super) const fn from_raw(raw: u32) -> Self {
        Self(raw & (Self::READ_BIT | Self::WRITE_BIT))
    }

    pub(super) const fn as_raw(self) -> u32 {
        self.0
    }

    /// Returns whether loads are allowed.
    pub const fn is_read(self) -> bool {
        self.0 & Self::READ_BIT != 0
    }

    /// Returns whether stores are allowed.
    pub const fn is_write(self) -> bool {
        self.0 & Self::WRITE_BIT != 0
    }
}

/// What a device can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caps(u64);

impl Caps {
    /// Nothing special.
    pub const NONE: Self = Self(0);
    /// An access that missed is replayed after its fault was resolved.
    pub const REPLAYABLE: Self = Self(bit_u64(0));
    /// The device has an operating system of its own that manages its virtual addresses.
    pub const PEER: Self = Self(bit_u64(1));
    /// The CPU can load from and store to the device's memory.
    pub const COHERENT: Self = Self(bit_u64(2));
    /// The device's atomics on host memory are atomic for the CPU.
    pub const ATOMICS: Self = Self(bit_u64(3));

    pub(super) const fn as_raw(self) -> u64 {
        self.0
    }
}

impl core::ops::BitOr for Caps {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What the caller of [`Context::fault`](super::Context::fault) knows about the access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Hint {
    /// The device waits for this address.
    Demand = bindings::gm_fault_hint_GM_FAULT_DEMAND,
    /// The range is about to be used by a launch.
    Prepare = bindings::gm_fault_hint_GM_FAULT_PREPARE,
}

/// How the CPU sees registered device memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum MemoryType {
    /// Not at all: a CPU access brings the page home.
    Private = bindings::gm_memory_type_GM_MEMORY_PRIVATE,
    /// With loads and stores.
    Coherent = bindings::gm_memory_type_GM_MEMORY_COHERENT,
}

/// Work that a data function of [`Mmu`](super::Mmu) started.
///
/// The driver chooses the number; 0 means "already done" and is not waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fence(u64);

impl Fence {
    /// The work is done.
    pub const DONE: Self = Self(0);

    /// Makes a fence from the driver's number.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// Returns the driver's number.
    pub const fn value(self) -> u64 {
        self.0
    }
}

/// A range of virtual addresses; both ends are multiples of the page size.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct VaRange(bindings::gm_range);

impl VaRange {
    /// Makes a range.
    pub const fn new(va: u64, len: u64) -> Self {
        Self(bindings::gm_range { va, len })
    }

    /// First byte.
    pub const fn start(&self) -> u64 {
        self.0.va
    }

    /// Length in bytes.
    #[expect(clippy::len_without_is_empty)]
    pub const fn len(&self) -> u64 {
        self.0.len
    }

    /// One past the last byte.
    pub const fn end(&self) -> u64 {
        self.0.va.wrapping_add(self.0.len)
    }
}

/// One run of pages to enter into a page table: both sides are contiguous, and it does not cross
/// a 2 MiB boundary of the virtual address.
///
/// # Invariants
///
/// Comes from GMEM, which keeps the memory behind it in place until the entries made from it were
/// released and their translations flushed.
#[repr(transparent)]
pub struct Map(bindings::gm_map);

impl Map {
    // The value of GM_MAP_LOCAL.
    const LOCAL: u32 = bit_u32(8);

    /// Makes a run of device memory, which is never freed under an entry.
    #[cfg(CONFIG_GMEM_KUNIT_TEST)]
    pub(super) fn local(va: u64, addr: u64, nr_pages: u32, access: Access) -> Self {
        // INVARIANT: There is no host memory behind it.
        Self(bindings::gm_map {
            va,
            addr,
            nr_pages,
            flags: access.as_raw() | Self::LOCAL,
        })
    }

    /// First virtual address.
    pub fn va(&self) -> u64 {
        self.0.va
    }

    /// The range of virtual addresses.
    pub fn range(&self) -> Range<u64> {
        let len = u64::from(self.0.nr_pages) << PAGE_SHIFT;
        self.0.va..self.0.va.wrapping_add(len)
    }

    /// Offset in the device's own memory if [`is_local`](Self::is_local), else a DMA address.
    pub fn addr(&self) -> u64 {
        self.0.addr
    }

    /// Length in pages.
    pub fn nr_pages(&self) -> u32 {
        self.0.nr_pages
    }

    /// What the device may do.
    pub fn access(&self) -> Access {
        Access::from_raw(self.0.flags)
    }

    /// Returns whether the pages are in the device's own memory.
    pub fn is_local(&self) -> bool {
        self.0.flags & Self::LOCAL != 0
    }
}

/// One run of device memory to fill with zeroes.
#[repr(transparent)]
pub struct ZeroRun(bindings::gm_copy);

/// One run of bytes to copy between device memory and host memory.
///
/// # Invariants
///
/// Comes from GMEM, which keeps the host memory in place until the copy is done.
#[repr(transparent)]
pub struct HostRun(bindings::gm_copy);

/// One run of bytes to copy from another device's memory.
#[repr(transparent)]
pub struct PeerRun(bindings::gm_copy);

impl ZeroRun {
    /// Offset in the device's memory.
    pub fn dev_addr(&self) -> u64 {
        self.0.dev_addr
    }

    /// Length in bytes.
    #[expect(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.0.len
    }
}

impl HostRun {
    /// Offset in the device's memory.
    #[inline]
    pub fn dev_addr(&self) -> u64 {
        self.0.dev_addr
    }

    /// DMA address of the host memory.
    #[inline]
    pub fn host_addr(&self) -> u64 {
        self.0.other
    }

    /// Length in bytes.
    #[expect(clippy::len_without_is_empty)]
    #[inline]
    pub fn len(&self) -> u64 {
        self.0.len
    }
}

impl PeerRun {
    /// Offset in this device's memory.
    pub fn dev_addr(&self) -> u64 {
        self.0.dev_addr
    }

    /// Offset in the source device's memory.
    pub fn src_addr(&self) -> u64 {
        self.0.other
    }

    /// Length in bytes.
    #[expect(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.0.len
    }
}

/// Counters of one device since it was created.
#[derive(Clone, Copy, Default, Debug)]
pub struct Stats {
    /// Size of the registered memory, bytes.
    pub mem_total: u64,
    /// Bytes not in use.
    pub mem_free: u64,
    /// Device faults that did work.
    pub faults: u64,
    /// Bytes copied to the device, from the host or from another device.
    pub to_dev: u64,
    /// Bytes copied from the device, to the host or to another device.
    pub from_dev: u64,
    /// Bytes zero-filled on the device.
    pub zeroed: u64,
    /// Bytes of `to_dev` that came from another device.
    pub peer: u64,
    /// Bytes of `from_dev` that left to make room.
    pub evicted: u64,
    /// Invalidations that removed at least one entry.
    pub invalidated: u64,
    /// Bytes mapped remotely.
    pub remote: u64,
    /// Bytes of which the device has a read-only copy now.
    pub duplicated: u64,
    /// Attached contexts now.
    pub contexts: u64,
}

impl From<bindings::gm_dev_stats> for Stats {
    fn from(raw: bindings::gm_dev_stats) -> Self {
        Self {
            mem_total: raw.mem_total,
            mem_free: raw.mem_free,
            faults: raw.faults,
            to_dev: raw.to_dev,
            from_dev: raw.from_dev,
            zeroed: raw.zeroed,
            peer: raw.peer,
            evicted: raw.evicted,
            invalidated: raw.invalidated,
            remote: raw.remote,
            duplicated: raw.duplicated,
            contexts: raw.contexts,
        }
    }
}
