// SPDX-License-Identifier: GPL-2.0

//! The C interface: what drivers, the core and system calls enter GMEM by.

use self::export::exports;
use crate::{
    advice::attributes_tree,
    device::registry::DEVICES,
    prelude::*,
    reclaim::host_room,
    space::spaces::SPACES, //
};

mod export;

pub(crate) mod address_space;
pub(crate) mod dead;
pub(crate) mod debugfs;
pub(crate) mod device;
pub(crate) mod hmadvise;
pub(crate) mod hooks;
mod presence;

exports! {
    fn gmem_init() -> c_int = init;
}

/// Makes the lists.
fn init() -> Result {
    // SAFETY: The shim calls this once, at boot, before any other function.
    unsafe {
        DEVICES.init();
        SPACES.init();
        attributes_tree::ADVICE.init();
        host_room::FILLING.init();
        debugfs::ROOT.init();
    }
    debugfs::init();
    Ok(())
}

fn enabled() -> Result {
    // SAFETY: Written during early boot only.
    if unsafe { bindings::gmem_enabled } {
        Ok(())
    } else {
        Err(sys::eopnotsupp())
    }
}
