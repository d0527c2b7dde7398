// SPDX-License-Identifier: GPL-2.0

//! Notifications of changes in a range of a CPU page table.
//!
//! C header: [`include/linux/mmu_notifier.h`](srctree/include/linux/mmu_notifier.h)

use crate::{
    bindings,
    error::to_result,
    mm::Mm,
    prelude::*,
    types::Opaque, //
};
use core::{
    marker::PhantomData,
    ops::Range, //
};

/// One invalidation, as the callback sees it.
pub struct Invalidation<'a> {
    range: &'a bindings::mmu_notifier_range,
    sub: *mut bindings::mmu_interval_notifier,
    seq: usize,
}

impl Invalidation<'_> {
    /// Returns the addresses, in bytes.
    pub fn range(&self) -> Range<usize> {
        self.range.start..self.range.end
    }

    /// Returns whether the callback may sleep.
    pub fn is_blockable(&self) -> bool {
        // SAFETY: The range is valid.
        unsafe { bindings::mmu_notifier_range_blockable(self.range) }
    }

    /// Returns whether only the access rights change, and the pages stay where they are.
    pub fn is_protection(&self) -> bool {
        matches!(
            self.range.event,
            bindings::mmu_notifier_event_MMU_NOTIFY_PROTECTION_VMA
                | bindings::mmu_notifier_event_MMU_NOTIFY_PROTECTION_PAGE
                | bindings::mmu_notifier_event_MMU_NOTIFY_SOFT_DIRTY
        )
    }

    /// Makes [`Sequence::read_retry`] fail for readers that began before.
    ///
    /// Must be called by every callback that does not return `false`, under the lock under which
    /// `read_retry` is called.
    pub fn set_seq(&self) {
        // SAFETY: `sub` is the subscription this callback was called for, thus valid.
        unsafe { bindings::mmu_interval_set_seq(self.sub, self.seq) };
    }
}

/// What a subscriber does.
pub trait Operations: Send + Sync {
    /// Stops all use of the range before it returns.
    ///
    /// Returns `false` only when it would have to sleep and [`Invalidation::is_blockable`] says
    /// no. The caller may hold `mmap_lock`, `i_mmap_rwsem`, `anon_vma` locks and folio locks, and
    /// may be in reclaim: no allocation, no fault, no wait for either.
    fn invalidate(&self, inv: &Invalidation<'_>) -> bool;
}

/// The start of a read of the page table; see [`IntervalNotifier::read_begin`].
pub struct Sequence<'a, T: Operations> {
    notifier: &'a IntervalNotifier<T>,
    seq: usize,
}

impl<'a, T: Operations> Sequence<'a, T> {
    /// Returns the subscription.
    pub fn notifier(&self) -> &'a IntervalNotifier<T> {
        self.notifier
    }

    pub(super) fn as_raw(&self) -> usize {
        self.seq
    }

    /// Returns whether what was read since may be stale.
    ///
    /// Must be called under the lock under which the callback calls [`Invalidation::set_seq`].
    pub fn read_retry(&self) -> bool {
        // SAFETY: The subscription is inserted by its type invariants.
        unsafe { bindings::mmu_interval_read_retry(self.notifier.inner.get(), self.seq) }
    }
}

/// A subscription to a range of an address space.
///
/// # Invariants
///
/// `inner` is inserted for as long as the value lives.
#[pin_data(PinnedDrop)]
pub struct IntervalNotifier<T: Operations> {
    #[pin]
    inner: Opaque<bindings::mmu_interval_notifier>,
    data: T,
    _p: PhantomData<T>,
}

// SAFETY: The subscription may be used and removed from any thread; `T` is `Send`.
unsafe impl<T: Operations> Send for IntervalNotifier<T> {}
// SAFETY: All methods may be called concurrently; `T` is `Sync`.
unsafe impl<T: Operations> Sync for IntervalNotifier<T> {}

impl<T: Operations> IntervalNotifier<T> {
    const OPS: bindings::mmu_interval_notifier_ops = bindings::mmu_interval_notifier_ops {
        invalidate: Some(Self::invalidate_callback),
        invalidate_start: None,
        invalidate_finish: None,
    };

    /// Subscribes to a range of `mm`, in bytes.
    ///
    /// Sleeps and takes `mmap_lock` for writing; the caller must not hold it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or `EOVERFLOW` for a range that wraps.
    pub fn new<'a>(mm: &'a Mm, range: Range<usize>, data: T) -> impl PinInit<Self, Error> + 'a
    where
        T: 'a,
    {
        // INVARIANT: The initializer only succeeds when the insertion did.
        try_pin_init!(Self {
            data,
            inner <- Opaque::try_ffi_init(|slot| {
                // SAFETY: `slot` is pinned memory for the subscription, `mm` is alive. A callback
                // that arrives at once finds `data`, which is initialized before this field.
                to_result(unsafe {
                    bindings::mmu_interval_notifier_insert(
                        slot, mm.as_raw(), range.start, range.len(), &Self::OPS,
                    )
                })
            }),
            _p: PhantomData,
        })
    }

    /// Returns the subscriber.
    pub fn data(&self) -> &T {
        &self.data
    }

    pub(super) fn as_raw(&self) -> *mut bindings::mmu_interval_notifier {
        self.inner.get()
    }

    /// Returns whether the bytes `start..end` are in the range of the subscription.
    pub(super) fn covers(&self, start: usize, end: usize) -> bool {
        // SAFETY: The subscription is inserted by the type invariants, and its range never changes.
        let node = unsafe { &(*self.inner.get()).interval_tree };

        start >= node.start && end.checked_sub(1).is_some_and(|last| last <= node.last)
    }

    /// Begins a read of the page table; waits for an invalidation in progress.
    ///
    /// Must not be called inside a callback or under a lock that callbacks take.
    pub fn read_begin(&self) -> Sequence<'_, T> {
        Sequence {
            notifier: self,
            // SAFETY: The subscription is inserted by the type invariants.
            seq: unsafe { bindings::mmu_interval_read_begin(self.inner.get()) },
        }
    }

    /// # Safety
    ///
    /// Called by the mmu notifier core for a subscription made by [`Self::new`].
    unsafe extern "C" fn invalidate_callback(
        sub: *mut bindings::mmu_interval_notifier,
        range: *const bindings::mmu_notifier_range,
        seq: usize,
    ) -> bool {
        let inner = Opaque::cast_from(sub);
        // SAFETY: `sub` is the `inner` field of a live `Self`: removal waits for callbacks. Only
        // `data` is referenced, which is initialized before the insertion.
        let data = unsafe { &(*crate::container_of!(inner, Self, inner)).data };
        // SAFETY: The core passes a valid range for the duration of the call.
        let range = unsafe { &*range };

        data.invalidate(&Invalidation { range, sub, seq })
    }
}

#[pinned_drop]
impl<T: Operations> PinnedDrop for IntervalNotifier<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Inserted by the type invariants; the call waits for running callbacks.
        unsafe { bindings::mmu_interval_notifier_remove(self.inner.get()) };
    }
}
