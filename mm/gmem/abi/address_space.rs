// SPDX-License-Identifier: GPL-2.0

//! The functions of `include/linux/gmem.h` for address spaces, and for what devices do with them.

use super::{
    enabled,
    export::{
        exports,
        hand_out, //
    }, //
};
use crate::{
    device::registry::Device,
    fault::{
        part::{
            Purpose,
            Request, //
        },
        readahead,
        serve, //
    },
    prelude::*,
    range::PAGE_SHIFT,
    space::{
        address_space::Space,
        addresses::Addresses,
        context::Context,
        standalone,
        va::Policy, //
    }, //
};
use core::mem::ManuallyDrop;
use kernel::bindings::{
    gm_as,
    gm_as_policy,
    gm_context,
    gm_dev,
    gm_fault_hint,
    gm_map, //
};

/// How often an attach is tried again because another thread attached at the same moment.
const MAX_ATTACH_RACES: usize = 64;

exports! {
    fn gm_as_get_current(whole: bool, as_: *mut *mut gm_as) -> c_int = get_current;
    fn gm_as_put(as_: *mut gm_as) = |space: Arc<Space>| space.put();
    fn gm_as_attach(
        as_: *mut gm_as,
        dev: *mut gm_dev,
        file_data: *mut c_void,
        ctx: *mut *mut gm_context,
    ) -> c_int = attach;
    fn gm_as_detach(ctx: *mut gm_context) = |context: Arc<Context>| context.detach();
    fn gm_dev_fault(
        ctx: *mut gm_context,
        addr: u64,
        len: u64,
        access: u32,
        hint: gm_fault_hint,
    ) -> c_int = fault;

    // Address spaces of no process.
    fn gm_as_create(
        start: u64,
        end: u64,
        policy: gm_as_policy,
        quantum: u64,
        as_: *mut *mut gm_as,
    ) -> c_int = create;
    fn gm_as_destroy(as_: *mut gm_as) -> c_int = destroy;
    fn gm_as_alloc_va(as_: *mut gm_as, len: u64, align: u64, va: *mut u64) -> c_int = alloc_va;
    fn gm_as_reserve_va(as_: *mut gm_as, va: u64, len: u64) -> c_int = reserve_va;
    fn gm_as_free_va(as_: *mut gm_as, va: u64, len: u64) -> c_int = free_va;
    fn gm_as_map(as_: *mut gm_as, va: u64, maps: *const gm_map, nr: u32) -> c_int = map;
    fn gm_as_unmap(as_: *mut gm_as, va: u64, len: u64) -> c_int = unmap;
}

fn get_current(whole: bool, as_: &mut MaybeUninit<*mut gm_as>) -> Result {
    enabled()?;
    let task = kernel::current!();
    let space = Space::get(task.mm().ok_or(EINVAL)?)?;
    if whole {
        space.set_whole();
    }
    hand_out(as_, space);
    Ok(())
}

fn attach(
    space: ArcBorrow<'_, Space>,
    device: ArcBorrow<'_, Device>,
    file_data: *mut c_void,
    ctx: &mut MaybeUninit<*mut gm_context>,
) -> Result {
    for _ in 0..MAX_ATTACH_RACES {
        // SAFETY: Only gm_as_attach() calls this, with what the driver has for its own function.
        let pmap = unsafe { device.parts.mmu.pmap_create(file_data) }?;
        match Context::new(space.into(), device.into(), pmap) {
            Err(e) if e == EAGAIN => continue,
            Err(e) => return Err(e),
            Ok(context) => {
                hand_out(ctx, context);
                return Ok(());
            }
        }
    }
    Err(EAGAIN)
}

fn fault(
    context: ArcBorrow<'_, Context>,
    addr: u64,
    len: u64,
    access: u32,
    hint: gm_fault_hint,
) -> Result {
    // What a standalone space maps is entered by its owner.
    context.space.mm()?;
    let range = PageRange::from_bytes(addr, len.max(1)).ok_or(EFAULT)?;
    let purpose = if hint == bindings::gm_fault_hint_GM_FAULT_PREPARE {
        Purpose::Prepare
    } else {
        Purpose::Demand
    };
    let request = Request {
        range,
        write: access & bindings::GM_ACCESS_WRITE != 0,
        purpose,
    };
    let served = serve::serve(&context, request)?;
    if purpose == Purpose::Demand && !served.around.is_empty() {
        readahead::faulted(context.into(), served, request.write);
    }
    Ok(())
}

/// The pages of a range that a driver passes, in bytes.
fn whole_pages(va: u64, len: u64) -> Result<PageRange> {
    if (va | len) & (PAGE_SIZE - 1) != 0 || len == 0 {
        return Err(EINVAL);
    }
    PageRange::from_bytes(va, len).ok_or(EINVAL)
}

fn create(
    start: u64,
    end: u64,
    policy: gm_as_policy,
    quantum: u64,
    as_: &mut MaybeUninit<*mut gm_as>,
) -> Result {
    enabled()?;
    let policy = match policy {
        bindings::gm_as_policy_GM_AS_FIRST_FIT => Policy::FirstFit,
        bindings::gm_as_policy_GM_AS_BEST_FIT => Policy::BestFit,
        bindings::gm_as_policy_GM_AS_NEXT_FIT => Policy::NextFit,
        _ => return Err(EINVAL),
    };
    // The end of all addresses is written as 0.
    let end_page = end.wrapping_sub(1) >> PAGE_SHIFT;
    if (start | end | quantum) & (PAGE_SIZE - 1) != 0 {
        return Err(EINVAL);
    }
    let whole = PageRange::new(start >> PAGE_SHIFT, end_page + 1).ok_or(EINVAL)?;
    let addresses = Addresses::new(whole, policy, quantum >> PAGE_SHIFT)?;
    hand_out(as_, Space::standalone(addresses)?);
    Ok(())
}

fn destroy(space: Arc<Space>) -> Result {
    // The driver keeps it when it cannot be destroyed.
    let space = ManuallyDrop::new(space);
    let is_standalone = space.lock_addresses().is_some();
    if !is_standalone {
        return Err(EINVAL);
    }
    if space.lock_map().contexts().next().is_some() {
        return Err(EBUSY);
    }
    drop(ManuallyDrop::into_inner(space));
    Ok(())
}

fn alloc_va(
    space: ArcBorrow<'_, Space>,
    len: u64,
    align: u64,
    va: &mut MaybeUninit<u64>,
) -> Result {
    if len & (PAGE_SIZE - 1) != 0 || (align != 0 && !align.is_power_of_two()) {
        return Err(EINVAL);
    }
    let order = (align >> PAGE_SHIFT).checked_ilog2().unwrap_or(0);
    let range = standalone::alloc(&space, len >> PAGE_SHIFT, order)?;
    va.write(range.start_byte());
    Ok(())
}

fn reserve_va(space: ArcBorrow<'_, Space>, va: u64, len: u64) -> Result {
    standalone::reserve(&space, whole_pages(va, len)?)
}

fn free_va(space: ArcBorrow<'_, Space>, va: u64, len: u64) -> Result {
    standalone::free(&space, whole_pages(va, len)?)
}

fn map(space: ArcBorrow<'_, Space>, va: u64, maps: *const gm_map, nr: u32) -> Result {
    if maps.is_null() || va & (PAGE_SIZE - 1) != 0 {
        return Err(EINVAL);
    }
    // SAFETY: Only gm_as_map() calls this, for a driver that passes `nr` runs for the call.
    let maps = unsafe { core::slice::from_raw_parts(maps, nr as usize) };
    standalone::map(&space, va >> PAGE_SHIFT, maps)
}

fn unmap(space: ArcBorrow<'_, Space>, va: u64, len: u64) -> Result {
    standalone::unmap(&space, whole_pages(va, len)?)
}
