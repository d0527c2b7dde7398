// SPDX-License-Identifier: GPL-2.0

//! What GMEM shows under `/sys/kernel/debug/gmem/`.
//!
//! A directory for each device, a file for all mirror address spaces, one for what programs advised
//! about their memory, and one for how much was done under a lock. Nothing depends on them: where
//! they cannot be made, they are missing.

use crate::{
    advice::{
        attributes::{
            Attributes,
            Node, //
        },
        attributes_tree::Advice, //
    },
    device::{
        holds,
        registry::{
            self,
            DebugDir,
            Device, //
        }, //
    },
    prelude::*,
    space::address_space::Space, //
};
use kernel::{
    debugfs::{
        Dir,
        File, //
    },
    fmt,
    str::CString, //
};

/// The directory of GMEM and the files in it.
pub(crate) struct Root {
    dir: Dir,
    _spaces: Pin<KBox<File<()>>>,
    _attributes: Pin<KBox<File<()>>>,
    _holds: Pin<KBox<File<()>>>,
}

kernel::sync::global_lock! {
    // SAFETY: Initialized by `init()` before any other function of GMEM runs.
    pub(crate) unsafe(uninit) static ROOT: Mutex<Option<Root>> = None;
}

/// Makes the directory of GMEM.
pub(crate) fn init() {
    let dir = Dir::new(c"gmem");
    let spaces = KBox::pin_init(
        dir.read_callback_file(c"spaces", (), &|(), f| spaces(f)),
        GFP_KERNEL,
    );
    let attributes = KBox::pin_init(
        dir.read_callback_file(c"attributes", (), &|(), f| attributes(f)),
        GFP_KERNEL,
    );
    let holds = KBox::pin_init(
        dir.read_callback_file(c"holds", (), &|(), f| holds(f)),
        GFP_KERNEL,
    );
    if let (Ok(spaces), Ok(attributes), Ok(holds)) = (spaces, attributes, holds) {
        *ROOT.lock() = Some(Root {
            dir,
            _spaces: spaces,
            _attributes: attributes,
            _holds: holds,
        });
    }
}

/// Makes the directory of a device.
pub(crate) fn add(device: &Arc<Device>) -> Option<DebugDir> {
    let root = ROOT.lock().as_ref()?.dir.clone();
    let name = CString::try_from_fmt(fmt!("{}-{}", &*device.name, device.parts.id)).ok()?;
    // An initializer: the reference itself.
    let data = Ok::<_, Error>(device.clone());
    let dir = root.scope(data, &name, |device, dir| {
        dir.read_callback_file(c"stats", device, &stats);
    });

    KBox::pin_init(dir, GFP_KERNEL).ok()
}

/// The counters of a device, one a line, under their names in `struct gm_dev_stats`, and those that
/// only this file has.
fn stats(device: &Arc<Device>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let stats = device.stats();
    let inner = &device.parts.stats;

    writeln!(f, "mem_total {}", stats.mem_total)?;
    writeln!(f, "mem_free {}", stats.mem_free)?;
    writeln!(f, "pinned {}", device.pinned())?;
    writeln!(f, "faults {}", stats.faults)?;
    writeln!(f, "to_dev {}", stats.to_dev)?;
    writeln!(f, "from_dev {}", stats.from_dev)?;
    writeln!(f, "zeroed {}", stats.zeroed)?;
    writeln!(f, "peer {}", stats.peer)?;
    writeln!(f, "evicted {}", stats.evicted)?;
    writeln!(f, "invalidated {}", stats.invalidated)?;
    writeln!(f, "remote {}", stats.remote)?;
    writeln!(f, "duplicated {}", stats.duplicated)?;
    writeln!(f, "contexts {}", stats.contexts)?;
    writeln!(f, "demand_faults {}", inner.demands.get())?;
    writeln!(f, "evict_wait {}", inner.waits.get())?;
    writeln!(f, "evict_direct {}", inner.direct.get())?;
    writeln!(f, "bounced {}", inner.bounced.get())?;
    writeln!(f, "refaults {}", inner.refaults.get())?;
    writeln!(f, "ahead {}", inner.ahead.get())
}

/// The most that was done under one hold of a lock, and how often those of the lists were taken,
/// one number a line.
fn holds(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "candidates {}", holds::CANDIDATES.get())?;
    writeln!(f, "chunks {}", holds::CHUNKS.get())?;
    writeln!(f, "copies {}", holds::COPIES.get())?;
    writeln!(f, "lists {}", holds::LISTS.get())?;
    writeln!(f, "pages {}", holds::PAGES.get())?;
    writeln!(f, "wait_ms {}", holds::WAIT_MS.get())
}

/// The mirror address spaces, one a line.
fn spaces(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for space in Space::all() {
        let contexts = space.lock_map().contexts().count();
        let usage = space.directory.usage();

        writeln!(
            f,
            "contexts={contexts} watches={} small={} huge={} on_device={} mapped={}",
            space.nr_watches(),
            usage.small,
            usage.huge,
            usage.on_device,
            usage.mapped
        )?;
    }
    Ok(())
}

/// What was advised: the process, the addresses and the attributes, one range a line.
fn attributes(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut result = Ok(());

    for advice in Advice::all() {
        let pid = sys::pid_of(&advice.mm);
        advice.for_each(PageRange::ALL, |range, attributes| {
            if result.is_ok() {
                result = one_range(f, pid, range, attributes);
            }
        });
    }
    result
}

fn one_range(
    f: &mut fmt::Formatter<'_>,
    pid: i32,
    range: PageRange,
    attributes: Attributes,
) -> fmt::Result {
    write!(f, "{pid} {:x}-{:x}", range.start_byte(), range.end_byte())?;
    match attributes.preferred {
        None => {}
        Some(Node::Host(nid)) => write!(f, " preferred={nid}")?,
        Some(Node::Device(id)) => write!(f, " preferred={}", registry::hnid_of(id))?,
    }
    let mut separator = " accessed_by=";
    for id in (0..u64::BITS).filter(|id| attributes.is_accessed_by(*id)) {
        write!(f, "{separator}{}", registry::hnid_of(id))?;
        separator = ",";
    }
    if attributes.read_mostly {
        write!(f, " read_mostly")?;
    }
    if let Some(id) = attributes.pinned {
        write!(f, " pinned={}", registry::hnid_of(id))?;
    }
    writeln!(f)
}
