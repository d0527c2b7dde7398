// SPDX-License-Identifier: GPL-2.0

//! From the C functions of `struct gm_mmu` to the methods of [`Mmu`].

use super::{
    Access,
    Fence,
    Mmu,
    VaRange, //
};
use crate::{
    bindings,
    error::from_result,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
};
use core::marker::PhantomData;

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
///   [`Device`](super::Device) keeps until `gm_dev_destroy()` has returned;
/// - `pmap` is a handle stored by `pmap_create` for which `pmap_destroy` was not called yet;
/// - arrays have `nr` valid elements and do not change during the call.
pub(super) struct MmuVTable<M: Mmu>(PhantomData<M>);

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
    // SAFETY: By the safety requirements and the check above; `T` and `R` have the same layout.
    unsafe { core::slice::from_raw_parts(ptr.cast(), nr as usize) }
}

const fn const_assert_same_layout<R, T>() {
    build_assert!(size_of::<R>() == size_of::<T>() && align_of::<R>() == align_of::<T>());
}

/// Returns the device behind a `dev_data` pointer.
///
/// # Safety
///
/// `ptr` must be the `dev_data` of a device of `M` that outlives `'a`.
unsafe fn device<'a, M: Mmu>(ptr: *mut c_void) -> ArcBorrow<'a, M::DevData> {
    // SAFETY: The device keeps an `Arc` of the value, and never makes it unique.
    unsafe { ArcBorrow::from_raw(ptr.cast()) }
}

/// Stores the fence of a data function.
///
/// # Safety
///
/// `slot` must be valid for a write.
unsafe fn store_fence(result: Result<Fence>, slot: *mut u64) -> c_int {
    from_result(|| {
        let fence = result?;
        // SAFETY: By the safety requirements.
        unsafe { slot.write(fence.value()) };
        Ok(0)
    })
}

impl<M: Mmu> MmuVTable<M> {
    /// # Safety
    ///
    /// `pmap` as in the type's description.
    unsafe extern "C" fn peer_va_alloc_fixed(
        pmap: *mut c_void,
        va: u64,
        len: u64,
        access: u32,
    ) -> c_int {
        // SAFETY: By the safety requirements, the handle came from `Arc::into_raw()`.
        let pmap = unsafe { &*pmap.cast::<M::Pmap>() };
        from_result(|| {
            M::peer_va_alloc_fixed(pmap, VaRange::new(va, len), Access::from_raw(access))?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `pmap` as in the type's description.
    unsafe extern "C" fn peer_va_free(pmap: *mut c_void, va: u64, len: u64) {
        // SAFETY: By the safety requirements, the handle came from `Arc::into_raw()`.
        let pmap = unsafe { &*pmap.cast::<M::Pmap>() };
        M::peer_va_free(pmap, VaRange::new(va, len));
    }

    /// # Safety
    ///
    /// `dev_data` as in the type's description; `file_data` is the `AttachArgs` of the
    /// `gm_as_attach()` that runs; `slot` is valid for a write.
    unsafe extern "C" fn pmap_create(
        dev_data: *mut c_void,
        file_data: *mut c_void,
        slot: *mut *mut c_void,
    ) -> c_int {
        // SAFETY: By the safety requirements.
        let dev = unsafe { device::<M>(dev_data) };
        // SAFETY: By the safety requirements; the caller of `gm_as_attach()` waits and does not
        // touch the value meanwhile.
        let args = unsafe { &mut *file_data.cast::<AttachArgs<'_, M>>() };
        from_result(|| {
            let pmap = M::pmap_create(dev, args.file)?;
            args.pmap = Some(pmap.clone());
            // SAFETY: By the safety requirements.
            unsafe { slot.write(Arc::into_raw(pmap).cast_mut().cast()) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `pmap` as in the type's description; it is not used afterwards.
    unsafe extern "C" fn pmap_destroy(pmap: *mut c_void) {
        // SAFETY: The handle came from `Arc::into_raw()` in `pmap_create` and this is its end.
        let pmap = unsafe { Arc::from_raw(pmap.cast_const().cast::<M::Pmap>()) };
        M::pmap_destroy(&pmap);
    }

    /// # Safety
    ///
    /// `pmap` as in the type's description.
    unsafe extern "C" fn pmap_prepare(pmap: *mut c_void, va: u64, len: u64) -> c_int {
        // SAFETY: By the safety requirements, the handle came from `Arc::into_raw()`.
        let pmap = unsafe { &*pmap.cast::<M::Pmap>() };
        from_result(|| {
            M::pmap_prepare(pmap, VaRange::new(va, len))?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `pmap` and `maps` as in the type's description.
    unsafe extern "C" fn pmap_enter(
        pmap: *mut c_void,
        maps: *const bindings::gm_map,
        nr: u32,
    ) -> c_int {
        // SAFETY: By the safety requirements, the handle came from `Arc::into_raw()`.
        let pmap = unsafe { &*pmap.cast::<M::Pmap>() };
        // SAFETY: By the safety requirements; `Map` is transparent.
        let maps = unsafe { array(maps, nr) };
        from_result(|| {
            M::pmap_enter(pmap, maps)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `pmap` as in the type's description.
    unsafe extern "C" fn pmap_release(pmap: *mut c_void, va: u64, len: u64) {
        // SAFETY: By the safety requirements, the handle came from `Arc::into_raw()`.
        let pmap = unsafe { &*pmap.cast::<M::Pmap>() };
        M::pmap_release(pmap, VaRange::new(va, len));
    }

    /// # Safety
    ///
    /// `pmap` as in the type's description.
    unsafe extern "C" fn pmap_protect(pmap: *mut c_void, va: u64, len: u64, access: u32) {
        // SAFETY: By the safety requirements, the handle came from `Arc::into_raw()`.
        let pmap = unsafe { &*pmap.cast::<M::Pmap>() };
        M::pmap_protect(pmap, VaRange::new(va, len), Access::from_raw(access));
    }

    /// # Safety
    ///
    /// `pmap` as in the type's description.
    unsafe extern "C" fn pmap_age(pmap: *mut c_void, va: u64, len: u64) -> c_int {
        // SAFETY: By the safety requirements, the handle came from `Arc::into_raw()`.
        let pmap = unsafe { &*pmap.cast::<M::Pmap>() };
        c_int::from(M::pmap_age(pmap, VaRange::new(va, len)))
    }

    /// # Safety
    ///
    /// `pmap` as in the type's description.
    unsafe extern "C" fn tlb_invl(pmap: *mut c_void, va: u64, len: u64) {
        // SAFETY: By the safety requirements, the handle came from `Arc::into_raw()`.
        let pmap = unsafe { &*pmap.cast::<M::Pmap>() };
        M::tlb_invl(pmap, VaRange::new(va, len));
    }

    /// # Safety
    ///
    /// `pmap` and `ranges` as in the type's description; `seq` is valid for a write.
    unsafe extern "C" fn tlb_invl_start(
        pmap: *mut c_void,
        ranges: *const bindings::gm_range,
        nr: u32,
        seq: *mut u64,
    ) {
        // SAFETY: By the safety requirements, the handle came from `Arc::into_raw()`.
        let pmap = unsafe { &*pmap.cast::<M::Pmap>() };
        // SAFETY: By the safety requirements; `VaRange` is transparent.
        let cookie = M::tlb_invl_start(pmap, unsafe { array(ranges, nr) });
        // SAFETY: By the safety requirements.
        unsafe { seq.write(cookie) };
    }

    /// # Safety
    ///
    /// `pmap` as in the type's description.
    unsafe extern "C" fn tlb_invl_wait(pmap: *mut c_void, seq: u64) {
        // SAFETY: By the safety requirements, the handle came from `Arc::into_raw()`.
        let pmap = unsafe { &*pmap.cast::<M::Pmap>() };
        M::tlb_invl_wait(pmap, seq);
    }

    /// # Safety
    ///
    /// `dev_data` and `runs` as in the type's description; `fence` is valid for a write.
    unsafe extern "C" fn prepare_page(
        dev_data: *mut c_void,
        runs: *const bindings::gm_copy,
        nr: u32,
        fence: *mut u64,
    ) -> c_int {
        // SAFETY: By the safety requirements.
        let dev = unsafe { device::<M>(dev_data) };
        // SAFETY: By the safety requirements; `ZeroRun` is transparent.
        let runs = unsafe { array(runs, nr) };
        // SAFETY: By the safety requirements.
        unsafe { store_fence(M::prepare_page(&dev, runs), fence) }
    }

    /// # Safety
    ///
    /// `dev_data` and `runs` as in the type's description; `fence` is valid for a write.
    unsafe extern "C" fn copy_to_dev(
        dev_data: *mut c_void,
        runs: *const bindings::gm_copy,
        nr: u32,
        fence: *mut u64,
    ) -> c_int {
        // SAFETY: By the safety requirements.
        let dev = unsafe { device::<M>(dev_data) };
        // SAFETY: By the safety requirements; `HostRun` is transparent.
        let runs = unsafe { array(runs, nr) };
        // SAFETY: By the safety requirements.
        unsafe { store_fence(M::copy_to_dev(&dev, runs), fence) }
    }

    /// # Safety
    ///
    /// `dev_data` and `runs` as in the type's description; `fence` is valid for a write.
    unsafe extern "C" fn copy_from_dev(
        dev_data: *mut c_void,
        runs: *const bindings::gm_copy,
        nr: u32,
        fence: *mut u64,
    ) -> c_int {
        // SAFETY: By the safety requirements.
        let dev = unsafe { device::<M>(dev_data) };
        // SAFETY: By the safety requirements; `HostRun` is transparent.
        let runs = unsafe { array(runs, nr) };
        // SAFETY: By the safety requirements.
        unsafe { store_fence(M::copy_from_dev(&dev, runs), fence) }
    }

    /// # Safety
    ///
    /// `dev_data`, `src_data` and `runs` as in the type's description; `fence` is valid for a
    /// write.
    unsafe extern "C" fn copy_peer(
        dev_data: *mut c_void,
        src_data: *mut c_void,
        runs: *const bindings::gm_copy,
        nr: u32,
        fence: *mut u64,
    ) -> c_int {
        // SAFETY: By the safety requirements.
        let dev = unsafe { device::<M>(dev_data) };
        // SAFETY: By the safety requirements; GMEM pairs only devices with the same functions.
        let src = unsafe { device::<M>(src_data) };
        // SAFETY: By the safety requirements; `PeerRun` is transparent.
        let runs = unsafe { array(runs, nr) };
        // SAFETY: By the safety requirements.
        unsafe { store_fence(M::copy_peer(&dev, &src, runs), fence) }
    }

    /// # Safety
    ///
    /// `dev_data` as in the type's description.
    unsafe extern "C" fn fence_wait(dev_data: *mut c_void, fence: u64) -> c_int {
        // SAFETY: By the safety requirements.
        let dev = unsafe { device::<M>(dev_data) };
        from_result(|| {
            M::fence_wait(&dev, Fence::new(fence))?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `dev_data` as in the type's description; `dev_addr` is valid for a write.
    unsafe extern "C" fn alloc_page(dev_data: *mut c_void, len: u64, dev_addr: *mut u64) -> c_int {
        // SAFETY: By the safety requirements.
        let dev = unsafe { device::<M>(dev_data) };
        from_result(|| {
            let addr = M::alloc_page(&dev, len)?;
            // SAFETY: By the safety requirements.
            unsafe { dev_addr.write(addr) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `dev_data` as in the type's description.
    unsafe extern "C" fn free_page(dev_data: *mut c_void, dev_addr: u64, len: u64) {
        // SAFETY: By the safety requirements.
        let dev = unsafe { device::<M>(dev_data) };
        M::free_page(&dev, dev_addr, len);
    }

    const VTABLE: bindings::gm_mmu = bindings::gm_mmu {
        peer_va_alloc_fixed: if M::HAS_PEER_VA_ALLOC_FIXED {
            Some(Self::peer_va_alloc_fixed)
        } else {
            None
        },
        peer_va_free: if M::HAS_PEER_VA_FREE {
            Some(Self::peer_va_free)
        } else {
            None
        },
        pmap_create: Some(Self::pmap_create),
        pmap_destroy: Some(Self::pmap_destroy),
        pmap_prepare: Some(Self::pmap_prepare),
        pmap_enter: Some(Self::pmap_enter),
        pmap_release: Some(Self::pmap_release),
        pmap_protect: if M::HAS_PMAP_PROTECT {
            Some(Self::pmap_protect)
        } else {
            None
        },
        pmap_age: if M::HAS_PMAP_AGE {
            Some(Self::pmap_age)
        } else {
            None
        },
        tlb_invl: Some(Self::tlb_invl),
        tlb_invl_start: if M::HAS_TLB_INVL_START {
            Some(Self::tlb_invl_start)
        } else {
            None
        },
        tlb_invl_wait: if M::HAS_TLB_INVL_WAIT {
            Some(Self::tlb_invl_wait)
        } else {
            None
        },
        prepare_page: Some(Self::prepare_page),
        copy_to_dev: Some(Self::copy_to_dev),
        copy_from_dev: Some(Self::copy_from_dev),
        copy_peer: if M::HAS_COPY_PEER {
            Some(Self::copy_peer)
        } else {
            None
        },
        fence_wait: Some(Self::fence_wait),
        alloc_page: if M::HAS_ALLOC_PAGE {
            Some(Self::alloc_page)
        } else {
            None
        },
        free_page: if M::HAS_FREE_PAGE {
            Some(Self::free_page)
        } else {
            None
        },
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
