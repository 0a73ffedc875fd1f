//! The user request: whatever address an app gives, it gets an answer or a fault, and nothing else happens.
mod test_plugin;

use kp_abi::{
    Status, TransportStatus, limits,
    request::{
        ANY_VECTOR, Call, Close, Head, IntCount, IntEnable, IntWait, NO_TIMEOUT, Open, Query, Request, RingSetup,
        feature, kind,
    },
    zerocopy::{Immutable, IntoBytes},
};
use kp_sim::{Access, App, KERNEL_AT, Mode, PAGE, Process, Sim, edu::Edu, explore, find};
use kp_user::Connection;
use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use test_plugin::{TestPlugin, messages};

const RAISE: u32 = 1;
const KEEP: u32 = 3;
const KEPT: u32 = 4;

fn sim() -> Sim<TestPlugin> {
    Sim::<TestPlugin>::with(Edu::new()).unwrap()
}

/// An app with a session.
fn opened(sim: &Sim<TestPlugin>) -> App<TestPlugin> {
    let app = sim.open();
    let mut open = Open::new();
    open.abi_major = limits::ABI_MAJOR;
    open.fingerprint = messages::INTERFACE.chain(0);
    assert_eq!(answer(&app, &open), Status::OK);
    app
}

/// Sends a request from memory of its own: the status in its head.
fn answer<R: Request + IntoBytes + Immutable>(app: &App<TestPlugin>, request: &R) -> Status {
    let address = app.memory().place(request);
    assert_eq!(app.raw(R::NR, address), Ok(()), "the transport failed");
    status_at(app, address)
}

fn status_at(app: &App<TestPlugin>, address: u64) -> Status {
    Status(app.memory().value::<Head>(address).unwrap().status)
}

/// KEEP with this data.
fn keep(address: u64, len: u32) -> Call {
    let mut call = Call::new();
    (call.message, call.in_addr, call.in_len) = (KEEP, address, len);
    (call.out_addr, call.out_len) = (address, 4);
    call
}

#[test]
fn a_request_in_mapped_memory_is_answered() {
    let sim = sim();
    let app = sim.open();
    let address = app.memory().place(&Query::new());
    assert_eq!(app.raw(Query::NR, address), Ok(()));
    let query: Query = app.memory().value(address).unwrap();
    assert_eq!((query.head.status, &query.name[..5]), (0, &b"test\0"[..]));
    assert_eq!(app.raw(99, address), Err(TransportStatus::UNKNOWN_REQUEST.status()));
}

#[test]
fn a_struct_that_cannot_be_read_or_answered_is_a_fault() {
    let sim = sim();
    let app = sim.open();
    let memory = app.memory();
    for address in [0, PAGE as u64, KERNEL_AT, KERNEL_AT - 8, u64::MAX, u64::MAX - 20] {
        assert_eq!(app.raw(Query::NR, address), Err(TransportStatus::FAULT.status()), "at {address:#x}");
    }
    let read_only = memory.place(&Query::new());
    memory.protect(read_only, PAGE, Access::ReadOnly);
    assert_eq!(app.raw(Query::NR, read_only), Err(TransportStatus::FAULT.status()));

    // It crosses into a page that is not mapped.
    let page = memory.map(PAGE, Access::ReadWrite);
    let address = page + PAGE as u64 - 64;
    memory.write(address, &Query::new().as_bytes()[..64]).unwrap();
    assert_eq!(app.raw(Query::NR, address), Err(TransportStatus::FAULT.status()));
    let count = IntCount::new();
    let half = page + PAGE as u64 - 24;
    memory.write(half, &count.as_bytes()[..24]).unwrap();
    assert_eq!(count.head.size as usize, IntCount::INFO.first_size, "of no more than its first version");
    assert_eq!(app.raw(IntCount::NR, half), Err(TransportStatus::FAULT.status()));

    // What there is of it says that it is too short: that can be answered.
    let address = page + PAGE as u64 - 16;
    memory.write(address, Head { size: 16, ..Head::default() }.as_bytes()).unwrap();
    assert_eq!(app.raw(Query::NR, address), Ok(()));
    assert_eq!(status_at(&app, address), Status::TOO_SMALL);
}

#[test]
fn a_struct_across_two_pages_is_served() {
    let sim = sim();
    let app = sim.open();
    let address = app.memory().map(2 * PAGE, Access::ReadWrite) + PAGE as u64 - 20;
    app.memory().write(address, Query::new().as_bytes()).unwrap();
    assert_eq!(app.raw(Query::NR, address), Ok(()));
    assert_eq!(status_at(&app, address), Status::OK);
}

#[test]
fn bad_buffers_are_faults_before_the_handler_or_after_it() {
    let sim = sim();
    let app = opened(&sim);
    let memory = app.memory();
    let text = memory.map(PAGE, Access::ReadWrite);
    memory.write(text, b"good").unwrap();
    assert_eq!(answer(&app, &keep(text, 4)), Status::OK);

    let end = text + PAGE as u64;
    for (address, len) in [(0, 4), (end, 4), (end - 2, 4), (KERNEL_AT, 4), (KERNEL_AT - 2, 4), (u64::MAX - 2, 4)] {
        let mut call = keep(address, len);
        call.out_addr = text;
        let request = memory.place(&call);
        assert_eq!(app.raw(Call::NR, request), Err(TransportStatus::FAULT.status()), "input at {address:#x}");
    }
    let read_only = memory.map(PAGE, Access::ReadOnly);
    memory.fill(read_only, b"read").unwrap();
    for (address, runs) in [(KERNEL_AT, false), (read_only, true)] {
        memory.write(text, b"next").unwrap();
        let mut call = keep(text, 4);
        call.out_addr = address;
        let request = memory.place(&call);
        assert_eq!(app.raw(Call::NR, request), Err(TransportStatus::FAULT.status()), "output at {address:#x}");
        // A range that no app can have is refused before the handler; a page only shows when it is written.
        assert_eq!(kept(&app), if runs { *b"next" } else { *b"good" });
    }
}

/// KEPT, as the app sees it.
fn kept(app: &App<TestPlugin>) -> [u8; 4] {
    let room = app.memory().map(PAGE, Access::ReadWrite);
    let mut call = Call::new();
    (call.message, call.out_addr, call.out_len) = (KEPT, room, 4);
    assert_eq!(answer(app, &call), Status::OK);
    app.memory().value(room).unwrap()
}

#[test]
fn a_handle_for_reading_may_only_ask() {
    let sim = sim();
    let app = sim.open_in(&Process::new(1), Mode::Read).unwrap();
    assert_eq!(answer(&app, &Query::new()), Status::OK);
    let address = app.memory().place(&Close::new());
    assert_eq!(app.raw(Close::NR, address), Err(TransportStatus::DENIED.status()));
}

/// Bytes that another thread flips are copied once: what the handler keeps is what it was told the length of.
#[test]
fn bytes_that_change_meanwhile_are_read_once() {
    let seen = Mutex::new(std::collections::BTreeSet::new());
    explore(0..40, |world| {
        let sim = sim();
        let app = opened(&sim);
        let text = app.memory().map(PAGE, Access::ReadWrite);
        app.memory().write(text, b"aaaa").unwrap();
        let mut call = keep(text, 4);
        call.out_addr = text + 8;
        let request = app.memory().place(&call);
        world.scope(|scope| {
            scope.spawn("caller", || assert_eq!(app.raw(Call::NR, request), Ok(())));
            scope.spawn("flipper", || {
                // A kernel call of its own is where the other thread gets in between.
                app.memory().write(text, b"bbbb").unwrap();
                sim.advance(1);
                app.memory().write(text, b"cccc").unwrap();
            });
        });
        let kept = kept(&app);
        assert!([*b"aaaa", *b"bbbb", *b"cccc"].contains(&kept), "{kept:?} was never there");
        seen.lock().unwrap().insert(kept);
    });
    assert!(seen.into_inner().unwrap().len() >= 2, "no schedule got in between");
}

#[test]
fn a_page_that_goes_away_before_the_answer_is_a_fault() {
    let faulted = find(0..100, |world| {
        let sim = sim();
        let app = sim.open();
        let request = app.memory().place(&Query::new());
        world.scope(|scope| {
            scope.spawn("caller", || assert_eq!(app.raw(Query::NR, request), Ok(())));
            scope.spawn("unmapper", || {
                sim.advance(1);
                app.memory().unmap(request, PAGE);
            });
        });
    });
    assert!(faulted.is_some_and(|run| run.failure.is_some_and(|why| why.contains("Fault"))));
}

#[test]
fn handles_of_one_process_share_its_memory() {
    let (sim, other) = (sim(), sim());
    let process = Process::new(9).admin();
    let one = sim.open_in(&process, Mode::ReadWrite).unwrap();
    let two = other.open_in(&process, Mode::ReadWrite).unwrap();
    let address = process.memory().place(&Query::new());
    assert_eq!((one.raw(Query::NR, address), two.raw(Query::NR, address)), (Ok(()), Ok(())));
}

/// An answer that cannot be written any more takes nothing away.
#[test]
fn a_wait_whose_answer_faults_puts_its_notifications_back() {
    let faults = Mutex::new(0);
    explore(0..100, |world| {
        let sim = sim();
        let app = opened(&sim);
        app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
        app.call(RAISE, 0, &1u32.to_le_bytes(), &[], &mut []).unwrap();
        let wait = IntWait { timeout_ns: NO_TIMEOUT, vector: ANY_VECTOR, max: 1, ..IntWait::new() };
        let address = app.memory().place(&wait);
        world.scope(|scope| {
            scope.spawn("waiter", || {
                if app.raw(IntWait::NR, address) == Err(TransportStatus::FAULT.status()) {
                    *faults.lock().unwrap() += 1;
                    assert_eq!(app.int_wait(NO_TIMEOUT, ANY_VECTOR, 1).map(|got| got.got), Ok(1));
                }
            });
            scope.spawn("protector", || {
                sim.advance(1);
                app.memory().protect(address, PAGE, Access::ReadOnly);
            });
        });
        let counters = app.int_count(ANY_VECTOR).unwrap().1;
        assert_eq!((counters.notified, counters.delivered, counters.available), (1, 1, 0));
    });
    assert!(faults.into_inner().unwrap() > 5, "too few waits met the fault");
}

/// Nor does it count twice, or not at all, what it gives back to an enabling that ends.
#[test]
fn a_notification_whose_answer_faults_while_its_enabling_ends_is_lost_and_counted_so() {
    let lost = Mutex::new(0);
    explore(0..80, |world| {
        let sim = sim();
        let app = opened(&sim);
        app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
        app.call(RAISE, 0, &1u32.to_le_bytes(), &[], &mut []).unwrap();
        let wait = IntWait { timeout_ns: NO_TIMEOUT, vector: ANY_VECTOR, max: 1, ..IntWait::new() };
        let address = app.memory().place(&wait);
        world.scope(|scope| {
            scope.spawn("waiter", || _ = app.raw(IntWait::NR, address));
            scope.spawn("protector", || {
                sim.advance(1);
                app.memory().protect(address, PAGE, Access::ReadOnly);
            });
            scope.spawn("ender", || _ = app.int_disable().unwrap());
        });
        let counters = app.int_count(ANY_VECTOR).unwrap().1;
        assert_eq!((counters.delivered + counters.lost, counters.available), (counters.notified, 0));
        *lost.lock().unwrap() += counters.lost;
    });
    assert!(lost.into_inner().unwrap() > 5, "too few were lost");
}

/// Carries `request` out while its memory becomes read-only: how often the answer faulted after the request was taken. `undone` looks then.
fn answer_lost<R: Request + IntoBytes + Immutable>(
    prepared: fn(&Sim<TestPlugin>) -> App<TestPlugin>,
    request: fn() -> R,
    undone: fn(&Sim<TestPlugin>, &App<TestPlugin>),
) -> u32 {
    let faults = Mutex::new(0);
    explore(0..200, |world| {
        let sim = sim();
        let app = prepared(&sim);
        let address = app.memory().place(&request());
        world.scope(|scope| {
            scope.spawn("caller", || {
                if app.raw(R::NR, address) == Err(TransportStatus::FAULT.status()) {
                    let taken = status_at(&app, address) == Status::NO_REPLY;
                    *faults.lock().unwrap() += u32::from(taken);
                    undone(&sim, &app);
                }
            });
            scope.spawn("protector", || {
                sim.advance(1);
                app.memory().protect(address, PAGE, Access::ReadOnly);
            });
        });
        app.memory().protect(address, PAGE, Access::ReadWrite);
    });
    faults.into_inner().unwrap()
}

#[test]
fn an_open_whose_answer_faults_leaves_no_session() {
    let open = || {
        let mut open = Open::new();
        open.abi_major = limits::ABI_MAJOR;
        open.fingerprint = messages::INTERFACE.chain(0);
        open
    };
    let undone =
        |sim: &Sim<TestPlugin>, _: &App<TestPlugin>| assert_eq!(sim.open().query(0).map(|query| query.sessions), Ok(0));
    assert!(answer_lost(Sim::open, open, undone) > 5, "too few answers met the fault");
}

#[test]
fn an_enabling_whose_answer_faults_is_undone() {
    let enable = || IntEnable { kinds: kind::ANY, min: 1, max: 1, ..IntEnable::new() };
    let undone = |_: &Sim<TestPlugin>, app: &App<TestPlugin>| {
        app.int_enable(kind::ANY, 1, 1, &[]).expect("nothing is enabled");
    };
    assert!(answer_lost(opened, enable, undone) > 5, "too few answers met the fault");
}

/// As many calls as there may be are inside by then: what is given back waits until one has left.
#[test]
fn an_enabling_whose_answer_faults_is_undone_also_if_calls_fill_the_gate() {
    let nap = |app: &App<TestPlugin>, ms: u32| app.call(6, 0, &ms.to_le_bytes(), &[], &mut []).map(drop);
    let (faults, full) = (Mutex::new(0), Mutex::new(0));
    explore(0..60, |world| {
        let sim = sim();
        let app = opened(&sim);
        let enable = IntEnable { kinds: kind::ANY, min: 1, max: 1, ..IntEnable::new() };
        let address = app.memory().place(&enable);
        let faulted = AtomicBool::new(false);
        let begins = || while app.query(0).unwrap().calls < limits::MAX_CALLS - 1 {};
        world.scope(|scope| {
            for _ in 1..limits::MAX_CALLS {
                scope.spawn("sleeper", || nap(&app, 50).unwrap());
            }
            scope.spawn("caller", || {
                begins();
                if app.raw(IntEnable::NR, address) == Err(TransportStatus::FAULT.status())
                    && status_at(&app, address) == Status::NO_REPLY
                {
                    *faults.lock().unwrap() += 1;
                    *full.lock().unwrap() += u32::from(sim.now_ns() > 40_000_000);
                    faulted.store(true, Relaxed);
                }
            });
            scope.spawn("last sleeper", || {
                begins();
                while nap(&app, 50) == Err(Status::TOO_MANY_CALLS.into()) {}
            });
            scope.spawn("protector", || {
                begins();
                sim.advance(1);
                app.memory().protect(address, PAGE, Access::ReadOnly);
            });
        });
        app.memory().protect(address, PAGE, Access::ReadWrite);
        if faulted.into_inner() {
            app.int_enable(kind::ANY, 1, 1, &[]).expect("nothing is enabled");
        }
    });
    let (faults, full) = (faults.into_inner().unwrap(), full.into_inner().unwrap());
    assert!(faults > 2 && full > 0, "too few answers met the fault: {faults}, and a full gate: {full}");
}

#[test]
fn a_ring_whose_answer_faults_is_given_back() {
    let opened = |sim: &Sim<TestPlugin>| {
        let app = sim.open();
        let mut open = Open::new();
        (open.abi_major, open.abi_minor, open.features) = (limits::ABI_MAJOR, limits::ABI_MINOR, feature::RING);
        open.fingerprint = messages::INTERFACE.chain(0);
        assert_eq!(answer(&app, &open), Status::OK);
        app
    };
    let setup = || RingSetup { entries: 1, data_len: 8, ..RingSetup::new() };
    let undone = |_: &Sim<TestPlugin>, app: &App<TestPlugin>| {
        let setup = RingSetup { entries: 1, data_len: 8, ..RingSetup::new() };
        assert_eq!(answer(app, &setup), Status::OK);
    };
    assert!(answer_lost(opened, setup, undone) > 5, "too few answers met the fault");
}
