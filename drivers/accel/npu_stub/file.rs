// SPDX-License-Identifier: GPL-2.0

//! The device node's ioctls; see [`include/uapi/drm/npu_stub.h`].
//!
//! [`include/uapi/drm/npu_stub.h`]: srctree/include/uapi/drm/npu_stub.h

use crate::{
    client::Client,
    cmd::Cmd,
    job::Job, //
    npu::Npu,
};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    eventfd::EventFd,
    ioctl::{
        _IOR,
        _IOWR, //
    },
    miscnode::NodeFile,
    prelude::*,
    sync::Arc,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
    uapi, //
};

const MAGIC: u32 = uapi::NPU_IOC_MAGIC as u32;
const INFO: u32 = _IOR::<uapi::npu_info>(MAGIC, 0x40);
const SUBMIT: u32 = _IOWR::<uapi::npu_submit>(MAGIC, 0x41);
const WAIT: u32 = _IOWR::<uapi::npu_wait>(MAGIC, 0x42);

/// An open file of an NPU.
pub(crate) struct NpuFile {
    npu: Arc<Npu>,
    client: Arc<Client>,
}

impl NodeFile for NpuFile {
    const MODULE: &'static ThisModule = &crate::THIS_MODULE;
    type Device = Npu;

    fn open(npu: &Arc<Npu>) -> Result<Arc<Self>> {
        let id = npu.queue.open()?;
        let file = Client::new(id, &npu.device).and_then(|client| {
            let npu = npu.clone();
            Ok(Arc::new(Self { npu, client }, GFP_KERNEL)?)
        });
        file.inspect_err(|_| npu.queue.close(id))
    }

    fn ioctl(&self, cmd: u32, arg: usize) -> Result<isize> {
        let arg = UserPtr::from_addr(arg);
        match cmd {
            INFO => self.info(arg)?,
            SUBMIT => self.submit(arg)?,
            WAIT => self.wait(arg)?,
            _ => return Err(ENOTTY),
        }
        Ok(0)
    }

    fn release(&self) {
        self.client.set_closing();
        self.npu.queue.close(self.client.id);
    }
}

impl NpuFile {
    fn info(&self, arg: UserPtr) -> Result {
        let npu = &self.npu;
        let stats = npu.device.stats();
        let (running, done) = npu.queue.counts(&self.client);
        let hnid = npu.device.hnid().unwrap_or(-1);
        let flags = if npu.config.replayable {
            uapi::NPU_INFO_FAULTS
        } else {
            0
        };

        // The fields of `struct npu_info` in their order.
        const_assert!(size_of::<uapi::npu_info>() == 4 * 4 + 2 * 8 + 4 * 4 + 10 * 8);
        let mut out = UserSlice::new(arg, size_of::<uapi::npu_info>()).writer();
        out.write(&[
            uapi::NPU_STUB_ABI_VERSION,
            npu.index,
            hnid.cast_unsigned(),
            flags,
        ])?;
        out.write(&[stats.mem_total, stats.mem_free])?;
        let config = &npu.config;
        out.write(&[config.va_bits, config.max_jobs, config.max_cmds, 0])?;
        out.write(&[
            stats.faults,
            stats.to_dev,
            stats.from_dev,
            stats.zeroed,
            stats.peer,
            stats.evicted,
            stats.invalidated,
            stats.remote,
            running,
            done,
        ])
    }

    fn submit(&self, arg: UserPtr) -> Result {
        // The fields of `struct npu_submit` in their order.
        const_assert!(size_of::<uapi::npu_submit>() == 8 + 2 * 4 + 8);
        let mut input = UserSlice::new(arg, 16).reader();
        let addr = input.read::<u64>()?;
        let nr = input.read::<u32>()?;
        let eventfd = input.read::<i32>()?;

        if !self.client.is_current() {
            return Err(EPERM);
        }
        if nr == 0 || nr > self.npu.config.max_cmds {
            return Err(EINVAL);
        }
        let event = match eventfd {
            -1 => None,
            fd => Some(EventFd::from_fd(fd)?),
        };
        let cmds = self.read_cmds(UserPtr::from_addr(addr as usize), nr)?;

        let queue = &self.npu.queue;
        let id = queue.take_number(&self.client)?;
        let mut output = UserSlice::new(arg.wrapping_byte_add(16), 8).writer();
        if let Err(e) = output.write(&id) {
            queue.abandon(&self.client);
            return Err(e);
        }
        queue.push(Job {
            id,
            client: self.client.clone(),
            cmds,
            next: 0,
            event,
        })
    }

    fn read_cmds(&self, addr: UserPtr, nr: u32) -> Result<KVVec<Cmd>> {
        let limit = 1 << self.npu.config.va_bits;
        let mut reader = UserSlice::new(addr, nr as usize * Cmd::SIZE).reader();
        // What a process can pile up is charged to it.
        let mut cmds = KVVec::with_capacity(nr as usize, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..nr {
            cmds.push(Cmd::read(&mut reader, limit)?, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(cmds)
    }

    fn wait(&self, arg: UserPtr) -> Result {
        // The fields of `struct npu_wait` in their order.
        const_assert!(size_of::<uapi::npu_wait>() == 2 * 8 + 2 * 4 + 8);
        let mut input = UserSlice::new(arg, 16).reader();
        let job = input.read::<u64>()?;
        let timeout_ns = input.read::<i64>()?;

        let outcome = self.npu.queue.wait(&self.client, job, timeout_ns)?;

        let mut output = UserSlice::new(arg.wrapping_byte_add(16), 16).writer();
        output.write(&outcome.status)?;
        output.write(&outcome.cmd)?;
        output.write(&outcome.addr)
    }
}
