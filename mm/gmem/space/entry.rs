// SPDX-License-Identifier: GPL-2.0

//! What the logical page table says about a page.

/// The device that holds the bytes of a page, as 1 to [`Entry::MAX_HOLDER`]; 0 is the host, or not
/// known: the CPU page table has the answer.
pub(crate) type Holder = u8;

/// A directory entry, packed into [`Entry::BITS`] bits.
///
/// The entry is a cache. That a page is not held by a device, or is mapped by no context, may be
/// out of date only in the safe direction: the CPU page table and the folio decide who holds a
/// page, and a context named here may have lost its device page-table entry already. A context that
/// has one is always named. While any context is named, the frame is that of the page: every change
/// of the CPU page table takes the contexts out first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry(u64);

impl Entry {
    /// The number of bits of an entry; every pattern is a valid entry.
    pub(crate) const BITS: u32 = 56;
    /// The highest device number.
    pub(crate) const MAX_HOLDER: Holder = 63;
    /// The number of contexts of an address space.
    pub(crate) const CONTEXTS: u32 = 16;

    const MASK: u64 = (1 << Self::BITS) - 1;
    /// Set: a device holds the page, whose number and frame are below. Clear: a frame of the host.
    const ON_DEVICE: u64 = 1 << 36;
    /// All bits set: not known. So are frames from here on: 256 TiB.
    const HOST_FRAME: u64 = (1 << 36) - 1;
    /// As above: 4 TiB of a device.
    const DEVICE_FRAME: u64 = (1 << 30) - 1;
    const HOLDER_SHIFT: u32 = 30;
    const HOLDER: u64 = 0x3f;
    const CONTEXT_SHIFT: u32 = 37;
    const CONTEXT_MASK: u64 = 0xffff << Self::CONTEXT_SHIFT;
    const WRITABLE: u64 = 1 << 53;
    const DUPLICATED: u64 = 1 << 54;
    const FIXED: u64 = 1 << 55;

    /// An entry of a page that `holder` has in this frame of its memory, and no context maps. A
    /// number above [`Entry::MAX_HOLDER`] is no device and gives an unknown frame of the host.
    pub(crate) const fn new(holder: Holder, frame: Option<u64>) -> Self {
        let (holder, frame) = if holder > Self::MAX_HOLDER {
            (0, None)
        } else {
            (holder, frame)
        };
        let (place, unknown) = if holder == 0 {
            (0, Self::HOST_FRAME)
        } else {
            let device = Self::ON_DEVICE | (holder as u64) << Self::HOLDER_SHIFT;
            (device, Self::DEVICE_FRAME)
        };
        match frame {
            Some(frame) if frame < unknown => Self(place | frame),
            _ => Self(place | unknown),
        }
    }

    /// Unpacks an entry; the bits above [`Entry::BITS`] are ignored.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits & Self::MASK)
    }

    /// Packs the entry.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// The device that holds the page, or 0.
    pub(crate) const fn holder(self) -> Holder {
        if self.0 & Self::ON_DEVICE == 0 {
            return 0;
        }
        (self.0 >> Self::HOLDER_SHIFT & Self::HOLDER) as Holder
    }

    /// The frame of the first page that the entry covers, in the memory of its holder; [`None`]
    /// when it is not known.
    pub(crate) const fn frame(self) -> Option<u64> {
        let mask = if self.0 & Self::ON_DEVICE == 0 {
            Self::HOST_FRAME
        } else {
            Self::DEVICE_FRAME
        };
        let frame = self.0 & mask;
        if frame == mask {
            None
        } else {
            Some(frame)
        }
    }

    /// Is the page in device memory?
    pub(crate) const fn on_device(self) -> bool {
        self.holder() != 0
    }

    /// The contexts that may have a live device page-table entry, one bit each.
    pub(crate) const fn contexts(self) -> u16 {
        ((self.0 & Self::CONTEXT_MASK) >> Self::CONTEXT_SHIFT) as u16
    }

    /// Does any context map the page?
    pub(crate) const fn is_mapped(self) -> bool {
        self.contexts() != 0
    }

    /// Was write access validated, and not taken back since? Read access always was.
    pub(crate) const fn is_writable(self) -> bool {
        self.0 & Self::WRITABLE != 0
    }

    /// Are there read-only copies of the page on devices?
    pub(crate) const fn is_duplicated(self) -> bool {
        self.0 & Self::DUPLICATED != 0
    }

    /// Is the page of a kind that never moves to a device?
    pub(crate) const fn is_fixed(self) -> bool {
        self.0 & Self::FIXED != 0
    }

    /// Is there anything in the entry worth keeping when no context maps the page?
    pub(crate) const fn is_worth_keeping(self) -> bool {
        self.on_device() || self.is_duplicated()
    }

    /// The same with `contexts` added.
    #[must_use]
    pub(crate) const fn with_contexts(self, contexts: u16) -> Self {
        Self(self.0 | (contexts as u64) << Self::CONTEXT_SHIFT)
    }

    /// The same without `contexts`. Without any context no access is validated.
    #[must_use]
    pub(crate) const fn without_contexts(self, contexts: u16) -> Self {
        let left = Self(self.0 & !((contexts as u64) << Self::CONTEXT_SHIFT));

        if left.is_mapped() {
            left
        } else {
            left.with_writable(false)
        }
    }

    /// The same with write access validated or not.
    #[must_use]
    pub(crate) const fn with_writable(self, on: bool) -> Self {
        self.with_flag(Self::WRITABLE, on)
    }

    /// The same, duplicated or not.
    #[must_use]
    pub(crate) const fn with_duplicated(self, on: bool) -> Self {
        self.with_flag(Self::DUPLICATED, on)
    }

    /// The same, fixed or not.
    #[must_use]
    pub(crate) const fn with_fixed(self, on: bool) -> Self {
        self.with_flag(Self::FIXED, on)
    }

    const fn with_flag(self, flag: u64, on: bool) -> Self {
        if on {
            Self(self.0 | flag)
        } else {
            Self(self.0 & !flag)
        }
    }
}
