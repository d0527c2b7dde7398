// SPDX-License-Identifier: MIT OR GPL-2.0
//! What there is: page tables, page frames, notifiers, and the threads that change them.

use crate::{mistake::Mistake, thread::Thread};

/// Processes: a parent and the child that it forks.
pub const PROCS: usize = 2;
/// Devices.
pub const DEVS: usize = 2;
/// Pages of the block.
pub const PAGES: usize = 2;
/// Page frames of the host: one for each page table entry, and two for each of two threads.
pub const HOST: usize = 8;
/// Page frames of a device: too few for both processes.
pub const ROOM: usize = 2;
/// Page frames of all.
pub const FRAMES: usize = HOST + DEVS * ROOM;

/// A page frame: the host's first, then the devices'.
pub type Frame = u8;

/// Returns the device whose memory the frame is in.
pub fn device_of(frame: Frame) -> Option<usize> {
    (frame as usize).checked_sub(HOST).map(|f| f / ROOM)
}

/// Returns the bit that stands for one page of one process.
pub fn bit(p: usize, v: usize) -> u8 {
    1 << (p * PAGES + v)
}

/// An entry of the CPU's page table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Pte {
    /// Nothing yet: reads as zeroes.
    None,
    /// A page; in device memory this is a device-private entry.
    Map {
        /// Where.
        f: Frame,
        /// May it be written?
        w: bool,
    },
    /// A migration entry.
    Migration {
        /// The page that migrates.
        f: Frame,
        /// Could it be written?
        w: bool,
    },
}

/// An entry of a device's page table, or of its TLB: the device can use it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// Where.
    pub f: Frame,
    /// May it be written?
    pub w: bool,
    /// Does the directory know? If not, no invalidation finds it.
    pub noted: bool,
    /// Is the flush under way still that takes it from the TLB?
    pub late: bool,
}

/// A read-only copy of a host page on a device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Copied {
    /// Where the copy is.
    pub f: Frame,
    /// The page of the host, to which a reference is kept.
    pub original: Frame,
}

/// The state of a page frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Debug)]
pub struct Page {
    /// Somebody refers to it.
    pub used: bool,
    /// The folio lock.
    pub locked: bool,
    /// References besides those of page table entries.
    pub refs: u8,
    /// For which pages of which processes it has the bytes written last: the ghost of the data.
    pub fresh: u8,
}

/// A process: its mm, and the notifiers of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Debug)]
pub struct Proc {
    /// There is one.
    pub alive: bool,
    /// Invalidations between start and end: `active_invalidate_ranges`.
    pub active: u8,
    /// `invalidate_seq` is odd: a range that is watched is being invalidated.
    pub odd: bool,
    /// The watch has the sequence number of the invalidation under way.
    pub current: bool,
}

/// Whether a context or a device takes new work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Debug)]
pub enum Gate {
    /// It does.
    Open,
    /// It goes away, and waits for the work under way.
    Closing,
    /// There is none.
    #[default]
    Gone,
}

/// Why the CPU's page table changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// `MMU_NOTIFY_MIGRATE`, with the owner of all device memory.
    Migrate,
    /// `MMU_NOTIFY_PROTECTION_PAGE`.
    Protect,
    /// Any other one.
    Clear,
}

/// Everything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// The CPU's page tables, by process and page.
    pub pte: [[Pte; PAGES]; PROCS],
    /// What devices can use, by process, device and page.
    pub entry: [[[Option<Entry>; PAGES]; DEVS]; PROCS],
    /// The copies, likewise.
    pub copies: [[[Option<Copied>; PAGES]; DEVS]; PROCS],
    /// The page frames.
    pub frames: [Page; FRAMES],
    /// For which pages zeroes are what was written last.
    pub zero: u8,
    /// The processes.
    pub procs: [Proc; PROCS],
    /// The contexts, by process and device.
    pub contexts: [[Gate; DEVS]; PROCS],
    /// The devices.
    pub devices: [Gate; DEVS],
    /// What is under way.
    pub threads: Vec<Thread>,
    /// What a step found that must not be.
    pub broken: Option<&'static str>,
    /// So many pages of the block are mapped.
    pub pages: usize,
    /// What is done wrong on purpose.
    pub mistake: Option<Mistake>,
    /// The processes whose invalidations the callback was told of in this step.
    pub told: u8,
}

impl State {
    /// One process that has both devices and touched nothing yet.
    pub fn first(pages: usize, mistake: Option<Mistake>) -> Self {
        let mut s = Self {
            pte: [[Pte::None; PAGES]; PROCS],
            entry: Default::default(),
            copies: Default::default(),
            frames: Default::default(),
            zero: (0..pages).fold(0, |zero, v| zero | bit(0, v)),
            procs: Default::default(),
            contexts: Default::default(),
            devices: [Gate::Open; DEVS],
            threads: Vec::new(),
            broken: None,
            pages,
            mistake,
            told: 0,
        };
        s.procs[0].alive = true;
        s.contexts[0] = [Gate::Open; DEVS];
        s
    }

    /// The state of a frame.
    pub fn page(&mut self, f: Frame) -> &mut Page {
        &mut self.frames[f as usize]
    }

    /// Returns how many page table entries map the frame.
    pub fn mapped(&self, f: Frame) -> usize {
        let ptes = self.pte.iter().flatten();
        ptes.filter(|pte| matches!(pte, Pte::Map { f: g, .. } if *g == f))
            .count()
    }

    /// Takes a free frame of the host, or of a device, with one reference.
    pub fn alloc(&mut self, device: Option<usize>) -> Option<Frame> {
        let range = match device {
            None => 0..HOST,
            Some(d) => HOST + d * ROOM..HOST + (d + 1) * ROOM,
        };
        let held = |f: &usize| {
            let mut threads = self.threads.iter();
            threads.any(|t| t.hold == Some(*f as Frame))
                && self.mistake != Some(Mistake::EvictNoHold)
        };
        let f = range.filter(|f| !self.frames[*f].used).find(|f| !held(f))?;
        self.frames[f] = Page {
            used: true,
            refs: 1,
            ..Page::default()
        };
        Some(f as Frame)
    }

    /// Drops a reference.
    pub fn put(&mut self, f: Frame) {
        self.page(f).refs -= 1;
        self.collect(f);
    }

    /// Frees the frame if nobody refers to it.
    pub fn collect(&mut self, f: Frame) {
        let page = self.frames[f as usize];
        if !page.used || page.refs > 0 || self.mapped(f) > 0 {
            return;
        }
        if page.locked {
            self.broken = Some("a locked page was freed");
        }
        *self.page(f) = Page::default();
        for t in &mut self.threads {
            t.reused |= t.hold == Some(f);
        }
    }

    /// Writes a page of a process where it is at `f`.
    pub fn write(&mut self, f: Frame, p: usize, v: usize) {
        for page in &mut self.frames {
            page.fresh &= !bit(p, v);
        }
        self.zero &= !bit(p, v);
        self.page(f).fresh = bit(p, v);
    }

    /// Copies the bytes of one frame, or zeroes, to another one.
    pub fn copy(&mut self, from: Option<Frame>, to: Frame) {
        self.page(to).fresh = match from {
            Some(f) => self.frames[f as usize].fresh,
            None => self.zero,
        };
    }

    /// `mmu_notifier_invalidate_range_start()` with our callback.
    pub fn invalidate_start(&mut self, p: usize, event: Event) {
        let proc = &mut self.procs[p];
        proc.active += 1;
        if !proc.odd {
            proc.odd = true;
            proc.current = false;
        }
        self.callback(p, event);
    }

    /// `mmu_notifier_invalidate_range_end()`.
    pub fn invalidate_end(&mut self, p: usize) {
        let proc = &mut self.procs[p];
        proc.active -= 1;
        if proc.active == 0 {
            proc.odd = false;
            proc.current = false;
        }
        // The mistake of flushing too late.
        for entry in self.entry[p].iter_mut().flatten() {
            entry.take_if(|entry| entry.late);
        }
    }

    /// `Watcher::invalidate()`, one step under the map lock.
    fn callback(&mut self, p: usize, event: Event) {
        let mistake = self.mistake;
        if mistake == Some(Mistake::IgnoreOwnMigrations) && event == Event::Migrate
            || mistake == Some(Mistake::IgnoreProtect) && event == Event::Protect
        {
            return;
        }
        if mistake != Some(Mistake::NoSetSeq) {
            self.told |= 1 << p;
        }
        if mistake != Some(Mistake::NoSetSeq) && !self.procs[p].current {
            self.procs[p].current = true;
            for t in &mut self.threads {
                t.changed |= t.reading && t.p as usize == p;
            }
        }
        for entry in self.entry[p].iter_mut().flatten() {
            match mistake {
                Some(Mistake::NoFlush) => {}
                Some(Mistake::FlushAfterReturn) => {
                    if let Some(entry) = entry {
                        entry.late = true;
                    }
                }
                _ => drop(entry.take_if(|entry| entry.noted)),
            }
        }
        for d in 0..DEVS {
            self.remove_copies(p, d);
        }
    }

    /// `MapLock::invalidate_on()`: takes the block from one context.
    pub fn invalidate_on(&mut self, p: usize, d: usize) {
        self.entry[p][d] = [None; PAGES];
    }

    /// Gives the copies of a window back.
    pub fn remove_copies(&mut self, p: usize, d: usize) {
        for copied in core::mem::take(&mut self.copies[p][d])
            .into_iter()
            .flatten()
        {
            self.put(copied.f);
            if self.mistake != Some(Mistake::CopyWithoutReference) {
                self.put(copied.original);
            }
        }
    }

    /// `MapLock::drop_copy()`.
    pub fn drop_copy(&mut self, p: usize, d: usize) {
        if self.copies[p][d] == [None; PAGES] {
            return;
        }
        if self.mistake != Some(Mistake::DropCopyMapped) {
            self.invalidate_on(p, d);
        }
        self.remove_copies(p, d);
    }
}
