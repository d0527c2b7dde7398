// SPDX-License-Identifier: GPL-2.0

//! Asking devices what they use.
//!
//! A device sets accessed bits in its page table; nobody is told when it uses a page it has mapped.
//! So before a unit leaves, the bits of where it was mapped last are read and cleared.

use crate::{
    device::{
        memory::Memory,
        units::Spot, //
    },
    policy::{
        Seen,
        Unit, //
    },
    prelude::*,
    space::address_space::Space, //
};

/// Asks the contexts of the device about a unit.
///
/// Takes the map lock of the address space that had it last, if the directory says that a context
/// maps it.
pub(crate) fn ask(memory: &Memory, unit: Unit, spot: Spot) -> Seen {
    let chunks = memory.chunks();
    if !chunks.is_used(unit.first_page(), unit.pages()) {
        return Seen::Gone;
    }
    let pages = PageRange::with_count(spot.page, unit.pages() as u64);
    let Some((pages, space)) = pages.zip(Space::find_key(spot.space)) else {
        return Seen::Idle;
    };
    // What no context maps, none uses. One that maps it from now on has asked for it.
    let mapped = space.directory.contexts(pages);
    if mapped == 0 {
        return Seen::Idle;
    }
    let map = space.lock_map();
    let mut used = false;
    for context in map.contexts() {
        if context.device.parts.id == memory.parts().id && context.bit() & mapped != 0 {
            // Every context: the bits are cleared, too.
            used |= context.age(&map, pages);
        }
    }
    drop(map);
    if used {
        sys::trace_used(memory.parts().id, pages.bytes());
        Seen::Used
    } else {
        Seen::Idle
    }
}
