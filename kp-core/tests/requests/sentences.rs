//! Single sentences of the page, each a test.
use super::{
    card::{Card, messages},
    scene::{NO_APPS, open},
};
use kp_abi::{
    Interface, Status, TransportStatus, limits,
    request::{
        ANY_VECTOR, BufferRegister, BufferRelease, Call, Close, Head, IntCount, IntDisable, IntEnable, IntWait, Open,
        Query, Request, RingEnter, RingSetup, RingTeardown, Schema, access, feature, kind,
    },
};
use kp_core::*;
use kp_sim::{App, Mode, Process, Sim, edu::Edu};
use kp_user::Connection;

fn sim() -> Sim<Card> {
    Sim::with(Edu::new()).unwrap()
}

fn session(sim: &Sim<Card>) -> App<Card> {
    let app = sim.open();
    Connection::open(&app, &mut open(0), &[]).unwrap();
    app
}

/// Sends a request as it is: its answer.
fn send<P: Plugin, R: Request>(app: &App<P>, request: R) -> (Status, R) {
    let at = app.memory().place(&request);
    let status = match app.raw(R::NR, at) {
        Ok(()) => Status(app.memory().value::<Head>(at).unwrap().status),
        Err(status) => status,
    };
    (status, app.memory().value(at).unwrap())
}

fn enable(kinds: u32, min: u32, max: u32) -> IntEnable {
    IntEnable { kinds, min, max, ..IntEnable::new() }
}

fn count() -> IntCount {
    IntCount { vector: ANY_VECTOR, ..IntCount::new() }
}

fn wait() -> IntWait {
    IntWait { vector: ANY_VECTOR, max: 1, ..IntWait::new() }
}

/// OPEN needs both rights: a handle without one is of no use for INT_COUNT either, which is answered.
#[test]
fn a_handle_for_reading_never_has_a_count() {
    let sim = sim();
    let app = sim.open_in(&Process::new(1), Mode::Read).unwrap();
    let denied = kp_abi::TransportStatus::DENIED.status();
    assert_eq!(send(&app, Query::new()).0, Status::OK);
    assert_eq!(send(&app, Schema::new()).0, Status::OK);
    assert_eq!(send(&app, count()).0, Status::NOT_OPEN);
    assert_eq!(send(&app, open(0)).0, denied);
    assert_eq!(send(&app, Call::new()).0, denied);
    assert_eq!(send(&app, Close::new()).0, denied);
    assert_eq!(send(&app, enable(kind::ANY, 1, 1)).0, denied);
    assert_eq!(send(&app, wait()).0, denied);
    assert_eq!(send(&app, IntDisable::new()).0, denied);
    assert_eq!(send(&app, RingSetup::new()).0, denied);
    assert_eq!(send(&app, RingEnter::new()).0, denied);
    assert_eq!(send(&app, RingTeardown::new()).0, denied);
    assert_eq!(send(&app, BufferRegister::new()).0, denied);
    assert_eq!(send(&app, BufferRelease::new()).0, denied);
}

#[test]
fn open_answers_the_minor_version_that_is_spoken() {
    let sim = sim();
    let answer = |request: Open| {
        let (status, answer) = send(&sim.open(), request);
        (status, answer.abi_major, answer.abi_minor)
    };
    let (major, minor) = (limits::ABI_MAJOR, limits::ABI_MINOR);
    let old = Open { abi_minor: 0, ..open(0) };
    assert_eq!(answer(old), (Status::OK, major, 0));
    assert_eq!(answer(Open { abi_minor: 99, ..open(0) }), (Status::OK, major, minor));
    assert_eq!(answer(Open { fingerprint: 0, ..old }), (Status::INTERFACE_MISMATCH, major, 0));
    assert_eq!(answer(Open { abi_major: 9, ..old }), (Status::ABI_MISMATCH, major, minor), "the driver's");
}

/// What an app of an older version asks for it is granted as that version knew it, or not at all.
#[test]
fn open_grants_what_the_spoken_version_has_in_the_drivers_form() {
    const RING: u64 = feature::RING;
    const DIRECT: u64 = feature::DIRECT;
    const BUFFERS: u64 = feature::BUFFERS;
    const SCHEMA: u64 = feature::SCHEMA;
    let (mapping, lending) = (sim(), Sim::<Card>::builder().device(Edu::new()).no_mmap().build().unwrap());
    let granted = |sim: &Sim<Card>, abi_minor| {
        let (status, answer) = send(&sim.open(), Open { abi_minor, ..open(u64::MAX) });
        assert_eq!(status, Status::OK);
        answer.features
    };
    for (minor, mapped, lent) in [
        (0, 0, 0),
        (1, RING | DIRECT, DIRECT),
        (2, RING | DIRECT, DIRECT),
        (3, RING | DIRECT | BUFFERS, RING | DIRECT | BUFFERS),
        (4, RING | DIRECT | BUFFERS | SCHEMA, RING | DIRECT | BUFFERS | SCHEMA),
        (99, RING | DIRECT | BUFFERS | SCHEMA, RING | DIRECT | BUFFERS | SCHEMA),
    ] {
        assert_eq!(granted(&mapping, minor), mapped, "1.{minor}, a kernel that maps");
        assert_eq!(granted(&lending, minor), lent, "1.{minor}, a kernel that does not");
    }
    assert_eq!(limits::ABI_MINOR, 4, "a new version may have new ones");
}

#[test]
fn a_handle_has_one_session_in_its_life() {
    let sim = sim();
    let fresh = sim.open();
    assert_eq!(send(&fresh, Close::new()).0, Status::OK, "CLOSE before OPEN");
    for handle in [&fresh, &{
        let app = session(&sim);
        assert_eq!(send(&app, Close::new()).0, Status::OK);
        app
    }] {
        assert_eq!(send(handle, open(0)).0, Status::CLOSED);
        assert_eq!(send(handle, Call::new()).0, Status::CLOSED);
        assert_eq!(send(handle, Close::new()).0, Status::CLOSED);
    }
    assert_eq!(send(&sim.open(), open(0)).0, Status::OK, "a new handle has a new one");
    sim.remove(true);
    assert_eq!(send(&fresh, Close::new()).0, Status::OK, "CLOSE after the device has gone");
}

#[test]
fn int_enable_takes_no_more_than_there_can_be() {
    let sim = sim();
    let app = session(&sim);
    let refused = [
        enable(0, 1, 1),
        enable(kind::ANY | 8, 1, 1),
        enable(kind::ANY, 0, 1),
        enable(kind::ANY, 2, 1),
        enable(kind::ANY, 1, limits::MAX_VECTORS + 1),
        enable(kind::ANY, 1, u32::MAX),
    ];
    for request in refused {
        assert_eq!(send(&app, request).0, Status::BAD_FIELD, "{request:?}");
    }
    let (status, answer) = send(&app, enable(kind::ANY, 1, limits::MAX_VECTORS));
    assert_eq!((status, answer.count), (Status::OK, 1), "all that there are");
}

#[test]
fn who_has_not_enabled_the_interrupt_does_not_wait_for_it() {
    let sim = sim();
    let (owner, other) = (session(&sim), session(&sim));
    let of_other = || (send(&other, wait()).0, send(&other, IntDisable::new()).0);
    assert_eq!(of_other(), (Status::NOT_ENABLED, Status::NOT_ENABLED));
    assert_eq!(send(&owner, enable(kind::ANY, 1, 1)).0, Status::OK);
    assert_eq!(of_other(), (Status::INTERRUPT_OWNED, Status::INTERRUPT_OWNED));
    assert_eq!(send(&other, enable(kind::ANY, 1, 1)).0, Status::INTERRUPT_OWNED);
    owner.call(3, 0, &[], &[], &mut []).unwrap();
    let counted = |app: &App<Card>| {
        let (status, count) = send(app, count());
        (status, count.generation, count.counters)
    };
    assert_eq!(counted(&other), counted(&owner), "any open session sees the device's counters");
    assert_eq!(counted(&other).2.received, 1);
    assert_eq!(send(&owner, IntDisable::new()).0, Status::OK);
    assert_eq!(counted(&other).2.lost, 1, "the last enabling's, until the next one");
}

#[test]
fn a_buffer_is_known_from_its_registration_to_its_release_by_its_session_alone() {
    let sim = sim();
    let [one, two] = [(); 2].map(|()| {
        let app = sim.open();
        Connection::open(&app, &mut open(feature::BUFFERS), &[]).unwrap();
        app
    });
    let addr = one.memory().map(2 * kp_sim::PAGE, kp_sim::Access::ReadWrite);
    let known = |app: &App<Card>, buffer: u32| app.call(5, 0, &buffer.to_le_bytes(), &[], &mut []).map(|_| ());
    let none = Err(Status::NO_BUFFER.into());
    assert_eq!(known(&one, 3), none);
    let of = BufferRegister { addr, len: 4096, buffer: 3, access: access::WRITE, ..BufferRegister::new() };
    assert_eq!(send(&one, of).0, Status::OK);
    assert_eq!([known(&one, 3), known(&two, 3), known(&one, 2), known(&one, 4)], [Ok(()), none, none, none]);
    assert_eq!(send(&two, BufferRelease { buffer: 3, ..BufferRelease::new() }).0, Status::NO_BUFFER);
    assert_eq!(send(&one, BufferRelease { buffer: 3, ..BufferRelease::new() }).0, Status::OK);
    assert_eq!(known(&one, 3), none);
    assert_eq!(send(&one, BufferRegister { addr: addr + 4096, ..of }).0, Status::OK, "the number is free at once");
}

#[test]
fn the_schema_is_told_in_every_state_whole_or_in_parts() {
    let sim = sim();
    let (app, other) = (sim.open(), session(&sim));
    let whole = |app: &App<Card>| kp_user::schema(app).unwrap();
    assert_eq!(whole(&app), messages::SCHEMA, "before OPEN");
    assert_eq!(whole(&other), messages::SCHEMA);
    let total = messages::SCHEMA.len() as u32;
    for (offset, len, written) in [(0, 0, 0), (0, 3, 3), (7, total, total - 7), (total - 1, 2, 1), (total, 5, 0)] {
        let addr = app.memory().map(len as usize + 1, kp_sim::Access::ReadWrite);
        let (status, answer) = send(&app, Schema { offset, len, addr, ..Schema::new() });
        let told = (answer.written, answer.total, answer.fingerprint);
        assert_eq!((status, told), (Status::OK, (written, total, messages::INTERFACE.fingerprint())), "{offset} {len}");
        let mut bytes = vec![0; len as usize + 1];
        app.memory().read(addr, &mut bytes).unwrap();
        let part = &messages::SCHEMA[offset as usize..][..written as usize];
        assert_eq!(bytes, [part, &vec![0; bytes.len() - part.len()]].concat(), "and nothing behind");
    }
    assert_eq!(send(&app, Schema { addr: NO_APPS, ..Schema::new() }).0, Status::OK, "no room has no address");
    let (status, answer) = send(&app, Schema { offset: total + 1, ..Schema::new() });
    assert_eq!((status, answer.written), (Status::BAD_FIELD, 0));
    sim.suspend();
    assert_eq!(whole(&app), messages::SCHEMA, "of a device that sleeps");
    sim.resume();
    other.close().unwrap();
    assert_eq!(whole(&other), messages::SCHEMA, "after CLOSE");
    sim.remove(true);
    assert_eq!(whole(&app), messages::SCHEMA, "of a device that has gone");
    panic(&sim);
    assert_eq!(whole(&app), messages::SCHEMA, "of a plugin that has panicked");
}

#[test]
fn a_plugin_without_an_interface_has_no_schema() {
    let app = Sim::<ignores_data::Quiet>::new().unwrap().open();
    assert_eq!(send(&app, Schema::new()).0, TransportStatus::UNKNOWN_REQUEST.status());
    assert_eq!(kp_user::schema(&app), Err(TransportStatus::UNKNOWN_REQUEST.status().into()));
}

/// What poll(2) is made of: see also the guest's test.
#[test]
fn a_handle_is_readable_for_the_owner_and_over_with_its_session() {
    let sim = sim();
    let (fresh, owner, other) = (sim.open(), session(&sim), session(&sim));
    let ready = |app: &App<Card>| (app.readiness().notification, app.readiness().over);
    owner.int_enable(kind::ANY, 1, 1, &[]).unwrap();
    assert_eq!([&fresh, &owner, &other].map(ready), [(false, false); 3]);
    owner.call(3, 0, &[], &[], &mut []).unwrap();
    assert_eq!([&fresh, &owner, &other].map(ready), [(false, false), (true, false), (false, false)]);
    owner.int_disable().unwrap();
    assert_eq!(ready(&owner), (false, false), "what nobody has taken is lost");
    owner.close().unwrap();
    fresh.close().unwrap();
    assert_eq!([&fresh, &owner, &other].map(ready), [(false, true), (false, true), (false, false)]);
    sim.remove(true);
    assert_eq!(ready(&other), (false, true));
}

#[test]
fn a_struct_may_be_as_long_as_the_limit_if_the_rest_is_zeros() {
    const LIMIT: usize = limits::MAX_REQUEST;
    let sim = sim();
    let app = sim.open();
    let address = app.memory().map(LIMIT + 8, kp_sim::Access::ReadWrite);
    app.memory().write(address + LIMIT as u64, &[0xFF; 8]).unwrap(); // is none of it
    let answer = |size: usize| {
        app.memory().write(address, &(size as u32).to_le_bytes()).unwrap();
        assert_eq!(app.raw(Query::NR, address), Ok(()));
        Status(app.memory().value::<Head>(address).unwrap().status)
    };
    assert_eq!([LIMIT, LIMIT + 1].map(answer), [Status::OK, Status::TOO_LARGE]);
    for at in [LIMIT - 1, LIMIT / 2] {
        app.memory().write(address + at as u64, &[1]).unwrap();
        assert_eq!(answer(LIMIT), Status::UNKNOWN_TAIL, "at {at}");
        app.memory().write(address + at as u64, &[0]).unwrap();
    }
}

#[test]
fn query_says_what_there_is_and_an_open_that_is_refused_which_abi_it_is() {
    let (sim, quiet) = (sim(), Sim::<ignores_data::Quiet>::new().unwrap());
    let app = sim.open();
    for at in 0..3 {
        let query = send(&app, Query { chain_at: at, ..Query::new() }).1;
        assert_eq!((query.chain_at, query.chain), (at, messages::INTERFACE.chain(at as usize)));
    }
    let ring = |query: Query| (query.features & feature::RING, query.max_ring_entries, query.max_ring_memory);
    let wanted = (feature::RING, limits::MAX_RING_ENTRIES, limits::MAX_RING_MEMORY as u32);
    assert_eq!(ring(send(&app, Query::new()).1), wanted);
    assert_eq!(ring(send(&quiet.open(), Query::new()).1), wanted, "without an interface too");

    let both = [send(&app, Query::new()).1, send(&quiet.open(), Query::new()).1];
    let features = both.map(|query| query.features);
    let of_messages = feature::DIRECT | feature::BUFFERS | feature::SCHEMA;
    assert_eq!(features, [feature::RING | of_messages, feature::RING], "as its messages need");
    assert_eq!(both.map(|query| query.max_buffers), [limits::MAX_BUFFERS, 0], "only where there are some");
    assert_eq!(both.map(|query| query.interface_version), [1, 0]);

    let (status, refused) = send(&app, Open { abi_major: limits::ABI_MAJOR + 1, ..open(0) });
    assert_eq!(status, Status::ABI_MISMATCH);
    assert_eq!(refused.head.detail, limits::ABI_MAJOR << 16 | limits::ABI_MINOR);
}

/// A panic of plugin code, wherever.
fn panic<P: Plugin>(sim: &Sim<P>) {
    let panics = std::panic::AssertUnwindSafe(|| sim.enter(|_| panic!("planted")));
    assert!(std::panic::catch_unwind(panics).is_err());
}

#[test]
fn a_handle_is_over_with_a_panic_though_its_device_is_there() {
    let sim = sim();
    let app = session(&sim);
    assert!(!app.readiness().over);
    panic(&sim);
    assert!(app.readiness().over);
}

#[test]
fn who_asks_for_interrupts_that_a_plugin_has_not_is_told_so_and_of_a_panic_first() {
    let sim = Sim::<ignores_data::Quiet>::new().unwrap();
    let app = sim.open();
    let fingerprint = <ignores_data::Quiet as Plugin>::TABLE.interface.map_or(0, Interface::fingerprint);
    assert_eq!(send(&app, Open { abi_major: limits::ABI_MAJOR, fingerprint, ..Open::new() }).0, Status::OK);
    let ask = || {
        let enabled = send(&app, enable(kind::ANY, 1, 1)).0;
        [enabled, send(&app, wait()).0, send(&app, IntDisable::new()).0, send(&app, count()).0]
    };
    assert_eq!(ask(), [Status::NO_INTERRUPT, Status::NOT_ENABLED, Status::NOT_ENABLED, Status::OK]);
    assert_eq!(send(&app, IntCount { vector: 0, ..count() }).0, Status::BAD_VECTOR);
    panic(&sim);
    assert_eq!(ask(), [Status::POISONED; 4]);
}

/// On 64 bits neither: see also the 32-bit app in a guest.
#[test]
fn an_address_with_length_0_is_not_looked_at() {
    let sim = sim();
    let app = sim.open();
    for address in [NO_APPS, 1 << 63, u64::MAX] {
        assert_eq!(send(&sim.open(), Open { data_addr: address, ..open(0) }).0, Status::OK);
    }
    Connection::open(&app, &mut open(0), &[]).unwrap();
    let nap = Call { message: 2, args_len: 4, in_addr: NO_APPS, out_addr: u64::MAX, ..Call::new() };
    let args_addr = app.memory().place(&0u32);
    assert_eq!(send(&app, Call { args_addr, ..nap }).0, Status::OK);
    let raise = Call { message: 3, args_addr: NO_APPS, ..Call::new() };
    assert_eq!(send(&app, raise).0, Status::OK);
    assert_eq!(send(&app, IntEnable { data_addr: NO_APPS, ..enable(kind::ANY, 1, 1) }).0, Status::OK);
}

/// A plugin that looks at no data.
mod ignores_data {
    use super::*;

    pub struct Quiet;

    impl Init for Quiet {
        type Session = ();
        type Interrupt = ();
        fn init(_: &mut Passive, _: Device) -> Result<Self> {
            Ok(Quiet)
        }
    }

    impl IntAtIrql for Quiet {
        fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
            Verdict::NOT_MINE
        }
    }

    plugin! { Quiet { name: "quiet", callbacks: [IntAtIrql] } }
}

#[test]
fn data_that_the_plugin_does_not_want_is_ignored() {
    let sim = Sim::<ignores_data::Quiet>::with(Edu::new()).unwrap();
    let app = sim.open();
    let data_addr = app.memory().place(&[7u8; 32]);
    let empty = Open { abi_major: limits::ABI_MAJOR, data_addr, data_len: 32, ..Open::new() };
    let fingerprint = <ignores_data::Quiet as Plugin>::TABLE.interface.map_or(0, Interface::fingerprint);
    assert_eq!(send(&app, Open { fingerprint, ..empty }).0, Status::OK);
    assert_eq!(send(&app, IntEnable { data_addr, data_len: 32, ..enable(kind::ANY, 1, 1) }).0, Status::OK);
    let too_long = IntEnable { data_addr, data_len: limits::MAX_OPEN_DATA as u32 + 1, ..enable(kind::ANY, 1, 1) };
    assert_eq!(send(&app, too_long).0, Status::PAYLOAD_TOO_LARGE, "but checked");
    let (app, data_len) = (sim.open(), limits::MAX_OPEN_DATA as u32);
    let data_addr = app.memory().map(limits::MAX_OPEN_DATA, kp_sim::Access::ReadWrite);
    assert_eq!(send(&app, Open { fingerprint, data_addr, data_len, ..empty }).0, Status::OK, "as long as the limit");
}
