// SPDX-License-Identifier: GPL-2.0

//! From the C functions of `struct gm_mmu` to the methods of [`Mmu`].

use super::{
    Access,
    Fence,
    HostRun,
    Map,
    Mmu,
    PeerRun,
    VaRange,
    ZeroRun, //
};
use crate::{
    bindings::{
        self,
        gm_copy,
        gm_map,
        gm_range, //
    },
    error::from_result,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit, //
};

/// What [`AddressSpace::attach`](super::AddressSpace::attach) passes through GMEM to
/// [`Mmu::pmap_create`].
pub(super) struct AttachArgs<'a, M: Mmu> {
    pub(super) file: &'a M::FileData,
    pub(super) pmap: Option<Arc<M::Pmap>>,
}

/// The `struct gm_mmu` of a driver.
///
/// All functions rely on what [`include/linux/gmem.h`](srctree/include/linux/gmem.h) promises:
///
/// - `dev_data` is the pointer given to `gm_dev_create()`, that of an `Arc<M::DevData>` which
///   [`Device`](super::Device) keeps until `gm_dev_destroy()` has returned; `src_data` is that of
///   another device with the same functions;
/// - `pmap` is a handle stored by `pmap_create`, that of an `Arc<M::Pmap>`, for which
///   `pmap_destroy` was not called yet;
/// - arrays have `nr` valid elements, which do not change during the call;
/// - what the answer goes to is valid for a write, and nobody else looks at it meanwhile.
pub(super) struct MmuVTable<M: Mmu>(PhantomData<M>);

/// Makes the C functions of methods.
///
/// The arguments are objects (`&name: type`), then numbers, then an array of C values that are
/// seen as a transparent wrapper of them, then a place for the answer.
macro_rules! callbacks {
    ($(
        fn $name:ident(
            $(&$object:ident: $kind:ty,)+
            $($number:ident: $ty:ty,)*
            $([$array:ident; $nr:ident]: $raw:ty => $element:ty,)?
            $(*$answer:ident: $to:ty,)?
        ) $(-> $ret:ty)? $body:block
    )*) => {$(
        /// # Safety
        ///
        /// The arguments are as in the description of [`MmuVTable`].
        unsafe extern "C" fn $name(
            $($object: *mut c_void,)+
            $($number: $ty,)*
            $($array: *const $raw, $nr: u32,)?
            $($answer: *mut $to,)?
        ) $(-> $ret)? {
            $(
                // SAFETY: The handle is that of an `Arc` of this type, which is kept for the call.
                let $object: &$kind = unsafe { &*$object.cast() };
            )+
            $(
                // SAFETY: GMEM passes an array of that many elements, which stays for the call.
                let $array = unsafe { array::<$raw, $element>($array, $nr) };
            )?
            $(
                // SAFETY: GMEM passes a variable of its own for the answer.
                let $answer = unsafe { &mut *$answer.cast::<MaybeUninit<$to>>() };
            )?
            $body
        }
    )*};
}

/// Returns the elements of an array that GMEM passed.
///
/// # Safety
///
/// `ptr` must point to `nr` valid values of a type that `T` is a transparent wrapper of, and they
/// must not change during `'a`.
unsafe fn array<'a, R, T>(ptr: *const R, nr: u32) -> &'a [T] {
    const_assert_same_layout::<R, T>();
    if ptr.is_null() || nr == 0 {
        return &[];
    }
    // SAFETY: The caller passes `nr` values; `T` wraps them, so it has the same layout.
    unsafe { core::slice::from_raw_parts(ptr.cast(), nr as usize) }
}

const fn const_assert_same_layout<R, T>() {
    build_assert!(size_of::<R>() == size_of::<T>() && align_of::<R>() == align_of::<T>());
}

/// What C is told of a result.
fn code(result: Result) -> c_int {
    from_result(|| result.map(|()| 0))
}

/// Stores the fence of a data function.
fn store_fence(result: Result<Fence>, slot: &mut MaybeUninit<u64>) -> c_int {
    code(result.map(|fence| {
        slot.write(fence.value());
    }))
}

/// An optional function, where the driver has the method.
const fn optional<F: Copy>(has: bool, function: F) -> Option<F> {
    if has {
        Some(function)
    } else {
        None
    }
}

impl<M: Mmu> MmuVTable<M> {
    /// # Safety
    ///
    /// `dev_data` and `slot` are as in the description of [`MmuVTable`]; `file_data` is the
    /// `AttachArgs` of the `gm_as_attach()` that runs.
    unsafe extern "C" fn pmap_create(
        dev_data: *mut c_void,
        file_data: *mut c_void,
        slot: *mut *mut c_void,
    ) -> c_int {
        // SAFETY: The device keeps an `Arc` of the value, and never makes it unique.
        let dev = unsafe { ArcBorrow::from_raw(dev_data.cast()) };
        // SAFETY: `AddressSpace::attach()` passed a variable of its own, and does not touch it
        // until `gm_as_attach()` returns.
        let args = unsafe { &mut *file_data.cast::<AttachArgs<'_, M>>() };
        from_result(|| {
            let pmap = M::pmap_create(dev, args.file)?;
            args.pmap = Some(pmap.clone());
            // SAFETY: GMEM passes a variable of its own for the handle.
            unsafe { slot.write(Arc::into_raw(pmap).cast_mut().cast()) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `pmap` is as in the description of [`MmuVTable`], and not used afterwards.
    unsafe extern "C" fn pmap_destroy(pmap: *mut c_void) {
        // SAFETY: The handle came from `Arc::into_raw()` in `pmap_create` and this is its end.
        let pmap = unsafe { Arc::from_raw(pmap.cast_const().cast::<M::Pmap>()) };
        M::pmap_destroy(&pmap);
    }

    callbacks! {
        fn peer_va_alloc_fixed(&pmap: M::Pmap, va: u64, len: u64, access: u32,) -> c_int {
            let access = Access::from_raw(access);
            code(M::peer_va_alloc_fixed(pmap, VaRange::new(va, len), access))
        }

        fn peer_va_free(&pmap: M::Pmap, va: u64, len: u64,) {
            M::peer_va_free(pmap, VaRange::new(va, len));
        }

        fn pmap_prepare(&pmap: M::Pmap, va: u64, len: u64,) -> c_int {
            code(M::pmap_prepare(pmap, VaRange::new(va, len)))
        }

        fn pmap_enter(&pmap: M::Pmap, [maps; nr]: gm_map => Map,) -> c_int {
            code(M::pmap_enter(pmap, maps))
        }

        fn pmap_release(&pmap: M::Pmap, va: u64, len: u64,) {
            M::pmap_release(pmap, VaRange::new(va, len));
        }

        fn pmap_protect(&pmap: M::Pmap, va: u64, len: u64, access: u32,) {
            M::pmap_protect(pmap, VaRange::new(va, len), Access::from_raw(access));
        }

        fn pmap_age(&pmap: M::Pmap, va: u64, len: u64,) -> c_int {
            c_int::from(M::pmap_age(pmap, VaRange::new(va, len)))
        }

        fn tlb_invl(&pmap: M::Pmap, va: u64, len: u64,) {
            M::tlb_invl(pmap, VaRange::new(va, len));
        }

        fn tlb_invl_start(&pmap: M::Pmap, [ranges; nr]: gm_range => VaRange, *seq: u64,) {
            seq.write(M::tlb_invl_start(pmap, ranges));
        }

        fn tlb_invl_wait(&pmap: M::Pmap, seq: u64,) {
            M::tlb_invl_wait(pmap, seq);
        }

        fn prepare_page(&dev: M::DevData, [runs; nr]: gm_copy => ZeroRun, *fence: u64,) -> c_int {
            store_fence(M::prepare_page(dev, runs), fence)
        }

        fn copy_to_dev(&dev: M::DevData, [runs; nr]: gm_copy => HostRun, *fence: u64,) -> c_int {
            store_fence(M::copy_to_dev(dev, runs), fence)
        }

        fn copy_from_dev(&dev: M::DevData, [runs; nr]: gm_copy => HostRun, *fence: u64,) -> c_int {
            store_fence(M::copy_from_dev(dev, runs), fence)
        }

        fn copy_peer(
            &dev: M::DevData,
            &src: M::DevData,
            [runs; nr]: gm_copy => PeerRun,
            *fence: u64,
        ) -> c_int {
            store_fence(M::copy_peer(dev, src, runs), fence)
        }

        fn fence_wait(&dev: M::DevData, fence: u64,) -> c_int {
            code(M::fence_wait(dev, Fence::new(fence)))
        }

        fn alloc_page(&dev: M::DevData, len: u64, *dev_addr: u64,) -> c_int {
            code(M::alloc_page(dev, len).map(|addr| {
                dev_addr.write(addr);
            }))
        }

        fn free_page(&dev: M::DevData, dev_addr: u64, len: u64,) {
            M::free_page(dev, dev_addr, len);
        }
    }

    const VTABLE: bindings::gm_mmu = bindings::gm_mmu {
        peer_va_alloc_fixed: optional(M::HAS_PEER_VA_ALLOC_FIXED, Self::peer_va_alloc_fixed),
        peer_va_free: optional(M::HAS_PEER_VA_FREE, Self::peer_va_free),
        pmap_create: Some(Self::pmap_create),
        pmap_destroy: Some(Self::pmap_destroy),
        pmap_prepare: Some(Self::pmap_prepare),
        pmap_enter: Some(Self::pmap_enter),
        pmap_release: Some(Self::pmap_release),
        pmap_protect: optional(M::HAS_PMAP_PROTECT, Self::pmap_protect),
        pmap_age: optional(M::HAS_PMAP_AGE, Self::pmap_age),
        tlb_invl: Some(Self::tlb_invl),
        tlb_invl_start: optional(M::HAS_TLB_INVL_START, Self::tlb_invl_start),
        tlb_invl_wait: optional(M::HAS_TLB_INVL_WAIT, Self::tlb_invl_wait),
        prepare_page: Some(Self::prepare_page),
        copy_to_dev: Some(Self::copy_to_dev),
        copy_from_dev: Some(Self::copy_from_dev),
        copy_peer: optional(M::HAS_COPY_PEER, Self::copy_peer),
        fence_wait: Some(Self::fence_wait),
        alloc_page: optional(M::HAS_ALLOC_PAGE, Self::alloc_page),
        free_page: optional(M::HAS_FREE_PAGE, Self::free_page),
    };

    pub(super) const fn build() -> &'static bindings::gm_mmu {
        const {
            assert!(
                M::HAS_TLB_INVL_START == M::HAS_TLB_INVL_WAIT,
                "tlb_invl_start and tlb_invl_wait belong together"
            )
        };
        &Self::VTABLE
    }
}
