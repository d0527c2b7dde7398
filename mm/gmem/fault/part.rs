// SPDX-License-Identifier: GPL-2.0

//! A request of a device, and one try at a part of it.

use crate::{
    advice::{
        attributes::Attributes,
        attributes_tree::Advice, //
    },
    device::{
        dmem::Payer,
        memory::{
            owner,
            Memory, //
        },
        scratch::Batch, //
    },
    policy::fault_size,
    prelude::*,
    reclaim::waiting::Waiting,
    space::{
        address_space::Watch,
        context::Context,
        mapping::policy_allows,
        watch::Read, //
    }, //
};
use kernel::mm::device::{
    hmm,
    mmap::MmapGuard,
    vma as vma_info, //
};

/// How often pages are brought to the device before they are mapped where they are: the first try
/// may find pages in swap or shared by COW, which the read behind it makes movable.
pub(crate) const MAX_MOVES: usize = 3;

/// Why a range is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The device waits for it.
    Demand,
    /// A launch will use it.
    Prepare,
    /// A program asked to have it there: exactly the range, and nowhere else.
    Prefetch,
    /// The device will probably ask for it: what exists and can come is brought.
    Ahead,
}

impl Purpose {
    /// Does the device wait for it, or will a launch fail without?
    pub(crate) fn is_demand(self) -> bool {
        matches!(self, Self::Demand | Self::Prepare)
    }
}

/// What a device wants.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) range: PageRange,
    pub(crate) write: bool,
    pub(crate) purpose: Purpose,
}

/// What a request came to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Served {
    /// The pages that the device has now, those around the request included: from the first one to
    /// the last.
    pub(crate) brought: PageRange,
    /// Where the last of them lie: pages of one mapping for which the same was advised.
    pub(crate) around: PageRange,
}

/// What stays the same for all blocks of a request.
pub(crate) struct Part<'a> {
    pub(crate) context: &'a Context,
    pub(crate) mm: &'a MmWithUser,
    pub(crate) memory: Option<&'a Arc<Memory>>,
    pub(crate) payer: &'a Payer,
    pub(crate) advice: Option<Arc<Advice>>,
    pub(crate) request: Request,
}

/// What one try came to.
pub(crate) enum Try {
    /// All pages up to here are mapped.
    Done(u64),
    /// As `Done`, but some of them remotely.
    Remote(u64),
    /// The page table changed: the same again.
    Collision,
    /// Pages became movable: move them.
    Movable,
    /// It takes longer than locks may be held: let go of them, then the same again.
    Pause,
}

/// What a request came to so far, and its scratch memory.
pub(crate) struct Work<'a> {
    pub(crate) batch: &'a mut Batch,
    /// How it got device memory.
    pub(crate) waiting: Waiting,
    /// The lists of other CPUs were not emptied yet.
    pub(crate) may_drain: bool,
    pub(crate) served: Served,
}

/// One try at those pages of a block that are in one VMA, under mmap_lock and the block lock.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) mmap: &'a MmapGuard<'a>,
    pub(crate) watch: &'a Watch,
    pub(crate) vma: &'a MmapVma,
    /// Those of the VMA for which the same was advised.
    pub(crate) vma_pages: PageRange,
    /// What the device asks for.
    pub(crate) piece: PageRange,
    /// Where they may move to.
    pub(crate) movable: Option<&'a Arc<Memory>>,
    /// How often that was tried.
    pub(crate) moves: usize,
}

impl Attempt<'_> {
    /// Reads what the CPU page table says of `range` into `pfns`, which say what is to be faulted
    /// in.
    pub(crate) fn read<'a>(
        &'a self,
        range: PageRange,
        pfns: &'a mut [PagePfn],
    ) -> Result<Read<'a>> {
        let seq = self.watch.read_begin();

        hmm::read(self.mmap, seq, range.bytes().start, pfns, Some(owner()))
    }

    /// Returns whether pages that were not to be had in this try may move in the next one.
    pub(crate) fn may_come(&self) -> bool {
        self.movable.is_some() && self.moves + 1 < MAX_MOVES
    }
}

impl Part<'_> {
    /// Returns how a page that the device asks for is to be faulted in.
    pub(crate) fn want(&self) -> PagePfn {
        if self.request.write {
            PagePfn::WRITE
        } else {
            PagePfn::READ
        }
    }

    /// Returns what was advised about a page, and the pages around it for which that is the same.
    pub(crate) fn attributes(&self, page: u64) -> (PageRange, Attributes) {
        match &self.advice {
            Some(advice) => advice.at(page),
            None => (PageRange::ALL, Attributes::NONE),
        }
    }

    /// Returns the memory if the device is to have a copy of a page: it reads what is read mostly,
    /// and neither is there another place for the page nor was the device told to use it where it
    /// is.
    pub(crate) fn copying(&self, attributes: Attributes) -> Option<&Arc<Memory>> {
        let placed = attributes.pinned.is_some()
            || (attributes.is_accessed_by(self.context.device.parts.id)
                && self.request.purpose != Purpose::Prefetch);
        self.memory
            .filter(|_| attributes.read_mostly && !placed && !self.request.write)
    }

    /// Checks that the device may use the VMA as it wants.
    pub(crate) fn check(&self, vma: &VmaRef) -> Result {
        let flags = vma.flags();
        let shared = flags & sys::VM_PEER_SHARED != 0 || self.context.space.is_whole();
        let wants = if self.request.write {
            bindings::VM_READ | bindings::VM_WRITE
        } else {
            bindings::VM_READ
        };
        if !shared || !sys::is_ordinary(vma) {
            Err(EFAULT)
        } else if flags & wants != wants {
            Err(EPERM)
        } else {
            Ok(())
        }
    }

    /// Returns the memory if pages of the VMA may move there.
    ///
    /// A prefetch says by itself where they go, and advice comes before a memory policy.
    pub(crate) fn movable(
        &self,
        vma: &MmapVma,
        piece: PageRange,
        attributes: Attributes,
    ) -> Option<&Arc<Memory>> {
        let Context { device, space, .. } = self.context;
        self.memory.filter(|memory| {
            vma_info::is_anonymous(vma)
                && vma.flags() & vma_info::VM_LOCKED == 0
                && (self.request.purpose == Purpose::Prefetch
                    || (attributes.belongs_to(device.parts.id)
                        && (attributes.names_place() || policy_allows(space, vma, piece, memory))))
        })
    }

    /// Chooses what to bring to the device.
    pub(crate) fn choose(&self, at: &Attempt<'_>) -> Result<PageRange> {
        let piece = at.piece;
        let Some(memory) = at.movable.filter(|_| self.request.purpose.is_demand()) else {
            return Ok(piece);
        };
        let fault = fault_size::Fault {
            page: piece.first(),
            vma: at.vma_pages,
            hint: piece,
            huge_allowed: vma_info::thp_allowed(at.vma),
            room: (memory.pages() as u64).min(BLOCK_PAGES),
            // What is large now has to be taken apart when memory runs out.
            scarce: memory.used() * 10 > memory.pages(),
            // Where others leave piece by piece, a walk comes so, too.
            expected: !memory.worker.is_scarce() && self.context.walks.expect(piece.first()),
        };
        fault.choose().ok_or(EFAULT)
    }
}
