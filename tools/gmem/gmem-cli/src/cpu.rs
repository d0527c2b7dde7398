// SPDX-License-Identifier: MIT OR GPL-2.0
//! The same computations on the CPU alone.

use gmem::Gemm;

/// How often each byte value occurs.
pub fn histogram(bytes: &[u8]) -> [u64; 256] {
    // Two tables: equal neighbours would wait for each other.
    let (mut even, mut odd) = ([0u64; 256], [0u64; 256]);
    let mut pairs = bytes.chunks_exact(2);
    for pair in &mut pairs {
        even[usize::from(pair[0])] += 1;
        odd[usize::from(pair[1])] += 1;
    }
    for &byte in pairs.remainder() {
        even[usize::from(byte)] += 1;
    }
    even.iter_mut()
        .zip(odd)
        .for_each(|(even, odd)| *even += odd);
    even
}

/// `table[index[i]]` for each `i`.
pub fn gather<'a>(table: &'a [u32], index: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
    index.iter().map(|&at| table[at as usize])
}

/// Columns of `b` that one pass over rows of `a` serves.
const COLUMNS: usize = 4;

/// Product of row-major int8 matrices, summed in 32 bits, divided by `2^shift` with
/// rounding to nearest and clamped.
///
/// Two rows of `a` share the halves of 64-bit numbers, so that one multiplication
/// makes two products: an emulated CPU is good at that and poor at vectors.
pub fn gemm(dst: &mut [i8], a: &[i8], b: &[i8], shape: Gemm) {
    let [n, k] = [shape.n, shape.k].map(usize::from);
    let half = (1i64 << shape.shift) >> 1;
    let scale = |sum: i64| ((sum + half) >> shape.shift).clamp(-128, 127) as i8;
    let columns = columns(b, n, k);
    for (rows, out) in a.chunks(2 * k).zip(dst.chunks_mut(2 * n)) {
        let (top, bottom) = rows.split_at(k);
        // The last row of an odd number stands alone.
        let bottom = bottom.iter().copied().chain(std::iter::repeat(0));
        let pairs = top.iter().zip(bottom);
        let pairs: Vec<i64> = pairs
            .map(|(&top, bottom)| i64::from(top) + (i64::from(bottom) << 32))
            .collect();
        for (group, columns) in columns.chunks_exact(COLUMNS * k).enumerate() {
            for (i, sums) in dot(&pairs, columns).into_iter().enumerate() {
                let column = group * COLUMNS + i;
                if column < n {
                    // A sum has 31 bits at most; a negative one borrowed from above.
                    let low = i64::from(sums as i32);
                    out[column] = scale(low);
                    if let Some(out) = out.get_mut(n + column) {
                        *out = scale((sums - low) >> 32);
                    }
                }
            }
        }
    }
}

/// The columns of `b`, one after the other, filled up with zeroes to whole groups.
fn columns(b: &[i8], n: usize, k: usize) -> Vec<i64> {
    let mut columns = vec![0; n.next_multiple_of(COLUMNS) * k];
    for (j, row) in b.chunks_exact(n).enumerate() {
        for (i, &value) in row.iter().enumerate() {
            columns[i * k + j] = i64::from(value);
        }
    }
    columns
}

fn dot(row: &[i64], columns: &[i64]) -> [i64; COLUMNS] {
    let k = row.len();
    let [a, b, c, d] = [0, 1, 2, 3].map(|i| &columns[i * k..(i + 1) * k]);
    let mut sums = [0i64; COLUMNS];
    for i in 0..k {
        for (sum, column) in sums.iter_mut().zip([a, b, c, d]) {
            *sum = sum.wrapping_add(row[i].wrapping_mul(column[i]));
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(len: usize, seed: u32) -> Vec<i8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as i8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn gemm_is_the_definition() {
        for (m, n, k, shift) in [
            (1, 1, 1, 0),
            (3, 70, 5, 1),
            (17, 129, 33, 7),
            (2, 3, 200, 31),
            (5, 4, 9, 0),
        ] {
            let (a, b) = (random(m * k, 1), random(k * n, 2));
            let mut dst = vec![0i8; m * n];
            let shape = Gemm {
                m: m as u16,
                n: n as u16,
                k: k as u16,
                shift,
            };
            gemm(&mut dst, &a, &b, shape);
            for row in 0..m {
                for col in 0..n {
                    let terms =
                        (0..k).map(|i| i64::from(a[row * k + i]) * i64::from(b[i * n + col]));
                    let sum = terms.sum::<i64>() as f64 / f64::from(shift).exp2();
                    let expected = (sum + 0.5).floor().clamp(-128.0, 127.0) as i8;
                    assert_eq!(dst[row * n + col], expected, "{m}x{n}x{k} at {row},{col}");
                }
            }
        }
    }

    #[test]
    fn histogram_counts_every_byte() {
        let counts = histogram(b"abcab\xff");
        assert_eq!(
            (counts[97], counts[98], counts[99], counts[255]),
            (2, 2, 1, 1)
        );
        assert_eq!(histogram(&[7; 1001])[7], 1001);
        assert_eq!(histogram(&[]).iter().sum::<u64>(), 0);
    }

    #[test]
    fn gather_takes_what_the_index_says() {
        let taken: Vec<u32> = gather(&[10, 20, 30], &[2, 0, 2]).collect();
        assert_eq!(taken, [30, 10, 30]);
    }
}
