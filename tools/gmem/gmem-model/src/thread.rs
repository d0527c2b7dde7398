// SPDX-License-Identifier: MIT OR GPL-2.0
//! Operations under way: where each is, and what it has in its hands.

pub use crate::at::At;
use crate::state::{Frame, PAGES};

/// What somebody begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Op {
    /// A device faults on the block, to read or to write it.
    DeviceFault,
    /// The same where read mostly was advised: the device is to have a copy.
    Duplicate,
    /// A CPU faults on one page.
    CpuFault,
    /// `madvise(MADV_DONTNEED)` of the block.
    DontNeed,
    /// The parent forks.
    Fork,
    /// The child exits.
    Exit,
    /// A device makes room.
    Evict,
    /// A context goes away.
    Detach,
    /// The memory of a device goes away.
    Unplug,
}

/// What comes when a part that several operations have is over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Then {
    /// The operation is over.
    End,
    /// The page table is read (on).
    Read(u8),
    /// The next page is brought near.
    Near,
    /// Pages of the device are mapped.
    Map,
    /// The fault handler gives its page back.
    Unlock,
    /// The next page of the memory leaves.
    Unplug,
}

/// How the mmap_lock is held.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Mmap {
    /// It is not.
    None,
    /// For reading.
    Read,
    /// For writing.
    Write,
}

/// A migration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// To the thread's device.
    ToDevice,
    /// From all devices, by address.
    Home,
    /// From one device, by page frame.
    Evict,
}

/// What is migrated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Source {
    /// Nothing.
    None,
    /// An address without a page.
    Hole,
    /// A page.
    Page {
        /// Where.
        f: Frame,
        /// Could the CPU write it?
        w: bool,
        /// Does it move?
        ok: bool,
    },
}

/// The copies that a fault is about to enter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Draft {
    /// There are none.
    None,
    /// Those that are there.
    Old([Option<(Frame, Frame)>; PAGES]),
    /// New ones: where, and of what.
    New([Option<(Frame, Frame)>; PAGES]),
}

/// An operation under way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Thread {
    /// What it does.
    pub op: Op,
    /// Its next step.
    pub at: At,
    /// The process, if it is in the hands of one.
    pub p: u8,
    /// The device, likewise.
    pub d: u8,
    /// The page, likewise.
    pub v: u8,
    /// Is it to be written?
    pub write: bool,
    /// The process's mmap_lock.
    pub mmap: Mmap,
    /// It has the lock of the block.
    pub block: bool,
    /// It is inside the gates of device and context.
    pub inside: bool,
    /// It reads the page table under a sequence number.
    pub reading: bool,
    /// The sequence number changed since.
    pub changed: bool,
    /// How often pages were moved for it.
    pub moves: u8,
    /// Where to go on after a migration.
    pub then: Then,
    /// Where to go on after a fault of the CPU.
    pub outer: Then,
    /// What migrates, and how.
    pub kind: Kind,
    /// From where.
    pub src: [Source; PAGES],
    /// To where.
    pub dst: [Option<Frame>; PAGES],
    /// The migration of this page was committed.
    pub moved: [bool; PAGES],
    /// The page that the CPU's fault has locked.
    pub page: Option<Frame>,
    /// The process whose notifiers were told that a page is unmapped there.
    pub told: Option<u8>,
    /// What the page table said.
    pub read: [Option<(Frame, bool)>; PAGES],
    /// Copies.
    pub draft: Draft,
    /// The page of a chunk that is held: nobody takes it while it is free.
    pub hold: Option<Frame>,
    /// The held page was freed meanwhile.
    pub reused: bool,
    /// A copy failed.
    pub failed: bool,
    /// What it waited for has been announced.
    pub woken: bool,
}

impl Thread {
    /// An operation that begins.
    pub fn new(op: Op, at: At) -> Self {
        Self {
            op,
            at,
            p: 0,
            d: 0,
            v: 0,
            write: false,
            mmap: Mmap::None,
            block: false,
            inside: false,
            reading: false,
            changed: false,
            moves: 0,
            then: Then::End,
            outer: Then::End,
            kind: Kind::Home,
            src: [Source::None; PAGES],
            dst: [None; PAGES],
            moved: [false; PAGES],
            page: None,
            told: None,
            read: [None; PAGES],
            draft: Draft::None,
            hold: None,
            reused: false,
            failed: false,
            woken: false,
        }
    }

    /// Has no lock any more, and begins the device's fault again.
    pub fn restart(&mut self, moves: u8) {
        self.moves = moves;
        self.mmap = Mmap::None;
        self.block = false;
        self.reading = false;
        self.changed = false;
        self.read = [None; PAGES];
        self.v = 0;
        self.outer = Then::End;
        self.at = At::FaultLockMm;
    }

    /// Calls `f` with each frame that it has in its hands.
    pub fn for_each_frame(&mut self, mut f: impl FnMut(&mut Frame)) {
        for src in &mut self.src {
            if let Source::Page { f: frame, .. } = src {
                f(frame);
            }
        }
        self.dst.iter_mut().flatten().for_each(&mut f);
        self.page.iter_mut().for_each(&mut f);
        self.read
            .iter_mut()
            .flatten()
            .for_each(|(frame, _)| f(frame));
        if let Draft::Old(list) | Draft::New(list) = &mut self.draft {
            for (copy, original) in list.iter_mut().flatten() {
                f(copy);
                f(original);
            }
        }
        self.hold.iter_mut().for_each(&mut f);
    }
}

impl Thread {
    /// Is it in the hands of this process?
    pub fn is_of(&self, p: usize) -> bool {
        self.p as usize == p && !matches!(self.op, Op::Evict | Op::Unplug)
    }

    /// Is it about a device?
    pub fn has_device(&self) -> bool {
        use Op::{Detach, DeviceFault, Duplicate, Evict, Unplug};
        matches!(self.op, DeviceFault | Duplicate | Evict | Detach | Unplug)
    }
}
