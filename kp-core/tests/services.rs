//! What plugins are given: memory, pools, locks, time and the log.
use kp_core::*;
use kp_sim::{Sim, explore};
use std::rc::Rc;

struct Nothing;
impl Init for Nothing {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Nothing)
    }
}
plugin! { Nothing { name: "nothing", callbacks: [] } }

/// Runs `f` in a kernel, whose leak check comes at the end.
fn in_kernel(f: impl FnOnce(&mut Passive)) {
    Sim::<Nothing>::new().unwrap().enter(f);
}

/// The same, where time passes only as far as the kernel lets it: what it took does not depend on the machine.
fn in_simulated_time(f: impl Fn(&mut Passive) + Sync) {
    explore(0..1, |_| in_kernel(&f));
}

#[test]
fn a_box_drops_its_value_once_and_is_aligned() {
    #[repr(align(4096))]
    struct Page(u8);
    in_kernel(|cx| {
        let counted = Rc::new(());
        let kept = KBox::new(cx, counted.clone()).unwrap();
        assert_eq!(Rc::strong_count(&counted), 2);
        drop(kept);
        assert_eq!(Rc::strong_count(&counted), 1);
        assert_eq!(KBox::new(cx, String::from("x")).unwrap().into_inner(), "x");
        let page = KBox::new(cx, Page(7)).unwrap();
        assert_eq!((&raw const *page as usize % 4096, page.0), (0, 7));
        drop(KBox::new(cx, ()).unwrap());
    });
}

#[test]
fn an_array_grows_and_gives_up_each_value_once() {
    in_kernel(|cx| {
        let counted = Rc::new(());
        let mut values = KVec::new();
        for _ in 0..100 {
            values.push(cx, counted.clone()).unwrap();
        }
        assert_eq!(values.len(), 100);
        drop(values.pop());
        values.truncate(10);
        assert_eq!(Rc::strong_count(&counted), 11);
        while values.push_within(counted.clone()).is_ok() {}
        values.clear();
        assert_eq!(Rc::strong_count(&counted), 1);
    });
}

#[test]
fn an_array_that_cannot_grow_is_as_it_was() {
    in_kernel(|cx| {
        let mut values = KVec::<u16>::with_capacity(cx, 3).unwrap();
        values.extend(cx, &[1, 2, 3]).unwrap();
        assert_eq!(values.reserve(cx, usize::MAX).unwrap_err(), Status::NO_MEMORY);
        assert_eq!(values[..], [1, 2, 3]);
        values.extend(cx, &[4; 100]).unwrap();
        assert_eq!(values.iter().map(|&n| u32::from(n)).sum::<u32>(), 406);
        assert!(KVec::<u64>::with_capacity(cx, usize::MAX).is_err());
    });
}

#[test]
fn zeroed_memory_is_zero_and_nothing_takes_no_memory() {
    in_kernel(|cx| {
        assert!(KVec::<u64>::zeroed(cx, 1000).unwrap().iter().all(|&n| n == 0));
        assert!(KVec::<u64>::zeroed(cx, 0).unwrap().is_empty());
        let mut units = KVec::new();
        units.push(cx, ()).unwrap();
        assert_eq!((units.len(), units.pop(), units.pop()), (1, Some(()), None));
    });
}

#[test]
fn a_pool_is_full_when_it_is_full_and_its_boxes_outlive_it() {
    in_kernel(|cx| {
        let pool = Pool::new(cx, 256).unwrap();
        let mut boxes = Vec::new();
        while let Ok(one) = pool.alloc(boxes.len() as u64) {
            boxes.push(one);
        }
        assert!(boxes.len() >= 4, "{}", boxes.len());
        assert!(boxes.iter().enumerate().all(|(i, one)| **one == i as u64));
        boxes.remove(0);
        boxes.push(pool.alloc(77).unwrap());
        drop(pool);
        assert_eq!(**boxes.last().unwrap(), 77);
        assert!(Pool::new(cx, usize::MAX).is_err());
    });
}

/// Whatever an author aligns or empties.
#[test]
fn values_of_any_alignment_lie_where_their_types_want_them_and_apart() {
    #[derive(Clone, Copy)]
    #[repr(align(64))]
    struct Line(u64);
    #[derive(Clone, Copy)]
    #[repr(align(4096))]
    struct Page(u64);
    #[derive(Clone, Copy)]
    #[repr(align(65536))]
    struct Empty;

    fn put<T: Copy + PartialEq>(pool: &Pool, all: &mut Vec<(usize, usize, PoolBox<T>, T)>, value: T) {
        if let Ok(one) = pool.alloc(value) {
            let at = &raw const *one as usize;
            assert!(at.is_multiple_of(align_of::<T>()));
            all.push((at, at + size_of::<T>(), one, value));
        }
    }
    impl PartialEq for Line {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    impl PartialEq for Page {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    in_kernel(|cx| {
        let pool = Pool::new(cx, 1 << 16).unwrap();
        let mut random = kp_sim::Random(7);
        let (mut bytes, mut lines, mut pages) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..3000u64 {
            match random.below(5) {
                0 => put(&pool, &mut bytes, n as u8),
                1 => put(&pool, &mut lines, Line(n)),
                2 => put(&pool, &mut pages, Page(n)),
                3 if !bytes.is_empty() => drop(bytes.swap_remove(random.below(bytes.len() as u64) as usize)),
                _ if !pages.is_empty() => drop(pages.swap_remove(random.below(pages.len() as u64) as usize)),
                _ => lines.truncate(lines.len() / 2),
            }
            assert!(bytes.iter().all(|(.., one, value)| **one == *value));
            assert!(lines.iter().all(|(.., one, value)| **one == *value));
            assert!(pages.iter().all(|(.., one, value)| **one == *value));
        }
        let spans = bytes.iter().map(|one| (one.0, one.1)).chain(lines.iter().map(|one| (one.0, one.1)));
        let mut spans: Vec<_> = spans.chain(pages.iter().map(|one| (one.0, one.1))).collect();
        spans.sort_unstable();
        assert!(spans.len() > 20 && spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:x?}");

        assert!((&raw const *KBox::new(cx, Empty).unwrap()).addr().is_multiple_of(65536));
        let mut empty = KVec::with_capacity(cx, usize::MAX).unwrap();
        empty.extend(cx, &[Empty; 1000]).unwrap();
        assert!(empty.as_ptr().addr().is_multiple_of(65536) && empty.len() == 1000);
        assert_eq!(empty.reserve(cx, usize::MAX).unwrap_err(), Status::NO_MEMORY);
        assert_eq!(KVec::<[u8; 3]>::with_capacity(cx, usize::MAX / 3).map(|_| ()).unwrap_err(), Status::NO_MEMORY);
    });
}

/// A panic in the middle of dropping: what is left is lost, and nothing is dropped twice.
#[test]
fn a_value_that_panics_when_it_is_dropped_is_dropped_once() {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::atomic::{AtomicU32, Ordering::Relaxed},
    };
    struct Counted<'a>(&'a AtomicU32, u32);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
            assert_ne!(self.1, 1, "planted");
        }
    }
    let drops = [const { AtomicU32::new(0) }; 12];
    let counted = |n: usize| Counted(&drops[n], (n % 3) as u32);
    let array = |cx: &mut Passive, from: usize| {
        let mut array = KVec::new();
        (from..from + 3).for_each(|n| array.push(cx, counted(n)).map_err(|_| ()).unwrap());
        array
    };
    let panics = |f: &dyn Fn(&mut Passive)| {
        let sim = Sim::<Nothing>::new().unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| sim.enter(f))).is_err());
        assert!(sim.is_poisoned());
    };
    panics(&|cx| drop(array(cx, 0)));
    panics(&|cx| array(cx, 3).truncate(1));
    panics(&|cx| drop(KBox::new(cx, counted(7)).map_err(|_| ()).unwrap()));
    panics(&|cx| drop(Pool::new(cx, 256).unwrap().alloc(counted(10)).map_err(|_| ()).unwrap()));
    let times: Vec<u32> = drops.iter().map(|drops| drops.load(Relaxed)).collect();
    assert_eq!(times, [1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 1, 0]);
}

#[test]
fn a_poll_asks_often_at_first_and_gives_up_in_time() {
    in_simulated_time(|cx| {
        let start = cx.now_ns();
        let mut asked = 0;
        let busy = cx.poll(5, |_| {
            asked += 1;
            false
        });
        assert_eq!(busy.unwrap_err(), Status::TIMEOUT);
        let took = cx.now_ns() - start;
        assert!((5_000_000..7_000_000).contains(&took), "{took} ns");
        assert!(asked > 12, "asked {asked} times");
        assert!(cx.poll(0, |_| true).is_ok());
        assert!(cx.poll(0, |_| false).is_err());
    });
}

#[test]
fn a_stall_is_cut_to_50_microseconds() {
    in_simulated_time(|cx| {
        let start = cx.now_ns();
        cx.stall_us(1_000_000);
        assert!(cx.now_ns() - start < 100_000);
    });
}

#[test]
fn a_log_line_is_cut_at_160_bytes() {
    let sim = Sim::<Nothing>::new().unwrap();
    sim.enter(|_| {
        log!("plain");
        log!("{} of {x}", 1, x = 2);
        log!("{}", "a".repeat(500));
    });
    let log = sim.log();
    let lines: Vec<&str> = log.iter().rev().take(3).rev().map(String::as_str).collect();
    assert_eq!(lines[..2], ["plain", "1 of 2"]);
    assert_eq!(lines[2].len(), 160);
}
