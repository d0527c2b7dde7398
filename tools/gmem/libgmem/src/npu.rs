// SPDX-License-Identifier: MIT OR GPL-2.0
//! The sample accelerators.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::pending::Pending;
use crate::sys::npu::{self, Cmd};
use crate::{Error, Job, Node, Result};

pub use crate::sys::npu::Info as NpuInfo;

/// An open accelerator.
///
/// While it is open, this process's peer-shared memory is the NPU's memory too.
#[derive(Clone, Debug)]
pub struct Npu {
    file: Arc<File>,
    path: PathBuf,
}

/// The device nodes of all NPUs, in order of their numbers.
pub fn list() -> Vec<PathBuf> {
    for dir in ["/dev/accel", "/dev"] {
        let mut found = numbered(Path::new(dir));
        found.sort();
        if !found.is_empty() {
            return found.into_iter().map(|(_, path)| path).collect();
        }
    }
    Vec::new()
}

fn numbered(dir: &Path) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let number = |path: PathBuf| {
        let digits = path.file_name()?.to_str()?.strip_prefix("npu")?;
        Some((digits.parse().ok()?, path))
    };
    entries
        .filter_map(|entry| number(entry.ok()?.path()))
        .collect()
}

impl Npu {
    /// Opens the NPU with this number.
    ///
    /// # Errors
    ///
    /// [`Error::NoDevice`], [`Error::Open`] or [`Error::Version`].
    pub fn open(index: usize) -> Result<Self> {
        let nodes = list();
        let first = nodes.first().ok_or(Error::NoDevice)?;
        let name = format!("npu{index}");
        Self::open_path(&first.with_file_name(name))
    }

    /// Opens all NPUs.
    ///
    /// # Errors
    ///
    /// As [`open()`](Self::open).
    pub fn open_all() -> Result<Vec<Self>> {
        let nodes = list();
        if nodes.is_empty() {
            return Err(Error::NoDevice);
        }
        nodes.iter().map(|path| Self::open_path(path)).collect()
    }

    /// Opens the NPU behind this device node.
    ///
    /// # Errors
    ///
    /// [`Error::Open`] or [`Error::Version`].
    pub fn open_path(path: &Path) -> Result<Self> {
        let open = File::options().read(true).write(true).open(path);
        let file = open.map_err(|error| Error::Open {
            path: path.display().to_string(),
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        })?;
        let npu = Self {
            file: Arc::new(file),
            path: path.to_owned(),
        };
        let found = npu.info()?.version;
        if found != npu::ABI_VERSION {
            return Err(Error::Version {
                found,
                expected: npu::ABI_VERSION,
            });
        }
        Ok(npu)
    }

    /// The device node.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the NPU is and has done.
    ///
    /// # Errors
    ///
    /// [`Error::System`], for instance when the NPU was unplugged.
    pub fn info(&self) -> Result<NpuInfo> {
        npu::info(self.as_fd()).map_err(|errno| Error::System {
            call: "NPU_IOC_INFO",
            errno,
        })
    }

    /// The node of the NPU's memory, if it has any.
    ///
    /// # Errors
    ///
    /// As [`info()`](Self::info).
    pub fn node(&self) -> Result<Option<Node>> {
        let hnid = self.info()?.hnid;
        Ok((hnid >= 0).then_some(Node(hnid)))
    }

    /// Runs a job to its end.
    ///
    /// # Errors
    ///
    /// [`Error::Submit`] or [`Error::Job`].
    pub fn run(&self, job: Job<'_>) -> Result<()> {
        // SAFETY: The job's borrows are held until finish() returns.
        unsafe { self.submit_raw(job.commands(), None) }?.finish()
    }

    /// Queues commands that name memory by address.
    ///
    /// # Safety
    ///
    /// Until the job has ended, no Rust reference may rely on the bytes that the
    /// commands write, and any bytes must be valid there.
    ///
    /// # Errors
    ///
    /// [`Error::Submit`], and [`Error::Command`] for an empty job.
    pub unsafe fn submit_raw(
        &self,
        cmds: &[Cmd],
        event: Option<BorrowedFd<'_>>,
    ) -> Result<Pending> {
        if cmds.is_empty() {
            return Err(Error::Command("the job has no command; add one"));
        }
        // SAFETY: The caller's promise.
        match unsafe { npu::submit(self.as_fd(), cmds, event) } {
            Ok(job) => Ok(Pending::new(self.file.clone(), job)),
            Err(errno) => Err(Error::Submit { errno }),
        }
    }
}

impl AsFd for Npu {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_node_is_named() {
        let error = Npu::open_path(Path::new("/nonexistent/npu7")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/npu7"), "{error}");
        assert_eq!(error.errno(), libc::ENOENT);
    }

    #[test]
    fn another_device_is_not_an_npu() {
        let error = Npu::open_path(Path::new("/dev/null")).unwrap_err();
        assert!(
            matches!(
                error,
                Error::System {
                    call: "NPU_IOC_INFO",
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn nodes_are_sorted_by_number() {
        let dir = std::env::temp_dir().join(format!("gmem-npu-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        for name in ["npu10", "npu2", "npu", "npux", "gpu0", "npu0"] {
            std::fs::write(dir.join(name), "").unwrap();
        }
        let mut found = numbered(&dir);
        found.sort();
        std::fs::remove_dir_all(&dir).unwrap();
        let numbers: Vec<u32> = found.into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [0, 2, 10]);
    }
}
