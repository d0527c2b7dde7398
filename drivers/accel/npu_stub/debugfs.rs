// SPDX-License-Identifier: GPL-2.0

//! What tests may do to an NPU, in debugfs.
//!
//! - `npu_stub/npuN/unplug`: writing 1 takes the NPU away
//! - `npu_stub/npuN/die`: writing 1 is a power failure: the data on the NPU is lost
//! - `npu_stub/npuN/corrupt`: writing a number makes the next copy to the NPU flip one bit of the
//!   byte at that offset in its first run
//! - `npu_stub/npuN/prepare_ms`: how long building page tables takes from now on

use crate::npu::Npu;
use kernel::{
    c_str,
    debugfs::{
        Dir,
        File, //
    },
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
    uaccess::UserSliceReader, //
};

/// The longest that can be asked for.
const MAX_PREPARE_MS: u64 = 10_000;

/// The files of one NPU.
pub(crate) struct Controls {
    _unplug: Pin<KBox<File<Arc<Npu>>>>,
    _die: Pin<KBox<File<Arc<Npu>>>>,
    _corrupt: Pin<KBox<File<Arc<Npu>>>>,
    _prepare_ms: Pin<KBox<File<Arc<Npu>>>>,
}

/// Reads what was written as a number.
fn number(reader: &mut UserSliceReader) -> Result<u64> {
    let mut buf = [0u8; 24];
    let text = buf.get_mut(..reader.len()).ok_or(EINVAL)?;
    reader.read_slice(text)?;
    let text = core::str::from_utf8(text).map_err(|_| EINVAL)?;
    text.trim().parse().map_err(|_| EINVAL)
}

impl Controls {
    pub(crate) fn new(dir: &Dir, npu: &Arc<Npu>) -> Result<Self> {
        let unplug =
            dir.write_callback_file(c_str!("unplug"), npu.clone(), &|npu, reader| match number(
                reader,
            )? {
                1 => npu.unplug(),
                _ => Err(EINVAL),
            });
        let die = dir.write_callback_file(c_str!("die"), npu.clone(), &|npu, reader| match number(
            reader,
        )? {
            1 => {
                npu.die();
                Ok(())
            }
            _ => Err(EINVAL),
        });
        let corrupt = dir.write_callback_file(c_str!("corrupt"), npu.clone(), &|npu, reader| {
            npu.hw.corrupt_next(number(reader)?);
            Ok(())
        });
        let prepare_ms =
            dir.write_callback_file(c_str!("prepare_ms"), npu.clone(), &|npu, reader| {
                let ms = number(reader)?.min(MAX_PREPARE_MS);
                npu.hw.prepare_ms.store(ms as u32, Relaxed);
                Ok(())
            });
        Ok(Self {
            _unplug: KBox::pin_init(unplug, GFP_KERNEL)?,
            _die: KBox::pin_init(die, GFP_KERNEL)?,
            _corrupt: KBox::pin_init(corrupt, GFP_KERNEL)?,
            _prepare_ms: KBox::pin_init(prepare_ms, GFP_KERNEL)?,
        })
    }
}
