// SPDX-License-Identifier: GPL-2.0

//! The prelude of GMEM: what most files use of the kernel crate and of the two lowest rooms.
//!
//! Nothing of the other rooms stands here: each file names what it uses of them.

pub(crate) use crate::{
    range::{
        PageRange,
        BLOCK_ORDER,
        BLOCK_PAGES,
        PAGE_SIZE, //
    },
    sys::{
        self,
        CopyRun,
        MapRun, //
    }, //
};
pub(crate) use core::{
    mem::MaybeUninit,
    ops::Range,
    ptr::NonNull, //
};
pub(crate) use kernel::{
    bindings,
    error::to_result,
    mm::{
        device::{
            folio::LockedFolio,
            hmm::PagePfn,
            migrate::Migration,
            vma::MmapVma,
            PMD_ORDER,
            PMD_PAGES, //
        },
        virt::VmaRef,
        Mm,
        MmWithUser, //
    },
    new_condvar,
    new_mutex,
    page::PAGE_SHIFT,
    prelude::*,
    rbtree::RBTree,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        ArcBorrow,
        CondVar,
        Mutex,
        MutexGuard, //
    },
    time::Delta, //
};
