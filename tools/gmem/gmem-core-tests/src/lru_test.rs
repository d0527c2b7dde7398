// SPDX-License-Identifier: MIT OR GPL-2.0
//! The list against a vector.

use proptest::prelude::*;

use crate::policy::lru::*;

#[derive(Clone, Debug)]
enum Step {
    Push(u32),
    Remove(u32),
    Use(u32),
}

const LINKS: u32 = 12;

/// The numbers from the oldest on.
fn walk(list: &Lru, links: &[Link]) -> Vec<u32> {
    let next = |index: &u32| match links.get(*index as usize) {
        Some(Link::In { newer, .. }) => *newer,
        _ => None,
    };
    std::iter::successors(list.oldest(), next).collect()
}

/// Makes `index` the newest.
fn use_again(list: &mut Lru, links: &mut [Link], index: u32) -> bool {
    list.remove(links, index) && list.push_back(links, index)
}

fn step() -> impl Strategy<Value = Step> {
    // Two numbers more than there are links.
    let index = 0..LINKS + 2;
    prop_oneof![
        index.clone().prop_map(Step::Push),
        index.clone().prop_map(Step::Remove),
        index.prop_map(Step::Use),
    ]
}

proptest! {
    #[test]
    fn order_is_that_of_use(steps in prop::collection::vec(step(), 0..100)) {
        let mut links = [Link::default(); LINKS as usize];
        let mut list = Lru::default();
        let mut model: Vec<u32> = Vec::new();
        for step in steps {
            let at = |index: u32| model.iter().position(|&other| other == index);
            match step {
                Step::Push(index) => {
                    let new = index < LINKS && at(index).is_none();
                    prop_assert_eq!(list.push_back(&mut links, index), new);
                    model.extend(new.then_some(index));
                }
                Step::Remove(index) => {
                    let found = at(index);
                    prop_assert_eq!(list.remove(&mut links, index), found.is_some());
                    found.map(|at| model.remove(at));
                }
                Step::Use(index) => {
                    let found = at(index);
                    prop_assert_eq!(use_again(&mut list, &mut links, index), found.is_some());
                    if let Some(at) = found {
                        let index = model.remove(at);
                        model.push(index);
                    }
                }
            }
            prop_assert_eq!(list.oldest(), model.first().copied());
            prop_assert_eq!(walk(&list, &links), model.clone());
        }
    }

    /// Links of another list may cost entries, and nothing else.
    #[test]
    fn wrong_links_are_answered(steps in prop::collection::vec((step(), any::<bool>()), 0..100)) {
        let (mut right, mut wrong) = ([Link::default(); 12], [Link::default(); 12]);
        let (mut list, mut other) = (Lru::default(), Lru::default());
        for (step, mixed) in steps {
            let links = if mixed { &mut wrong } else { &mut right };
            match step {
                Step::Push(index) => {
                    list.push_back(links, index);
                    other.push_back(&mut wrong, index / 2);
                }
                Step::Remove(index) => drop(list.remove(links, index)),
                Step::Use(index) => drop(use_again(&mut list, links, index)),
            }
        }
    }
}
