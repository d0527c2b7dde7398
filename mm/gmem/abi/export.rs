// SPDX-License-Identifier: GPL-2.0

//! From the functions that C calls to those of Rust.
//!
//! [`exports`] makes C functions of safe ones: it is the one place that turns pointers of drivers
//! and of the core into references. The types of a Rust function's arguments say which are borrowed
//! and which are taken over.

use crate::{
    device::registry::Device,
    prelude::*,
    space::{
        address_space::Space,
        context::Context, //
    }, //
};
use kernel::error::from_result;

/// Makes the C functions of a header, each of the Rust function behind the `=`.
///
/// An argument is converted to what the Rust function takes, see [`FromC`], and its result to what
/// the C function returns, see [`ToC`].
macro_rules! exports {
    ($(
        fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $function:expr;
    )*) => {$(
        /// # Safety
        ///
        /// The caller keeps to what the header says of the function: a handle is live or NULL, and
        /// given back once; a pointer is NULL or valid for the call, and nobody else writes there.
        #[kernel::prelude::export]
        pub(crate) unsafe extern "C" fn $name($($arg: $ty),*) $(-> $ret)? {
            let function = $function;
            $crate::abi::export::ToC::to_c(|| {
                Ok(function($(
                    // SAFETY: The header asks the caller for what the conversion needs, and the
                    // Rust function keeps a borrowed argument no longer than its call.
                    unsafe { $crate::abi::export::FromC::from_c($arg) }?
                ),*))
            })
        }
    )*};
}
pub(super) use exports;

/// An argument that can be made of the argument `C` of a C function.
pub(super) trait FromC<C>: Sized {
    /// Converts the argument.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a NULL pointer.
    ///
    /// # Safety
    ///
    /// A pointer is NULL, or what it points to is a live object of this type, or memory for one,
    /// for as long as the result is used. An [`Arc`] is handed out once and taken over once.
    unsafe fn from_c(c: C) -> Result<Self>;
}

/// What C names by a pointer of the type `C`, which is that of an [`Arc`].
pub(super) trait Handle {
    type C;
}

impl Handle for Device {
    type C = bindings::gm_dev;
}

impl Handle for Space {
    type C = bindings::gm_as;
}

impl Handle for Context {
    type C = bindings::gm_context;
}

/// A number, a flag, or a pointer that is only passed on.
impl<T> FromC<T> for T {
    unsafe fn from_c(c: T) -> Result<T> {
        Ok(c)
    }
}

/// A handle that the caller keeps.
impl<T: Handle> FromC<*mut T::C> for ArcBorrow<'_, T> {
    unsafe fn from_c(c: *mut T::C) -> Result<Self> {
        let object = NonNull::new(c.cast::<T>()).ok_or(EINVAL)?;
        // SAFETY: `hand_out()` made the handle of an `Arc`, which the caller keeps.
        Ok(unsafe { ArcBorrow::from_raw(object.as_ptr()) })
    }
}

/// A handle that the caller gives back.
impl<T: Handle> FromC<*mut T::C> for Arc<T> {
    unsafe fn from_c(c: *mut T::C) -> Result<Self> {
        let object = NonNull::new(c.cast::<T>()).ok_or(EINVAL)?;
        // SAFETY: `hand_out()` made the handle of an `Arc`, which is the caller's to give back.
        Ok(unsafe { Arc::from_raw(object.as_ptr()) })
    }
}

impl FromC<*const bindings::gm_dev_desc> for &bindings::gm_dev_desc {
    unsafe fn from_c(c: *const bindings::gm_dev_desc) -> Result<Self> {
        // SAFETY: A driver passes NULL, or a description that stays for the call.
        unsafe { c.as_ref() }.ok_or(EINVAL)
    }
}

/// The process of a hook, which runs for as long as the hook.
impl FromC<*mut bindings::mm_struct> for &Mm {
    unsafe fn from_c(c: *mut bindings::mm_struct) -> Result<Self> {
        // SAFETY: The core calls a hook with an mm_struct that it keeps until the hook returns.
        Ok(unsafe { Mm::from_raw(c) })
    }
}

/// The same where the caller also keeps the memory of the process.
impl FromC<*mut bindings::mm_struct> for &MmWithUser {
    unsafe fn from_c(c: *mut bindings::mm_struct) -> Result<Self> {
        // SAFETY: As above, and the function that takes this type is called with a user of it.
        Ok(unsafe { MmWithUser::from_raw(c) })
    }
}

/// Memory for an answer.
impl<T> FromC<*mut T> for &mut MaybeUninit<T> {
    unsafe fn from_c(c: *mut T) -> Result<Self> {
        let slot = NonNull::new(c).ok_or(EINVAL)?;
        // SAFETY: The caller passes memory of its own that nobody else looks at meanwhile.
        Ok(unsafe { slot.cast::<MaybeUninit<T>>().as_mut() })
    }
}

/// What a C function returns for the result `R` of a Rust function.
pub(super) trait ToC<R> {
    /// Converts what `f` returns: an error when an argument could not be converted.
    fn to_c(f: impl FnOnce() -> Result<R>) -> Self;
}

impl ToC<()> for () {
    fn to_c(f: impl FnOnce() -> Result) {
        let _ = f();
    }
}

impl ToC<bool> for bool {
    fn to_c(f: impl FnOnce() -> Result<bool>) -> bool {
        f().unwrap_or(false)
    }
}

impl ToC<Result> for c_int {
    fn to_c(f: impl FnOnce() -> Result<Result>) -> c_int {
        from_result(|| f()?.map(|()| 0))
    }
}

impl ToC<Result<c_int>> for c_int {
    fn to_c(f: impl FnOnce() -> Result<Result<c_int>>) -> c_int {
        from_result(|| f()?)
    }
}

/// Gives the caller a handle, which it gives back by a function that takes an [`Arc`].
pub(super) fn hand_out<T: Handle>(slot: &mut MaybeUninit<*mut T::C>, object: Arc<T>) {
    slot.write(Arc::into_raw(object).cast_mut().cast());
}
