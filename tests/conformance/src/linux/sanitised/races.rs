//! Everything at once, from both processors, for a kernel that looks for data races (CONFIG_KCSAN). What it finds is in its log.
use crate::{
    Unload,
    linux::{load, stay_on, stress::counters, unload},
    registry::guest_test,
};
use kp_abi::{
    Transport,
    request::{ANY_VECTOR, kind},
};
use kp_user::{Plugin, Ring};
use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};
use trouble_interface::trouble;

const NAME: &str = "trouble";
/// The kernel stops a processor at one access in so many, and looks who else comes to the same place. It would take 4000 by itself, most of them
/// its own.
const SKIPPED: (&str, &str) = ("/sys/module/kcsan/parameters/skip_watch", "300");
/// Of each kind of interrupt.
const LASTS: Duration = Duration::from_secs(15);
/// Its number.
const PING: u32 = 1;
/// A hang, not a measure.
const PATIENCE_NS: u64 = 60_000_000_000;

/// Calls in one session, interrupts and their waits, counters, polls, rings and openings.
#[guest_test("sanitised together", stage = "races")]
fn what_two_processors_do_at_once_is_agreed_between_them() {
    fs::write(SKIPPED.0, SKIPPED.1).unwrap_or_else(|error| panic!("this kernel looks for no races: {error}"));
    load(NAME);
    for (name, kinds) in [("line", kind::LINE), ("MSI", kind::MSI)] {
        let [calls, interrupts, openings] = at_once(kinds).map(AtomicU64::into_inner);
        println!("{name}: {calls} calls, {interrupts} interrupts, {openings} openings");
        assert!(calls > 100 && interrupts > 10 && openings > 10);
    }
    assert_eq!(unload(NAME), Unload::Gone);
}

fn connect() -> Plugin {
    Plugin::open_interface(NAME, trouble::INTERFACE, &[]).unwrap_or_else(|error| panic!("{error}"))
}

/// How often each was done.
fn at_once(kinds: u32) -> [AtomicU64; 3] {
    let done: [AtomicU64; 3] = Default::default();
    let [calls, interrupts, openings] = &done;
    let (shared, owner, over) = (&connect(), &connect(), &AtomicBool::new(false));
    owner.connection().int_enable(kinds, 1, 1, &[]).expect("an interrupt can be enabled");
    let again = |processor, count: &AtomicU64, act: &mut dyn FnMut()| {
        stay_on(processor);
        while !over.load(Relaxed) {
            act();
            count.fetch_add(1, Relaxed);
        }
    };
    thread::scope(|scope| {
        for processor in [0, 1] {
            scope.spawn(move || {
                again(processor, calls, &mut || {
                    assert_eq!(trouble::Client(shared).ping(), Ok(()));
                    // It takes no data: it is refused when it has them, in a buffer of the session's.
                    assert!(shared.call(PING, &[], b"x", &mut []).is_err());
                });
            });
        }
        scope.spawn(move || {
            again(0, interrupts, &mut || {
                trouble::Client(shared).raise(1).expect("the device can be told to interrupt");
                let taken = owner.connection().int_wait(PATIENCE_NS, ANY_VECTOR, 1).map(|taken| taken.got);
                assert_eq!(taken, Ok(1));
            });
        });
        scope.spawn(move || {
            again(1, &AtomicU64::new(0), &mut || {
                counters(owner);
                shared.query().expect("QUERY works always");
            });
        });
        scope.spawn(move || {
            again(1, openings, &mut || {
                let plugin = connect();
                drop(Ring::set_up(plugin.connection(), 8, 64).expect("the driver has rings"));
                drop(plugin);
            });
        });
        let start = Instant::now();
        while start.elapsed() < LASTS {
            thread::sleep(Duration::from_millis(100));
        }
        over.store(true, Relaxed);
    });
    owner.connection().int_disable().expect("it is enabled");
    done
}
