//! The direct form of CALL: whatever CALL answers, it answers too. And replies that are lent rather than copied.
use kp_abi::{Error, Interface, Result, Shape, Status, TransportStatus, limits, request::feature};
use kp_core::*;
use kp_sim::{Access, App, PAGE, Sim, explore, replay};
use kp_user::Connection;
use std::sync::Mutex as StdMutex;

kp_abi::wire! {
    /// One of few.
    pub enum Few: u8 {
        /// The only one.
        One = 1,
    }
}
kp_abi::interface! {
    /// Messages of every shape.
    pub mod all, version 1 {
        /// Nothing.
        fn nothing() = 1;
        /// Odd lengths, no alignment.
        fn odd(a: u8, b: u64, c: bool) -> [u8; 3] = 2;
        /// One of few values.
        fn few(few: Few) -> Few = 3;
        /// Nobody answers it any more.
        #[retired]
        fn old(a: u32) -> u32 = 4;
        /// Answers with this status and detail.
        fn fail(status: u32, detail: u32) -> u64 = 5;
        /// A reply above what has its place in the buffer.
        fn large() -> [u64; 33] = 6;
        /// As many arguments as there can be, and as long a reply as has its place in the buffer.
        fn widest(words: [u64; 32]) -> [u64; 32] = 7;
        /// The data, by `how`: lent; lent in part; copied, then lent; lent, then more; lent twice; what is the plugin's own.
        fn give(how: u8, data: &[u16]) -> [u16] = 8;
        /// Sleeps.
        fn nap(ms: u32) = 9;
        /// Panics.
        fn panic() = 10;
        /// Words, whole ones.
        fn sum(words: &[u32]) -> u64 = 11;
    }
}

struct All;

static OWN: [u16; 3] = [1, 2, 3];

impl Init for All {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(All)
    }
}

impl all::Handler<Passive> for All {
    fn nothing(&self, _: &mut Passive, _: &()) -> Result<()> {
        Ok(())
    }
    fn odd(&self, _: &mut Passive, _: &(), a: u8, b: u64, c: bool) -> Result<[u8; 3]> {
        Ok([a, b as u8, c.into()])
    }
    fn few(&self, _: &mut Passive, _: &(), few: Few) -> Result<Few> {
        Ok(few)
    }
    fn fail(&self, _: &mut Passive, _: &(), status: u32, detail: u32) -> Result<u64> {
        Err(Error::new(Status(status), detail))
    }
    fn large(&self, _: &mut Passive, _: &()) -> Result<[u64; 33]> {
        Ok(std::array::from_fn(|n| n as u64))
    }
    fn widest(&self, _: &mut Passive, _: &(), words: [u64; 32]) -> Result<[u64; 32]> {
        Ok(words.map(|word| !word))
    }
    fn give<'m>(&self, _: &mut Passive, _: &(), how: u8, data: &'m [u16], out: &mut Out<'_, 'm, u16>) -> Result<()> {
        match how {
            0 => out.lend(data),
            1 => out.lend(data.get(1..).unwrap_or_default()),
            2 => out.push(7).and_then(|()| out.lend(data)),
            3 => out.lend(data).and_then(|()| out.extend(&OWN)),
            4 => out.lend(data).and_then(|()| out.lend(data)),
            5 => out.lend(&OWN),
            _ => out.extend(data),
        }
    }
    fn nap(&self, cx: &mut Passive, _: &(), ms: u32) -> Result<()> {
        cx.sleep_ms(ms)
    }
    fn panic(&self, _: &mut Passive, _: &()) -> Result<()> {
        panic!("planted")
    }
    fn sum(&self, _: &mut Passive, _: &(), words: &[u32]) -> Result<u64> {
        Ok(words.iter().map(|&word| u64::from(word)).sum())
    }
}

plugin! { All { name: "all", interface: all, callbacks: [] } }

/// A session by either form.
fn session(sim: &Sim<All>, directly: bool) -> App<All> {
    let app = sim.open();
    let interface: &Interface = all::INTERFACE;
    let mut open = kp_abi::request::Open {
        abi_major: limits::ABI_MAJOR,
        abi_minor: limits::ABI_MINOR,
        features: feature::DIRECT,
        message_count: interface.methods.len() as u32,
        fingerprint: interface.fingerprint(),
        ..kp_abi::request::Request::new()
    };
    Connection::open(&app, &mut open, &[]).unwrap();
    assert_eq!(open.features, feature::DIRECT);
    if directly {
        app.agree(interface);
    }
    app
}

/// What a message answers, and the bytes in its room then.
fn told(app: &App<All>, message: u32, args: &[u8], data: &[u8], room: usize) -> (Result<usize>, Vec<u8>) {
    let mut reply = vec![0xA5; room];
    let written = app.call(message, 0, args, data, &mut reply);
    (written, reply)
}

/// Both forms of one message, in sessions of their own. The answer.
#[track_caller]
fn both(sim: &Sim<All>, message: u32, args: &[u8], data: &[u8], room: usize) -> Result<Vec<u8>> {
    let directly = told(&session(sim, true), message, args, data, room);
    let by_call = told(&session(sim, false), message, args, data, room);
    assert_eq!(directly, by_call, "message {message}, arguments {args:?}, {} bytes of data", data.len());
    let (written, mut reply) = directly;
    reply.truncate(written?);
    Ok(reply)
}

#[test]
fn messages_good_and_bad_have_the_answers_of_call() {
    let sim = Sim::<All>::new().unwrap();
    let status = |answer: Result<Vec<u8>>| answer.unwrap_err().status;
    assert_eq!(both(&sim, 1, &[], &[], 0), Ok(vec![]));
    let odd = [9, 8, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(both(&sim, 2, &odd, &[], 3), Ok(vec![9, 8, 1]));
    let mut no_bool = odd;
    no_bool[9] = 2;
    assert_eq!(status(both(&sim, 2, &no_bool, &[], 3)), Status::BAD_VALUE);
    assert_eq!(both(&sim, 3, &[1], &[], 1), Ok(vec![1]));
    assert_eq!(status(both(&sim, 3, &[0], &[], 1)), Status::BAD_VALUE);
    for message in [0, 4, 12, 16_383, 16_384, u32::MAX] {
        assert_eq!(status(both(&sim, message, &[0; 4], &[], 4)), Status::UNKNOWN_MESSAGE, "message {message}");
    }
    assert_eq!(both(&sim, 6, &[], &[], 264).map(|reply| reply.len()), Ok(264));
    assert_eq!(both(&sim, 6, &[], &[], 263), Err(Error::new(Status::OUTPUT_LENGTH, 264)));
    let widest: Vec<u8> = (0..=255).collect();
    assert_eq!(both(&sim, 7, &widest, &[], 256), Ok((0..=255).rev().map(|byte: u8| byte).collect()));
    assert_eq!(status(both(&sim, 11, &[], &[0; 7], 8)), Status::INPUT_LENGTH);
    assert_eq!(both(&sim, 11, &[], &[1; 8], 7), Err(Error::new(Status::OUTPUT_LENGTH, 8)));
    assert_eq!(both(&sim, 11, &[], &[1; 8], 9).map(|reply| reply.len()), Ok(8));
    assert_eq!(status(both(&sim, 11, &[], &[0; limits::MAX_DATA + 4], 8)), Status::PAYLOAD_TOO_LARGE);
    assert_eq!(status(both(&sim, 8, &[0], &[], limits::MAX_DATA + 1)), Status::PAYLOAD_TOO_LARGE);
    // Lengths that the direct form cannot say go as CALL, which says what is wrong with them.
    assert_eq!(status(both(&sim, 2, &odd[..9], &[], 3)), Status::INPUT_LENGTH);
    assert_eq!(status(both(&sim, 2, &odd, &[], 2)), Status::OUTPUT_LENGTH);
}

#[test]
fn an_error_of_the_handler_has_the_answer_of_call() {
    let sim = Sim::<All>::new().unwrap();
    let all = Status::TABLE.iter().map(|row| row.status.0);
    for status in all.chain([8, 15, 63, 1000, 1 << 31, u32::MAX - 2]) {
        for detail in [0, 1, u32::MAX] {
            let args = [status.to_le_bytes(), detail.to_le_bytes()].concat();
            let answer = both(&sim, 5, &args, &[], 8).unwrap_err();
            let is_public = (16..1 << 31).contains(&status) && Status(status).row().is_some();
            if is_public && status != Status::CLOSED.0 {
                assert_eq!(answer, Error::new(Status(status), detail));
            } else if ![Status::NO_MEMORY, Status::INTERRUPTED, Status::CLOSED].contains(&Status(status)) {
                assert_eq!(answer, Error::plugin(status), "a number that is not the plugin's to give");
            }
        }
    }
}

#[test]
fn states_of_session_and_device_have_the_answers_of_call() {
    let of = |state: &dyn Fn(&Sim<All>, &App<All>)| {
        let one = |directly: bool| {
            let sim = Sim::<All>::new().unwrap();
            let app = session(&sim, directly);
            state(&sim, &app);
            // Each shape, and a message that is none.
            let answers = [(1, 0, 0), (9, 4, 0), (6, 0, 264), (11, 0, 8), (99, 0, 0)];
            answers.map(|(message, args, room)| told(&app, message, &[0; 4][..args], &[], room).0)
        };
        let (directly, by_call) = (one(true), one(false));
        assert_eq!(directly, by_call);
        directly[0].unwrap_err().status
    };
    assert_eq!(of(&|_, app| app.close().unwrap()), Status::CLOSED);
    assert_eq!(of(&|sim, _| sim.remove(true)), Status::DEVICE_GONE);
    assert_eq!(of(&|sim, _| sim.remove(false)), Status::DEVICE_GONE);
    let panicked = of(&|_, app| assert_eq!(told(app, 10, &[], &[], 0).0, Err(Status::POISONED.into())));
    assert_eq!(panicked, Status::POISONED);
}

/// Before its buffer is read: 8 bytes of that are there, which is the answer's place, and the arguments are not.
#[test]
fn a_session_that_is_over_answers_where_the_buffer_cannot_be_read() {
    for (removed, answer) in [(false, Status::CLOSED), (true, Status::DEVICE_GONE)] {
        let sim = Sim::<All>::new().unwrap();
        let app = session(&sim, true);
        let buffer = app.memory().map(PAGE, Access::ReadWrite) + PAGE as u64 - 8;
        for message in [9, 11] {
            assert_eq!(app.raw_direct(message, buffer), Err(TransportStatus::FAULT.status()), "an open one");
        }
        if removed {
            sim.remove(true)
        } else {
            app.close().unwrap()
        }
        for message in [9, 11] {
            assert_eq!(app.raw_direct(message, buffer), Ok(answer), "message {message}");
        }
    }
}

/// As many calls as there may be: one more is refused, in either form.
#[test]
fn calls_above_the_limit_are_refused() {
    let sim = Sim::<All>::new().unwrap();
    let app = session(&sim, true);
    let nap = 3_600_000u32.to_le_bytes();
    std::thread::scope(|scope| {
        for _ in 0..limits::MAX_CALLS {
            scope.spawn(|| assert_eq!(told(&app, 9, &nap, &[], 0).0, Err(Status::CLOSED.into())));
        }
        while app.query(0).unwrap().calls < limits::MAX_CALLS {
            std::thread::yield_now();
        }
        let more = [(1, 0, 0), (9, 4, 0), (11, 0, 8), (99, 0, 0)];
        let refused = more.map(|(message, args, room)| told(&app, message, &[0; 4][..args], &[], room).0);
        let inside = app.query(0).unwrap().calls;
        // What is wrong is told when the naps are over.
        app.close().unwrap();
        assert_eq!(refused, [const { Err(Error::new(Status::TOO_MANY_CALLS, 0)) }; 4], "of messages {more:?}");
        assert_eq!(inside, limits::MAX_CALLS, "who was refused is not inside");
    });
    assert_eq!(app.query(0).unwrap().calls, 0);
}

/// A device that sleeps is waited for; a session that is closed is not kept waiting by it.
#[test]
fn a_device_that_sleeps_is_waited_for() {
    let waited = StdMutex::new(0);
    explore(0..60, |world| {
        let sim = Sim::<All>::new().unwrap();
        let (app, closed) = (session(&sim, true), session(&sim, true));
        closed.close().unwrap();
        sim.suspend();
        assert_eq!(told(&closed, 1, &[], &[], 0).0, Err(Status::CLOSED.into()));
        let awake = StdMutex::new(false);
        world.scope(|scope| {
            scope.spawn("caller", || {
                assert_eq!(told(&app, 1, &[], &[], 0).0, Ok(0));
                assert!(*awake.lock().unwrap(), "it did not wait");
                *waited.lock().unwrap() += 1;
            });
            scope.spawn("system", || {
                sim.advance(1);
                *awake.lock().unwrap() = true;
                sim.resume();
            });
        });
    });
    assert_eq!(waited.into_inner().unwrap(), 60);
}

/// A call that races CLOSE either runs as a whole or is Closed.
#[test]
fn a_direct_call_races_close() {
    let seen = StdMutex::new([0; 2]);
    explore(0..150, |world| {
        let sim = Sim::<All>::new().unwrap();
        let app = session(&sim, true);
        world.scope(|scope| {
            scope.spawn("caller", || match told(&app, 11, &[], &[1; 4], 8) {
                (Ok(8), reply) => {
                    assert_eq!(reply, 0x0101_0101u64.to_le_bytes());
                    seen.lock().unwrap()[0] += 1;
                }
                (answer, reply) => {
                    assert_eq!((answer, reply), (Err(Status::CLOSED.into()), vec![0xA5; 8]));
                    seen.lock().unwrap()[1] += 1;
                }
            });
            scope.spawn("closer", || app.close().unwrap());
        });
        assert_eq!(app.query(0).unwrap().calls, 0);
    });
    let [ran, closed] = seen.into_inner().unwrap();
    assert!(ran > 5 && closed > 5, "{ran} ran, {closed} were closed");
}

#[test]
fn a_lent_reply_is_the_reply_that_a_copy_would_be() {
    let sim = Sim::<All>::new().unwrap();
    let words = |reply: Result<Vec<u8>>| -> Result<Vec<u16>> {
        Ok(reply?.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
    };
    let data = [10, 0, 20, 0, 30, 0];
    let give = |how: u8, room: usize| words(both(&sim, 8, &[how], &data, room));
    assert_eq!(give(0, 6), Ok(vec![10, 20, 30]));
    assert_eq!(give(1, 6), Ok(vec![20, 30]));
    assert_eq!(give(2, 8), Ok(vec![7, 10, 20, 30]));
    assert_eq!(give(3, 12), Ok(vec![10, 20, 30, 1, 2, 3]));
    assert_eq!(give(4, 12), Ok(vec![10, 20, 30, 10, 20, 30]));
    assert_eq!(give(5, 6), Ok(vec![1, 2, 3]));
    assert_eq!(give(6, 6), Ok(vec![10, 20, 30]));
    for (how, room, needed) in [(0, 5, 6), (1, 3, 4), (2, 7, 8), (3, 11, 12), (4, 11, 12), (5, 0, 6)] {
        assert_eq!(give(how, room), Err(Error::new(Status::OUTPUT_LENGTH, needed)), "way {how}");
    }
    // In buffers of either size.
    let large = vec![0x11; limits::MAX_DATA];
    assert_eq!(both(&sim, 8, &[0], &large, limits::MAX_DATA), Ok(large.clone()));
    assert_eq!(both(&sim, 8, &[0], &[], 6), Ok(vec![]));
}

/// Typed clients take the direct form by themselves; what it cannot do they send as CALL.
#[test]
fn a_client_takes_the_form_that_fits() {
    // How often a run with this call goes through each kind of copy, above one without it.
    let copies = |call: &dyn Fn(&kp_user::Plugin)| -> [usize; 4] {
        let count = |call: &dyn Fn(&kp_user::Plugin)| {
            let run = replay(1, |_| {
                let sim = Sim::<All>::new().unwrap();
                call(&sim.connect(all::INTERFACE).unwrap());
            });
            assert_eq!(run.failure, None);
            ["take", "begin", "fetch", "end"]
                .map(|what| run.trace.events.iter().filter(|event| event.what == what).count())
        };
        let (with, without) = (count(call), count(&|_| ()));
        std::array::from_fn(|at| with[at] - without[at])
    };
    assert_eq!(copies(&|plugin| assert_eq!(all::Client(plugin).nothing(), Ok(()))), [0, 0, 0, 0]);
    assert_eq!(copies(&|plugin| assert_eq!(all::Client(plugin).odd(1, 2, true), Ok([1, 2, 1]))), [0, 1, 0, 1]);
    let give = |plugin: &kp_user::Plugin| {
        assert_eq!(all::Client(plugin).give(0, &[5, 6], &mut [0; 4]), Ok(&[5, 6][..]));
    };
    assert_eq!(copies(&give), [0, 1, 1, 0]);
    let nowait = |plugin: &kp_user::Plugin| {
        assert_eq!(all::Client(plugin.nowait()).odd(1, 2, true), Ok([1, 2, 1]));
    };
    assert_eq!(copies(&nowait), [1, 0, 1, 0]);
    let shapes: Vec<Shape> = all::INTERFACE.methods.iter().map(|method| method.shape()).collect();
    assert_eq!(shapes[1], Shape::Fixed { args: 10, reply: 3 });
    assert_eq!(shapes[5], Shape::Segments { args: 0 });
    assert_eq!(shapes[6], Shape::Fixed { args: 256, reply: 256 });
    assert_eq!(shapes[7], Shape::Segments { args: 1 });
    assert_eq!(shapes[10], Shape::Segments { args: 0 });
}
