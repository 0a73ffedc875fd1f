//! The order of a request's checks: a request with two faults at once gets the answer of the one that the page has first.
use super::{
    card::REFUSE,
    scene::{NO_APPS, Place, Scene, open},
};
use kp_abi::{
    Status, TransportStatus, limits,
    request::{
        ANY_VECTOR, BufferRegister, BufferRelease, CALL_NOWAIT, Call, Close, IntCount, IntDisable, IntEnable, IntWait,
        Open, Query, Request, RingEnter, RingSetup, RingTeardown, Schema, access, kind,
    },
};
use kp_sim::{Mode, PAGE};

/// One check of a request.
struct Check<R> {
    /// What the page says of it.
    says: &'static str,
    status: Status,
    /// One of those that the page lists once: see [`no_session`].
    is_no_session: bool,
    /// What of a scene the fault needs for itself: two that need the same cannot be there at once.
    needs: &'static [&'static str],
    fault: fn(&mut Scene<R>),
}

const FAULT: Status = TransportStatus::FAULT.status();
const UNKNOWN_REQUEST: Status = TransportStatus::UNKNOWN_REQUEST.status();

macro_rules! checks {
    ($($says:literal, $status:expr, [$($needs:literal),*], $fault:expr;)*) => {
        vec![$(Check { says: $says, status: $status, is_no_session: false, needs: &[$($needs),*], fault: $fault }),*]
    };
}

/// One after the other.
fn joined<R, const N: usize>(checks: [Vec<Check<R>>; N]) -> Vec<Check<R>> {
    checks.into_iter().flatten().collect()
}

/// Of every request, first. V is the size of its first version, K that which the driver knows.
fn first<R: Request>() -> Vec<Check<R>> {
    checks! {
        "its number, method or size in the code is no request's", UNKNOWN_REQUEST, ["nr"], |scene| scene.nr = 99;
        "the struct's first V bytes cannot be read, or its head not written", FAULT, ["place"],
            |scene| scene.place = Place::ReadOnly;
        "`size` is below V", Status::TOO_SMALL, ["size"], |scene| scene.request.head().size = 15;
        "`size` is above 4096", Status::TOO_LARGE, ["size"], |scene| scene.request.head().size = 4097;
        "what is behind the first V bytes cannot be read", FAULT, ["size", "place"], |scene| {
            scene.place = Place::EndsWithPage;
            scene.request.head().size = R::FIRST_SIZE as u32 + 8;
        };
        "a byte from K on is not zero", Status::UNKNOWN_TAIL, ["size"], |scene| {
            scene.request.head().size = size_of::<R>() as u32 + 8;
            scene.has_tail = true;
        };
        "a flag that the driver does not know is set", Status::UNKNOWN_FLAG, ["flags"],
            |scene| scene.request.head().flags |= 1 << 31;
    }
}

/// Of every request but QUERY, INT_COUNT and SCHEMA.
fn access<R: Request>() -> Vec<Check<R>> {
    checks! {
        "the handle is not open for reading and writing", TransportStatus::DENIED.status(), ["mode"],
            |scene| scene.world.mode = Mode::Read;
    }
}

/// Why there is no session.
fn no_session<R: Request>() -> Vec<Check<R>> {
    let mut checks = checks! {
        "the plugin has panicked", Status::POISONED, ["panic", "calls", "waits"], |scene| {
            scene.world.has_panicked = true;
            scene.world.is_open = false;
        };
        "the device is gone", Status::DEVICE_GONE, ["gone", "sleep", "calls", "waits"],
            |scene| scene.world.is_gone = true;
        "CLOSE came", Status::CLOSED, ["session", "mode", "calls", "waits", "own"],
            |scene| scene.world.is_closed = true;
        "OPEN did not come", Status::NOT_OPEN, ["session", "calls", "waits", "own"],
            |scene| scene.world.is_open = false;
    };
    checks.iter_mut().for_each(|check| check.is_no_session = true);
    checks
}

/// The session is open, and its plugin has panicked.
fn panicked<R: Request>() -> Vec<Check<R>> {
    checks! {
        "the plugin has panicked", Status::POISONED, ["panic", "calls", "waits"],
            |scene| scene.world.has_panicked = true;
    }
}

fn too_many_calls<R: Request>() -> Vec<Check<R>> {
    checks! {
        "as many calls as may be are in flight", Status::TOO_MANY_CALLS, ["calls", "sleep", "gone", "panic", "mode"],
            |scene| scene.world.calls_are_full = true;
    }
}

fn query() -> Vec<Check<Query>> {
    checks! { "`reserved` is not zero", Status::BAD_FIELD, [], |scene| scene.request.reserved = 1; }
}

fn opening() -> Vec<Check<Open>> {
    checks! {
        "`reserved` is not zero", Status::BAD_FIELD, [], |scene| scene.request.reserved = 1;
        "`data_len` is above the limit", Status::PAYLOAD_TOO_LARGE, ["len"],
            |scene| scene.request.data_len = limits::MAX_OPEN_DATA as u32 + 1;
        "`data_addr` can be no app's", FAULT, ["address"], |scene| {
            scene.request.data_addr = NO_APPS;
            scene.request.data_len = scene.request.data_len.max(8);
        };
        "the data cannot be read", FAULT, ["address"], |scene| {
            scene.request.data_addr = scene.nothing();
            scene.request.data_len = scene.request.data_len.max(8);
        };
        "`abi_major` is not the driver's", Status::ABI_MISMATCH, [], |scene| scene.request.abi_major += 1;
        "`message_count` or `fingerprint` do not fit", Status::INTERFACE_MISMATCH, [],
            |scene| scene.request.fingerprint ^= 1;
        "the plugin has panicked", Status::POISONED, ["panic"], |scene| scene.world.has_panicked = true;
        "the device is gone", Status::DEVICE_GONE, ["gone"], |scene| scene.world.is_gone = true;
        "OPEN came before", Status::ALREADY_OPEN, ["session", "mode"], |scene| scene.world.is_open = true;
        "CLOSE came before", Status::CLOSED, ["session", "mode"], |scene| scene.world.is_closed = true;
        "as many sessions as may be are open", Status::TOO_MANY_SESSIONS, [],
            |scene| scene.world.sessions_are_full = true;
        "the plugin refuses", Status::PLUGIN_ERROR, ["address", "len"], |scene| {
            scene.request.data_addr = scene.bytes(REFUSE);
            scene.request.data_len = REFUSE.len() as u32;
        };
    }
}

fn call() -> Vec<Check<Call>> {
    joined([
        checks! {
        "`args_len`, `in_len` or `out_len` is above the limit", Status::PAYLOAD_TOO_LARGE, ["in_len"],
            |scene| scene.request.in_len = limits::MAX_DATA as u32 + 1;
        "an address can be no app's", FAULT, ["in_addr"], |scene| {
            scene.request.in_addr = NO_APPS;
            scene.request.in_len = scene.request.in_len.max(1);
        };
        },
        no_session(),
        too_many_calls(),
        checks! {
        "arguments or data cannot be read", FAULT, ["in_addr"], |scene| {
            scene.request.in_addr = scene.nothing();
            scene.request.in_len = scene.request.in_len.max(1);
        };
        },
        panicked(),
        checks! {
        "the device sleeps or is being reset, and the flag is `CALL_NOWAIT`", Status::SUSPENDED,
            ["sleep", "gone", "panic", "calls"], |scene| {
            scene.world.sleeps = true;
            scene.request.head.flags |= CALL_NOWAIT;
        };
        },
        checks! {
        "no such message, or it was retired", Status::UNKNOWN_MESSAGE, ["message"], |scene| scene.request.message = 99;
        "an argument is no value of its type", Status::BAD_VALUE, ["is_loud"], |scene| {
            let args = scene.bytes(&[2, 0, 0]);
            // What is behind `is_loud` stays.
            scene.request.args_addr = args;
        };
        "bytes are left over", Status::INPUT_LENGTH, ["args_len"], |scene| scene.request.args_len = 3;
        "the reply does not fit", Status::OUTPUT_LENGTH, ["out_len"], |scene| scene.request.out_len = 3;
        "the plugin refuses", Status::PLUGIN_ERROR, ["is_loud"],
            |scene| scene.request.args_addr = scene.bytes(&[0, 1, 0]);
        "the room for the reply cannot be written", FAULT, ["out_addr"],
            |scene| scene.request.out_addr = scene.nothing();
        },
    ])
}

fn close() -> Vec<Check<Close>> {
    checks! { "CLOSE came before, and the device is there", Status::CLOSED, ["mode"], |scene| scene.world.is_closed = true; }
}

fn int_enable() -> Vec<Check<IntEnable>> {
    joined([
        checks! {
        "`kinds` is 0 or has an unknown bit, `min` is 0 or above `max`, or `max` above 2048", Status::BAD_FIELD, ["max"],
            |scene| scene.request.max = limits::MAX_VECTORS + 1;
        },
        no_session(),
        checks! {
        "the plugin has no interrupt, or serves no such number of vectors", Status::NO_INTERRUPT, ["max"],
            |scene| (scene.request.min, scene.request.max) = (33, 33);
        "`data_len` is above the limit", Status::PAYLOAD_TOO_LARGE, ["len"],
            |scene| scene.request.data_len = limits::MAX_OPEN_DATA as u32 + 1;
        "`data_addr` can be no app's", FAULT, ["address"], |scene| {
            scene.request.data_addr = NO_APPS;
            scene.request.data_len = scene.request.data_len.max(8);
        };
        "the data cannot be read", FAULT, ["address"], |scene| {
            scene.request.data_addr = scene.nothing();
            scene.request.data_len = scene.request.data_len.max(8);
        };
        },
        panicked(),
        too_many_calls(),
        checks! {
        "this session has enabled it", Status::ALREADY_ENABLED, ["owner", "own"], |scene| scene.world.owner = 1;
        "another session has enabled it", Status::INTERRUPT_OWNED, ["owner"], |scene| scene.world.owner = 2;
        "the device or the machine has not as many vectors", Status::NO_INTERRUPT, ["max"], |scene| {
            (scene.request.kinds, scene.request.min, scene.request.max) = (kind::LINE, 2, 2);
        };
        "the plugin refuses", Status::PLUGIN_ERROR, ["address", "len"], |scene| {
            scene.request.data_addr = scene.bytes(REFUSE);
            scene.request.data_len = REFUSE.len() as u32;
        };
        },
    ])
}

fn int_wait() -> Vec<Check<IntWait>> {
    joined([
        checks! { "`max` is 0", Status::BAD_FIELD, [], |scene| scene.request.max = 0; },
        no_session(),
        panicked(),
        checks! {
        "no session has enabled the interrupt", Status::NOT_ENABLED, ["owner"], |scene| scene.world.owner = 0;
        "another session has", Status::INTERRUPT_OWNED, ["owner"], |scene| scene.world.owner = 2;
        "as many waits as may be are pending", Status::TOO_MANY_WAITS, ["waits", "owner", "panic", "mode"],
            |scene| scene.world.waits_are_full = true;
        "no such vector", Status::BAD_VECTOR, [], |scene| scene.request.vector = 1;
        },
    ])
}

fn int_count() -> Vec<Check<IntCount>> {
    joined([
        checks! { "`reserved` is not zero", Status::BAD_FIELD, [], |scene| scene.request.reserved = 1; },
        no_session(),
        panicked(),
        checks! { "no such vector", Status::BAD_VECTOR, [], |scene| scene.request.vector = 1; },
    ])
}

fn int_disable() -> Vec<Check<IntDisable>> {
    joined([
        no_session(),
        panicked(),
        too_many_calls(),
        checks! {
        "no session has enabled the interrupt", Status::NOT_ENABLED, ["owner"], |scene| scene.world.owner = 0;
        "another session has", Status::INTERRUPT_OWNED, ["owner"], |scene| scene.world.owner = 2;
        },
    ])
}

fn no_buffers<R: Request>() -> Vec<Check<R>> {
    joined([
        no_session(),
        panicked(),
        checks! {
        "OPEN has not granted buffers", UNKNOWN_REQUEST, ["buffer"], |scene| {
            scene.world.features = 0;
            scene.world.has_buffer = false;
        };
        },
    ])
}

fn buffer_register() -> Vec<Check<BufferRegister>> {
    joined([
        no_buffers(),
        checks! {
        "`addr`, `len`, `buffer` or `access` cannot be, or `reserved` is not zero", Status::BAD_FIELD, ["address"],
            |scene| scene.request.addr += 1;
        "`addr`, `len`, `buffer` or `access` cannot be, or `reserved` is not zero", Status::BAD_FIELD, ["buffer"],
            |scene| scene.request.buffer = limits::MAX_BUFFERS;
        "`addr`, `len`, `buffer` or `access` cannot be, or `reserved` is not zero", Status::BAD_FIELD, [],
            |scene| scene.request.access = 7;
        "`addr`, `len`, `buffer` or `access` cannot be, or `reserved` is not zero", Status::BAD_FIELD, [],
            |scene| scene.request.reserved = 1;
        "`len` is above `MAX_BUFFER`", Status::PAYLOAD_TOO_LARGE, ["len"],
            |scene| scene.request.len = limits::MAX_BUFFER + PAGE as u64;
        "the memory can be no app's", FAULT, ["address"], |scene| scene.request.addr = NO_APPS;
        "the session has a buffer of this number", Status::BUFFER_IN_USE, ["buffer"],
            |scene| scene.world.has_buffer = true;
        "a page is not mapped, or not as `access` needs it", FAULT, ["address"],
            |scene| scene.request.addr = scene.nothing();
        },
    ])
}

fn buffer_release() -> Vec<Check<BufferRelease>> {
    joined([
        no_buffers(),
        checks! {
        "`reserved` is not zero", Status::BAD_FIELD, [], |scene| scene.request.reserved = 1;
        "the session has none of this number", Status::NO_BUFFER, ["buffer"], |scene| scene.world.has_buffer = false;
        },
    ])
}

fn not_granted<R: Request>() -> Vec<Check<R>> {
    joined([
        no_session(),
        panicked(),
        checks! {
        "OPEN has not granted rings", UNKNOWN_REQUEST, ["ring"], |scene| {
            scene.world.features = 0;
            scene.world.has_ring = false;
            scene.world.ring_buffer = None;
        };
        },
    ])
}

fn ring_setup() -> Vec<Check<RingSetup>> {
    joined([
        not_granted(),
        checks! {
        "`reserved` or `reserved_2` is not zero", Status::BAD_FIELD, [], |scene| scene.request.reserved = 1;
        "`reserved` or `reserved_2` is not zero", Status::BAD_FIELD, [], |scene| scene.request.reserved_2 = 1;
        "`entries` or `data_len` cannot be", Status::BAD_FIELD, [], |scene| scene.request.entries = 3;
        "`buffer` is 0, where a ring is made of a buffer only", Status::BAD_FIELD, ["number"], |scene| {
            scene.world.no_mmap = true;
            scene.request.buffer = 0;
        };
        "there is a ring", Status::RING_EXISTS, ["ring"], |scene| scene.world.has_ring = true;
        "the session has no such buffer", Status::NO_BUFFER, ["number"], |scene| scene.request.buffer = 3;
        "the buffer is for reading", Status::READ_ONLY, ["access"], |scene| {
            scene.world.ring_buffer = scene.world.ring_buffer.map(|(pages, _)| (pages, access::READ));
        };
        "the buffer is shorter than the ring", Status::BAD_FIELD, ["pages"], |scene| {
            scene.world.ring_buffer = scene.world.ring_buffer.map(|(_, access)| (1, access));
        };
        },
    ])
}

fn no_ring<R: Request>() -> Vec<Check<R>> {
    joined([
        not_granted(),
        checks! { "there is none", Status::NO_RING, ["ring"], |scene| scene.world.has_ring = false; },
    ])
}

fn schema() -> Vec<Check<Schema>> {
    checks! {
        "`offset` is above the length of the whole", Status::BAD_FIELD, [], |scene| scene.request.offset = u32::MAX;
        "`len` is above the limit", Status::PAYLOAD_TOO_LARGE, ["len"],
            |scene| scene.request.len = limits::MAX_DATA as u32 + 1;
        "`addr` can be no app's", FAULT, ["address"], |scene| scene.request.addr = NO_APPS;
        "the room cannot be written", FAULT, ["address"], |scene| scene.request.addr = scene.nothing();
    }
}

/// Two faults of one scene, or none and one.
fn answer<R: Request>(good: &impl Fn() -> Scene<R>, faults: &[&Check<R>]) -> Status {
    let mut scene = good();
    faults.iter().for_each(|check| (check.fault)(&mut scene));
    scene.status()
}

/// Sees which of two faults is answered, for any two that can be there at once. `good`: a request without a fault, which is answered `ends`.
fn check<R: Request>(good: impl Fn() -> Scene<R>, ends: Status, checks: &[Check<R>]) {
    assert_eq!(good().status(), ends, "{}: without a fault", R::INFO.name);
    for (i, one) in checks.iter().enumerate() {
        assert_eq!(answer(&good, &[one]), one.status, "{}: {}", R::INFO.name, one.says);
        for later in &checks[i + 1..] {
            if later.needs.iter().any(|need| one.needs.contains(need)) {
                continue;
            }
            let status = answer(&good, &[one, later]);
            assert_eq!(status, one.status, "{}: {}, and {}", R::INFO.name, one.says, later.says);
        }
    }
}

/// Every request's checks: those of all come first.
fn all<R: Request>(own: Vec<Check<R>>) -> Vec<Check<R>> {
    let needs_access = R::INFO.access == kp_abi::request::Access::ReadWrite;
    joined([first(), if needs_access { access() } else { Vec::new() }, own])
}

fn good<R: Request>(request: R) -> impl Fn() -> Scene<R> {
    move || Scene::new(request)
}

/// The same, in a session that has enabled the interrupt.
fn enabled<R: Request>(request: R) -> impl Fn() -> Scene<R> {
    move || {
        let mut scene = Scene::new(request);
        scene.world.owner = 1;
        scene
    }
}

/// The same, in a session with a ring.
fn ringed<R: Request>(request: R) -> impl Fn() -> Scene<R> {
    move || {
        let mut scene = Scene::new(request);
        scene.world.has_ring = true;
        scene
    }
}

#[test]
fn query_is_checked_in_the_pages_order() {
    check(good(Query::new()), Status::OK, &all(query()));
}

#[test]
fn open_is_checked_in_the_pages_order() {
    let good = || {
        let mut scene = Scene::new(open(0));
        scene.world.is_open = false;
        scene
    };
    check(good, Status::OK, &all(opening()));
}

#[test]
fn call_is_checked_in_the_pages_order() {
    let good = || {
        let mut scene = Scene::new(Call { message: 1, args_len: 2, out_len: 4, ..Call::new() });
        scene.request.args_addr = scene.bytes(&[0; 3]);
        scene.request.out_addr = scene.bytes(&[0; 4]);
        scene
    };
    check(good, Status::OK, &all(call()));
}

#[test]
fn close_is_checked_in_the_pages_order() {
    check(good(Close::new()), Status::OK, &all(close()));
}

#[test]
fn int_enable_is_checked_in_the_pages_order() {
    check(good(IntEnable { kinds: kind::ANY, min: 1, max: 1, ..IntEnable::new() }), Status::OK, &all(int_enable()));
}

#[test]
fn int_wait_is_checked_in_the_pages_order() {
    check(enabled(IntWait { vector: ANY_VECTOR, max: 1, ..IntWait::new() }), Status::TIMEOUT, &all(int_wait()));
}

#[test]
fn int_count_is_checked_in_the_pages_order() {
    check(enabled(IntCount { vector: ANY_VECTOR, ..IntCount::new() }), Status::OK, &all(int_count()));
}

#[test]
fn int_disable_is_checked_in_the_pages_order() {
    check(enabled(IntDisable::new()), Status::OK, &all(int_disable()));
}

#[test]
fn buffer_requests_are_checked_in_the_pages_order() {
    let good = || {
        let mut scene = Scene::new(BufferRegister { len: PAGE as u64, access: access::WRITE, ..BufferRegister::new() });
        scene.request.addr = scene.bytes(&[0]);
        scene
    };
    check(good, Status::OK, &all(buffer_register()));
    let good = || {
        let mut scene = Scene::new(BufferRelease::new());
        scene.world.has_buffer = true;
        scene
    };
    check(good, Status::OK, &all(buffer_release()));
}

#[test]
fn ring_requests_are_checked_in_the_pages_order() {
    let good = || {
        let mut scene = Scene::new(RingSetup { entries: 4, buffer: 1, ..RingSetup::new() });
        scene.world.ring_buffer = Some((2, access::WRITE));
        scene
    };
    check(good, Status::OK, &all(ring_setup()));
    check(ringed(RingEnter::new()), Status::OK, &all(no_ring()));
    check(ringed(RingTeardown::new()), Status::OK, &all(no_ring()));
}

#[test]
fn schema_is_checked_in_the_pages_order() {
    let good = || {
        let mut scene = Scene::new(Schema { len: 64, ..Schema::new() });
        scene.request.addr = scene.bytes(&[0; 64]);
        scene
    };
    check(good, Status::OK, &all(schema()));
}

/// The table's rows of one request. Without a session, one row stands for the reasons.
fn rows<R>(name: &str, checks: &[Check<R>]) -> String {
    let mut rows: Vec<(&str, String)> = Vec::new();
    for check in checks {
        let row = match check.is_no_session {
            true => ("there is no open session", "as above".to_owned()),
            false => (check.says, format!("{:?}", check.status)),
        };
        if rows.last() != Some(&row) {
            rows.push(row);
        }
    }
    let lines = rows.iter().enumerate().map(|(i, (says, status))| {
        let name = if i == 0 { name } else { "" };
        format!("| {name} | {says} | {status} |\n").replace("|  |", "| |")
    });
    lines.collect()
}

#[test]
fn the_page_has_the_orders_that_are_tested() {
    let mut no_session = no_session::<Query>();
    no_session.iter_mut().for_each(|check| check.is_no_session = false);
    let table = ["| request | what is looked at, in this order | status |\n|---|---|---|\n".to_owned()]
        .into_iter()
        .chain([
            rows("all", &first::<Query>()),
            rows("all but Query, IntCount and Schema", &access::<Open>()),
            rows("why there is no open session", &no_session),
            rows("Query", &query()),
            rows("Open", &opening()),
            rows("Call", &call()),
            rows("Close", &close()),
            rows("IntEnable", &int_enable()),
            rows("IntWait", &int_wait()),
            rows("IntCount", &int_count()),
            rows("IntDisable", &int_disable()),
            rows("BufferRegister", &buffer_register()),
            rows("BufferRelease", &buffer_release()),
            rows("RingSetup", &ring_setup()),
            rows("RingEnter, RingTeardown", &no_ring::<RingEnter>()),
            rows("Schema", &schema()),
        ])
        .collect::<String>();
    let page = include_str!("../../../docs/abi.md");
    assert!(page.contains(&format!("\n{table}\n")), "docs/abi.md lacks this table:\n{table}");
}
