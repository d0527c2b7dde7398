// SPDX-License-Identifier: GPL-2.0

//! Device nodes: one for each device, with the device as their data.
//!
//! [`MiscDeviceRegistration`](crate::miscdevice::MiscDeviceRegistration) knows neither which
//! device was opened nor which module the open file keeps loaded, and its name is fixed when the
//! driver is compiled. A driver with several devices that processes hold open needs all three.
//!
//! C header: [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h)

use crate::{
    bindings,
    container_of,
    device,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    str::CString,
    sync::Arc,
    types::Opaque, //
};
use core::marker::PhantomData;

/// An open file of a [`Node`].
pub trait NodeFile: Send + Sync + Sized + 'static {
    /// The driver's module; an open file keeps it loaded.
    const MODULE: &'static ThisModule;

    /// What a node stands for.
    type Device: Send + Sync + 'static;

    /// The node of `device` is being opened by the current process.
    fn open(device: &Arc<Self::Device>) -> Result<Arc<Self>>;

    /// Handles an ioctl of the current process.
    ///
    /// # Errors
    ///
    /// `ENOTTY` for an unknown `cmd`.
    fn ioctl(&self, cmd: u32, arg: usize) -> Result<isize>;

    /// The last reference to the open file is gone. No other method runs or will run.
    fn release(&self);
}

/// A registered device node. Dropping it removes the node; files that are open stay open.
///
/// # Invariants
///
/// `misc` is registered, and lies in this pinned value, whose other fields do not change.
#[pin_data(PinnedDrop)]
pub struct Node<F: NodeFile> {
    name: CString,
    device: Arc<F::Device>,
    #[pin]
    misc: Opaque<bindings::miscdevice>,
}

// SAFETY: A node may be removed from any thread, and the device is `Send` and `Sync`.
unsafe impl<F: NodeFile> Send for Node<F> {}
// SAFETY: There are no methods that change the value.
unsafe impl<F: NodeFile> Sync for Node<F> {}

impl<F: NodeFile> Node<F> {
    /// Makes a node below `/dev`; a `!` in the name makes a directory.
    ///
    /// # Errors
    ///
    /// `EEXIST` when the name is taken, `EBUSY` when no minor number is free, `ENOMEM`.
    pub fn register<'a>(
        name: CString,
        parent: &'a device::Device,
        device: Arc<F::Device>,
    ) -> impl PinInit<Self, Error> + 'a {
        let name_ptr = name.as_char_ptr();
        try_pin_init!(Self {
            name,
            device,
            // The last field, because the node can be opened from here on.
            misc <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                let raw = bindings::miscdevice {
                    minor: bindings::MISC_DYNAMIC_MINOR as c_int,
                    // The string is on the heap and does not move with `name`.
                    name: name_ptr,
                    fops: FileVTable::<F>::build(),
                    parent: parent.as_raw(),
                    ..pin_init::zeroed()
                };
                // SAFETY: The initializer may write to `slot`.
                unsafe { slot.write(raw) };
                // SAFETY: `slot` is initialized and stays where it is until `drop`.
                // INVARIANT: If this succeeds the device is registered.
                to_result(unsafe { bindings::misc_register(slot) })
            }),
        })
    }

    /// The node's name.
    pub fn name(&self) -> &CStr {
        &self.name
    }
}

#[pinned_drop]
impl<F: NodeFile> PinnedDrop for Node<F> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered by the type invariant. When this returns nobody is in `open`.
        unsafe { bindings::misc_deregister(self.misc.get()) };
    }
}

/// The file operations of a [`NodeFile`].
struct FileVTable<F: NodeFile>(PhantomData<F>);

impl<F: NodeFile> FileVTable<F> {
    /// # Safety
    ///
    /// Called by `misc_open()` for a file of a `Node<F>`.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: The pointers are those of a file that is being opened.
        let ret = unsafe { bindings::nonseekable_open(inode, file) };
        if ret != 0 {
            return ret;
        }
        // SAFETY: `misc_open()` stored the `struct miscdevice` there.
        let misc = unsafe { (*file).private_data.cast::<bindings::miscdevice>() };
        let misc = Opaque::cast_from(misc).cast_mut();
        // SAFETY: It is the field of a `Node<F>`.
        let node = unsafe { container_of!(misc, Node<F>, misc) };
        // SAFETY: The node stays registered, hence valid, during this call.
        let node = unsafe { &*node };

        from_result(|| {
            let data = F::open(&node.device)?;
            // SAFETY: The file is ours until this function returns.
            unsafe { (*file).private_data = Arc::into_raw(data).cast_mut().cast() };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `file` is a file that [`open`](Self::open) succeeded for and that is being released.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `open` stored the pointer, and this is its end.
        let data = unsafe { Arc::from_raw((*file).private_data.cast_const().cast::<F>()) };
        data.release();
        0
    }

    /// # Safety
    ///
    /// `file` is a file that [`open`](Self::open) succeeded for and that was not released.
    unsafe extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: `open` stored the pointer, and the file keeps the value.
        let data = unsafe { &*(*file).private_data.cast::<F>() };
        match data.ioctl(cmd, arg) {
            Ok(ret) => ret,
            Err(e) => e.to_errno() as c_long,
        }
    }

    const VTABLE: bindings::file_operations = bindings::file_operations {
        owner: F::MODULE.as_ptr(),
        open: Some(Self::open),
        release: Some(Self::release),
        unlocked_ioctl: Some(Self::ioctl),
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: bindings::compat_ptr_ioctl,
        ..pin_init::zeroed()
    };

    const fn build() -> &'static bindings::file_operations {
        &Self::VTABLE
    }
}
