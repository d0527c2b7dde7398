// SPDX-License-Identifier: MIT OR GPL-2.0
//! What is brought to a device for a fault.

use proptest::prelude::*;

use crate::policy::fault_size::*;
use crate::range::*;

fn range(pages: std::ops::Range<u64>) -> impl Strategy<Value = PageRange> {
    (pages.clone(), pages).prop_map(|(a, b)| PageRange::new(a.min(b), a.max(b)).unwrap())
}

fn fault() -> impl Strategy<Value = Fault> {
    let page = 0u64..2048;
    let room = prop_oneof![0u64..20, 0u64..2000];
    (
        page.clone(),
        range(page.clone()),
        range(page),
        any::<[bool; 3]>(),
        room,
    )
        .prop_map(
            |(page, vma, hint, [huge_allowed, scarce, expected], room)| Fault {
                page,
                vma,
                hint,
                huge_allowed,
                room,
                scarce,
                expected,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_block_is_needed_allowed_and_fits(fault in fault()) {
        let Some(chosen) = fault.choose() else {
            prop_assert!(!fault.vma.has(fault.page));
            return Ok(());
        };
        let whole = PageRange::around(fault.page, BLOCK_ORDER).unwrap();
        prop_assert!(chosen.has(fault.page));
        prop_assert!(fault.vma.covers(chosen));
        prop_assert!(whole.covers(chosen));
        // One page is asked for even without room: then the caller makes some.
        prop_assert!(chosen.count() <= fault.room.max(1));
        let worth = !fault.scarce || fault.expected || fault.hint.covers(whole);
        let may = fault.huge_allowed && fault.vma.covers(whole) && fault.room >= BLOCK_PAGES;
        let huge = worth && may;
        prop_assert!(!huge || chosen == whole);
        prop_assert!(huge || chosen != whole || fault.hint.align_out(RUN_ORDER).covers(whole));
    }

    #[test]
    fn a_hint_makes_it_wider_never_smaller(fault in fault()) {
        let without = Fault { hint: PageRange::default(), ..fault };
        if let (Some(with), Some(without)) = (fault.choose(), without.choose()) {
            prop_assert!(with.covers(without));
            let room = fault.room >= BLOCK_PAGES;
            if room && fault.hint.has(fault.page) && !with.is_block() {
                let whole = PageRange::around(fault.page, BLOCK_ORDER).unwrap();
                let useful = fault.hint.intersect(whole).and_then(|hint| hint.intersect(fault.vma));
                prop_assert!(with.covers(useful.unwrap()));
            }
        }
    }

    #[test]
    fn with_room_a_run_is_moved(page in 0u64..2048) {
        let vma = PageRange::new(0, 2048).unwrap();
        let fault = Fault { page, vma, hint: PageRange::default(), huge_allowed: false, room: 16, scarce: false, expected: false };
        let run = PageRange::around(page, RUN_ORDER).unwrap();
        prop_assert_eq!(fault.choose(), Some(run));
    }
}

/// Of a place that nobody walks to, little is brought when others have to leave for it.
#[test]
fn a_random_fault_is_small_when_memory_is_scarce() {
    let vma = PageRange::new(0, 2048).unwrap();
    let random = Fault {
        page: 700,
        vma,
        hint: PageRange::default(),
        huge_allowed: true,
        room: BLOCK_PAGES,
        scarce: true,
        expected: false,
    };
    let block = PageRange::around(700, BLOCK_ORDER).unwrap();
    let small = PageRange::around(700, RUN_ORDER).unwrap();
    let brings = |fault: Fault| fault.choose().unwrap();
    assert_eq!(brings(random), small);
    assert_eq!(
        brings(Fault {
            scarce: false,
            ..random
        }),
        block
    );
    assert_eq!(
        brings(Fault {
            expected: true,
            ..random
        }),
        block
    );
    assert_eq!(
        brings(Fault {
            hint: block,
            ..random
        }),
        block
    );
}
