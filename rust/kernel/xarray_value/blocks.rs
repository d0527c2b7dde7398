// SPDX-License-Identifier: GPL-2.0

//! Aligned blocks of indices.

/// The last index of the block of `2^order` indices that `index` is in.
pub(super) fn block_last(index: usize, order: u32) -> usize {
    index | 1usize.wrapping_shl(order).wrapping_sub(1)
}

/// The last indices of the blocks of `2^order` indices that `first..=last` touches, cut at `last`.
pub(super) fn ends(first: usize, last: usize, order: u32) -> impl Iterator<Item = usize> {
    let end = move |index| block_last(index, order).min(last);

    core::iter::successors(Some(end(first)), move |&index| {
        (index < last).then(|| end(index.wrapping_add(1)))
    })
}
