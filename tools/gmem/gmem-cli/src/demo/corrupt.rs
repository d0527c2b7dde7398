// SPDX-License-Identifier: MIT OR GPL-2.0
//! Asks the sample device to flip a byte, to prove that the checks see it.

use std::path::PathBuf;

use anyhow::Context;
use gmem::Npu;

/// The switch of one NPU in debugfs.
pub struct Corrupt(PathBuf);

impl Corrupt {
    /// The switch of this NPU; an error if it is not there to be used.
    pub fn of(npu: &Npu) -> anyhow::Result<Self> {
        let index = npu.info()?.index;
        let path = format!("/sys/kernel/debug/npu_stub/npu{index}/corrupt");
        std::fs::metadata(&path)
            .with_context(|| format!("cannot find {path}; mount debugfs and run as root"))?;
        Ok(Self(path.into()))
    }

    /// The next bytes that reach the device have one wrong.
    pub fn arm(&self) -> anyhow::Result<()> {
        let path = &self.0;
        std::fs::write(path, "1").with_context(|| format!("cannot write {}", path.display()))
    }
}
