// SPDX-License-Identifier: MIT OR GPL-2.0
//! Whatever happens, a unit that is in use can be found, and nothing else.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::policy::*;

const CHUNKS: u32 = 32;
const SLOTS: u32 = CHUNKS * unit::CHUNK_SLOTS;

#[derive(Clone, Debug)]
enum Step {
    Insert(Unit, u64),
    Remove(Unit),
    Used(Unit),
    Split(Unit),
    Search(usize, Vec<u8>),
}

fn any_unit() -> impl Strategy<Value = Unit> {
    // Some are beyond the memory.
    prop_oneof![
        3 => (0..SLOTS + 3).prop_map(Unit::slot),
        1 => (0..CHUNKS + 1).prop_map(Unit::chunk),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any_unit(), 0u64..400).prop_map(|(unit, page)| Step::Insert(unit, page * 16)),
        1 => any_unit().prop_map(Step::Remove),
        2 => any_unit().prop_map(Step::Used),
        1 => any_unit().prop_map(Step::Split),
        4 => (prop_oneof![Just(1), Just(16), Just(512)], prop::collection::vec(0u8..5, 1..40))
            .prop_map(|(nr, seen)| Step::Search(nr, seen)),
    ]
}

fn ranking() -> Ranking<Vec<Slot>, Vec<Ghost>> {
    Ranking::new(
        vec![Slot::default(); SLOTS as usize],
        vec![Ghost::default(); SLOTS as usize],
    )
}

/// First slots of the units in use, and whether they are whole.
type Model = BTreeMap<u32, bool>;

fn overlaps(model: &Model, unit: Unit) -> Vec<u32> {
    let ours = unit.first_slot()..unit.first_slot() + unit.slots();
    let size = |whole| if whole { unit::CHUNK_SLOTS } else { 1 };
    let hit = |(&at, &whole): (&u32, &bool)| {
        (at < ours.end && ours.start < at + size(whole)).then_some(at)
    };
    model.iter().filter_map(hit).collect()
}

fn forget(model: &mut Model, unit: Unit) {
    for at in overlaps(model, unit) {
        model.remove(&at);
    }
}

/// All units that a patient search sees.
fn listed(ranking: &mut Ranking<Vec<Slot>, Vec<Ghost>>) -> Model {
    let mut found = Model::new();
    let mut search = Search::new(1);
    for _ in 0..4 * SLOTS {
        let Some(unit) = ranking.candidate(&mut search) else {
            break;
        };
        found.insert(unit.first_slot(), unit.is_whole());
        if found.len() as u32 == SLOTS {
            break;
        }
        // What must stay goes to the end.
        ranking.decide(&mut search, unit, Seen::Stuck);
        if search.wants_chunk() {
            break;
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_in_use_can_leave_and_nothing_else(steps in prop::collection::vec(step(), 0..80)) {
        let mut ranking = ranking();
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Insert(unit, page) => {
                    ranking.insert(unit, Key::new(7, page));
                    let same = model.get(&unit.first_slot()) == Some(&unit.is_whole());
                    if !same {
                        forget(&mut model, unit);
                    }
                    let inside = unit.first_slot() < SLOTS;
                    if inside {
                        model.insert(unit.first_slot(), unit.is_whole());
                    }
                }
                Step::Remove(unit) => {
                    ranking.remove(unit);
                    forget(&mut model, unit);
                }
                Step::Used(unit) => ranking.used(unit),
                Step::Split(unit) => {
                    let chunk = unit.around();
                    ranking.split(unit);
                    if model.get(&chunk.first_slot()) == Some(&true) {
                        for at in chunk.first_slot()..chunk.first_slot() + unit::CHUNK_SLOTS {
                            model.insert(at, false);
                        }
                    }
                }
                Step::Search(nr, answers) => {
                    let mut search = Search::new(nr);
                    for answer in answers {
                        let Some(unit) = ranking.candidate(&mut search) else {
                            prop_assert!(model.is_empty());
                            break;
                        };
                        prop_assert_eq!(model.get(&unit.first_slot()), Some(&unit.is_whole()));
                        let seen = match answer {
                            0 => Seen::Idle,
                            1 | 2 => Seen::Used,
                            3 => Seen::Stuck,
                            _ => Seen::Gone,
                        };
                        match ranking.decide(&mut search, unit, seen) {
                            Verdict::Keep if seen == Seen::Gone => {
                                model.remove(&unit.first_slot());
                            }
                            Verdict::Keep => {}
                            Verdict::Split { first } => {
                                prop_assert!(unit.is_whole() && !search.wants_chunk());
                                prop_assert_eq!(first, unit.first_page());
                                break;
                            }
                            Verdict::Evict { first, nr: pages } => {
                                let chunk = unit.around();
                                let out = if search.wants_chunk() { chunk } else { unit };
                                prop_assert_eq!((first, pages), (out.first_page(), out.pages()));
                                prop_assert!(!matches!(seen, Seen::Stuck | Seen::Gone));
                                // It did leave.
                                ranking.remove(out);
                                forget(&mut model, out);
                                break;
                            }
                        }
                    }
                }
            }
            let first = ranking.candidate(&mut Search::new(1));
            prop_assert_eq!(first.is_none(), model.is_empty());
        }
        prop_assert_eq!(listed(&mut ranking), model);
    }

    /// Patience ends: also when all is in use, something leaves.
    #[test]
    fn a_search_ends(units in prop::collection::vec(any_unit(), 1..200), nr in prop_oneof![Just(1usize), Just(512)]) {
        let mut ranking = ranking();
        for (i, &unit) in units.iter().enumerate() {
            ranking.insert(unit, Key::new(1, i as u64 * 512));
        }
        let mut search = Search::new(nr);
        for _ in 0..3 * PATIENCE + SLOTS {
            let Some(unit) = ranking.candidate(&mut search) else {
                prop_assert!(units.iter().all(|unit| unit.first_slot() >= SLOTS));
                return Ok(());
            };
            match ranking.decide(&mut search, unit, Seen::Used) {
                Verdict::Keep => {}
                Verdict::Split { .. } => ranking.split(unit),
                Verdict::Evict { .. } => return Ok(()),
            }
        }
        prop_assert!(false, "nothing leaves");
    }
}

/// A large folio of which a part is used is taken apart only for those who need a part.
#[test]
fn a_large_unit_in_use_is_taken_apart_for_small_ones() {
    for (nr, splits) in [(1, true), (512, false)] {
        let mut ranking = ranking();
        (0..CHUNKS).for_each(|i| ranking.insert(Unit::chunk(i), Key::new(1, u64::from(i) * 512)));
        let mut found = false;
        for _ in 0..4 {
            let mut search = Search::new(nr);
            while let Some(unit) = ranking.candidate(&mut search) {
                match ranking.decide(&mut search, unit, Seen::Used) {
                    Verdict::Keep => {}
                    Verdict::Split { .. } => {
                        found = true;
                        ranking.split(unit);
                    }
                    Verdict::Evict { .. } => break,
                }
            }
        }
        assert_eq!(found, splits, "{nr} pages");
    }
}

/// What came last cannot leave yet: the search goes on to what can, and soon.
#[test]
fn what_is_stuck_hides_nothing() {
    let mut ranking = full();
    let cold = SLOTS / 16;
    let is_cold = |unit: Unit| unit.first_slot() >= SLOTS - cold;
    let mut search = Search::new(1);
    let mut looks = 0;
    loop {
        let unit = ranking.candidate(&mut search).expect("there are hot ones");
        let seen = if is_cold(unit) {
            Seen::Stuck
        } else {
            Seen::Idle
        };
        looks += 1;
        if let Verdict::Evict { first, nr } = ranking.decide(&mut search, unit, seen) {
            assert!(!is_cold(Unit::slot_of(first)));
            assert_eq!(nr, unit::SLOT_PAGES);
            break;
        }
        assert!(looks < 8, "{looks} looks and no victim");
    }
}

/// Fills the memory with slots, so that the last ones are cold.
fn full() -> Ranking<Vec<Slot>, Vec<Ghost>> {
    let mut ranking = ranking();
    for at in 0..SLOTS {
        ranking.insert(Unit::slot(at), Key::new(1, u64::from(at) * 16));
    }
    ranking
}

/// Searches, with devices that used nothing; returns the slot that leaves.
fn victim(ranking: &mut Ranking<Vec<Slot>, Vec<Ghost>>, mut search: Search) -> Option<u32> {
    for _ in 0..1000 {
        let unit = ranking.candidate(&mut search)?;
        if let Verdict::Evict { first, .. } = ranking.decide(&mut search, unit, Seen::Idle) {
            return Some(Unit::slot_of(first).first_slot());
        }
    }
    panic!("the search does not end");
}

#[test]
fn what_just_came_waits_for_its_use() {
    let mut ranking = full();
    // Of the cold sixteenth the older half leaves, the other half is young.
    for _ in 0..SLOTS / 32 {
        let old = victim(&mut ranking, Search::ahead(1)).unwrap();
        assert!((SLOTS / 32 * 30..SLOTS / 32 * 31).contains(&old), "{old}");
        ranking.remove(Unit::slot(old));
    }
    // Nobody is made to leave ahead of time.
    assert_eq!(victim(&mut ranking, Search::ahead(1)), None);
    // Who waits for room gets that of an idle hot one.
    let hot = victim(&mut ranking, Search::new(1)).unwrap();
    assert!(hot < SLOTS / 16 * 15, "slot {hot} just came");
    // After a while without news the rest of the cold ones is old.
    ranking.rest();
    for _ in 0..SLOTS / 32 {
        let old = victim(&mut ranking, Search::ahead(1)).unwrap();
        assert!(old >= SLOTS / 32 * 31, "slot {old} is hot");
        ranking.remove(Unit::slot(old));
    }
}

#[test]
fn a_search_in_vain_leaves_the_hot_list_in_peace() {
    let mut ranking = full();
    while let Some(old) = victim(&mut ranking, Search::ahead(1)) {
        ranking.remove(Unit::slot(old));
    }
    // Only young ones are left beside the hot ones, which nobody asks about now.
    for _ in 0..100 {
        let mut search = Search::ahead(1);
        while let Some(unit) = ranking.candidate(&mut search) {
            assert!(unit.first_slot() >= SLOTS / 16 * 15, "{unit:?} is hot");
            let verdict = ranking.decide(&mut search, unit, Seen::Idle);
            assert_eq!(verdict, Verdict::Keep);
        }
        assert!(search.met_only_young());
    }
}

#[test]
fn a_small_memory_has_two_blocks_for_what_comes() {
    let slots = 8 * unit::CHUNK_SLOTS;
    let mut ranking = Ranking::new(
        vec![Slot::default(); slots as usize],
        vec![Ghost::default(); slots as usize],
    );
    for at in 0..slots {
        ranking.insert(Unit::slot(at), Key::new(1, u64::from(at) * 16));
    }
    // The last block is young, and the one before leaves.
    let block = unit::CHUNK_SLOTS;
    for _ in 0..block {
        let old = victim(&mut ranking, Search::ahead(1)).unwrap();
        assert!((slots - 2 * block..slots - block).contains(&old), "{old}");
        ranking.remove(Unit::slot(old));
    }
    assert_eq!(victim(&mut ranking, Search::ahead(1)), None);
}

#[test]
fn what_came_and_was_not_used_leaves_first() {
    let mut ranking = full();
    // New data in the place of hot slots: what came before is not young any more.
    for at in 0..SLOTS / 16 {
        ranking.insert(Unit::slot(at), Key::new(2, u64::from(at) * 16));
    }
    let cold = victim(&mut ranking, Search::ahead(1)).unwrap();
    assert!(cold >= SLOTS / 16 * 15, "slot {cold} is hot");
}

/// What comes back soon is worth more than the idle hot one; what is new is not.
#[test]
fn what_comes_back_soon_is_hot() {
    for (space, comes_back) in [(1, true), (2, false)] {
        let mut ranking = full();
        // The search finds the oldest hot one idle, too.
        let old = victim(&mut ranking, Search::new(1)).unwrap();
        assert_eq!(old, SLOTS / 32 * 30);
        ranking.remove(Unit::slot(old));
        ranking.insert(Unit::slot(old), Key::new(space, u64::from(old) * 16));
        // The cold ones leave, of which it or the hot one is the last.
        ranking.rest();
        ranking.rest();
        let mut last = old;
        for _ in 0..SLOTS / 16 {
            last = victim(&mut ranking, Search::ahead(1)).unwrap();
            ranking.remove(Unit::slot(last));
        }
        assert_eq!(last, if comes_back { 0 } else { old });
    }
}
