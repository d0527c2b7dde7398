// SPDX-License-Identifier: MIT OR GPL-2.0
//! Sizes as people write them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes: `4096`, `64K`, `2M`, `1G`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub usize);

const UNITS: [(char, u32); 3] = [('G', 30), ('M', 20), ('K', 10)];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no size; write for example 4096, 64K or 2M");
        let upper = text.to_ascii_uppercase();
        let unit = UNITS.iter().find(|(unit, _)| upper.ends_with(*unit));
        let (digits, shift) = match unit {
            Some((unit, shift)) => (upper.trim_end_matches(*unit), *shift),
            None => (&upper[..], 0),
        };
        let number: usize = digits.parse().map_err(|_| wrong())?;
        number.checked_mul(1 << shift).map(Size).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in UNITS {
            let whole = self.0 >> shift;
            if whole == 0 {
                continue;
            }
            if self.0 & ((1 << shift) - 1) == 0 {
                return write!(f, "{whole} {unit}iB");
            }
            return write!(f, "{:.1} {unit}iB", self.0 as f64 / (1u64 << shift) as f64);
        }
        write!(f, "{} B", self.0)
    }
}

/// A count of bytes of the kernel, for people.
pub fn bytes(count: u64) -> String {
    Size(usize::try_from(count).unwrap_or(usize::MAX)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, shown) in [
            ("4096", 4096, "4 KiB"),
            ("64k", 65536, "64 KiB"),
            ("2M", 2 << 20, "2 MiB"),
            ("1G", 1 << 30, "1 GiB"),
            ("0", 0, "0 B"),
            ("1000", 1000, "1000 B"),
            ("1537K", 1537 << 10, "1.5 MiB"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.0, &size.to_string()[..]), (bytes, shown));
        }
        for text in ["", "M", "5T", "-1", "99999999999999G", "4 K"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
