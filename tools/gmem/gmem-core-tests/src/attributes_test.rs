// SPDX-License-Identifier: MIT OR GPL-2.0
//! The ranges of attributes, compared with a plain list of pages.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::{
    attributes::{Attributes, Change, Map, NoMemory, Node, Tree},
    range::PageRange,
};

const PAGES: u64 = 64;

/// A tree whose memory can run out.
#[derive(Default)]
struct Nodes {
    by_last: BTreeMap<u64, (PageRange, Attributes)>,
    spare: usize,
    left: Option<usize>,
}

impl Tree for Nodes {
    fn reaching(&self, page: u64) -> Option<(PageRange, Attributes)> {
        self.by_last.range(page..).next().map(|(_, found)| *found)
    }

    fn before(&self, page: u64) -> Option<(PageRange, Attributes)> {
        self.by_last
            .range(..page)
            .next_back()
            .map(|(_, found)| *found)
    }

    fn reserve(&mut self, nr: usize) -> Result<(), NoMemory> {
        let need = nr.saturating_sub(self.spare);
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(need).ok_or(NoMemory)?;
        }
        self.spare += need;
        Ok(())
    }

    fn insert(&mut self, range: PageRange, attributes: Attributes) {
        self.spare = self.spare.checked_sub(1).expect("memory was reserved");
        let last = range.last().expect("no range is empty");
        assert_eq!(None, self.by_last.insert(last, (range, attributes)));
    }

    fn remove(&mut self, range: PageRange) {
        let last = range.last().expect("no range is empty");
        assert!(self.by_last.remove(&last).is_some());
        self.spare += 1;
    }
}

/// The same, page by page.
#[derive(Clone, PartialEq, Debug)]
struct Model(Vec<Attributes>);

impl Model {
    fn new() -> Self {
        Self(vec![Attributes::NONE; PAGES as usize])
    }

    fn of(map: &Map<Nodes>) -> Self {
        Self((0..PAGES).map(|page| map.at(page).1).collect())
    }

    fn pages(&mut self, range: PageRange) -> &mut [Attributes] {
        &mut self.0[range.first() as usize..range.end() as usize]
    }

    fn change(&mut self, range: PageRange, change: Change) {
        for page in self.pages(range) {
            *page = page.with(change);
        }
    }
}

/// Ranges are as long as they can be, are not empty and do not overlap.
fn assert_canonical(map: &Map<Nodes>) {
    let mut ranges = Vec::new();
    map.for_each(PageRange::ALL, |range, attributes| {
        ranges.push((range, attributes));
    });
    for (range, attributes) in &ranges {
        assert!(!range.is_empty());
        assert!(!attributes.is_none());
    }
    for pair in ranges.windows(2) {
        let [(left, a), (right, b)] = pair else {
            unreachable!()
        };
        assert!(left.end() <= right.first());
        assert!(left.end() < right.first() || a != b, "{left:?} {right:?}");
    }
    for page in 0..PAGES {
        let (range, attributes) = map.at(page);
        assert!(range.has(page));
        assert!((range.first()..range.end().min(PAGES)).all(|p| map.at(p).1 == attributes));
    }
}

fn range() -> impl Strategy<Value = PageRange> {
    (0..PAGES, 0..PAGES).prop_map(|(a, b)| PageRange::new(a.min(b), a.max(b)).unwrap())
}

fn node() -> impl Strategy<Value = Node> {
    prop_oneof![
        (0..2i32).prop_map(Node::Host),
        (1..4u32).prop_map(Node::Device)
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let device = || 1..4u32;
    prop_oneof![
        node().prop_map(Change::Prefer),
        prop::option::of(node()).prop_map(Change::NoPrefer),
        any::<bool>().prop_map(Change::ReadMostly),
        device().prop_map(Change::AccessedBy),
        prop::option::of(device()).prop_map(Change::NoAccessedBy),
        device().prop_map(Change::Pin),
        prop::option::of(device()).prop_map(Change::Unpin),
        prop::option::of(device()).prop_map(Change::Forget),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Change(PageRange, Change),
    Clear(PageRange),
    Relocate(PageRange, u64, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (range(), change()).prop_map(|(range, change)| Step::Change(range, change)),
        1 => range().prop_map(Step::Clear),
        1 => (range(), 0..PAGES, any::<bool>())
            .prop_map(|(range, to, keep)| Step::Relocate(range, to, keep)),
    ]
}

/// Where a range may move to: inside, and not onto itself.
fn target(range: PageRange, to: u64) -> Option<PageRange> {
    let there = PageRange::with_count(to, range.count())?;
    (there.end() <= PAGES && there.intersect(range).is_none()).then_some(there)
}

fn relocate(model: &mut Model, from: PageRange, to: PageRange, keep: bool) {
    let moved = model.pages(from).to_vec();
    model.pages(to).copy_from_slice(&moved);
    for page in model.pages(from) {
        *page = if keep {
            page.inherited()
        } else {
            Attributes::NONE
        };
    }
}

proptest! {
    #[test]
    fn every_step_does_what_it_does_to_the_pages(steps in prop::collection::vec(step(), 0..60)) {
        let mut map = Map::new(Nodes::default());
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Change(range, change) => {
                    let before = Model::of(&map);
                    let mut told = before.clone();
                    map.change(range, |old| old.with(change), |part, old, new| {
                        assert!(range.covers(part) && !part.is_empty());
                        for page in told.pages(part) {
                            assert_eq!(old, *page);
                            *page = new;
                        }
                    }).unwrap();
                    model.change(range, change);
                    prop_assert_eq!(&told, &model);
                }
                Step::Clear(range) => {
                    let mut lost = 0;
                    let had = model.pages(range).iter().filter(|page| !page.is_none()).count();
                    map.clear(range, |part, old| {
                        assert!(range.covers(part));
                        assert!(model.pages(part).iter().all(|page| *page == old));
                        lost += part.count();
                    });
                    model.pages(range).fill(Attributes::NONE);
                    prop_assert_eq!(had as u64, lost);
                }
                Step::Relocate(from, to, keep) => {
                    // A kernel moves to where nothing is mapped.
                    let Some(to) = target(from, to) else { continue };
                    map.clear(to, |_, _| {});
                    map.relocate(from, to.first(), keep, |_, _| panic!("memory was there"))
                        .unwrap();
                    relocate(&mut model, from, to, keep);
                }
            }
            assert_canonical(&map);
            prop_assert_eq!(&Model::of(&map), &model);
        }
    }

    #[test]
    fn without_memory_nothing_is_widened_and_nothing_breaks(
        steps in prop::collection::vec((step(), 0..6usize), 0..60),
    ) {
        let mut map = Map::new(Nodes::default());
        for (step, left) in steps {
            let before = Model::of(&map);
            map.set_memory(left);
            match step {
                Step::Change(range, change) => {
                    let mut told = before.clone();
                    let done = map.change(range, |old| old.with(change), |part, _, new| {
                        told.pages(part).fill(new);
                    });
                    let mut all = before.clone();
                    all.change(range, change);
                    prop_assert_eq!(&told, &Model::of(&map));
                    // All of it, or its head.
                    let head = (0..=PAGES).any(|end| {
                        let head = range.intersect(PageRange::new(0, end).unwrap());
                        let mut model = before.clone();
                        if let Some(head) = head {
                            model.change(head, change);
                        }
                        model == told
                    });
                    prop_assert!(head);
                    prop_assert!(done.is_err() || told == all);
                }
                Step::Clear(range) => {
                    let mut told = before.clone();
                    map.clear(range, |part, _| told.pages(part).fill(Attributes::NONE));
                    prop_assert_eq!(&told, &Model::of(&map));
                    prop_assert!(told.pages(range).iter().all(|page| page.is_none()));
                }
                Step::Relocate(from, to, keep) => {
                    let Some(to) = target(from, to) else { continue };
                    map.set_memory(usize::MAX);
                    map.clear(to, |_, _| {});
                    map.set_memory(left);
                    let before = Model::of(&map);
                    let mut lost = Vec::new();
                    let done = map.relocate(from, to.first(), keep, |part, _| lost.push(part));
                    let mut after = before.clone();
                    if done.is_ok() {
                        relocate(&mut after, from, to, keep);
                    }
                    let seen = Model::of(&map);
                    for page in 0..PAGES as usize {
                        let given_up = lost.iter().any(|part| part.has(page as u64))
                            || (keep && from.has(page as u64) && done.is_ok());
                        if !(given_up && seen.0[page].is_none()) {
                            prop_assert_eq!(after.0[page], seen.0[page]);
                        }
                    }
                }
            }
            map.set_memory(usize::MAX);
            assert_canonical(&map);
        }
    }

    #[test]
    fn place_follows_the_order_of_the_hints(changes in prop::collection::vec(change(), 0..8)) {
        let all = changes.iter().fold(Attributes::NONE, |all, change| all.with(*change));
        for device in 1..4 {
            let expected = match (all.pinned, all.preferred) {
                (Some(pinned), _) => pinned == device,
                (None, Some(Node::Device(preferred))) => preferred == device,
                (None, Some(Node::Host(_))) => false,
                (None, None) => !all.is_accessed_by(device),
            };
            prop_assert_eq!(expected, all.belongs_to(device));
        }
    }
}

#[test]
fn a_child_inherits_all_but_the_pin() {
    let all = Attributes::NONE
        .with(Change::Prefer(Node::Device(2)))
        .with(Change::ReadMostly(true))
        .with(Change::AccessedBy(1));
    assert_eq!(all, all.with(Change::Pin(3)).inherited());
}

#[test]
fn only_the_named_device_stops_using_a_page_where_it_is() {
    let both = Attributes::NONE
        .with(Change::AccessedBy(1))
        .with(Change::AccessedBy(2));
    let left = both.with(Change::NoAccessedBy(Some(1)));
    assert!(!left.is_accessed_by(1));
    assert!(left.is_accessed_by(2));
    assert!(both.with(Change::NoAccessedBy(None)).is_none());
}

#[test]
fn a_device_without_a_bit_has_no_attribute() {
    assert!(Attributes::NONE.with(Change::AccessedBy(64)).is_none());
    assert!(!Attributes::NONE
        .with(Change::AccessedBy(1))
        .is_accessed_by(64));
}

impl Map<Nodes> {
    fn set_memory(&mut self, left: usize) {
        let tree = self.tree_mut();
        tree.left = Some(left);
        tree.spare = tree.spare.min(1);
    }
}
