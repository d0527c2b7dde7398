// SPDX-License-Identifier: MIT OR GPL-2.0
//! The address allocator against a map of pages.

use proptest::prelude::*;

use crate::range::PageRange;
use crate::va::{Error, Policy, Space};

const FIRST: u64 = 3;
const END: u64 = 67;

#[derive(Clone, Debug)]
enum Step {
    Alloc(u64, u32),
    Fixed(u64, u64),
    Free(usize),
    FreeAny(u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let pages = 0u64..80;
    prop_oneof![
        4 => (0u64..12, 0u32..4).prop_map(|(count, order)| Step::Alloc(count, order)),
        2 => (pages.clone(), 0u64..10).prop_map(|(first, count)| Step::Fixed(first, count)),
        4 => any::<usize>().prop_map(Step::Free),
        1 => (pages, 0u64..6).prop_map(|(first, count)| Step::FreeAny(first, count)),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::FirstFit),
        Just(Policy::BestFit),
        Just(Policy::NextFit)
    ]
}

/// What is given out.
struct Model(Vec<PageRange>);

impl Model {
    fn is_free(&self, range: PageRange) -> bool {
        let whole = PageRange::new(FIRST, END).unwrap();
        whole.covers(range) && self.0.iter().all(|live| live.intersect(range).is_none())
    }

    /// The lowest free and aligned place.
    fn lowest(&self, count: u64, order: u32) -> Option<PageRange> {
        let aligned = (FIRST..END).filter(|first| first % (1 << order) == 0);
        aligned
            .filter_map(|first| PageRange::with_count(first, count))
            .find(|&range| self.is_free(range))
    }
}

type Storage = Box<[PageRange]>;

fn storage(len: usize) -> Storage {
    vec![PageRange::default(); len].into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn addresses_are_given_once(policy in policy(), quantum in 0u64..4,
                                steps in prop::collection::vec(step(), 0..80)) {
        let whole = PageRange::new(FIRST, END).unwrap();
        let mut space = Space::new(storage(1), whole, policy, quantum).unwrap();
        let mut model = Model(Vec::new());
        let mut len = 1;
        for step in steps {
            // As the caller does: more room first, then the allocation.
            if matches!(step, Step::Alloc(..) | Step::Fixed(..)) && len < space.needed() {
                len = space.needed();
                let old = space.grow(storage(len)).unwrap();
                prop_assert!(old.len() < len);
            }
            match step {
                Step::Alloc(count, order) => match space.alloc(count, order) {
                    Ok(range) => {
                        prop_assert_eq!((range.count(), range.first() % (1 << order)), (count, 0));
                        prop_assert!(model.is_free(range), "{:?} was not free", range);
                        if policy == Policy::FirstFit && quantum == 0 {
                            prop_assert_eq!(Some(range), model.lowest(count, order));
                        }
                        model.0.push(range);
                    }
                    Err(Error::Full) => prop_assert_eq!(model.lowest(count, order), None),
                    Err(Error::Invalid) => prop_assert_eq!(count, 0),
                    Err(Error::Storage) => prop_assert!(false, "storage was provided"),
                },
                Step::Fixed(first, count) => {
                    let range = PageRange::with_count(first, count).unwrap();
                    match space.alloc_fixed(range) {
                        Ok(()) => {
                            prop_assert!(model.is_free(range) && count > 0);
                            model.0.push(range);
                        }
                        Err(Error::Full) => prop_assert!(!model.is_free(range)),
                        Err(Error::Invalid) => prop_assert!(count == 0 || !whole.covers(range)),
                        Err(Error::Storage) => prop_assert!(false, "storage was provided"),
                    }
                }
                Step::Free(at) if !model.0.is_empty() => {
                    let range = model.0.swap_remove(at % model.0.len());
                    prop_assert_eq!(space.free(range), Ok(()));
                    // Twice is noticed.
                    prop_assert_eq!(space.free(range), Err(Error::Invalid));
                }
                Step::Free(_) => {}
                Step::FreeAny(first, count) => {
                    let range = PageRange::with_count(first, count).unwrap();
                    let live = model.0.iter().any(|live| live.covers(range));
                    if !live || count == 0 {
                        let partly = model.0.iter().any(|live| live.intersect(range).is_some());
                        // Several whole neighbours at once are the caller's right.
                        if !partly || count == 0 {
                            prop_assert_eq!(space.free(range), Err(Error::Invalid));
                        }
                    }
                }
            }
        }
        for range in model.0.drain(..) {
            prop_assert_eq!(space.free(range), Ok(()));
        }
        // All of it is one piece again.
        if len < space.needed() {
            space.grow(storage(space.needed())).unwrap();
        }
        prop_assert_eq!(space.alloc_fixed(whole), Ok(()));
    }
}

#[test]
fn best_fit_takes_the_smallest_gap() {
    let range = |first, end| PageRange::new(first, end).unwrap();
    let mut space = Space::new(storage(8), range(0, 40), Policy::BestFit, 0).unwrap();
    space.alloc_fixed(range(10, 12)).unwrap();
    space.alloc_fixed(range(17, 20)).unwrap();
    assert_eq!(space.alloc(4, 0), Ok(range(12, 16)));
    assert_eq!(space.alloc(8, 0), Ok(range(0, 8)));
}

#[test]
fn next_fit_goes_on_where_it_was() {
    let range = |first, end| PageRange::new(first, end).unwrap();
    let mut space = Space::new(storage(8), range(0, 12), Policy::NextFit, 0).unwrap();
    assert_eq!(space.alloc(4, 0), Ok(range(0, 4)));
    assert_eq!(space.alloc(4, 0), Ok(range(4, 8)));
    space.free(range(0, 4)).unwrap();
    assert_eq!(space.alloc(4, 0), Ok(range(8, 12)));
    assert_eq!(space.alloc(4, 0), Ok(range(0, 4)));
    assert_eq!(space.alloc(1, 0), Err(Error::Full));
}

#[test]
fn next_fit_goes_on_inside_a_gap() {
    let range = |first, end| PageRange::new(first, end).unwrap();
    let mut space = Space::new(storage(8), range(0, 12), Policy::NextFit, 0).unwrap();
    assert_eq!(space.alloc(4, 0), Ok(range(0, 4)));
    space.free(range(0, 4)).unwrap();
    assert_eq!(space.alloc(4, 0), Ok(range(4, 8)));
}

#[test]
fn multiples_of_the_quantum_are_used_again() {
    let range = |first, end| PageRange::new(first, end).unwrap();
    let mut space = Space::new(storage(8), range(0, 64), Policy::NextFit, 2).unwrap();
    for count in [4, 3] {
        assert_eq!(space.alloc(count, 0).map(PageRange::count), Ok(count));
    }
    space.free(range(0, 4)).unwrap();
    space.free(range(4, 7)).unwrap();
    // Three pages are no multiple, and go on behind the last ones.
    assert_eq!(space.alloc(3, 0), Ok(range(7, 10)));
    assert_eq!(space.alloc(4, 0), Ok(range(0, 4)));
}

#[test]
fn a_space_needs_pages_and_storage() {
    let one = PageRange::new(0, 1).unwrap();
    let made = Space::new(storage(0), one, Policy::FirstFit, 0);
    assert_eq!(made.err(), Some(Error::Storage));
    let made = Space::new(storage(1), PageRange::default(), Policy::FirstFit, 0);
    assert_eq!(made.err(), Some(Error::Invalid));
    let mut space = Space::new(storage(1), one, Policy::FirstFit, 0).unwrap();
    assert_eq!(space.alloc(1, 0), Err(Error::Storage));
}
