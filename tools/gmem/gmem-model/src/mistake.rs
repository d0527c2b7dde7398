// SPDX-License-Identifier: MIT OR GPL-2.0
//! Mistakes, each of which the model has to find.

/// What is done wrong on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Mistake {
    /// What was read is entered although the page table changed since.
    NoSequenceCheck,
    /// The callback does not change the sequence number.
    NoSetSeq,
    /// The callback clears entries, and no TLB.
    NoFlush,
    /// The callback starts the flush, which ends after the pages were freed.
    FlushAfterReturn,
    /// The callback does nothing when the owner's own memory migrates.
    IgnoreOwnMigrations,
    /// The callback does nothing for a change of rights.
    IgnoreProtect,
    /// The directory does not note who maps pages of the host.
    RemoteNotNoted,
    /// Entries are writable whatever the page table says.
    AlwaysWritable,
    /// A page whose copy failed is taken for moved.
    FailedCopyMoves,
    /// A page that is mapped nowhere any more is evicted.
    EvictUnmapped,
    /// A free page of a chunk may be taken while its anon_vma is looked up.
    EvictNoHold,
    /// Detaching does not wait for the faults under way.
    DetachNoWait,
    /// The copies of a context stay when it is detached.
    DetachKeepsCopies,
    /// New faults begin while the memory goes away.
    UnplugGateOpen,
    /// The memory goes away with the pages that would not leave.
    UnplugDespiteFailure,
    /// The last fault does not say that it ends.
    LostWakeUp,
    /// A copy that a fault found is entered although it was dropped since.
    AcceptUnchecked,
    /// A copy is dropped while the device maps it.
    DropCopyMapped,
    /// No reference keeps the original of a copy from being written.
    CopyWithoutReference,
    /// A migration to a device is never finalized.
    NoFinalize,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::NoSequenceCheck,
        Self::NoSetSeq,
        Self::NoFlush,
        Self::FlushAfterReturn,
        Self::IgnoreOwnMigrations,
        Self::IgnoreProtect,
        Self::RemoteNotNoted,
        Self::AlwaysWritable,
        Self::FailedCopyMoves,
        Self::EvictUnmapped,
        Self::EvictNoHold,
        Self::DetachNoWait,
        Self::DetachKeepsCopies,
        Self::UnplugGateOpen,
        Self::UnplugDespiteFailure,
        Self::LostWakeUp,
        Self::AcceptUnchecked,
        Self::DropCopyMapped,
        Self::CopyWithoutReference,
        Self::NoFinalize,
    ];

    /// Returns the name of the mistake, which is that of its patch in `mutations`.
    pub fn name(self) -> String {
        let mut name = String::new();
        for c in format!("{self:?}").chars() {
            if c.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    }

    /// Is it only a mistake where processes share pages?
    pub fn needs_fork(self) -> bool {
        self == Self::IgnoreProtect
    }
}
