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
    /// What a context maps stays when it is detached.
    DetachKeepsEntries,
    /// A page that has copies stays writable.
    CopyOfWritablePage,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 22] = [
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
        Self::DetachKeepsEntries,
        Self::CopyOfWritablePage,
    ];

    /// Returns the name of the mistake, which is that of its patch in `mutations` if it has one.
    pub fn name(self) -> String {
        name_of(&self)
    }

    /// Returns the mutation of `scripts/mutations` that makes this mistake in the kernel, if there
    /// is one; for the others there is a patch in `mutations`.
    pub fn mutation(self) -> Option<&'static str> {
        match self {
            Self::NoSequenceCheck => Some("no-sequence-check"),
            Self::NoFlush => Some("no-flush-after-release"),
            Self::IgnoreProtect => Some("protect-forgets-nothing"),
            Self::AlwaysWritable => Some("read-only-entered-writable"),
            Self::FailedCopyMoves => Some("copy-home-fails-unseen"),
            Self::EvictNoHold => Some("chunk-hold-ignored"),
            Self::DetachNoWait => Some("detach-does-not-wait"),
            Self::DetachKeepsCopies => Some("copies-stay-at-detach"),
            Self::DetachKeepsEntries => Some("detach-keeps-entries"),
            Self::CopyOfWritablePage => Some("copy-of-writable-page"),
            _ => None,
        }
    }

    /// Is it only a mistake between the start of an invalidation and its end, which `merge.rs`
    /// makes one step?
    pub fn needs_each_step(self) -> bool {
        self == Self::FlushAfterReturn
    }

    /// Is it only a mistake where processes share pages?
    pub fn needs_fork(self) -> bool {
        self == Self::IgnoreProtect
    }
}

/// Returns the name of a mistake or an operation in small letters.
pub fn name_of(what: &impl core::fmt::Debug) -> String {
    let mut name = String::new();
    for c in format!("{what:?}").chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}
