// SPDX-License-Identifier: GPL-2.0

//! Walks over a [`ValueArray`]: the calls of `xas_*`.

use super::{
    word::Word,
    Found,
    Mark,
    Marks,
    ValueArray, //
};
use crate::{
    bindings,
    error::{
        to_result,
        Result, //
    },
    ffi::c_void,
    types::NotThreadSafe, //
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ptr, //
};

/// The state of a walk over the array.
///
/// # Invariants
///
/// `xas` is an initialised `xa_state` of a valid array that outlives `'a`.
pub(super) struct Walk<'a> {
    xas: bindings::xa_state,
    _array: PhantomData<&'a ValueArray>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(array: &'a ValueArray, index: usize, order: u32) -> Self {
        let mut xas = MaybeUninit::uninit();

        // SAFETY: `xas` may be written, and `array.xa` is valid by its type invariant.
        unsafe { bindings::xas_init(xas.as_mut_ptr(), array.xa.get(), index, order) };
        // INVARIANT: `array` is borrowed for `'a`.
        Self {
            // SAFETY: It was initialised above.
            xas: unsafe { xas.assume_init() },
            _array: PhantomData,
        }
    }

    /// Walks to the slot of the entry this state was made for; the entry may be a node.
    pub(super) fn load(&mut self, _lock: &Locked<'_>) -> Option<Word> {
        // SAFETY: `self.xas` is valid by the type invariant and the lock is held.
        Word::from_entry(unsafe { bindings::xas_load(&mut self.xas) })
    }

    /// Walks to the slot of the index that this state was made for, without the lock.
    ///
    /// The caller is in an RCU read-side critical section. Returns the first index of the slot, and
    /// the word unless the entry is an internal one; [`None`] for an empty slot.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<(usize, Option<Word>)> {
        // SAFETY: `self.xas` is valid by the type invariant, and nodes do not go away under RCU.
        let entry = unsafe { bindings::xas_load(&mut self.xas) };
        if entry.is_null() {
            return None;
        }
        // SAFETY: As above. Of a sibling slot this is the index of the slot that it stands for.
        let base = unsafe { bindings::xas_slot_index(&self.xas) };
        Some((base, Word::from_entry(entry)))
    }

    /// Walks to the slot of the next index, for a state made for an entry of order 0.
    pub(super) fn load_next(&mut self, _lock: &Locked<'_>) -> Option<Word> {
        // SAFETY: `self.xas` is valid by the type invariant and the lock is held.
        Word::from_entry(unsafe { bindings::xas_next(&mut self.xas) })
    }

    /// Walks to the next entry that covers an index of at most `last`; the first one is that which
    /// covers the index that the state was made for. Returns NULL when there is none.
    ///
    /// The caller holds the lock or is in an RCU read-side critical section.
    #[inline]
    fn next(&mut self, last: usize, mark: Option<Mark>) -> *mut c_void {
        // SAFETY: `self.xas` is valid by the type invariant, and nodes do not go away under the
        // lock or RCU.
        unsafe {
            match mark {
                Some(mark) => bindings::xas_next_marked(&mut self.xas, last, mark as u32),
                None => bindings::xas_next_entry(&mut self.xas, last),
            }
        }
    }

    /// Returns the first index of the slot in which the walk stands, which has `word`.
    #[inline]
    fn base(&self, word: Option<Word>) -> usize {
        match word {
            Some(word) if word.order() == 0 => self.xas.xa_index,
            // SAFETY: As in `next`.
            _ => unsafe { bindings::xas_slot_index(&self.xas) },
        }
    }

    /// Walks to the next entry as [`Self::next`] does.
    ///
    /// Returns the first index of its slot, and the word unless the entry is an internal one.
    pub(super) fn find(
        &mut self,
        last: usize,
        mark: Option<Mark>,
    ) -> Option<(usize, Option<Word>)> {
        let entry = self.next(last, mark);
        if entry.is_null() {
            return None;
        }
        let word = Word::from_entry(entry);

        Some((self.base(word), word))
    }

    /// The same with the lock held: there are only value entries then.
    #[inline]
    pub(super) fn find_locked(
        &mut self,
        last: usize,
        mark: Option<Mark>,
        _lock: &Locked<'_>,
    ) -> Option<(Found, bool)> {
        let word = Word::from_entry(self.next(last, mark))?;

        Some((word.found(self.base(Some(word))), word.is_live()))
    }

    /// After [`Walk::load`]: needs [`Walk::store`] no new node?
    pub(super) fn has_slot(&self) -> bool {
        // SAFETY: `self.xas` is valid by the type invariant; the node it points to cannot go away
        // because the lock is held since `load`.
        unsafe { bindings::xas_has_slot(&self.xas) }
    }

    /// Stores `word` where the walk stands, or removes what is there.
    pub(super) fn store(&mut self, word: Option<Word>, marks: Marks, _lock: &Locked<'_>) -> Result {
        let entry = word.map_or(ptr::null_mut(), Word::to_entry);

        // SAFETY: `self.xas` is valid by the type invariant, the lock is held, and `entry` is NULL
        // or a value entry.
        unsafe { bindings::xas_store(&mut self.xas, entry) };
        // SAFETY: `self.xas` is valid by the type invariant.
        to_result(unsafe { bindings::xas_error(&self.xas) })?;
        if word.is_none() {
            // Marks go with the entry, and the walk may stand on a parent by now.
            return Ok(());
        }
        for mark in Mark::ALL {
            // SAFETY: `self.xas` is valid by the type invariant and the lock is held.
            unsafe {
                if marks.contains(mark) {
                    bindings::xas_set_mark(&self.xas, mark as u32);
                } else {
                    bindings::xas_clear_mark(&self.xas, mark as u32);
                }
            }
        }
        Ok(())
    }

    /// After an operation failed for lack of memory: allocates, and returns whether to try again.
    /// Must not be called with the lock held. Otherwise frees what was allocated and not used.
    pub(super) fn nomem(&mut self) -> bool {
        // Charged; a full memory cgroup makes this fail, without an OOM kill.
        const GFP: bindings::gfp_t =
            bindings::GFP_KERNEL_ACCOUNT | 1 << bindings::___GFP_RETRY_MAYFAIL_BIT;

        // SAFETY: `self.xas` is valid by the type invariant.
        unsafe { bindings::xas_nomem(&mut self.xas, GFP) }
    }
}

/// Proof that the lock of the array is held.
pub(super) struct Locked<'a> {
    pub(super) array: &'a ValueArray,
    pub(super) _not_send: NotThreadSafe,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: The array is valid by its type invariant, and this value owns its lock.
        unsafe { bindings::xa_unlock(self.array.xa.get()) };
    }
}
