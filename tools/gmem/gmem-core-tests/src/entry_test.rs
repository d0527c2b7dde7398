// SPDX-License-Identifier: MIT OR GPL-2.0
//! An entry is a record of fields that do not disturb each other.

use proptest::prelude::*;

use crate::entry::Entry;

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    holder: u8,
    contexts: u16,
    writable: bool,
    pinned: bool,
    duplicated: bool,
    stamp: u32,
}

impl Model {
    fn of(entry: Entry) -> Self {
        Self {
            holder: entry.holder(),
            contexts: entry.contexts(),
            writable: entry.is_writable(),
            pinned: entry.is_pinned(),
            duplicated: entry.is_duplicated(),
            stamp: entry.stamp(),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(u16),
    Remove(u16),
    Writable(bool),
    Pinned(bool),
    Duplicated(bool),
    Stamp(u32),
    Pack,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<u16>().prop_map(Step::Add),
        any::<u16>().prop_map(Step::Remove),
        any::<bool>().prop_map(Step::Writable),
        any::<bool>().prop_map(Step::Pinned),
        any::<bool>().prop_map(Step::Duplicated),
        any::<u32>().prop_map(Step::Stamp),
        Just(Step::Pack),
    ]
}

proptest! {
    #[test]
    fn fields_are_independent(holder in 0u8..=Entry::MAX_HOLDER, steps in prop::collection::vec(step(), 0..40)) {
        let mut entry = Entry::new(holder);
        let mut model = Model { holder, ..Model::default() };
        for step in steps {
            match step {
                Step::Add(contexts) => {
                    entry = entry.with_contexts(contexts);
                    model.contexts |= contexts;
                }
                Step::Remove(contexts) => {
                    entry = entry.without_contexts(contexts);
                    model.contexts &= !contexts;
                    // What nobody maps has no validated access.
                    model.writable &= model.contexts != 0;
                }
                Step::Writable(on) => {
                    entry = entry.with_writable(on);
                    model.writable = on;
                }
                Step::Pinned(on) => {
                    entry = entry.with_pinned(on);
                    model.pinned = on;
                }
                Step::Duplicated(on) => {
                    entry = entry.with_duplicated(on);
                    model.duplicated = on;
                }
                Step::Stamp(stamp) => {
                    entry = entry.with_stamp(stamp);
                    model.stamp = stamp & 0xff_ffff;
                }
                Step::Pack => entry = Entry::from_bits(entry.bits()),
            }
            prop_assert_eq!(Model::of(entry), model.clone());
            prop_assert!(entry.bits() < 1 << Entry::BITS);
            prop_assert_eq!(entry.on_device(), model.holder != 0);
            prop_assert_eq!(entry.is_mapped(), model.contexts != 0);
            let worth = model.holder != 0 || model.pinned || model.duplicated;
            prop_assert_eq!(entry.is_worth_keeping(), worth);
        }
    }

    #[test]
    fn every_pattern_is_an_entry(bits in any::<u64>()) {
        let entry = Entry::from_bits(bits);
        prop_assert_eq!(entry.bits(), bits & ((1 << Entry::BITS) - 1));
        prop_assert!(entry.holder() <= Entry::MAX_HOLDER);
    }

    #[test]
    fn contexts_are_bits(contexts in any::<u16>(), number in 0u32..40) {
        let entry = Entry::new(1).with_contexts(contexts);
        let named = number < 16 && contexts >> number & 1 == 1;
        prop_assert_eq!(entry.is_mapped_by(number), named);
        prop_assert_eq!(Entry::context_bit(number), if number < 16 { 1 << number } else { 0 });
    }
}

#[test]
fn an_unknown_device_is_the_host() {
    assert_eq!(Entry::new(Entry::MAX_HOLDER + 1), Entry::new(0));
    assert!(!Entry::new(255).on_device());
}
