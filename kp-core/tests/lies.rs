//! What a plugin without unsafe code may try by what it returns, writes by hand, or keeps: nobody's memory is touched by it.
#![forbid(unsafe_code)]
use kp_abi::{
    Direct, Error, Message, Reply, Result, Status, TransportStatus, limits,
    request::{self, Answer, Request, Segments, feature, kind},
};
use kp_core::*;
use kp_sim::{Access, App, PAGE, Sim, edu::Edu};
use kp_user::Connection;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex as StdMutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

/// Whoever refuses says that all is well.
mod refuses {
    use super::*;

    pub const OK: Error = Error::new(Status::OK, 0);

    pub struct Init;
    impl kp_core::Init for Init {
        type Session = ();
        type Interrupt = ();
        fn init(_: &mut Passive, _: Device) -> Result<Self> {
            Err(OK)
        }
    }

    pub struct Rest;
    impl kp_core::Init for Rest {
        type Session = ();
        type Interrupt = ();
        fn init(_: &mut Passive, _: Device) -> Result<Self> {
            Ok(Rest)
        }
    }
    impl Open for Rest {
        fn open(&self, _: &mut Passive, _: &Caller, data: &[u8]) -> Result<()> {
            if data.is_empty() { Ok(()) } else { Err(OK) }
        }
    }
    impl IntEnable for Rest {
        fn int_enable(&self, _: &mut Passive, enabling: Enabling<'_, Self>) -> Result<()> {
            if enabling.data.is_empty() { Ok(()) } else { Err(OK) }
        }
        fn int_arm(&self, _: &mut Passive, _: &(), _: Granted) -> Result<()> {
            Err(OK)
        }
    }
    impl IntAtIrql for Rest {
        fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
            Verdict::NOT_MINE
        }
    }

    mod init {
        use super::Init;
        kp_core::plugin! { Init { name: "refuses", callbacks: [] } }
    }
    kp_core::plugin! { Rest { name: "refuses", callbacks: [Open, IntEnable, IntAtIrql] } }
}

#[test]
fn an_init_that_refuses_and_says_ok_has_refused() {
    let Err(error) = Sim::<refuses::Init>::new() else { panic!("it is bound") };
    assert_eq!(error, Status::INIT_FAILED);
    assert_ne!(
        error.status.errno(),
        0,
        "what a probe answers: with 0 the kernel goes on with a driver that there is not"
    );
}

fn open_request() -> request::Open {
    request::Open {
        abi_major: limits::ABI_MAJOR,
        abi_minor: limits::ABI_MINOR,
        features: feature::DIRECT,
        ..request::Open::new()
    }
}

#[test]
fn an_app_that_is_refused_with_ok_is_refused() {
    let own = Err(Error::plugin(0));
    let sim = Sim::<refuses::Rest>::with(Edu::new()).unwrap();
    let app = sim.open();
    let mut open = request::Open { fingerprint: 0, ..open_request() };
    assert_eq!(Connection::open(&app, &mut open, b"refuse"), own);
    Connection::open(&app, &mut open_request(), &[]).unwrap();
    let enable = |data| app.int_enable(kind::ANY, 1, 1, data).map(|enabled| enabled.generation);
    assert_eq!(enable(b"refuse"), own.map(|()| 0));
    assert_eq!(enable(b""), own.map(|()| 0), "arming");
}

/// A plugin whose table and `direct` are written by hand.
mod by_hand {
    use super::*;

    kp_abi::interface! {
        pub mod pairs, version 1 {
            fn swap(pair: [u8; 4]) -> [u8; 4] = 1;
            fn sum(bytes: &[u8]) -> u64 = 2;
        }
    }

    pub struct Hand;
    impl Init for Hand {
        type Session = ();
        type Interrupt = ();
        fn init(_: &mut Passive, _: Device) -> Result<Self> {
            Ok(Hand)
        }
    }

    /// More than anybody has asked for, in a reply that is put in the place of the host's.
    pub fn overflow(reply: &mut Reply<'_>) -> Result<()> {
        *reply = Reply::new(Box::leak(vec![0; 64].into_boxed_slice()));
        reply.bytes(&[0xEE; 64])
    }

    impl Plugin for Hand {
        const TABLE: Table<Self> = Table {
            name: "hand",
            devices: &[],
            vectors: (1, 1),
            own_interrupt: false,
            interface: Some(pairs::INTERFACE),
            chain: &pairs::INTERFACE.chains::<3>(),
            schema: pairs::SCHEMA,
            schema_names: &pairs::INTERFACE.schema::<{ pairs::INTERFACE.schema_names_len() }>(),
            open: Some(|_, _, _, _| Ok(())),
            close: None,
            call: Some(|_, _, _, _, reply| overflow(reply)),
            int: None,
            event: None,
            timer_at_dpc: None,
            work: None,
        };

        fn direct<D>(id: u32, direct: D) -> D::Answer
        where
            D: Direct<Handler = Self, Context = Passive, Session = ()>,
        {
            let overflow = |_: &Self, _: &mut Passive, _: &(), _: Message<'_>, reply: &mut Reply<'_>| overflow(reply);
            match id {
                1 => direct.fixed::<1, 4, 4>(overflow),
                2 => direct.segments(0, overflow),
                // Another message's.
                3 => direct.fixed::<1, 4, 4>(|_, _, _, _, reply| reply.bytes(&[1, 2, 3, 4])),
                // More argument bytes than a host has room for.
                4 => direct.segments(limits::MAX_ARGS + 1, overflow),
                5 => direct.segments(usize::MAX, overflow),
                _ => direct.unknown(),
            }
        }
    }
}
use by_hand::{Hand, pairs};

/// An open session of `Hand`, and a page of zeros.
fn session(sim: &Sim<Hand>) -> (App<Hand>, u64) {
    let app = sim.open();
    let (message_count, fingerprint) = (pairs::INTERFACE.methods.len() as u32, pairs::INTERFACE.fingerprint());
    let mut open = request::Open { message_count, fingerprint, ..open_request() };
    Connection::open(&app, &mut open, &[]).unwrap();
    assert_eq!(open.features, feature::DIRECT);
    let page = app.memory().map(PAGE, Access::ReadWrite);
    (app, page)
}

/// Status and detail of a request or direct call.
fn answer(app: &App<Hand>, at: u64) -> (Status, u32) {
    let Answer { status, detail } = app.memory().value(at).unwrap();
    (Status(status), detail)
}

fn assert_untouched(app: &App<Hand>, from: u64, page: u64) {
    let mut bytes = vec![0xFF; (page + PAGE as u64 - from) as usize];
    app.memory().read(from, &mut bytes).unwrap();
    assert!(bytes.iter().all(|&byte| byte == 0), "bytes of the app's that it has not offered were written");
}

const TOO_LONG: (Status, u32) = (Status::OUTPUT_LENGTH, 64);

#[test]
fn no_reply_is_longer_than_the_room_for_it() {
    let sim = Sim::<Hand>::new().unwrap();
    let (app, page) = session(&sim);
    for out_len in [0, 8, 63] {
        let call = request::Call { message: 1, out_len, out_addr: page, ..request::Call::new() };
        let at = app.memory().place(&call);
        app.raw(request::Call::NR, at).unwrap();
        assert_eq!(answer(&app, at + 8), TOO_LONG, "room for {out_len}");
        assert_untouched(&app, page, page);
    }
    let call = request::Call { message: 1, out_len: 64, out_addr: page, ..request::Call::new() };
    let at = app.memory().place(&call);
    app.raw(request::Call::NR, at).unwrap();
    assert_eq!(answer(&app, at + 8), (Status::OK, 64), "it fits");
}

#[test]
fn no_reply_is_written_past_a_direct_calls_buffer() {
    let sim = Sim::<Hand>::new().unwrap();
    let (app, page) = session(&sim);
    assert_eq!(app.raw_direct(1, page), Ok(Status::OUTPUT_LENGTH));
    assert_eq!(answer(&app, page), TOO_LONG);
    assert_untouched(&app, page + 12, page);
    // With segments: the room is where they say.
    let room = app.memory().map(PAGE, Access::ReadWrite);
    app.memory()
        .write(page + 8, zerocopy_bytes(&Segments { out_len: 8, out_addr: room, ..Segments::default() }))
        .unwrap();
    assert_eq!(app.raw_direct(2, page), Ok(Status::OUTPUT_LENGTH));
    assert_untouched(&app, room, room);
}

fn zerocopy_bytes(segments: &Segments) -> &[u8] {
    kp_abi::zerocopy::IntoBytes::as_bytes(segments)
}

#[test]
fn no_completion_has_a_reply_longer_than_the_room_for_it() {
    let sim = Sim::<Hand>::new().unwrap();
    let plugin = sim.connect(pairs::INTERFACE).unwrap();
    let client = pairs::Client(&plugin);
    let mut batch = client.batch().unwrap();
    let tickets = [batch.swap([1, 2, 3, 4]).unwrap(), batch.swap([0; 4]).unwrap()];
    let sum = batch.sum(b"by the slow path").unwrap();
    let replies = batch.run();
    let too_long = Error::new(Status::OUTPUT_LENGTH, 64);
    assert_eq!(tickets.map(|ticket| replies.get(ticket)), [Err(too_long); 2]);
    assert_eq!(replies.get(sum), Err(too_long));
}

#[test]
fn a_direct_call_has_one_message_and_its_arguments_fit() {
    let sim = Sim::<Hand>::new().unwrap();
    let (app, page) = session(&sim);
    assert_eq!(app.raw_direct(3, page), Ok(Status::UNKNOWN_MESSAGE), "message 1's bytes for another message");
    assert_untouched(&app, page + 8, page);
    for message in [4, 5] {
        assert_eq!(app.raw_direct(message, page), Ok(Status::PAYLOAD_TOO_LARGE), "message {message}");
    }
}

/// A table with nothing in it, but for sessions and an interrupt that cannot be enabled.
mod bare {
    use super::*;

    pub struct Bare<const OPENS: bool>;
    impl<const OPENS: bool> Init for Bare<OPENS> {
        type Session = ();
        type Interrupt = ();
        fn init(_: &mut Passive, _: Device) -> Result<Self> {
            Ok(Self)
        }
    }
    impl<const OPENS: bool> Plugin for Bare<OPENS> {
        const TABLE: Table<Self> = Table {
            name: "bare",
            devices: &[],
            vectors: (1, 1),
            own_interrupt: false,
            interface: None,
            chain: &[],
            schema: &[],
            schema_names: &[],
            open: if OPENS { Some(|_, _, _, _| Ok(())) } else { None },
            close: None,
            call: None,
            int: Some(IntTable {
                enable: None,
                arm: None,
                disarm: None,
                disable: None,
                at_irql: |_, _, _, _| Verdict::NOT_MINE,
                at_dpc: None,
            }),
            event: None,
            timer_at_dpc: None,
            work: None,
        };
    }
}

#[test]
fn a_table_without_callbacks_has_an_answer_to_everything() {
    let sim = Sim::<bare::Bare<false>>::with(Edu::new()).unwrap();
    let app = sim.open();
    assert_eq!(Connection::open(&app, &mut open_request(), &[]), Err(TransportStatus::UNKNOWN_REQUEST.status().into()));
    assert_eq!(app.call(1, 0, &[], &[], &mut []), Err(Status::NOT_OPEN.into()));

    let sim = Sim::<bare::Bare<true>>::with(Edu::new()).unwrap();
    let app = sim.open();
    let mut open = open_request();
    Connection::open(&app, &mut open, &[]).unwrap();
    assert_eq!(open.features, 0, "without an interface no message has a direct form");
    assert_eq!(app.call(1, 0, &[], &[], &mut []), Err(Status::UNKNOWN_MESSAGE.into()));
    let enabled = app.int_enable(kind::ANY, 1, 1, &[]).map(|enabled| enabled.generation);
    assert_eq!(enabled, Err(Status::NO_INTERRUPT.into()));
    assert_eq!(app.int_wait(0, 0, 1).map(|took| took.got), Err(Status::NOT_ENABLED.into()));
    sim.suspend();
    sim.resume();
    sim.reset();
    app.close().unwrap();
}

/// A lock, or a pool, that two kernels of one process have: a plugin's static, say. Nothing keeps the one out while the other has it.
#[test]
fn what_is_locked_in_one_kernel_is_not_locked_in_another() {
    let (one, other) = (Sim::<Hand>::new().unwrap(), Sim::<Hand>::new().unwrap());
    let lock = one.enter(|cx| SpinLock::<u64, Dispatch>::new(cx, 0)).unwrap();
    // Of the same number there.
    let twin = other.enter(|cx| SpinLock::<(), Dispatch>::new(cx, ())).unwrap();
    let both = AtomicBool::new(false);
    let said = one.enter(|cx| {
        lock.with(cx, |_, _| {
            thread::scope(|scope| {
                let second = || other.enter(|cx| lock.with(cx, |_, _| both.store(true, Relaxed)));
                scope.spawn(move || catch_unwind(AssertUnwindSafe(second))).join().unwrap()
            })
        })
    });
    assert!(!both.load(Relaxed), "two threads had the data");
    let said = *said.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("of another simulated kernel"), "{said}");
    let lock = StdMutex::new(Some(lock));
    let freed = catch_unwind(AssertUnwindSafe(|| other.enter(|_| drop(lock.lock().unwrap().take()))));
    assert!(freed.unwrap_err().downcast::<String>().unwrap().contains("of another simulated kernel"));
    other.enter(|_| drop(twin));
    let left = catch_unwind(AssertUnwindSafe(|| drop(one)));
    assert!(left.unwrap_err().downcast::<String>().unwrap().contains("1 locks"), "it is where it was made");
}
