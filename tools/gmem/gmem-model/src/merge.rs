// SPDX-License-Identifier: MIT OR GPL-2.0
//! Steps that are taken together, because nobody can tell whether something came in between.
//!
//! A step that nobody else's step disables, enables or sees can be moved to the one before it or
//! after it (Lipton's movers):
//!
//! - Who takes a lock and waits for the next one takes both at once: the block's lock after the
//!   `mmap_lock`, and then chooses the place. Whoever has the block's lock has the `mmap_lock`,
//!   too, so that waiting with the first one in the hand keeps nobody away who was not kept away
//!   before.
//! - An operation that only began has at most the `mmap_lock`; its first step comes at once, and it
//!   begins when that step need not wait. A page that is looked for, and is gone when it is looked
//!   at, is as if it had not been looked for. A device's fault is apart: it is inside the gates.
//! - A gate that closes, with nobody inside, keeps out those who come after; what is done next by
//!   who closed it comes at once.
//! - Pages that are locked, are mapped nowhere and have no unknown references are in one thread's
//!   hands until it maps them again: `migrate_vma_check_page()`, the copy and the commit are one
//!   step. A hole is not in its hands, so that the commit of one stays a step.
//! - What an unplug finds of the memory's pages can only become less.
//! - An invalidation is one step from its start to its end. What others do in between they can do
//!   before it, too, after an invalidation that changes nothing. That one may come at any time, and
//!   does to them what the start does: it takes entries and copies, and readers have to begin
//!   again. While the real one is under way they can do less, but nothing else: nobody begins to
//!   read, so that nothing is made which its start would have taken. An owner that waits between
//!   start and end there is not, so that nobody waits for ever for the end.
//! - The page table is read at once when reading has begun. A page that was read changes without
//!   notice only by becoming writable, and one that was not is read as it is. If it is invalidated
//!   before all is read the fault begins again: it may do so instead of reading. When reading
//!   filled a page the next one is read in a step of its own.

use crate::{
    run::{Kept, Run, Start},
    state::State,
    thread::{At, Op, Thread},
};

/// Begins the operation and takes its first step.
pub fn begin(start: Start, s: &State) -> Option<State> {
    let s = start.begin(s)?;
    if matches!(start.op, Op::DeviceFault | Op::Duplicate) {
        return Some(s);
    }
    let i = s.threads.len() - 1;
    let kept = Kept::Only(None);
    let mut run = Run { s, i, kept };
    run.advance(false).then_some(run.s)
}

impl Thread {
    /// Does the next step belong to `step`, which came before it, and which left the page tables as
    /// they were or did not?
    pub fn goes_on(&self, step: At, same: bool) -> bool {
        match self.at {
            At::DuplicatePopulate => step == At::FaultPlace,
            At::MapRead(_) => step == At::MapBegin || same && step == At::MapRead(0),
            At::FaultLockBlock
            | At::FaultPlace
            | At::MigrateCopy
            | At::EvictDropCopies
            | At::EvictHold
            | At::UnplugDropCopies
            | At::UnplugGone
            | At::DetachTake
            | At::DontNeedZap
            | At::ForkCopy
            | At::ExitZap
            | At::CpuCowSet
            | At::MigrateCollect
            | At::MigrateUnmap
            | At::MigrateCommit
            | At::DuplicateProtect => true,
            _ => false,
        }
    }

    /// May the next step fail? A copy can.
    pub fn may_fail(&self, reduced: bool) -> bool {
        match self.at {
            At::DuplicateCopy => true,
            At::MapBegin => reduced,
            At::MigrateCopy => !reduced,
            At::MigrateInvalidate | At::MigrateUnmapInvalidate => reduced,
            _ => false,
        }
    }
}
