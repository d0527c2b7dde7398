// SPDX-License-Identifier: MIT OR GPL-2.0
//! The bars that the kernel's policy has to reach, and what is true of any.

use proptest::prelude::*;

use crate::*;

/// 64 MiB.
const SLOTS: u32 = 1024;

fn bytes(policy: Policy, references: &[u32]) -> f64 {
    simulate(policy, references, SLOTS).bytes() as f64
}

/// How many times Belady's bytes, and how many times less than FIFO, twice too large.
fn ratios(pattern: Pattern) -> (f64, f64) {
    let references = pattern.references(2 * SLOTS);
    let ours = bytes(Policy::Ours, &references);
    (
        ours / bytes(Policy::Belady, &references),
        bytes(Policy::Fifo, &references) / ours,
    )
}

#[test]
fn the_bars_at_twice_the_memory() {
    let (belady, fifo) = ratios(Pattern::Zipf);
    assert!(belady <= 1.9 && fifo >= 1.3, "zipf: {belady:.2}, {fifo:.2}");
    let (belady, _) = ratios(Pattern::Gemm);
    assert!(belady <= 1.3, "gemm: {belady:.2}");
    let (belady, _) = ratios(Pattern::Loop);
    assert!(belady <= 1.3, "loop: {belady:.2}");
    let (belady, fifo) = ratios(Pattern::Uniform);
    assert!(
        belady <= 2.4 && fifo >= 0.97,
        "uniform: {belady:.2}, {fifo:.2}"
    );
}

#[test]
fn a_loop_shows_that_recency_is_not_enough() {
    let references = Pattern::Loop.references(2 * SLOTS);
    let lru = bytes(Policy::Lru, &references) / bytes(Policy::Belady, &references);
    assert!(lru > 1.8, "{lru}");
}

#[test]
fn the_questions_to_the_device_are_few() {
    for pattern in Pattern::ALL {
        let moved = simulate(Policy::Ours, &pattern.references(3 * SLOTS), SLOTS);
        let each = moved.asked as f64 / moved.to_host as f64;
        assert!(each < 10.0, "{pattern}: {each} for each block that left");
    }
}

/// A job that ends and another one that begins: what the first used is forgotten.
#[test]
fn a_new_job_gets_the_memory() {
    let mut references: Vec<u32> = (0..20).flat_map(|_| 0..SLOTS).collect();
    let first = simulate(Policy::Ours, &references, SLOTS);
    assert_eq!(first.to_device, u64::from(SLOTS));
    let second = 10_000..10_000 + SLOTS / 2;
    references.extend((0..20).flat_map(|_| second.clone()));
    let moved = simulate(Policy::Ours, &references, SLOTS).to_device - first.to_device;
    assert!(moved <= 4 * u64::from(SLOTS / 2), "{moved}");
}

#[test]
fn patterns_use_what_they_say() {
    for pattern in Pattern::ALL {
        for blocks in [0, 1, 3, 64, 1000] {
            let references = pattern.references(blocks);
            assert!(references.iter().all(|&block| block < blocks));
            assert_eq!(references, pattern.references(blocks), "{pattern} repeats");
        }
        assert_eq!(pattern.name().parse(), Ok(pattern));
    }
    let mut uses = [0u32; 1000];
    for block in Pattern::Zipf.references(1000) {
        uses[block as usize] += 1;
    }
    uses.sort_unstable_by(|a, b| b.cmp(a));
    // The first of a thousand has 1 / sum(k^-0.99), about 13 %.
    let share = f64::from(uses[0]) / 16_000.0;
    assert!((0.11..0.15).contains(&share), "{share}");
    assert_eq!(Pattern::Gemm.references(12).len(), 2 * 2 * (2 * 2 + 1));
}

/// The least that a policy without choice moves: by trying all of them.
fn least(references: &[u32], here: &[u32], slots: usize) -> u64 {
    let Some((&block, rest)) = references.split_first() else {
        return 0;
    };
    if here.contains(&block) {
        return least(rest, here, slots);
    }
    let with = |left: &[u32]| {
        let mut here = left.to_vec();
        here.push(block);
        here
    };
    if here.len() < slots {
        return 1 + least(rest, &with(here), slots);
    }
    let leave = |at| {
        let mut left = here.to_vec();
        left.remove(at);
        2 + least(rest, &with(&left), slots)
    };
    (0..here.len()).map(leave).min().unwrap_or(1)
}

proptest! {
    #[test]
    fn belady_is_the_optimum(references in prop::collection::vec(0u32..5, 0..12), slots in 1u32..4) {
        let moved = simulate(Policy::Belady, &references, slots);
        prop_assert_eq!(moved.bytes() / BLOCK, least(&references, &[], slots as usize));
    }

    #[test]
    fn no_policy_beats_it_or_loses_a_block(
        references in prop::collection::vec(0u32..120, 0..600), slots in 1u32..100,
    ) {
        let best = simulate(Policy::Belady, &references, slots).bytes();
        let mut blocks = references.clone();
        blocks.sort_unstable();
        blocks.dedup();
        for policy in Policy::ALL {
            let moved = simulate(policy, &references, slots);
            prop_assert!(moved.bytes() >= best, "{}: {:?}", policy, moved);
            prop_assert!(moved.to_device >= blocks.len() as u64);
            let left = moved.to_device - moved.to_host;
            prop_assert!(left <= u64::from(slots));
            prop_assert_eq!(moved.remote, 0);
            if blocks.len() <= slots as usize {
                prop_assert_eq!(moved.bytes() / BLOCK, blocks.len() as u64);
            }
            prop_assert_eq!(policy.name().parse(), Ok(policy));
        }
    }

    #[test]
    fn a_trace_is_read_as_it_was_written(records in prop::collection::vec(record(), 0..20)) {
        let trace = Trace { memory: [(1, 64 << 20)].into(), records };
        prop_assert_eq!(Trace::parse(&trace.to_string()), Ok(trace));
    }

    #[test]
    fn nothing_breaks_the_reader(text in "(# gmem trace 1\n)?([0-9]{1,3} (fault|used|evict|invalidate)( [-0-9xa-z]{1,20}){0,6}\n){0,4}") {
        let _ = Trace::parse(&text);
    }
}

fn record() -> impl Strategy<Value = Record> {
    let event = prop_oneof![
        (any::<bool>(), -200i32..1).prop_map(|(write, ret)| Event::Fault { write, ret }),
        Just(Event::Used),
        any::<bool>().prop_map(|write| Event::Access { write }),
        any::<bool>().prop_map(|to_device| Event::Migrate { to_device }),
        (-200i32..1).prop_map(|ret| Event::Evict { ret }),
        any::<u64>().prop_map(|contexts| Event::Invalidate { contexts }),
    ];
    let place = (0u64..1 << 35, 0u64..1 << 12, 1u32..64);
    (any::<u64>(), place, event).prop_map(|(us, (page, pages, dev), event)| Record {
        us,
        dev: if matches!(event, Event::Invalidate { .. }) {
            0
        } else {
            dev
        },
        addr: page * 4096,
        len: pages * 4096,
        event,
    })
}

#[test]
fn uses_are_faults_and_answers_or_what_a_program_noted() {
    let text = "# gmem trace 1\nmemory 1 131072\n\n# a comment\n\
        1 fault 1 0x10000 131072 write 0\n\
        2 fault 1 0x10000 4096 read -14\n\
        3 used 1 0x30000 65536\n4 used 1 0x30000 65536\n\
        5 fault 2 0x10000 4096 read 0\n\
        6 invalidate 0x10000 0x20000 0x1\n\
        7 evict 1 16 16 0\n8 migrate 1 to_host 0x10000 16\n\
        9 used 1 0x10000 65536\n";
    let mut trace = Trace::parse(text).unwrap();
    assert_eq!(trace.memory, [(1, 131_072)].into());
    assert_eq!(trace.devices(), [1, 2]);
    assert_eq!(trace.references(1), [0, 1, 2, 0]);
    assert_eq!(trace.references(2), [0]);
    assert_eq!(trace.references(3), [0; 0]);
    let noted = Trace::parse("# gmem trace 1\n9 access 1 0x70000 1 read\n").unwrap();
    trace.records.extend(noted.records);
    assert_eq!(trace.references(1), [0]);
}

#[test]
fn what_is_wrong_is_said() {
    assert_eq!(Trace::parse("hello\n"), Err(BadTrace::Header));
    for (line, reason) in [
        ("1 jump 1 2", "no such event"),
        ("1", "too few words"),
        ("1 used 1 0x0", "too few words"),
        ("1 fault 1 0x0 4096 maybe 0", "one of the two words"),
        ("1 used 1 0x0 9 9", "wrong number of words"),
        ("1 used 1 zero 9", "number is wrong"),
        ("x used 1 0 9", "the time"),
        ("1 used 1 0 0xffffffffffffffff", "too long"),
        ("1 invalidate 0x2000 0x1000 0", "ends before"),
        ("memory 1 much", "number is wrong"),
    ] {
        let error = Trace::parse(&format!("# gmem trace 1\n{line}\n")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(reason) && text.contains("line 2"), "{text}");
    }
}
