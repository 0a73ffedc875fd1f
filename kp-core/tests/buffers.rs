//! An app's buffers: registered by number, named in messages, and the memory stays as long as anybody uses it.
use kp_abi::{
    Buffer, TransportStatus, limits,
    request::{BufferRegister, BufferRelease, Open, Request, RingSetup, access, feature},
    ring::PAGE,
};
use kp_core::*;
use kp_sim::{Access, App, Sim, every_failure};
use kp_user::Access as Use;

kp_abi::interface! {
    mod store, version 1 {
        /// The sum of the bytes.
        fn sum(buffer: Buffer, at: u64, len: u64) -> u64 = 1;
        /// Writes them.
        fn fill(buffer: Buffer, at: u64, len: u64, byte: u8) = 2;
        /// Keeps a buffer, and drops what was kept before.
        fn keep(buffer: Buffer) = 3;
        /// The sum of the first bytes of what is kept.
        fn sum_kept(len: u64) -> u64 = 4;
        /// Drops what is kept.
        fn forget() = 5;
        /// Writes a header at the beginning.
        fn stamp(buffer: Buffer) = 6;
    }
}

registers! {
    mod header[0x8] {
        0x0 MAGIC: u32, RW;
    }
}

struct Store(Mutex<Option<Pages>>);

impl Init for Store {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, _: Device) -> Result<Self> {
        assert_eq!(cx.buffer(Buffer(0)).map(drop), Err(Status::NO_BUFFER.into()), "`init` is of no session");
        Ok(Store(Mutex::new(cx, None)?))
    }
}

fn sum(cx: &mut Passive, pages: &Pages, at: u64, len: u64) -> Result<u64> {
    let range = pages.range(at, len)?;
    let area = pages.area(cx)?;
    range.map(|at| Ok(u64::from(area.load::<u8>(at)?))).sum()
}

impl store::Handler<Passive> for Store {
    fn sum(&self, cx: &mut Passive, (): &(), buffer: Buffer, at: u64, len: u64) -> Result<u64> {
        let pages = cx.buffer(buffer)?;
        sum(cx, &pages, at, len)
    }
    fn fill(&self, cx: &mut Passive, (): &(), buffer: Buffer, at: u64, len: u64, byte: u8) -> Result<()> {
        let pages = cx.buffer(buffer)?;
        let (mut range, area) = (pages.range(at, len)?, pages.area(cx)?);
        range.try_for_each(|at| area.store(at, byte))
    }
    fn keep(&self, cx: &mut Passive, (): &(), buffer: Buffer) -> Result<()> {
        let pages = cx.buffer(buffer)?;
        self.0.with(cx, |kept, _| *kept = Some(pages));
        Ok(())
    }
    fn sum_kept(&self, cx: &mut Passive, (): &(), len: u64) -> Result<u64> {
        self.0.with(cx, |kept, cx| sum(cx, kept.as_ref().ok_or(Status::NO_BUFFER)?, 0, len))
    }
    fn forget(&self, cx: &mut Passive, (): &()) -> Result<()> {
        self.0.with(cx, |kept, _| *kept = None);
        Ok(())
    }
    fn stamp(&self, cx: &mut Passive, (): &(), buffer: Buffer) -> Result<()> {
        let area = cx.buffer(buffer)?.area(cx)?;
        area.at::<header::Map>(0)?.write(header::MAGIC, 0x0101_0101);
        Ok(())
    }
}
plugin! { Store { name: "store", interface: store, callbacks: [] } }

#[test]
fn both_sides_have_the_same_memory() {
    let sim = Sim::<Store>::new().unwrap();
    let plugin = sim.connect(store::INTERFACE).unwrap();
    assert!(plugin.has_buffers());
    let client = store::Client(&plugin);
    let buffer = plugin.buffer(5000, Use::Write).unwrap();
    assert_eq!(buffer.len(), 8192, "whole pages");
    buffer.write(4096, &[3; 16]);
    assert_eq!(client.sum(buffer.number(), 4000, 200), Ok(48));
    client.fill(buffer.number(), 8191, 1, 9).unwrap();
    let mut last = [0; 8];
    buffer.read(8184, &mut last);
    assert_eq!(last, [0, 0, 0, 0, 0, 0, 0, 9]);
    for (at, len) in [(0, 8193), (8192, 1), (0, 0), (u64::MAX, 2)] {
        assert_eq!(client.sum(buffer.number(), at, len), Err(Status::BAD_VALUE.into()), "{at} {len}");
    }
    assert_eq!(sim.live().pinned, 1);
    let number = buffer.number();
    drop(buffer);
    assert_eq!(sim.live().pinned, 0);
    assert_eq!(client.sum(number, 0, 1), Err(Status::NO_BUFFER.into()));
    assert_eq!(client.sum(Buffer(u32::MAX), 0, 1), Err(Status::NO_BUFFER.into()));
}

#[test]
fn a_buffer_for_reading_is_not_written() {
    let sim = Sim::<Store>::new().unwrap();
    let plugin = sim.connect(store::INTERFACE).unwrap();
    let client = store::Client(&plugin);
    let buffer = plugin.buffer(1, Use::Read).unwrap();
    buffer.write(0, &[1; 8]);
    assert_eq!(client.sum(buffer.number(), 0, 4096), Ok(8));
    let read_only = Err(Status::READ_ONLY.into());
    assert_eq!(client.fill(buffer.number(), 0, 1, 1), read_only);
    assert_eq!(client.stamp(buffer.number()), read_only);
    assert_eq!(client.sum(buffer.number(), 0, 4096), Ok(8), "nothing was written");
    let buffer = plugin.buffer(1, Use::Write).unwrap();
    client.stamp(buffer.number()).unwrap();
    assert_eq!(client.sum(buffer.number(), 0, 4096), Ok(4));
}

/// What registering answers, in a session of this app.
fn register(app: &App<Store>, register: BufferRegister) -> Result<()> {
    kp_user::Connection::buffer_register(app, &register)
}

fn of(addr: u64, len: u64, buffer: u32, access: u32) -> BufferRegister {
    BufferRegister { addr, len, buffer, access, ..Request::new() }
}

fn open(features: u64) -> Open {
    Open {
        abi_major: limits::ABI_MAJOR,
        abi_minor: limits::ABI_MINOR,
        features,
        message_count: store::INTERFACE.methods.len() as u32,
        fingerprint: store::INTERFACE.chain(usize::MAX),
        ..Request::new()
    }
}

/// An app with a session that may have buffers. Dropping it is its death.
fn opened(sim: &Sim<Store>) -> App<Store> {
    with_session(sim.open())
}

fn with_session(app: App<Store>) -> App<Store> {
    kp_user::Connection::open(&app, &mut open(feature::BUFFERS), &[]).unwrap();
    app
}

/// Where memory of the driver's is mapped too, a session may have one ring after the other: what is mapped is never the buffer.
#[test]
fn a_ring_that_is_a_buffer_is_not_mapped() {
    let sim = Sim::<Store>::new().unwrap();
    let plugin = sim.connect(store::INTERFACE).unwrap();
    plugin.set_up_ring(4, 4096).unwrap();
    let connection = plugin.connection();
    connection.ring_teardown().unwrap();
    let (addr, _memory) = connection.new_memory(LEN).unwrap();
    let (buffer, len, access) = (1, LEN as u64, access::WRITE);
    connection.buffer_register(&BufferRegister { addr, len, buffer, access, ..Request::new() }).unwrap();
    connection.ring_setup(&mut RingSetup { entries: 4, data_len: 4096, buffer, ..Request::new() }).unwrap();
    assert_eq!(connection.map_shared(PAGE as u64, LEN, true).unwrap_err(), Status::BAD_FIELD);
    assert!(connection.map_shared(0, PAGE, false).is_ok(), "the session's page, from its first ring on");
}

/// A ring of 4 entries and a page of data, in bytes.
const LEN: usize = 3 * PAGE;

#[test]
fn a_bad_registration_gets_a_named_status_and_registers_nothing() {
    let sim = Sim::<Store>::new().unwrap();
    let app = opened(&sim);
    let memory = app.memory();
    let at = memory.map(3 * 4096, Access::ReadWrite);
    memory.protect(at + 2 * 4096, 4096, Access::ReadOnly);
    let (read, write) = (access::READ, access::WRITE);
    let other = memory.map(4096, Access::ReadWrite);
    assert_eq!(other, at + 4 * 4096, "a page between the two is not mapped");
    let bad = [
        (of(at + 1, 4096, 0, read), Status::BAD_FIELD),
        (of(at, 4095, 0, read), Status::BAD_FIELD),
        (of(at, 0, 0, read), Status::BAD_FIELD),
        (of(at, 4096, 64, read), Status::BAD_FIELD),
        (of(at, 4096, u32::MAX, read), Status::BAD_FIELD),
        (of(at, 4096, 0, 0), Status::BAD_FIELD),
        (of(at, 4096, 0, 3), Status::BAD_FIELD),
        (BufferRegister { reserved: 1, ..of(at, 4096, 0, read) }, Status::BAD_FIELD),
        (of(at, (1 << 30) + 4096, 0, read), Status::PAYLOAD_TOO_LARGE),
        (of(at, 4 * 4096, 0, read), TransportStatus::FAULT.status()),
        (of(at, 3 * 4096, 0, write), TransportStatus::FAULT.status()),
        (of(1 << 47, 4096, 0, read), TransportStatus::FAULT.status()),
        (of(u64::MAX - 4095, 4096, 0, read), TransportStatus::FAULT.status()),
    ];
    for (request, status) in bad {
        assert_eq!(register(&app, request), Err(status.into()), "{request:?}");
        assert_eq!(sim.live().pinned, 0);
    }
    register(&app, of(at, 3 * 4096, 63, read)).unwrap();
    register(&app, of(at, 2 * 4096, 0, write)).unwrap();
    assert_eq!(register(&app, of(at, 4096, 63, read)), Err(Status::BUFFER_IN_USE.into()));
    assert_eq!(sim.live().pinned, 2);
    let release = |buffer| kp_user::Connection::buffer_release(&app, buffer);
    assert_eq!(release(1), Err(Status::NO_BUFFER.into()));
    assert_eq!(release(u32::MAX), Err(Status::NO_BUFFER.into()));
    assert_eq!(release(63), Ok(()));
    assert_eq!(release(63), Err(Status::NO_BUFFER.into()));
    assert_eq!(sim.live().pinned, 1);
    let place = memory.place(&BufferRelease { buffer: 0, reserved: 1, ..Request::new() });
    app.raw(BufferRelease::NR, place).unwrap();
    assert_eq!(memory.value::<BufferRelease>(place).unwrap().head.status, Status::BAD_FIELD.0);
    kp_user::Connection::close(&app).unwrap();
    assert_eq!(sim.live().pinned, 0, "the session's end releases them");
    assert_eq!(register(&app, of(at, 4096, 0, read)), Err(Status::CLOSED.into()));
    assert_eq!(release(0), Err(Status::CLOSED.into()));
}

#[test]
fn a_session_that_was_granted_none_has_no_buffers() {
    let sim = Sim::<Store>::new().unwrap();
    let app = sim.open();
    let at = app.memory().map(4096, Access::ReadWrite);
    assert_eq!(register(&app, of(at, 4096, 0, access::READ)), Err(Status::NOT_OPEN.into()));
    let mut open = open(0);
    kp_user::Connection::open(&app, &mut open, &[]).unwrap();
    assert_eq!(open.features, 0);
    let unknown = Err(TransportStatus::UNKNOWN_REQUEST.status().into());
    assert_eq!(register(&app, of(at, 4096, 0, access::READ)), unknown);
    assert_eq!(kp_user::Connection::buffer_release(&app, 0), unknown);
}

#[test]
fn what_is_used_stays_when_the_app_releases_unmaps_or_dies() {
    let sim = Sim::<Store>::new().unwrap();
    let app = opened(&sim);
    let at = app.memory().map(4096, Access::ReadWrite);
    app.memory().write(at, &[1; 4096]).unwrap();
    register(&app, of(at, 4096, 0, access::READ)).unwrap();
    let other = sim.connect(store::INTERFACE).unwrap();
    let client = store::Client(&other);
    let mut reply = [];
    kp_user::Connection::call(&app, 3, 0, &[0; 4], &[], &mut reply).unwrap();
    app.memory().unmap(at, 4096);
    assert_eq!(client.sum_kept(4096), Ok(4096));
    kp_user::Connection::buffer_release(&app, 0).unwrap();
    assert_eq!((sim.live().pinned, client.sum_kept(4096)), (1, Ok(4096)));
    let at = app.memory().map(4096, Access::ReadWrite);
    app.memory().write(at, &[2; 4096]).unwrap();
    register(&app, of(at, 4096, 1, access::READ)).unwrap();
    kp_user::Connection::call(&app, 3, 0, &1u32.to_le_bytes(), &[], &mut reply).unwrap();
    assert_eq!(sim.live().pinned, 1, "the first one is forgotten");
    drop(app);
    assert_eq!((sim.live().pinned, client.sum_kept(4096)), (1, Ok(8192)));
    client.forget().unwrap();
    assert_eq!(sim.live().pinned, 0);
}

#[test]
fn a_buffer_is_its_sessions_alone() {
    let sim = Sim::<Store>::new().unwrap();
    let (one, two) = (sim.connect(store::INTERFACE).unwrap(), sim.connect(store::INTERFACE).unwrap());
    let buffer = one.buffer(4096, Use::Write).unwrap();
    assert_eq!(store::Client(&two).sum(buffer.number(), 0, 1), Err(Status::NO_BUFFER.into()));
    let of_two = two.buffer(4096, Use::Write).unwrap();
    assert_eq!(of_two.number(), buffer.number(), "each session has its own numbers");
    of_two.write(0, &[1; 8]);
    assert_eq!(store::Client(&one).sum(buffer.number(), 0, 8), Ok(0));
}

#[test]
fn a_session_has_64_buffers_and_no_more() {
    let sim = Sim::<Store>::new().unwrap();
    let plugin = sim.connect(store::INTERFACE).unwrap();
    let mut buffers: Vec<_> = (0..64).map(|_| plugin.buffer(4096, Use::Write).unwrap()).collect();
    assert_eq!(plugin.buffer(4096, Use::Write).map(drop), Err(Status::BUFFER_IN_USE.into()));
    let number = buffers.remove(17).number();
    assert_eq!(plugin.buffer(4096, Use::Read).unwrap().number(), number, "a number is free once it is released");
    assert_eq!(sim.live().pinned, 63);
}

#[test]
fn every_failure_is_told_and_leaves_nothing() {
    let told = every_failure(Sim::<Store>::builder, |sim| -> Result<(), Error> {
        let plugin = sim.connect(store::INTERFACE).map_err(|error| error.status().unwrap_or(Status::PROTOCOL))?;
        let buffer = plugin.buffer(4096, Use::Write)?;
        store::Client(&plugin).fill(buffer.number(), 0, 10, 1)?;
        Ok(())
    });
    assert!(told.len() > 8 && told.iter().all(Option::is_some), "{told:?}");
}

#[test]
fn pages_that_are_registered_twice_are_the_same_memory_and_count_twice() {
    let sim = Sim::<Store>::new().unwrap();
    let process = kp_sim::Process::new(1);
    let open = || with_session(sim.open_in(&process, kp_sim::Mode::ReadWrite).unwrap());
    let (one, two) = (open(), open());
    let at = process.memory().map(3 * 4096, Access::ReadWrite);
    register(&one, of(at, 2 * 4096, 0, access::WRITE)).unwrap();
    register(&one, of(at + 4096, 2 * 4096, 1, access::WRITE)).unwrap();
    register(&two, of(at + 4096, 4096, 0, access::READ)).unwrap();
    assert_eq!(sim.live().pinned, 3);
    let sum = |app: &App<Store>, buffer: u32| {
        let arguments = [u64::from(buffer).to_le_bytes()[..4].to_vec(), vec![0; 8], 4096_u64.to_le_bytes().to_vec()];
        let mut reply = [0; 8];
        kp_user::Connection::call(app, 1, 0, &arguments.concat(), &[], &mut reply).map(|_| u64::from_le_bytes(reply))
    };
    process.memory().write(at + 4096, &[2; 8]).unwrap();
    assert_eq!([sum(&one, 0), sum(&one, 1), sum(&two, 0)], [Ok(0), Ok(16), Ok(16)]);
    kp_user::Connection::buffer_release(&one, 1).unwrap();
    assert_eq!([sum(&one, 1), sum(&two, 0)], [Err(Status::NO_BUFFER.into()), Ok(16)]);
    drop(one);
    assert_eq!((sim.live().pinned, sum(&two, 0)), (1, Ok(16)), "a session's end is its own buffers' alone");
}

/// The pages are not touched, so they are none of the test's machine.
#[test]
fn a_session_pins_4_gib_and_no_more() {
    let sim = Sim::<Store>::new().unwrap();
    let app = opened(&sim);
    let at = app.memory().map(1 << 30, Access::ReadWrite);
    for buffer in 0..4 {
        register(&app, of(at, 1 << 30, buffer, access::READ)).unwrap();
    }
    let one_more = of(at, 4096, 4, access::READ);
    assert_eq!(register(&app, one_more), Err(Status::PIN_LIMIT.into()));
    let other = opened(&sim);
    let of_other = of(other.memory().map(4096, Access::ReadWrite), 4096, 0, access::READ);
    register(&other, of_other).expect("another session has its own");
    kp_user::Connection::buffer_release(&app, 2).unwrap();
    register(&app, one_more).unwrap();
    assert_eq!(sim.live().pinned, 5);
}

/// The app does not know that it has the buffer.
#[test]
fn a_registration_whose_answer_faults_is_undone() {
    let faults = std::sync::Mutex::new(0);
    kp_sim::explore(0..150, |world| {
        let sim = Sim::<Store>::new().unwrap();
        let app = opened(&sim);
        let memory = app.memory();
        let at = memory.map(4096, Access::ReadWrite);
        let place = memory.place(&of(at, 4096, 0, access::WRITE));
        world.scope(|scope| {
            scope.spawn("caller", || {
                if app.raw(BufferRegister::NR, place) == Err(TransportStatus::FAULT.status()) {
                    let taken = memory.value::<BufferRegister>(place).unwrap().head.status == Status::NO_REPLY.0;
                    *faults.lock().unwrap() += u32::from(taken);
                    assert_eq!(sim.live().pinned, 0, "it is let go");
                }
            });
            scope.spawn("protector", || {
                sim.advance(1);
                memory.protect(place, 4096, Access::ReadOnly);
            });
        });
    });
    assert!(faults.into_inner().unwrap() > 5, "too few answers met the fault");
}

/// Its pages are pinned outside of the gate, so the session may end meanwhile.
#[test]
fn a_session_that_ends_while_a_buffer_is_registered_keeps_none() {
    let refused = std::sync::Mutex::new(0);
    kp_sim::explore(0..100, |world| {
        let sim = Sim::<Store>::new().unwrap();
        let app = opened(&sim);
        let at = app.memory().map(4096, Access::ReadWrite);
        world.scope(|scope| {
            scope.spawn("registers", || match register(&app, of(at, 4096, 0, access::WRITE)) {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error, Status::CLOSED);
                    *refused.lock().unwrap() += 1;
                }
            });
            scope.spawn("closes", || kp_user::Connection::close(&app).unwrap());
        });
        assert_eq!(sim.live().pinned, 0);
    });
    assert!((5..95).contains(&refused.into_inner().unwrap()), "too few met");
}
