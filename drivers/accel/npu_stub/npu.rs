// SPDX-License-Identifier: GPL-2.0

//! One NPU: how it comes, and how it goes.

use crate::{
    debugfs::Controls,
    engine::Core,
    file::NpuFile,
    hardware::{
        Hardware,
        NpuMmu,
        BLOCK_SIZE,
        MAX_VA_BITS, //
    },
    queue::Queue, //
};
use kernel::{
    debugfs::Dir,
    faux, gmem, new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// The module's parameters.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) mem_mib: u32,
    pub(crate) va_bits: u32,
    pub(crate) replayable: bool,
    pub(crate) bandwidth: u32,
    pub(crate) latency_us: u32,
    pub(crate) max_jobs: u32,
    pub(crate) max_cmds: u32,
}

impl Config {
    /// Checks the parameters, and says what is wrong.
    pub(crate) fn check(&self) -> Result {
        if self.mem_mib == 0 || self.mem_mib % 2 != 0 {
            pr_err!("mem_mib is {}, not an even number\n", self.mem_mib);
            return Err(EINVAL);
        }
        if !(32..=MAX_VA_BITS).contains(&self.va_bits) {
            pr_err!("va_bits is {}, not 32 to {}\n", self.va_bits, MAX_VA_BITS);
            return Err(EINVAL);
        }
        if !(1..=1 << 16).contains(&self.max_jobs) || !(1..=1 << 20).contains(&self.max_cmds) {
            pr_err!("max_jobs must be 1 to 65536, max_cmds 1 to 1048576\n");
            return Err(EINVAL);
        }
        Ok(())
    }
}

/// What the cores, the files and debugfs share.
#[pin_data]
pub(crate) struct Npu {
    pub(crate) index: u32,
    pub(crate) config: Config,
    pub(crate) hw: Arc<gmem::soft::Machine<Hardware>>,
    pub(crate) device: Arc<gmem::Device<NpuMmu>>,
    #[pin]
    pub(crate) queue: Queue,
    /// Whether the NPU was unplugged.
    #[pin]
    gone: Mutex<bool>,
}

impl Npu {
    fn new(index: u32, config: &Config, parent: &kernel::device::Device) -> Result<Arc<Self>> {
        let size = u64::from(config.mem_mib) << 20;
        let hw = Hardware::new(size as usize, config.bandwidth, config.latency_us)?;
        let mut caps = gmem::Caps::ATOMICS;
        if config.replayable {
            caps = caps | gmem::Caps::REPLAYABLE;
        }
        let name = CString::try_from_fmt(fmt!("npu{index}"))?;
        let device = gmem::Device::new(
            gmem::Options {
                module: &crate::THIS_MODULE,
                parent,
                name: &name,
                caps,
                page_sizes: PAGE_SIZE as u64 | BLOCK_SIZE,
                va_start: 0,
                va_end: 1 << config.va_bits,
                bandwidth: config.bandwidth,
                latency: config.latency_us.saturating_mul(1000),
            },
            hw.clone(),
        )?;
        device.register_physmem(size, gmem::MemoryType::Private)?;
        Arc::pin_init(
            pin_init!(Self {
                index,
                config: config.clone(),
                hw,
                device,
                queue <- Queue::new(config.max_jobs),
                gone <- new_mutex!(false),
            }),
            GFP_KERNEL,
        )
    }

    /// Takes the NPU away: jobs end with `ENODEV`, and GMEM brings all data home. The device node
    /// stays, and answers with `ENODEV`.
    ///
    /// # Errors
    ///
    /// `EBUSY` when some page could not leave, `EIO` when it could not be copied; the NPU then
    /// works on.
    pub(crate) fn unplug(&self) -> Result {
        let mut gone = self.gone.lock();
        if *gone {
            return Ok(());
        }
        self.queue.halt();
        if let Err(e) = self.device.unregister_physmem() {
            self.queue.resume();
            return Err(e);
        }
        *gone = true;
        Ok(())
    }

    /// As if the NPU lost its power: jobs end with `ENODEV`, and the data on it is lost.
    pub(crate) fn die(&self) {
        let mut gone = self.gone.lock();
        if !*gone {
            self.queue.halt();
            self.device.dead();
            *gone = true;
        }
    }
}

/// A loaded NPU. Its parts go in the order of their declaration.
pub(crate) struct Instance {
    _controls: Controls,
    _node: Pin<KBox<gmem::node::Node<NpuFile>>>,
    _running: Running,
    _parent: faux::Registration,
}

/// The NPU with its cores; dropping it ends them.
struct Running {
    npu: Arc<Npu>,
    cores: KVec<gmem::thread::Thread<Core>>,
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
            let thread = gmem::thread::Thread::spawn(&name, Arc::new(core, GFP_KERNEL)?)?;
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
        let node = gmem::node::Node::register(path, parent.as_ref(), running.npu.clone());
        Ok(Self {
            _controls: controls,
            _node: KBox::try_pin_init(node, GFP_KERNEL)?,
            _running: running,
            _parent: parent,
        })
    }
}
