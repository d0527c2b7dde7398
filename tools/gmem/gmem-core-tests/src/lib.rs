// SPDX-License-Identifier: MIT OR GPL-2.0
//! The files of `mm/gmem` that depend on no kernel, compiled here as they are and
//! compared with simple models of what they should do.
#![cfg(test)]

// The kernel's own style and use apply to these files.
macro_rules! core_file {
    ($($path:literal $name:ident)*) => {$(
        #[rustfmt::skip]
        #[allow(dead_code, reason = "the kernel uses more than the tests")]
        #[path = $path]
        mod $name;
    )*};
}

core_file! {
    "../../../../mm/gmem/space/entry.rs" entry
    "../../../../mm/gmem/space/va.rs" va
    "../../../../mm/gmem/advice/attributes.rs" attributes
    "../../../../mm/gmem/range.rs" range
    "../../../../mm/gmem/policy.rs" policy
}

mod attributes_test;
mod churn_test;
mod entry_test;
mod fault_size_test;
mod lru_test;
mod policy_test;
mod range_test;
mod ranking_test;
mod va_test;
