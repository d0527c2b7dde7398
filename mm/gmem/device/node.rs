// SPDX-License-Identifier: GPL-2.0

//! Device memory as a heterogeneous NUMA node.
//!
//! Ids are reserved at boot, before the kernel allocates per possible node, and only if
//! `gmem.nodes=` or `CONFIG_GMEM_NODES` asks for them. A device without a reserved id works all the
//! same: its pages count for a node with CPUs, and its hnode id is one that no node has.

use crate::prelude::*;
use kernel::device;

/// How fast the device reaches its memory; zeroes for "not known".
#[derive(Clone, Copy, Default)]
pub(crate) struct Speed {
    /// In MB/s.
    pub(crate) bandwidth: u32,
    /// In ns.
    pub(crate) latency: u32,
}

/// A node that is online. Dropping it gives the id back.
///
/// Its pages come after it and go before it.
pub(crate) struct Node(i32);

impl Node {
    /// Takes an id. Returns [`None`] when there is none left.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Option<Self>> {
        match sys::node_online() {
            Ok(nid) => Ok(Some(Self(nid))),
            Err(e) if e == ENOSPC => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Returns the id.
    pub(crate) fn id(&self) -> i32 {
        self.0
    }

    /// The pages are there: makes the node one that policies and cpusets can name.
    pub(crate) fn publish(&self, parent: Option<&device::Device>, speed: Speed) {
        sys::node_publish(self.0, parent, speed.bandwidth, speed.latency);
    }

    /// The pages are about to go.
    pub(crate) fn retract(&self) {
        sys::node_retract(self.0);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        sys::node_offline(self.0);
    }
}

/// Returns the number of the memory of a device that got no node.
pub(crate) fn substitute(device: u32) -> i32 {
    sys::nr_node_ids() + device as i32 - 1
}
