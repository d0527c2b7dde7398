// SPDX-License-Identifier: GPL-2.0

//! Address spaces, and the contexts attached to them.
//!
//! A mirror is that of a process: there is one per process, shared by all its contexts. Its pages
//! are those of the process, and faults fill it. A standalone space has no process: see
//! [`crate::space::standalone`].

use crate::{
    device::{
        holds,
        registry::Device, //
    },
    prelude::*,
    replica::replicas::Copies,
    space::{
        addresses::Addresses,
        context::{
            Context,
            MAX_CONTEXTS, //
        },
        directory::{
            Directory,
            MapLocked, //
        },
        thrash::Thrash,
        watch::{
            self,
            Watcher, //
        }, //
    }, //
};
use kernel::{
    impl_has_delayed_work,
    mm::device::interval_notifier::IntervalNotifier,
    new_delayed_work,
    rbtree::RBTreeNode,
    workqueue::DelayedWork, //
};

/// Block locks are hashed into this many; a power of two.
const BLOCK_LOCKS: usize = 64;

/// A subscription to 512 MiB of the process's page table.
pub(crate) type Watch = Arc<IntervalNotifier<Watcher>>;

/// What the map lock protects, besides the directory.
pub(crate) struct Map {
    pub(crate) contexts: [Option<Arc<Context>>; MAX_CONTEXTS],
    copies: Copies,
}

/// Proof that the map lock is held.
pub(crate) struct MapLock<'a> {
    map: MutexGuard<'a, Map>,
    /// Copies that were dropped.
    dropped: usize,
}

impl MapLocked for MapLock<'_> {}

impl MapLock<'_> {
    /// Returns whether it is the lock of `space`.
    pub(crate) fn is_of(&self, space: &Space) -> bool {
        core::ptr::eq(self.map.lock_ref(), &space.map)
    }
}

/// Whose addresses they are.
enum Kind {
    /// Those of a process.
    Mirror(ARef<Mm>),
    /// Our own.
    Standalone(Pin<KBox<Mutex<Addresses>>>),
}

/// An address space; `struct gm_as`.
#[pin_data]
pub(crate) struct Space {
    kind: Kind,
    /// How often a mirror was taken; changed under the lock of the table of spaces.
    users: Atomic<isize>,
    pub(crate) directory: Pin<KBox<Directory>>,
    #[pin]
    map: Mutex<Map>,
    #[pin]
    blocks: [Mutex<()>; BLOCK_LOCKS],
    #[pin]
    watches: Mutex<Watches>,
    /// A fault met a memory policy that names devices.
    has_policy: Atomic<bool>,
    /// What bounces.
    #[pin]
    pub(crate) thrash: Thrash,
    #[pin]
    pub(crate) pause: DelayedWork<Self>,
}

struct Watches {
    tree: RBTree<u64, Watch>,
    /// Devices may use all of the process's memory, not only what is peer-shared.
    whole: bool,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Space> for Space { self.pause }
}

impl Space {
    /// Makes the space of a process.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn mirror(mm: &Mm) -> Result<Arc<Self>> {
        Self::new(Kind::Mirror(mm.into()))
    }

    /// Counts users of a mirror; returns how many there are then. The caller holds the lock of the
    /// table of spaces.
    pub(super) fn add_users(&self, nr: isize) -> isize {
        let users = self.users.load(Relaxed) + nr;
        self.users.store(users, Relaxed);
        users
    }

    /// Takes the watches apart, which refer to the space.
    pub(super) fn end(&self) {
        let tree = core::mem::take(&mut self.watches.lock().tree);
        drop(tree);
    }

    fn new(kind: Kind) -> Result<Arc<Self>> {
        let directory = KBox::pin_init(Directory::new(), GFP_KERNEL_ACCOUNT)?;
        let thrash = Thrash::new()?;

        Arc::pin_init(
            pin_init!(Self {
                kind,
                users: Atomic::new(0),
                directory,
                map <- new_mutex!(Map {
                    contexts: [const { None }; MAX_CONTEXTS],
                    copies: Copies::new(),
                }, "gmem_map"),
                blocks <- pin_init::pin_init_array_from_fn(|_| new_mutex!((), "gmem_block")),
                watches <- new_mutex!(Watches {
                    tree: RBTree::new(),
                    whole: false,
                }, "gmem_watches"),
                has_policy: Atomic::new(false),
                thrash <- thrash,
                pause <- new_delayed_work!("gmem_pause"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Makes a space that belongs to no process.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn standalone(addresses: Addresses) -> Result<Arc<Self>> {
        let addresses =
            KBox::pin_init(new_mutex!(addresses, "gmem_addresses"), GFP_KERNEL_ACCOUNT)?;

        Self::new(Kind::Standalone(addresses))
    }

    /// Returns the process of a mirror.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a standalone space.
    pub(crate) fn mm(&self) -> Result<&Mm> {
        match &self.kind {
            Kind::Mirror(mm) => Ok(mm),
            Kind::Standalone(_) => Err(EINVAL),
        }
    }

    /// Takes the lock of a standalone space's addresses, under which its contexts stay the same.
    pub(crate) fn lock_addresses(&self) -> Option<MutexGuard<'_, Addresses>> {
        match &self.kind {
            Kind::Mirror(_) => None,
            Kind::Standalone(addresses) => Some(addresses.lock()),
        }
    }

    /// Returns a number that no other mirror has as long as this one lives; 0 for a standalone
    /// space.
    pub(crate) fn key(&self) -> usize {
        self.mm().map_or(0, sys::key)
    }

    /// Returns how many parts of the page table are subscribed to.
    pub(crate) fn nr_watches(&self) -> usize {
        self.watches.lock().tree.iter().count()
    }

    /// Lets devices use all of the process's memory.
    pub(crate) fn set_whole(&self) {
        self.watches.lock().whole = true;
    }

    /// Returns whether devices may use memory that is not peer-shared.
    pub(crate) fn is_whole(&self) -> bool {
        self.watches.lock().whole
    }

    /// Notes that a fault met a memory policy that names devices.
    pub(crate) fn note_policy(&self) {
        self.has_policy.store(true, Relaxed);
    }

    /// Returns whether a fault ever met such a policy.
    pub(crate) fn has_policy(&self) -> bool {
        self.has_policy.load(Relaxed)
    }

    /// Takes the map lock.
    pub(crate) fn lock_map(&self) -> MapLock<'_> {
        MapLock::new(self.map.lock())
    }

    /// Takes the map lock if nobody holds it.
    pub(crate) fn try_lock_map(&self) -> Option<MapLock<'_>> {
        self.map.try_lock().map(MapLock::new)
    }

    /// Takes the lock of a 2 MiB block; never two at once.
    pub(crate) fn lock_block(&self, block: PageRange) -> Option<MutexGuard<'_, ()>> {
        let index = (block.first() >> crate::range::BLOCK_ORDER) as usize & (BLOCK_LOCKS - 1);
        self.blocks.get(index).map(|lock| lock.lock())
    }

    /// Waits for the faults that have begun in `range`. The caller holds no block lock.
    pub(crate) fn wait_for_faults(&self, range: PageRange) {
        // Blocks that follow each other have locks that do, so that these are all.
        for block in range.blocks().take(BLOCK_LOCKS) {
            drop(self.lock_block(block));
        }
    }

    /// Subscribes to the part of the page table that `range` begins in.
    ///
    /// Takes mmap_lock for writing when that part is used for the first time.
    ///
    /// # Errors
    ///
    /// `EFAULT` where nothing is mapped, so that a job over nothing leaves nothing; `ENOMEM`,
    /// `ESRCH`; `EINVAL` for a standalone space.
    pub(crate) fn watch(self: &Arc<Self>, range: PageRange) -> Result<Watch> {
        let index = range.chunk_index();
        if let Some(watch) = self.watches.lock().tree.get(&index) {
            return Ok(watch.clone());
        }
        let chunk = PageRange::around(range.first(), crate::range::CHUNK_ORDER).ok_or(EFAULT)?;
        let mm = self.mm()?;
        watch::check_mapped(mm, range)?;
        let _charging = sys::Charging::to(mm);
        let watcher = Watcher::new(self.clone(), chunk);
        let new = Arc::pin_init(
            IntervalNotifier::new(mm, chunk.bytes(), watcher),
            GFP_KERNEL_ACCOUNT,
        )?;
        let node = RBTreeNode::new(index, new.clone(), GFP_KERNEL_ACCOUNT)?;
        let mut watches = self.watches.lock();
        if let Some(watch) = watches.tree.get(&index) {
            // Another thread was faster; `new` is dropped after the lock.
            return Ok(watch.clone());
        }
        watches.tree.insert(node);
        Ok(new)
    }

    /// Takes the pages of `range` from all contexts and forgets what the directory says of them.
    pub(crate) fn forget(&self, range: PageRange) {
        let mut rest = Some(range);
        while let Some(range) = rest {
            let mut map = self.lock_map();
            rest = map.invalidate(&self.directory, range, true);
        }
    }
}

impl<'a> MapLock<'a> {
    fn new(map: MutexGuard<'a, Map>) -> Self {
        Self { map, dropped: 0 }
    }

    /// Notes that so many copies were dropped.
    pub(crate) fn count_copies(&mut self, nr: usize) {
        self.dropped = self.dropped.saturating_add(nr);
        holds::COPIES.note(self.dropped);
    }

    /// Returns a context.
    pub(crate) fn context(&self, index: usize) -> Option<&Arc<Context>> {
        self.map.contexts.get(index)?.as_ref()
    }

    /// Returns all contexts.
    pub(crate) fn contexts(&self) -> impl Iterator<Item = &Arc<Context>> {
        self.map.contexts.iter().flatten()
    }

    /// Returns the copies of host pages on devices.
    pub(crate) fn copies(&self) -> &Copies {
        &self.map.copies
    }

    /// Returns the copies, to be changed after the devices.
    pub(crate) fn copies_mut(&mut self) -> &mut Copies {
        &mut self.map.copies
    }

    /// Returns the devices of all contexts, for use without the lock.
    pub(crate) fn devices(&self) -> [Option<Arc<Device>>; MAX_CONTEXTS] {
        let mut devices = [const { None }; MAX_CONTEXTS];
        for (device, context) in devices.iter_mut().zip(self.contexts()) {
            *device = Some(context.device.clone());
        }
        devices
    }

    /// Adds or removes a context; returns what was there.
    pub(crate) fn set_context(
        &mut self,
        index: usize,
        context: Option<Arc<Context>>,
    ) -> Option<Arc<Context>> {
        core::mem::replace(self.map.contexts.get_mut(index)?, context)
    }

    /// Returns an index that no context has.
    pub(crate) fn free_index(&self) -> Option<usize> {
        self.map.contexts.iter().position(Option::is_none)
    }
}
