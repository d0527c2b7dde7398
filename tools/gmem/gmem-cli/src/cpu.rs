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

/// Rows of `b` that are multiplied with a row of `a` before the next one, so that
/// they stay in the cache.
const TILE: usize = 64;

/// Product of row-major int8 matrices, summed in 32 bits, divided by `2^shift` with
/// rounding to nearest and clamped.
pub fn gemm(dst: &mut [i8], a: &[i8], b: &[i8], shape: Gemm) {
    let [n, k] = [shape.n, shape.k].map(usize::from);
    let half = (1i64 << shape.shift) >> 1;
    // 16-bit rows of a and columns of b: the compiler makes multiply-add of pairs.
    let a: Vec<i16> = a.iter().copied().map(i16::from).collect();
    let columns = transposed(b, n, k);
    for (tile, columns) in columns.chunks(TILE * k).enumerate() {
        for (row, out) in a.chunks_exact(k).zip(dst.chunks_exact_mut(n)) {
            let out = &mut out[tile * TILE..];
            for (column, out) in columns.chunks_exact(k).zip(out) {
                let sum = (i64::from(dot(row, column)) + half) >> shape.shift;
                *out = sum.clamp(-128, 127) as i8;
            }
        }
    }
}

fn dot(a: &[i16], b: &[i16]) -> i32 {
    let products = a.iter().zip(b);
    products.fold(0, |sum: i32, (&a, &b)| {
        sum.wrapping_add(i32::from(a) * i32::from(b))
    })
}

fn transposed(b: &[i8], n: usize, k: usize) -> Vec<i16> {
    let mut columns = vec![0; n * k];
    for (j, row) in b.chunks_exact(n).enumerate() {
        for (i, &value) in row.iter().enumerate() {
            columns[i * k + j] = i16::from(value);
        }
    }
    columns
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
