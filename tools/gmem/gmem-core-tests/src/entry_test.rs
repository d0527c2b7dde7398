// SPDX-License-Identifier: MIT OR GPL-2.0
//! An entry is a record of fields that do not disturb each other.

use proptest::prelude::*;

use crate::entry::Entry;

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    holder: u8,
    contexts: u16,
    writable: bool,
    duplicated: bool,
    fixed: bool,
    frame: Option<u64>,
}

impl Model {
    fn of(entry: Entry) -> Self {
        Self {
            holder: entry.holder(),
            contexts: entry.contexts(),
            writable: entry.is_writable(),
            duplicated: entry.is_duplicated(),
            fixed: entry.is_fixed(),
            frame: entry.frame(),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(u16),
    Remove(u16),
    Writable(bool),
    Duplicated(bool),
    Fixed(bool),
    Pack,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<u16>().prop_map(Step::Add),
        any::<u16>().prop_map(Step::Remove),
        any::<bool>().prop_map(Step::Writable),
        any::<bool>().prop_map(Step::Duplicated),
        any::<bool>().prop_map(Step::Fixed),
        Just(Step::Pack),
    ]
}

proptest! {
    #[test]
    fn fields_are_independent(
        holder in 0u8..=Entry::MAX_HOLDER,
        frame in prop::option::of(0..1u64 << 37),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let mut entry = Entry::new(holder, frame);
        let max = if holder == 0 { (1 << 36) - 1 } else { (1 << 30) - 1 };
        let frame = frame.filter(|frame| *frame < max);
        let mut model = Model { holder, frame, ..Model::default() };
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
                Step::Duplicated(on) => {
                    entry = entry.with_duplicated(on);
                    model.duplicated = on;
                }
                Step::Fixed(on) => {
                    entry = entry.with_fixed(on);
                    model.fixed = on;
                }
                Step::Pack => entry = Entry::from_bits(entry.bits()),
            }
            prop_assert_eq!(Model::of(entry), model.clone());
            prop_assert!(entry.bits() < 1 << Entry::BITS);
            prop_assert_eq!(entry.on_device(), model.holder != 0);
            prop_assert_eq!(entry.is_mapped(), model.contexts != 0);
            let worth = model.holder != 0 || model.duplicated;
            prop_assert_eq!(entry.is_worth_keeping(), worth);
        }
    }

    #[test]
    fn every_pattern_is_an_entry(bits in any::<u64>()) {
        let entry = Entry::from_bits(bits);
        prop_assert_eq!(entry.bits(), bits & ((1 << Entry::BITS) - 1));
        prop_assert!(entry.holder() <= Entry::MAX_HOLDER);
    }
}

#[test]
fn an_unknown_device_is_the_host() {
    let unknown = Entry::new(Entry::MAX_HOLDER + 1, Some(1));
    assert_eq!(unknown, Entry::new(0, None));
    assert!(!Entry::new(255, None).on_device());
    assert_eq!(unknown.frame(), None);
}
