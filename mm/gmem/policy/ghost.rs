// SPDX-License-Identifier: GPL-2.0

//! What left a device a short while ago.
//!
//! A table of fixed size, four entries a bucket; the oldest gives way. It answers one question:
//! the data that comes now, when was it used before it left?

/// Entries of a bucket.
const WAYS: usize = 4;

/// Names data: the 64 KiB around a page of an address space.
///
/// Two may be the same by accident, which costs a wrong rank and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Key(u32);

impl Key {
    /// The name of the 64 KiB around `page` in the address space with this number: any number
    /// that no other one has at the time.
    pub(crate) const fn new(space: u64, page: u64) -> Self {
        let salt = space.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self((page >> 4).wrapping_add(salt >> 32) as u32)
    }

    /// The name of what is `slots` times 64 KiB further on.
    pub(crate) const fn after(self, slots: u32) -> Self {
        Self(self.0.wrapping_add(slots))
    }

    /// The place of the data in a table with so many places.
    const fn place(self, places: usize) -> usize {
        let hash = (self.0 as u64).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32;

        // The upper half of the product is a number below `places`.
        (hash.wrapping_mul(places as u64) >> 32) as usize
    }

    /// The entry of the data in a table in which it has one place.
    pub(super) fn entry_of<T>(self, entries: &mut [T]) -> Option<&mut T> {
        let place = self.place(entries.len());
        entries.get_mut(place)
    }
}

/// An entry of the table; starts free.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ghost {
    key: Option<Key>,
    stamp: u32,
}

/// Notes that the data `key`, last used at `stamp`, left.
pub(crate) fn put(ghosts: &mut [Ghost], key: Key, stamp: u32, now: u32) {
    let oldest = bucket(ghosts, key).iter_mut().max_by_key(|ghost| {
        if ghost.key == Some(key) {
            u64::MAX
        } else if ghost.key.is_none() {
            u64::MAX - 1
        } else {
            u64::from(now.wrapping_sub(ghost.stamp))
        }
    });
    if let Some(ghost) = oldest {
        *ghost = Ghost {
            key: Some(key),
            stamp,
        };
    }
}

/// Takes the note about `key` out: when it was last used.
pub(crate) fn take(ghosts: &mut [Ghost], key: Key) -> Option<u32> {
    let ghost = bucket(ghosts, key)
        .iter_mut()
        .find(|ghost| ghost.key == Some(key))?;
    Some(core::mem::take(ghost).stamp)
}

fn bucket(ghosts: &mut [Ghost], key: Key) -> &mut [Ghost] {
    let at = key.place(ghosts.len() / WAYS);
    ghosts
        .get_mut(at.saturating_mul(WAYS)..)
        .and_then(|rest| rest.get_mut(..WAYS))
        .unwrap_or_default()
}
