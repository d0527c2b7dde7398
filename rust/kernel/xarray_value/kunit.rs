// SPDX-License-Identifier: GPL-2.0

//! Tests of [`ValueArray`].

#[macros::kunit_tests(rust_xarray_value)]
mod tests {
    use super::super::*;
    use crate::{
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            Arc,
            Completion, //
        },
        workqueue, //
    };

    impl ValueArray {
        /// Stores `value` with `marks` as one entry of `order` at `index`, in place of everything
        /// smaller. Allocates nothing.
        ///
        /// # Errors
        ///
        /// As [`ValueArray::store_range`].
        fn store(&self, index: usize, order: u32, value: Value, marks: Marks) -> Result {
            self.store_range(index, index, order, |_| Ok(()), |_, _| (value, marks))
        }

        /// Removes every entry and every reservation that covers an index of `first..=last`, whole,
        /// and tells `f` its real extent. Allocates nothing.
        ///
        /// `f` runs under the spinlock.
        fn erase(&self, first: usize, last: usize, mut f: impl FnMut(Found)) {
            self.update(first, last, None, Reserved::Drop, |found| {
                f(found);
                Update::Erase
            });
        }
    }

    const PLAIN: Marks = Marks::NONE;

    fn array() -> Result<Arc<ValueArray>> {
        Arc::pin_init(ValueArray::new(), GFP_KERNEL)
    }

    fn value(bits: usize) -> Value {
        Value::from_bits_truncate(bits)
    }

    fn found(base: usize, order: u32, bits: usize) -> Found {
        Found {
            base,
            order,
            value: value(bits),
        }
    }

    /// The sum of the sizes of the entries that cover an index of `first..=last`.
    fn covered(array: &ValueArray, first: usize, last: usize, mark: Option<Mark>) -> usize {
        let mut sum = 0;
        let _: ControlFlow<()> = array.for_each(first, last, mark, |found| {
            sum += 1usize << found.order;
            ControlFlow::Continue(())
        });
        sum
    }

    #[test]
    fn store_needs_a_reservation() -> Result {
        let array = array()?;

        assert_eq!(array.store(4096, 0, value(1), PLAIN), Err(EAGAIN));
        assert_eq!(array.store(4096, 9, value(1), PLAIN), Err(EAGAIN));
        assert_eq!(array.load(4096), None);
        assert_eq!(array.store(0, MAX_ORDER + 1, value(1), PLAIN), Err(EINVAL));
        assert_eq!(array.reserve_entry(0, MAX_ORDER + 1), Err(EINVAL));

        array.reserve_entry(4096, 9)?;
        assert_eq!(array.load(4096), None);
        assert_eq!(covered(&array, 0, usize::MAX, None), 0);
        // The reservation is for one entry and not for leaves.
        assert_eq!(array.store(4096, 0, value(1), PLAIN), Err(EAGAIN));
        array.store(4096, 9, value(2), PLAIN)?;
        for index in 4096..4096 + 512 {
            assert_eq!(array.load(index), Some(found(4096, 9, 2)));
        }
        assert_eq!(array.load(4095), None);
        assert_eq!(array.load(4096 + 512), None);
        Ok(())
    }

    #[test]
    fn leaves_span_nodes() -> Result {
        let array = array()?;
        let (first, last) = (1000, 1999);

        array.reserve_leaves(first, last)?;
        assert_eq!(covered(&array, 0, usize::MAX, None), 0);
        let mut next = 0;
        array.store_range(
            first,
            last,
            0,
            |_| Ok(()),
            |_, old| {
                assert_eq!(old, None);
                next += 1;
                (value(next), PLAIN)
            },
        )?;
        assert_eq!(next, 1000);
        assert_eq!(array.load(first), Some(found(first, 0, 1)));
        assert_eq!(array.load(last), Some(found(last, 0, 1000)));
        assert_eq!(covered(&array, 0, usize::MAX, None), 1000);
        assert_eq!(covered(&array, 1998, 5000, None), 2);

        // A second store sees the values of the first.
        array.store_range(
            first,
            last,
            0,
            |_| Ok(()),
            |_, old| (value(old.map_or(0, Value::bits) + 1), PLAIN),
        )?;
        assert_eq!(array.load(last), Some(found(last, 0, 1001)));
        // A store that cannot be done whole changes nothing.
        assert_eq!(
            array.store_range(last, last + 64, 0, |_| Ok(()), |_, _| (value(7), PLAIN)),
            Err(EAGAIN)
        );
        assert_eq!(array.load(last), Some(found(last, 0, 1001)));
        Ok(())
    }

    #[test]
    fn larger_entries_are_in_the_way() -> Result {
        let array = array()?;

        array.reserve_entry(512, 9)?;
        array.store(512, 9, value(5), PLAIN)?;
        assert_eq!(array.store(600, 0, value(6), PLAIN), Err(EEXIST));
        assert_eq!(array.store(512, 0, value(6), PLAIN), Err(EEXIST));
        assert_eq!(array.store(576, 6, value(6), PLAIN), Err(EEXIST));
        assert_eq!(array.reserve_leaves(600, 600), Err(EEXIST));
        assert_eq!(array.reserve_entry(576, 6), Err(EEXIST));
        assert_eq!(array.load(600), Some(found(512, 9, 5)));

        let mut seen = 0;
        array.erase(600, 600, |entry| {
            assert_eq!(entry, found(512, 9, 5));
            seen += 1;
        });
        assert_eq!(seen, 1);
        assert_eq!(array.load(512), None);
        array.reserve_leaves(600, 600)?;
        array.store(600, 0, value(6), PLAIN)?;
        assert_eq!(array.load(600), Some(found(600, 0, 6)));
        Ok(())
    }

    #[test]
    fn larger_entries_replace_smaller_ones() -> Result {
        let array = array()?;

        array.reserve_leaves(1024, 1535)?;
        array.store_range(
            1030,
            1200,
            0,
            |_| Ok(()),
            |_, _| (value(1), Marks::NONE.with(Mark::Mark0, true)),
        )?;
        assert_eq!(covered(&array, 0, usize::MAX, Some(Mark::Mark0)), 171);
        array.reserve_entry(1024, 9)?;
        assert_eq!(array.load(1030), Some(found(1030, 0, 1)));
        array.store(1024, 9, value(2), Marks::NONE.with(Mark::Mark1, true))?;
        assert_eq!(array.load(1535), Some(found(1024, 9, 2)));
        assert_eq!(covered(&array, 0, usize::MAX, Some(Mark::Mark0)), 0);
        assert_eq!(covered(&array, 0, usize::MAX, Some(Mark::Mark1)), 512);
        assert_eq!(covered(&array, 0, usize::MAX, None), 512);
        Ok(())
    }

    #[test]
    fn a_reservation_for_one_entry_gives_way_to_leaves() -> Result {
        let array = array()?;

        array.reserve_entry(0, 9)?;
        array.reserve_leaves(0, 511)?;
        array.store_range(0, 511, 0, |_| Ok(()), |_, _| (value(3), PLAIN))?;
        assert_eq!(covered(&array, 0, usize::MAX, None), 512);
        Ok(())
    }

    #[test]
    fn the_first_index_alone_has_no_node() -> Result {
        let array = array()?;

        array.reserve_leaves(0, 0)?;
        array.store(0, 0, value(9), PLAIN)?;
        assert_eq!(array.load(0), Some(found(0, 0, 9)));
        array.reserve_leaves(0, 70)?;
        array.store_range(1, 70, 0, |_| Ok(()), |_, _| (value(8), PLAIN))?;
        assert_eq!(array.load(0), Some(found(0, 0, 9)));
        assert_eq!(array.load(70), Some(found(70, 0, 8)));

        // Index 0 alone makes a tree without the level that an order of 9 needs.
        array.erase(1, 511, |_| ());
        assert_eq!(array.reserve_entry(0, 9), Err(EEXIST));
        array.erase(0, 0, |_| ());
        array.reserve_entry(0, 9)?;
        array.store(0, 9, value(7), PLAIN)?;
        assert_eq!(array.load(511), Some(found(0, 9, 7)));
        Ok(())
    }

    #[test]
    fn the_last_index() -> Result {
        let array = array()?;

        array.reserve_leaves(usize::MAX - 10, usize::MAX)?;
        array.store(usize::MAX, 0, value(1), PLAIN)?;
        assert_eq!(array.load(usize::MAX), Some(found(usize::MAX, 0, 1)));
        assert_eq!(covered(&array, 0, usize::MAX, None), 1);
        array.erase(0, usize::MAX, |_| ());
        assert_eq!(array.load(usize::MAX), None);
        array.reserve_entry(usize::MAX, 9)?;
        array.store(usize::MAX, 9, value(1), PLAIN)?;
        assert_eq!(covered(&array, usize::MAX, usize::MAX, None), 512);
        Ok(())
    }

    #[test]
    fn values_keep_all_bits() -> Result {
        let array = array()?;
        let all = value(usize::MAX);

        assert_eq!(all.bits(), (1 << Value::BITS) - 1);
        array.reserve_leaves(77, 77)?;
        array.store(77, 0, all, PLAIN)?;
        assert_eq!(array.load(77).map(|found| found.value), Some(all));
        array.store(77, 0, value(0), PLAIN)?;
        assert_eq!(array.load(77), Some(found(77, 0, 0)));
        Ok(())
    }

    #[test]
    fn vacated_entries_stay_reserved() -> Result {
        let array = array()?;
        let vacate = |reserved, update| array.update(512, 2047, None, reserved, |_| update);

        array.reserve_leaves(512, 1023)?;
        array.reserve_entry(1024, 9)?;
        array.store_range(512, 1023, 0, |_| Ok(()), |_, _| (value(1), PLAIN))?;
        array.store(1024, 9, value(1), PLAIN)?;
        vacate(Reserved::Keep, Update::Vacate);
        assert_eq!(covered(&array, 0, usize::MAX, None), 0);
        vacate(Reserved::Keep, Update::Erase);
        array.store_range(512, 1023, 0, |_| Ok(()), |_, _| (value(2), PLAIN))?;
        array.store(1024, 9, value(2), PLAIN)?;
        assert_eq!(covered(&array, 0, usize::MAX, None), 1024);

        vacate(Reserved::Drop, Update::Vacate);
        vacate(Reserved::Drop, Update::Keep);
        assert_eq!(array.store(512, 0, value(3), PLAIN), Err(EAGAIN));
        assert_eq!(array.store(1024, 9, value(3), PLAIN), Err(EAGAIN));
        Ok(())
    }

    #[test]
    fn update_replaces_and_stops() -> Result {
        let array = array()?;
        let marked = Marks::NONE.with(Mark::Mark1, true);

        array.reserve_leaves(10, 19)?;
        array.reserve_entry(512, 9)?;
        array.store_range(10, 19, 0, |_| Ok(()), |_, _| (value(1), marked))?;
        array.store(512, 9, value(1), marked)?;
        array.update(
            12,
            600,
            Some(Mark::Mark1),
            Reserved::Keep,
            |entry| match entry.base {
                15 => Update::Keep,
                512 => Update::Replace(value(3), marked),
                _ => Update::Replace(value(2), Marks::NONE),
            },
        );
        assert_eq!(array.load(11), Some(found(11, 0, 1)));
        assert_eq!(array.load(12), Some(found(12, 0, 2)));
        assert_eq!(array.load(15), Some(found(15, 0, 1)));
        assert_eq!(array.load(1023), Some(found(512, 9, 3)));
        assert_eq!(covered(&array, 0, 511, Some(Mark::Mark1)), 3);

        let mut seen = 0;
        array.update(0, usize::MAX, None, Reserved::Keep, |entry| {
            seen += 1;
            if entry.base == 14 {
                Update::Stop
            } else {
                Update::Erase
            }
        });
        assert_eq!(seen, 5);
        assert_eq!(array.load(13), None);
        assert_eq!(array.load(14), Some(found(14, 0, 2)));
        Ok(())
    }

    /// A generator of numbers that are the same in every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 20) as usize & (limit - 1)
        }
    }

    /// The same operations on the array and on a plain table of entries, one per index.
    #[test]
    fn agrees_with_a_plain_table() -> Result {
        const SIZE: usize = 4096;
        const ORDERS: [u32; 8] = [0, 0, 0, 1, 4, 6, 9, 9];
        let array = array()?;
        let mut table = KVec::from_elem(None::<Found>, 2 * SIZE, GFP_KERNEL)?;
        let mut random = Random(0x9e37_79b9_7f4a_7c15);

        for round in 0..6000 {
            // Not in the first nodes, or a low tree could be in the way of a large entry.
            let index = SIZE + random.below(SIZE);
            let order = ORDERS[random.below(8)];
            let base = index >> order << order;
            let last = block_last(base, order);
            let larger = table[base].is_some_and(|entry| entry.order > order);

            if random.below(4) != 0 {
                let entry = found(base, order, round);
                let marks = Marks::NONE.with(Mark::Mark2, round & 1 != 0);
                let reserved = if order == 0 {
                    array.reserve_leaves(base, base)
                } else {
                    array.reserve_entry(base, order)
                };

                assert_eq!(reserved, if larger { Err(EEXIST) } else { Ok(()) });
                let stored = array.store(index, order, entry.value, marks);
                assert_eq!(stored, if larger { Err(EEXIST) } else { Ok(()) });
                if !larger {
                    table[base..=last].fill(Some(entry));
                }
            } else {
                let end = (index + random.below(128)).min(2 * SIZE - 1);

                array.erase(index, end, |entry| {
                    assert_eq!(table[entry.base], Some(entry));
                    table[entry.base..=entry.last()].fill(None);
                });
                assert!(table[index..=end].iter().all(Option::is_none));
            }
            let probe = SIZE + random.below(SIZE);
            assert_eq!(array.load(probe), table[probe]);
        }

        let mut next = 0;
        let _: ControlFlow<()> = array.for_each(0, usize::MAX, None, |entry| {
            assert!(table[next..entry.base].iter().all(Option::is_none));
            assert_eq!(table[entry.base], Some(entry));
            next = entry.last() + 1;
            ControlFlow::Continue(())
        });
        assert!(table[next..].iter().all(Option::is_none));

        let marked = |entry: &Found| entry.value.bits() & 1 != 0;
        let expected = table.iter().flatten().filter(|entry| marked(entry)).count();
        assert!(expected != 0);
        assert_eq!(covered(&array, 0, usize::MAX, Some(Mark::Mark2)), expected);
        Ok(())
    }

    #[pin_data]
    struct Race {
        #[pin]
        array: ValueArray,
        #[pin]
        ended: Completion,
        stop: Atomic<bool>,
    }

    /// A value that tells where it was stored.
    fn told(base: usize, order: u32) -> Value {
        value(base << 8 | order as usize)
    }

    /// While another task keeps changing the orders, a lookup returns what was stored.
    #[test]
    fn lookups_are_exact_beside_changes() -> Result {
        let race = Arc::pin_init(
            pin_init!(Race {
                array <- ValueArray::new(),
                ended <- Completion::new(),
                stop: Atomic::new(false),
            }),
            GFP_KERNEL,
        )?;
        let writer = race.clone();

        // SAFETY: `system_dfl_wq`, which runs work on any CPU, is always there.
        let queue = unsafe { workqueue::Queue::from_raw(bindings::system_dfl_wq) };
        queue.try_spawn(GFP_KERNEL, move || {
            let array = &writer.array;
            let store = |base, order| {
                let _ = array.store(base, order, told(base, order), PLAIN);
            };

            while !writer.stop.load(Relaxed) {
                for order in [9, 6, 7] {
                    for base in (1024..1536).step_by(1 << order) {
                        if array.reserve_entry(base, order).is_ok() {
                            store(base, order);
                        }
                    }
                    array.erase(1024, 1535, |_| ());
                }
                if array.reserve_leaves(1024, 1535).is_ok() {
                    (1024..1536).for_each(|base| store(base, 0));
                    if array.reserve_entry(1024, 9).is_ok() {
                        store(1024, 9);
                    }
                }
                array.erase(1024, 1024, |_| ());
                array.erase(1025, 1535, |_| ());
            }
            writer.ended.complete_all();
        })?;

        let (mut hits, mut wrong) = (0, 0);
        for round in 0..400_000 {
            let index = 1024 + ((round * 67) & 511);

            if let Some(entry) = race.array.load(index) {
                let covers = entry.base <= index && index <= entry.last();

                hits += 1;
                wrong += usize::from(!covers || entry.value != told(entry.base, entry.order));
            }
        }
        race.stop.store(true, Relaxed);
        race.ended.wait_for_completion();
        assert_eq!(wrong, 0);
        assert!(hits != 0);
        Ok(())
    }
}
