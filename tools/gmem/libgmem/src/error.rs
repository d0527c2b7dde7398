// SPDX-License-Identifier: MIT OR GPL-2.0
//! Errors that say what to do next.

use crate::sys::Errno;

/// What a call of this library returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The kernel was built without GMEM.
    #[error("this kernel has no GMEM; boot a kernel built with CONFIG_GMEM=y")]
    NoGmem,
    /// GMEM is built but switched off.
    #[error("GMEM is switched off; boot without gmem=off")]
    Off,
    /// No device node exists.
    #[error("no accelerator found under /dev/accel or /dev; load the driver (modprobe npu_stub)")]
    NoDevice,
    /// The device node cannot be opened.
    #[error("cannot open {path}: {}; {}", text(*.errno), open_hint(*.errno))]
    Open {
        /// The node.
        path: String,
        /// Why.
        errno: Errno,
    },
    /// The driver speaks another version of the ABI.
    #[error("the driver speaks version {found} of the NPU ABI, this library {expected}; install matching versions")]
    Version {
        /// What the driver said.
        found: u32,
        /// What this library knows.
        expected: u32,
    },
    /// Memory could not be mapped.
    #[error("cannot map {len} bytes of memory: {}; ask for less, or raise ulimit -v", text(*.errno))]
    Map {
        /// What was asked for.
        len: usize,
        /// Why.
        errno: Errno,
    },
    /// A hint was refused.
    #[error("the kernel refused the advice for node {node}: {}; {}", text(*.errno), advise_hint(*.errno))]
    Advise {
        /// The node.
        node: i32,
        /// Why.
        errno: Errno,
    },
    /// A command is malformed; the device never saw it.
    #[error("{0}")]
    Command(&'static str),
    /// The job was not accepted.
    #[error("the NPU did not accept the job: {}; {}", text(*.errno), submit_hint(*.errno))]
    Submit {
        /// Why.
        errno: Errno,
    },
    /// The job ended with an error.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The job was not complete in time; it is still running.
    #[error("the job is not complete yet; wait again")]
    TimedOut,
    /// The job's result was taken before.
    #[error("the job is unknown: its result was taken before; wait for each job once")]
    UnknownJob,
    /// Another system call failed.
    #[error("{call}: {}", text(*.errno))]
    System {
        /// Its name.
        call: &'static str,
        /// Why.
        errno: Errno,
    },
}

/// How a job failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("command {command} of the job failed: {}", self.reason())]
pub struct JobError {
    /// Positive errno.
    pub errno: Errno,
    /// Index of the command in its job.
    pub command: u32,
    /// The address the NPU could not reach, or 0.
    pub address: u64,
}

impl JobError {
    fn reason(&self) -> String {
        match self.errno {
            libc::EFAULT => format!(
                "the NPU cannot reach address {:#x}; use memory of a gmem Buffer (mmap with MAP_PEER_SHARED) \
                 that is still mapped and allows the access",
                self.address
            ),
            libc::ENOMEM => "no memory; free some, or use fewer bytes at once".into(),
            libc::ENODEV => "the NPU was unplugged; open another one, the data is safe at home".into(),
            libc::ECANCELED => "the job was cancelled because its file was closed".into(),
            libc::EIO => "the NPU failed to copy or compute; try again, then look at dmesg".into(),
            errno => format!("{}; look at dmesg", text(errno)),
        }
    }
}

impl Error {
    /// The positive errno that the C interface returns for this error.
    pub fn errno(&self) -> Errno {
        match self {
            Self::NoGmem => libc::ENOSYS,
            Self::Off => libc::EOPNOTSUPP,
            Self::NoDevice => libc::ENODEV,
            Self::Version { .. } => libc::EPROTO,
            Self::Command(_) => libc::EINVAL,
            Self::TimedOut => libc::ETIME,
            Self::UnknownJob => libc::ENOENT,
            Self::Job(job) => job.errno,
            Self::Open { errno, .. }
            | Self::Map { errno, .. }
            | Self::Advise { errno, .. }
            | Self::Submit { errno }
            | Self::System { errno, .. } => *errno,
        }
    }
}

/// The C library's text for an errno, without the number.
fn text(errno: Errno) -> String {
    let full = std::io::Error::from_raw_os_error(errno).to_string();
    match full.find(" (os error") {
        Some(end) => full[..end].to_owned(),
        None => full,
    }
}

fn open_hint(errno: Errno) -> &'static str {
    match errno {
        libc::ENOENT => "check the number with `gmem info`",
        libc::EACCES | libc::EPERM => "ask for the group or the mode of the device node",
        libc::EMFILE => "close files, or raise ulimit -n",
        libc::ENODEV => "the NPU was unplugged; load the driver again",
        _ => "look at dmesg",
    }
}

fn advise_hint(errno: Errno) -> &'static str {
    match errno {
        libc::EINVAL => {
            "the range must be peer-shared memory and the node one that `gmem info` lists"
        }
        libc::ENODEV => "open a file of that node's device first",
        libc::ENOSPC => "the range is larger than the node; move it in parts",
        libc::ENOMEM => "part of the range is not mapped, or the kernel is out of memory",
        libc::EAGAIN => "over a limit of pins: raise ulimit -l or vm.gmem_pin_percent",
        libc::EBUSY => "some pages are pinned, locked or shared and stay where they are",
        libc::EPERM => "the cpuset of this process forbids the node",
        libc::EFAULT => "the device failed; look at dmesg",
        _ => "look at dmesg",
    }
}

fn submit_hint(errno: Errno) -> &'static str {
    match errno {
        libc::EAGAIN => "too many jobs are queued; wait for one first",
        libc::EINVAL => "a command is malformed, or there are too many (see `gmem info`)",
        libc::EPERM => "the file belongs to another process; open the NPU after fork",
        libc::ENODEV => "the NPU was unplugged",
        libc::ENOMEM => "the kernel is out of memory",
        _ => "look at dmesg",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_say_what_to_do() {
        let cases: [(Error, &str); 8] = [
            (Error::NoGmem, "CONFIG_GMEM=y"),
            (Error::Off, "without gmem=off"),
            (Error::NoDevice, "modprobe npu_stub"),
            (
                Error::Open {
                    path: "/dev/accel/npu0".into(),
                    errno: libc::EACCES,
                },
                "/dev/accel/npu0: Permission denied; ask for the group",
            ),
            (
                Error::Advise {
                    node: 5,
                    errno: libc::ENODEV,
                },
                "node 5: No such device; open a file",
            ),
            (
                Error::Submit {
                    errno: libc::EAGAIN,
                },
                "wait for one first",
            ),
            (Error::TimedOut, "wait again"),
            (
                Error::Map {
                    len: 42,
                    errno: libc::ENOMEM,
                },
                "cannot map 42 bytes",
            ),
        ];
        for (error, part) in cases {
            let text = error.to_string();
            assert!(text.contains(part), "{text:?} lacks {part:?}");
        }
    }

    #[test]
    fn a_bad_address_is_named() {
        let error = Error::from(JobError {
            errno: libc::EFAULT,
            command: 3,
            address: 0x1234_5000,
        });
        let text = error.to_string();
        assert!(text.starts_with("command 3 of the job failed"), "{text}");
        assert!(
            text.contains("0x12345000") && text.contains("MAP_PEER_SHARED"),
            "{text}"
        );
        assert_eq!(error.errno(), libc::EFAULT);
    }
}
