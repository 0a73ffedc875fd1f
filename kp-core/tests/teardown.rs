//! Closing, disabling, removing and unloading race calls and waits, in many orders: all of them end, and nothing is left.
mod test_plugin;

use kp_abi::{
    Status,
    limits::{ABI_MAJOR, MAX_SESSIONS},
    request::{ANY_VECTOR, NO_TIMEOUT, Open, Request, kind},
};
use kp_core::host::{BoundDevice, RawDevice};
use kp_sim::{Mode, Process, Sim, World, edu::Edu, explore};
use kp_user::{Connection, Plugin};
use std::collections::BTreeSet;
use std::sync::{Mutex, atomic::Ordering::SeqCst};
use test_plugin::{TestPlugin, messages};

/// What ends a session.
#[derive(Clone, Copy)]
enum End {
    Close,
    Disable,
    RemoveDriver,
    PullOut,
}

/// The answers that were seen; one that is not among `allowed` fails.
struct Answers(Mutex<BTreeSet<&'static str>>);

impl Answers {
    fn note<T>(&self, what: &str, answer: Result<T, kp_abi::Error>, allowed: &[Status]) -> bool {
        let status = answer.as_ref().err().map_or(Status::OK, |error| error.status);
        assert!(status == Status::OK || allowed.contains(&status), "{what} answered {status}");
        self.0.lock().unwrap().insert(status.name());
        status == Status::OK
    }
}

fn story(world: &World, end: End, answers: &Answers) {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let plugin: Plugin = sim.connect(messages::INTERFACE).unwrap();
    let app = plugin.connection();
    app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
    let client = messages::Client(&plugin);
    // What a call is told, and what a wait is told. A wait that comes after the end of the enabling finds none.
    let (over, off): (&[Status], &[Status]) = match end {
        End::Close => (&[Status::CLOSED], &[Status::CLOSED]),
        End::Disable => (&[], &[Status::INT_DISABLED, Status::NOT_ENABLED]),
        End::RemoveDriver | End::PullOut => (&[Status::DEVICE_GONE], &[Status::DEVICE_GONE]),
    };
    world.scope(|scope| {
        scope.spawn("caller", || {
            while answers.note("raise", client.raise(1), over) && answers.note("keep", client.keep(b"text"), over) {
                if answers.0.lock().unwrap().len() > 100 || matches!(end, End::Disable) {
                    break;
                }
            }
        });
        scope.spawn("sleeper", || {
            // One that must end early would take longer than the whole story may.
            let ms = if matches!(end, End::Disable) { 5 } else { 100 };
            answers.note("nap", client.nap(ms), over);
        });
        scope.spawn("waiter", || while answers.note("wait", app.int_wait(NO_TIMEOUT, ANY_VECTOR, 1), off) {});
        scope.spawn("ender", || match end {
            End::Close => {
                answers.note("close", app.close(), &[]);
            }
            End::Disable => {
                answers.note("disable", app.int_disable(), &[]);
            }
            End::RemoveDriver => sim.remove(true),
            End::PullOut => sim.remove(false),
        });
    });
    // Everybody was woken: nobody came back only because it looks for panics now and then.
    assert!(sim.now_ns() < 50_000_000, "it took {} ns", sim.now_ns());
    drop(plugin);
    assert_eq!(sim.unload(), Ok(()));
}

fn every_order(end: End) -> BTreeSet<&'static str> {
    let answers = Answers(Mutex::default());
    explore(0..150, |world| story(world, end, &answers));
    answers.0.into_inner().unwrap()
}

#[test]
fn closing_races_calls_and_waits() {
    assert_eq!(every_order(End::Close), BTreeSet::from(["Closed", "Ok"]));
}

#[test]
fn disabling_races_calls_and_waits() {
    let seen = every_order(End::Disable);
    assert!(seen.contains("IntDisabled") && seen.contains("Ok"), "{seen:?}");
}

#[test]
fn removal_races_calls_and_waits() {
    assert_eq!(every_order(End::RemoveDriver), BTreeSet::from(["DeviceGone", "Ok"]));
    assert_eq!(every_order(End::PullOut), BTreeSet::from(["DeviceGone", "Ok"]));
}

/// Two close at once, one drops its handle: the session is closed once.
#[test]
fn closing_twice_at_once_closes_the_session_once() {
    explore(0..100, |world| {
        let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
        let (one, two) = (sim.connect(messages::INTERFACE).unwrap(), sim.connect(messages::INTERFACE).unwrap());
        let app = one.connection().clone();
        app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
        world.scope(|scope| {
            scope.spawn("first", || _ = app.close());
            scope.spawn("second", || _ = app.close());
            scope.spawn("other", move || {
                // The interrupt is free once its owner has closed, and not before.
                let enabled = two.connection().int_enable(kind::ANY, 1, 1, &[]);
                assert!(enabled.is_ok() || enabled == Err(Status::INTERRUPT_OWNED.into()), "{enabled:?}");
            });
        });
        assert_eq!(app.close().map_err(|error| error.status), Err(Status::CLOSED));
    });
}

/// The device sleeps while apps call: calls wait, and go on.
#[test]
fn calls_wait_while_the_device_sleeps() {
    explore(0..60, |world| {
        let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
        let plugin = sim.connect(messages::INTERFACE).unwrap();
        let client = messages::Client(&plugin);
        let plain = sim.open();
        let mut open = Open { abi_major: ABI_MAJOR, fingerprint: messages::INTERFACE.chain(0), ..Open::new() };
        plain.open(&mut open, b"").unwrap();
        world.scope(|scope| {
            scope.spawn("caller", || (0..4).for_each(|_| assert_eq!(client.keep(b"text"), Ok(4))));
            scope.spawn("caller without the direct form", || {
                (0..4).for_each(|_| assert_eq!(plain.call(3, 0, &[], b"text", &mut [0; 4]), Ok(4)));
            });
            scope.spawn("system", || {
                sim.suspend();
                let nowait = plugin.connection().call(3, kp_abi::request::CALL_NOWAIT, &[], b"x", &mut [0; 4]);
                assert_eq!(nowait, Err(Status::SUSPENDED.into()));
                sim.resume();
            });
        });
    });
}

/// A sleep that would outlast the time for going to sleep is ended, and after that sleeps last again.
#[test]
fn a_long_sleep_ends_when_the_device_has_to_sleep_and_the_next_one_lasts() {
    let answers = Answers(Mutex::default());
    explore(0..60, |world| {
        let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
        let plugin = sim.connect(messages::INTERFACE).unwrap();
        let client = messages::Client(&plugin);
        world.scope(|scope| {
            scope.spawn("sleeper", || {
                answers.note("nap", client.nap(100), &[Status::SUSPENDED]);
            });
            scope.spawn("system", || {
                sim.suspend_within(std::time::Duration::from_millis(5));
                sim.resume();
            });
        });
        let awake = sim.now_ns();
        assert_eq!(client.nap(5), Ok(()));
        assert!(sim.now_ns() - awake >= 5_000_000, "it lasted {} ns", sim.now_ns() - awake);
    });
    assert_eq!(answers.0.into_inner().unwrap(), BTreeSet::from(["Ok", "Suspended"]));
}

/// With real threads too.
#[test]
fn removal_ends_what_real_threads_wait_for() {
    for present in [true, false] {
        let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
        let plugin = sim.connect(messages::INTERFACE).unwrap();
        let (app, client) = (plugin.connection(), messages::Client(&plugin));
        app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| app.int_wait(NO_TIMEOUT, ANY_VECTOR, 1));
            let sleeper = scope.spawn(|| client.nap(60_000));
            while app.query(0).unwrap().waits == 0 || app.query(0).unwrap().calls == 0 {
                std::thread::yield_now();
            }
            sim.remove(present);
            assert_eq!(waiter.join().unwrap(), Err(Status::DEVICE_GONE.into()));
            assert_eq!(sleeper.join().unwrap(), Err(Status::DEVICE_GONE.into()));
        });
    }
}

/// A wait belongs to the enabling that it found, whatever has come after that by the time that it looks.
#[test]
fn a_wait_that_was_pending_at_the_end_of_its_enabling_says_so_whoever_has_enabled_since() {
    for is_same in [false, true] {
        explore(0..40, |world| {
            let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
            let [one, two] = [(); 2].map(|()| sim.connect(messages::INTERFACE).unwrap());
            let app = one.connection();
            app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
            world.scope(|scope| {
                scope.spawn("waiter", || {
                    assert_eq!(app.int_wait(NO_TIMEOUT, ANY_VECTOR, 1), Err(Status::INT_DISABLED.into()));
                });
                scope.spawn("ender", || {
                    while app.query(0).unwrap().waits == 0 {}
                    app.int_disable().unwrap();
                    let next = if is_same { &one } else { &two };
                    next.connection().int_enable(kind::ANY, 1, 1, &[]).unwrap();
                });
            });
        });
    }
}

/// A panic in a call, while another one sleeps and a third thread waits: they hear of it at once, and the plugin can be unloaded.
#[test]
fn a_panic_ends_what_others_wait_for() {
    explore(0..60, |world| {
        let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
        let plugin = sim.connect(messages::INTERFACE).unwrap();
        let (app, client) = (plugin.connection(), messages::Client(&plugin));
        app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
        world.scope(|scope| {
            scope.spawn("waiter", || {
                assert_eq!(app.int_wait(NO_TIMEOUT, ANY_VECTOR, 1), Err(Status::POISONED.into()));
            });
            scope.spawn("panicker", || assert_eq!(client.panic(), Err(Status::POISONED.into())));
            scope.spawn("sleeper", || {
                assert_eq!(client.nap(100), Err(Status::POISONED.into()));
            });
        });
        assert!(sim.now_ns() < 50_000_000, "it took {} ns", sim.now_ns());
        assert_eq!(client.seen(), Err(Status::POISONED.into()));
        drop(plugin);
        assert_eq!(sim.unload(), Ok(()));
    });
}

/// A session whose calls live is closed, whoever's call has panicked: those inside leave one after the other, and are waited for.
#[test]
fn a_panic_elsewhere_keeps_no_session_from_its_close() {
    explore(0..150, |world| {
        let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
        let [one, two] = [(); 2].map(|()| sim.connect(messages::INTERFACE).unwrap());
        world.scope(|scope| {
            for name in ["first", "second", "third"] {
                scope.spawn(name, || {
                    let napped = messages::Client(&one).nap(100).unwrap_err();
                    assert!(napped == Status::POISONED || napped == Status::CLOSED, "{napped}");
                });
            }
            scope.spawn("panicker", || {
                let _ = messages::Client(&two).panic();
            });
            scope.spawn("closer", || assert_eq!(one.connection().close(), Ok(())));
        });
    });
}

/// Has a call that hears of nothing.
mod stubborn {
    use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use kp_core::*;

    pub struct Stubborn;

    pub static MAY_LEAVE: AtomicBool = AtomicBool::new(false);

    /// Says when it is dropped.
    pub struct Value;

    impl Drop for Value {
        fn drop(&mut self) {
            log!("dropped");
        }
    }

    impl Init for Stubborn {
        type Session = Value;
        type Interrupt = ();
        fn init(_: &mut Passive, _: Device) -> Result<Self> {
            Ok(Stubborn)
        }
    }
    impl Open for Stubborn {
        fn open(&self, _: &mut Passive, _: &Caller, _: &[u8]) -> Result<Value> {
            Ok(Value)
        }
    }

    kp_abi::interface! {
        pub mod calls, version 1 {
            /// Works until it may leave.
            fn work() = 1;
            /// Panics.
            fn panic() = 2;
            /// Works until this time.
            fn work_until(ns: u64) = 3;
            /// Panics then.
            fn panic_at(ns: u64) = 4;
        }
    }

    impl calls::Handler<Passive, Value> for Stubborn {
        fn work(&self, cx: &mut Passive, _: &Value) -> Result<()> {
            while !MAY_LEAVE.swap(false, SeqCst) {
                cx.stall_us(50);
            }
            Ok(())
        }
        fn panic(&self, _: &mut Passive, _: &Value) -> Result<()> {
            panic!("planted")
        }
        fn work_until(&self, cx: &mut Passive, _: &Value, ns: u64) -> Result<()> {
            while cx.now_ns() < ns {
                cx.stall_us(1000);
            }
            Ok(())
        }
        fn panic_at(&self, cx: &mut Passive, session: &Value, ns: u64) -> Result<()> {
            self.work_until(cx, session, ns)?;
            panic!("planted")
        }
    }

    plugin! { Stubborn { name: "stubborn", interface: calls, callbacks: [Open] } }
}

/// A close that panics wake waits on for a call that lives: that others have left meanwhile is not the time that the living have.
#[test]
fn a_close_that_panics_wake_waits_for_the_calls_that_live() {
    const MS: u64 = 1_000_000;
    explore(0..60, |world| {
        let sim = Sim::<stubborn::Stubborn>::new().unwrap();
        let [one, two] = [(); 2].map(|()| sim.connect(stubborn::calls::INTERFACE).unwrap());
        let (app, begin) = (one.connection(), sim.now_ns());
        world.scope(|scope| {
            for ms in [5, 15, 40] {
                let client = stubborn::calls::Client(&one);
                scope.spawn("caller", move || _ = client.work_until(begin + ms * MS));
            }
            for ms in [10, 20] {
                let client = stubborn::calls::Client(&two);
                scope.spawn("panicker", move || _ = client.panic_at(begin + ms * MS));
            }
            scope.spawn("closer", || {
                while app.query(0).unwrap().calls < 5 && sim.now_ns() < begin + 3 * MS {}
                assert_eq!(app.close(), Ok(()));
            });
        });
        assert!(sim.log().iter().any(|line| line == "dropped"));
    });
}

/// After a panic nobody waits for a call without an end; what a call inside may use stays for good. With real threads.
#[test]
fn a_session_that_a_call_is_inside_after_a_panic_stays() {
    let sim = Sim::<stubborn::Stubborn>::new().unwrap();
    let [one, two] = [(); 2].map(|()| sim.connect(stubborn::calls::INTERFACE).unwrap());
    let app = one.connection();
    std::thread::scope(|scope| {
        scope.spawn(|| _ = stubborn::calls::Client(&one).work());
        while app.query(0).unwrap().calls == 0 {
            std::thread::yield_now();
        }
        assert_eq!(stubborn::calls::Client(&two).panic(), Err(Status::POISONED.into()));
        let closed = app.close();
        let is_dropped = sim.log().iter().any(|line| line == "dropped");
        stubborn::MAY_LEAVE.store(true, SeqCst);
        assert_eq!((closed, is_dropped), (Err(Status::POISONED.into()), false));
    });
}

/// As many handles of a device as may be; one that was closed makes room.
#[test]
fn handles_are_counted_whether_they_are_open_or_not() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let open = || sim.open_in(&Process::new(1), Mode::ReadWrite);
    let mut handles: Vec<_> = (0..4 * MAX_SESSIONS).map(|_| open().unwrap()).collect();
    for _ in 0..2 {
        assert_eq!(open().err(), Some(Status::TOO_MANY_SESSIONS.into()));
    }
    drop(handles.pop());
    handles.push(open().expect("there is room for one"));
    assert_eq!(open().err(), Some(Status::TOO_MANY_SESSIONS.into()), "and for no more");
    assert_eq!(handles[0].query(0).unwrap().sessions, 0);
}

/// With real threads too.
#[test]
fn a_panic_ends_what_real_threads_wait_for() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let (app, client) = (plugin.connection(), messages::Client(&plugin));
    app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| app.int_wait(NO_TIMEOUT, ANY_VECTOR, 1));
        let sleeper = scope.spawn(|| client.nap(3_600_000));
        while app.query(0).unwrap().waits == 0 || app.query(0).unwrap().calls == 0 {
            std::thread::yield_now();
        }
        assert_eq!(client.panic(), Err(Status::POISONED.into()));
        assert_eq!(waiter.join().unwrap(), Err(Status::POISONED.into()));
        assert_eq!(sleeper.join().unwrap(), Err(Status::POISONED.into()));
    });
}

/// A call that waits for its device to wake hears of a panic in `event`, say.
#[test]
fn a_panic_ends_the_wait_for_a_device_that_sleeps() {
    explore(0..60, |world| {
        let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
        let plugin = sim.connect(messages::INTERFACE).unwrap();
        sim.suspend();
        world.scope(|scope| {
            scope.spawn("caller", || assert_eq!(messages::Client(&plugin).seen(), Err(Status::POISONED.into())));
            scope.spawn("system", || {
                let panics = std::panic::AssertUnwindSafe(|| sim.enter(|_| panic!("planted")));
                assert!(std::panic::catch_unwind(panics).is_err());
            });
        });
    });
}

/// OPEN and CLOSE of one handle at once: whoever is later has the last word, and the plugin's session ends.
#[test]
fn opening_races_closing() {
    let answers = Answers(Mutex::default());
    explore(0..150, |world| {
        let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
        let app = sim.open();
        world.scope(|scope| {
            scope.spawn("opener", || {
                let mut open = Open { abi_major: ABI_MAJOR, fingerprint: messages::INTERFACE.chain(0), ..Open::new() };
                answers.note("open", app.open(&mut open, b"text"), &[Status::CLOSED]);
            });
            scope.spawn("closer", || {
                answers.note("close", app.close(), &[]);
            });
        });
        assert_eq!(app.call(2, 0, &[], &[], &mut [0; 4]), Err(Status::CLOSED.into()));
        assert_eq!(app.query(0).unwrap().sessions, 0);
    });
    assert_eq!(answers.0.into_inner().unwrap(), BTreeSet::from(["Closed", "Ok"]));
}

/// Says what was opened, and what was closed.
mod counted {
    use kp_core::*;

    pub struct Counted;

    impl Init for Counted {
        type Session = ();
        type Interrupt = ();
        fn init(_: &mut Passive, _: Device) -> Result<Self> {
            Ok(Counted)
        }
    }
    impl Open for Counted {
        fn open(&self, cx: &mut Passive, _: &Caller, _: &[u8]) -> Result<()> {
            let _ = cx.sleep_us(1);
            log!("opened");
            Ok(())
        }
        fn close(&self, _: &mut Passive, (): ()) {
            log!("closed");
        }
    }

    plugin! { Counted { name: "counted", callbacks: [Open] } }
}

/// A handle that is closed while the plugin opens its session: what `open` has made goes to `close`.
#[test]
fn whatever_the_plugin_has_opened_it_closes() {
    let opened = Mutex::new(BTreeSet::new());
    explore(0..150, |world| {
        let sim = Sim::<counted::Counted>::new().unwrap();
        let app = sim.open();
        world.scope(|scope| {
            scope.spawn("opener", || {
                let told = app.open(&mut Open { abi_major: ABI_MAJOR, ..Open::new() }, &[]);
                let times = sim.log().iter().filter(|line| line.contains("opened")).count();
                opened.lock().unwrap().insert((told.is_ok(), times));
            });
            scope.spawn("closer", || app.close().unwrap());
        });
        let times = |what| sim.log().iter().filter(|line| line.contains(what)).count();
        assert_eq!(times("closed"), times("opened"));
    });
    let opened = opened.into_inner().unwrap();
    assert!(opened.contains(&(false, 1)), "no schedule had it open too late: {opened:?}");
}

/// Unloading races opening: it is refused, or the opening is.
#[test]
fn unloading_races_opening() {
    let mut outcomes = BTreeSet::new();
    explore(0..100, |world| {
        let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
        let (opened, unloaded) = (Mutex::new(None), Mutex::new(None));
        world.scope(|scope| {
            scope.spawn("opener", || {
                let app = sim.open_in(&Process::new(1), Mode::ReadWrite);
                *opened.lock().unwrap() = Some(app.map(|app| app.query(0).map(|query| query.state)));
            });
            scope.spawn("unloader", || *unloaded.lock().unwrap() = Some(sim.unload()));
        });
        let (opened, unloaded) = (opened.into_inner().unwrap(), unloaded.into_inner().unwrap());
        match (opened, unloaded) {
            (Some(Err(error)), Some(Ok(()))) => assert_eq!(error, Status::DEVICE_GONE),
            (Some(Ok(state)), Some(_)) => assert_eq!(state, Ok(0), "the device was there all the time"),
            outcome => panic!("{outcome:?}"),
        }
        outcomes.insert(unloaded.is_some_and(|unloaded| unloaded.is_ok()));
    });
    assert_eq!(outcomes.len(), 2, "no schedule refused it, or none let it through");
}

#[test]
fn a_plugin_that_has_panicked_is_bound_to_no_further_device() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    assert_eq!(messages::Client(&plugin).panic(), Err(Status::POISONED.into()));
    let bound = sim.enter(|cx| {
        // SAFETY: it is refused.
        unsafe { BoundDevice::<TestPlugin>::bind(cx, RawDevice::none()) }.err()
    });
    assert_eq!(bound, Some(Status::POISONED.into()), "init has run after a panic");
}
