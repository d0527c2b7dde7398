// SPDX-License-Identifier: MIT OR GPL-2.0
//! The kernel's counters.

use std::collections::BTreeMap;

/// The `gmem_*` lines of `/proc/vmstat`; empty without GMEM.
pub fn vmstat() -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    parse(&text)
}

fn parse(text: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        let name = name.starts_with("gmem_").then(|| name.to_owned())?;
        Some((name, value.trim().parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_lines_count() {
        let found = parse("pgfault 7\ngmem_fault 12\ngmem_evict 3\ngmem_bad x\ngmem_short\n");
        let expected = [("gmem_evict".to_owned(), 3), ("gmem_fault".to_owned(), 12)];
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
    }
}
