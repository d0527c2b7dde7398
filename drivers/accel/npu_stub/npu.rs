// SPDX-License-Identifier: GPL-2.0

//! One NPU: what the cores, the files and debugfs share.

use crate::{
    config::Config,
    hardware::{
        Hardware,
        NpuDevice,
        BLOCK_SIZE, //
    },
    queue::Queue, //
};
use kernel::{
    gmem, new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    },
};

/// An NPU.
#[pin_data]
pub(crate) struct Npu {
    pub(crate) index: u32,
    pub(crate) config: Config,
    pub(crate) hw: Arc<gmem::soft::Machine<Hardware>>,
    pub(crate) device: Arc<NpuDevice>,
    #[pin]
    pub(crate) queue: Queue,
    /// Whether the NPU was unplugged.
    #[pin]
    gone: Mutex<bool>,
}

impl Npu {
    pub(crate) fn new(
        index: u32,
        config: &Config,
        parent: &kernel::device::Device,
    ) -> Result<Arc<Self>> {
        let size = u64::from(config.mem_mib) << 20;
        let hw = Hardware::new(size as usize, config.bandwidth, config.latency_us)?;
        let mut caps = gmem::Caps::ATOMICS;
        if config.replayable {
            caps = caps | gmem::Caps::REPLAYABLE;
        }
        let name = CString::try_from_fmt(fmt!("npu{index}"))?;
        let device = NpuDevice::new(
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
