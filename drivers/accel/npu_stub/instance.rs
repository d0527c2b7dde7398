// SPDX-License-Identifier: GPL-2.0

//! How an NPU comes, and how it goes.

use crate::{
    config::Config,
    debugfs::Controls,
    engine::Core,
    file::NpuFile,
    npu::Npu, //
};
use kernel::{
    debugfs::Dir,
    faux,
    kthread::Thread,
    miscnode::Node,
    prelude::*,
    str::CString,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// A loaded NPU. Its parts go in the order of their declaration.
pub(crate) struct Instance {
    _controls: Controls,
    _node: Pin<KBox<Node<NpuFile>>>,
    _running: Running,
    _parent: faux::Registration,
}

/// The NPU with its cores; dropping it ends them.
struct Running {
    npu: Arc<Npu>,
    cores: KVec<Thread<Core>>,
}

impl Running {
    fn new(npu: Arc<Npu>) -> Result<Self> {
        let mut this = Self {
            cores: KVec::with_capacity(npu.hw.tlbs().len(), GFP_KERNEL)?,
            npu,
        };
        let npu = this.npu.clone();
        for (nr, tlb) in npu.hw.tlbs().iter().enumerate() {
            let name = CString::try_from_fmt(fmt!("npu{}-core{nr}", npu.index))?;
            let core = Core {
                npu: npu.clone(),
                tlb: tlb.clone(),
            };
            let thread = Thread::spawn(&name, Arc::new(core, GFP_KERNEL)?)?;
            this.cores.push(thread, GFP_KERNEL)?;
        }
        Ok(this)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The data must come home, or it is lost with the NPU. What keeps a page from moving is
        // short-lived, so try again; but a copy engine that failed all the time will not recover.
        for _ in 0..100 {
            match self.npu.unplug() {
                Err(e) if e != EIO => fsleep(Delta::from_millis(50)),
                _ => break,
            }
        }
        // Then the fields go, and each core is waited for.
        self.npu.queue.stop();
    }
}

impl Instance {
    pub(crate) fn new(index: u32, config: &Config, dir: &Dir) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("npu{index}"))?;
        let parent = faux::Registration::new(&name, None)?;
        let running = Running::new(Npu::new(index, config, parent.as_ref())?)?;
        let controls = Controls::new(&dir.subdir(&name), &running.npu)?;
        let path = CString::try_from_fmt(fmt!("accel!npu{index}"))?;
        let node = Node::register(path, parent.as_ref(), running.npu.clone());
        Ok(Self {
            _controls: controls,
            _node: KBox::try_pin_init(node, GFP_KERNEL)?,
            _running: running,
            _parent: parent,
        })
    }
}
