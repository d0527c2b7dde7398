// SPDX-License-Identifier: MIT OR GPL-2.0

use proptest::prelude::*;

use super::*;

fn leaked() -> &'static Heap {
    Box::leak(Box::default())
}

/// An object all of whose bytes are `seed`.
struct Object {
    addr: *mut u8,
    size: usize,
    seed: u8,
}

impl Object {
    fn new(heap: &'static Heap, size: usize, align: usize, seed: u8) -> Self {
        let addr = heap.alloc(size, align);
        assert!(!addr.is_null());
        assert_eq!(addr as usize % align, 0, "size {size} align {align}");
        let mut object = Self { addr, size, seed };
        // SAFETY: A live object.
        let usable = unsafe { heap.usable_size(addr) };
        assert!(usable >= size, "{usable} of {size}");
        object.size = usable;
        object.bytes().fill(seed);
        object
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: A live object of this size.
        unsafe { std::slice::from_raw_parts_mut(self.addr, self.size) }
    }

    fn intact(&mut self, len: usize) -> bool {
        let seed = self.seed;
        self.bytes()[..len].iter().all(|&byte| byte == seed)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Alloc { size: usize, align: usize },
    Free { at: usize },
    Realloc { at: usize, size: usize },
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0usize..300, 4 => 0usize..70_000, 1 => 900_000usize..5_000_000]
}

fn step() -> impl Strategy<Value = Step> {
    let align =
        prop_oneof![6 => Just(16usize), 1 => (0u32..14).prop_map(|n| 1 << n), 1 => Just(HUGE_SIZE)];
    prop_oneof![
        5 => (size(), align).prop_map(|(size, align)| Step::Alloc { size, align }),
        3 => any::<usize>().prop_map(|at| Step::Free { at }),
        2 => (any::<usize>(), size()).prop_map(|(at, size)| Step::Realloc { at, size }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever the order of calls, no object ever changes another one's bytes.
    #[test]
    fn objects_do_not_touch(steps in prop::collection::vec(step(), 1..120)) {
        let heap = leaked();
        let mut live: Vec<Object> = Vec::new();
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Alloc { size, align } => {
                    live.push(Object::new(heap, size, align, n as u8));
                }
                Step::Free { at } if !live.is_empty() => {
                    let mut object = live.swap_remove(at % live.len());
                    prop_assert!(object.intact(object.size));
                    // SAFETY: Not used any more.
                    unsafe { heap.free(object.addr) };
                }
                Step::Realloc { at, size } if !live.is_empty() => {
                    let at = at % live.len();
                    let kept = live[at].size.min(size);
                    // SAFETY: The old address is forgotten.
                    let addr = unsafe { heap.realloc(live[at].addr, size) };
                    prop_assert!(!addr.is_null());
                    live[at].addr = addr;
                    prop_assert!(live[at].intact(kept));
                    // SAFETY: A live object.
                    live[at].size = unsafe { heap.usable_size(addr) };
                    prop_assert!(live[at].size >= size);
                    let seed = live[at].seed;
                    live[at].bytes().fill(seed);
                }
                _ => {}
            }
        }
        for object in &mut live {
            prop_assert!(object.intact(object.size));
            // SAFETY: Not used any more.
            unsafe { heap.free(object.addr) };
        }
        prop_assert_eq!(heap.state.lock().large.bytes(), 0);
    }

    #[test]
    fn samples_are_pages_of_the_heap(random in any::<u64>(), max in 1usize..64) {
        let heap = leaked();
        prop_assert_eq!(heap.sample(random, PAGE_SIZE), None);
        let small = heap.alloc(100, 16);
        let large = heap.alloc(3 << 20, 16);
        let (start, len) = heap.sample(random, max * PAGE_SIZE).unwrap();
        prop_assert_eq!((start % PAGE_SIZE, len % PAGE_SIZE), (0, 0));
        prop_assert!(len > 0 && len <= max * PAGE_SIZE);
        // SAFETY: Reading a page of the heap, nobody else writes it.
        let first = unsafe { (start as *const u8).read_volatile() };
        std::hint::black_box(first);
        // SAFETY: Not used any more.
        unsafe { heap.free(small); heap.free(large); }
    }
}

#[test]
fn zeroed_memory_is_zero_after_reuse() {
    let heap = leaked();
    for size in [40, 5000, 200_000, 2_000_000] {
        let mut dirty = Object::new(heap, size, 16, 0xff);
        dirty.bytes()[0] = 1;
        // SAFETY: Not used any more.
        unsafe { heap.free(dirty.addr) };
        let addr = heap.alloc_zeroed(size, 16);
        // SAFETY: A new object.
        let bytes = unsafe { std::slice::from_raw_parts(addr, size) };
        assert!(bytes.iter().all(|&byte| byte == 0));
    }
}

#[test]
fn impossible_sizes_give_null() {
    let heap = leaked();
    assert!(heap.alloc(usize::MAX, 16).is_null());
    assert!(heap.alloc(usize::MAX - 100, 4096).is_null());
    assert!(heap.alloc(isize::MAX as usize, 16).is_null());
    let object = heap.alloc(10, 16);
    // SAFETY: Live objects; a failed realloc() changes nothing.
    unsafe {
        assert!(heap.realloc(object, usize::MAX - 8).is_null());
        let large = heap.alloc(LARGE, 16);
        assert!(heap.realloc(large, usize::MAX - 8).is_null());
        heap.free(large);
        heap.free(object);
    }
}

#[test]
fn threads_share_a_heap() {
    static HEAP: Heap = Heap::new();
    std::thread::scope(|s| {
        for thread in 0..4u8 {
            s.spawn(move || {
                for round in 0..2000usize {
                    let mut object = Object::new(&HEAP, round % 700, 16, thread);
                    assert!(object.intact(object.size));
                    // SAFETY: Not used any more.
                    unsafe { HEAP.free(object.addr) };
                }
            });
        }
    });
}
