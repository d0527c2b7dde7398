// SPDX-License-Identifier: MIT OR GPL-2.0
//! The two sides that are compared.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context};
use gmem::sys::hmm;
use gmem::sys::mem::PAGE_SIZE;
use gmem::{Buffer, Node, Npu};

/// A way to move memory to a device and home.
pub trait Side {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Memory it can move.
    fn buffer(&self, len: usize) -> gmem::Result<Buffer>;
    /// Opens the device, only for its own turn: an open device sees every change
    /// of this process's memory.
    fn open(&self, len: usize) -> anyhow::Result<Box<dyn Mover>>;
}

/// An open device.
pub trait Mover {
    /// Moves the bytes to the device.
    fn to_device(&mut self, bytes: &[u8]) -> anyhow::Result<()>;
    /// Moves them home.
    fn home(&mut self, bytes: &[u8]) -> anyhow::Result<()>;
    /// Bytes the device says it has received, if it counts.
    fn received(&self) -> anyhow::Result<Option<u64>>;
}

/// GMEM with the sample accelerator.
pub struct Gmem;

struct OpenNpu {
    npu: Npu,
    node: Node,
}

impl Side for Gmem {
    fn name(&self) -> &'static str {
        "gmem"
    }

    fn buffer(&self, len: usize) -> gmem::Result<Buffer> {
        Buffer::new(len)
    }

    fn open(&self, _len: usize) -> anyhow::Result<Box<dyn Mover>> {
        let npu = Npu::open(0)?;
        let node = npu.node()?.context("the NPU has no memory")?;
        Ok(Box::new(OpenNpu { npu, node }))
    }
}

impl Mover for OpenNpu {
    fn to_device(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(gmem::prefetch(bytes, self.node)?)
    }

    fn home(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(gmem::prefetch(bytes, Node::HOME)?)
    }

    fn received(&self) -> anyhow::Result<Option<u64>> {
        Ok(Some(self.npu.info()?.to_dev))
    }
}

/// The kernel's HMM test device.  Moving to it also copies what it holds back to
/// the caller; that is part of its call.
pub struct Hmm {
    path: PathBuf,
}

struct OpenHmm {
    file: File,
    out: Buffer,
}

impl Hmm {
    /// The device at this path.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }
}

impl Side for Hmm {
    fn name(&self) -> &'static str {
        "hmm"
    }

    fn buffer(&self, len: usize) -> gmem::Result<Buffer> {
        Buffer::private(len)
    }

    fn open(&self, len: usize) -> anyhow::Result<Box<dyn Mover>> {
        let open = File::options().read(true).write(true).open(&self.path);
        let path = self.path.display();
        let file = open.with_context(|| {
            format!("cannot open {path}; the kernel needs CONFIG_TEST_HMM, or name it with --hmm")
        })?;
        let mut out = Buffer::private(len)?;
        out.fill(1);
        Ok(Box::new(OpenHmm { file, out }))
    }
}

impl Mover for OpenHmm {
    fn to_device(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let moved = hmm::migrate_to_dev(self.file.as_fd(), bytes, &mut self.out);
        complete(moved, bytes, "HMM_DMIRROR_MIGRATE_TO_DEV")
    }

    fn home(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let moved = hmm::migrate_to_sys(self.file.as_fd(), bytes);
        complete(moved, bytes, "HMM_DMIRROR_MIGRATE_TO_SYS")
    }

    fn received(&self) -> anyhow::Result<Option<u64>> {
        Ok(None)
    }
}

fn complete(moved: Result<u64, i32>, bytes: &[u8], call: &'static str) -> anyhow::Result<()> {
    let pages = moved.map_err(|errno| gmem::Error::System { call, errno })?;
    let wanted = (bytes.len() / PAGE_SIZE) as u64;
    // Home, the device counts folios.
    ensure!(
        pages > 0 && pages <= wanted,
        "{call} moved {pages} pages of {wanted}"
    );
    Ok(())
}
