//! What an app sends arrives, and what is no message of the interface reaches no handler.
use core::cell::Cell;
use kp_abi::{Error, Field, Message, Out, Reply, Result, Status, Transport, Type};
use proptest::prelude::*;

kp_abi::wire! {
    /// Any bytes are a value.
    struct Point: FromBytes { x: i32, y: i32, tag: [u16; 2] }
    enum Mode: u16 { Off = 0, On = 1, Auto = 40_000 }
    flags Options: u32 { FAST = 1 << 0, SAFE = 1 << 1, LOUD = 1 << 31 }
    struct Setup { at: u64, options: Options, mode: Mode, on: [bool; 2] }
}

kp_abi::interface! {
    /// All kinds of arguments and replies.
    mod all, version 1 {
        /// Integers.
        fn numbers(a: u8, b: u16, c: u32, d: u64, e: i8, f: i16, g: i32, h: i64) -> [u8; 30] = 1;
        /// Checked values.
        fn setup(flag: bool, setup: Setup, modes: [Mode; 2]) -> Setup = 2;
        /// Data that needs an alignment.
        fn points(first: u8, points: &[Point]) -> [Point] = 3;
        /// Data whose elements are checked.
        fn settings(settings: &[Setup]) -> u32 = 4;
        #[retired]
        fn old(n: u32, data: &[u8]) -> u64 = 5;
        /// Nothing in, nothing out.
        fn nothing() = 6;
        /// Parameters may be named like anything in the generated code.
        fn names(
            cx: u32, context: u32, session: u8, reader: u32, writer: u64, out: u16, handler: u32, message: i8,
            reply: [u8; 3], value: bool, id: u32, room: u8, data: &[u16],
        ) -> [u32] = 7;
        /// Fails as told.
        fn fail(status: u32, detail: u32) -> u64 = 8;
        /// Checked values in an array.
        fn merge(options: [Options; 2]) -> Options = 9;
    }
}

/// Answers, and counts how often it was asked.
#[derive(Default)]
struct Plugin {
    runs: Cell<u32>,
}

impl Plugin {
    fn ran(&self) {
        self.runs.set(self.runs.get() + 1);
    }
}

impl all::Handler<str, u8> for Plugin {
    #[rustfmt::skip]
    fn numbers(
        &self, _: &mut str, _: &u8, a: u8, b: u16, c: u32, d: u64, e: i8, f: i16, g: i32, h: i64,
    ) -> Result<[u8; 30]> {
        self.ran();
        let parts = [
            &a.to_le_bytes()[..], &b.to_le_bytes(), &c.to_le_bytes(), &d.to_le_bytes(),
            &e.to_le_bytes(), &f.to_le_bytes(), &g.to_le_bytes(), &h.to_le_bytes(),
        ];
        Ok(parts.concat().try_into().expect("30 bytes"))
    }

    fn setup(&self, _: &mut str, _: &u8, flag: bool, mut setup: Setup, modes: [Mode; 2]) -> Result<Setup> {
        self.ran();
        setup.mode = modes[usize::from(flag)];
        Ok(setup)
    }

    fn points(&self, _: &mut str, _: &u8, first: u8, points: &[Point], out: &mut Out<'_, '_, Point>) -> Result<()> {
        self.ran();
        let points = points.get(usize::from(first)..).unwrap_or_default();
        for point in points.iter().take(out.room()) {
            out.push(*point)?;
        }
        Ok(())
    }

    fn settings(&self, _: &mut str, _: &u8, settings: &[Setup]) -> Result<u32> {
        self.ran();
        Ok(settings.len() as u32)
    }

    fn nothing(&self, _: &mut str, _: &u8) -> Result<()> {
        self.ran();
        Ok(())
    }

    #[rustfmt::skip]
    fn names(
        &self, _: &mut str, handle: &u8, cx: u32, _: u32, session: u8, _: u32, writer: u64, _: u16, _: u32, message: i8,
        reply: [u8; 3], value: bool, _: u32, _: u8, data: &[u16], out: &mut Out<'_, '_, u32>,
    ) -> Result<()> {
        self.ran();
        assert_eq!(*handle, 7, "the session is the one that dispatch was given");
        out.push(cx)?;
        out.extend(&[session.into(), writer as u32, message as u32, reply[2].into(), value.into(), data.len() as u32])
    }

    fn fail(&self, _: &mut str, _: &u8, status: u32, detail: u32) -> Result<u64> {
        self.ran();
        Err(Error::new(Status(status), detail))
    }

    fn merge(&self, _: &mut str, _: &u8, options: [Options; 2]) -> Result<Options> {
        self.ran();
        Ok(options[0] | options[1])
    }
}

/// Carries a call as a host does: private copies, the data at a multiple of 8, old bytes in the room for the reply.
#[derive(Default)]
struct Loopback {
    plugin: Plugin,
    /// Messages that the other side has, if it says so.
    count: Option<u32>,
}

impl Transport for Loopback {
    fn call(&self, id: u32, args: &[u8], data: &[u8], reply: &mut [u8]) -> Result<usize> {
        // One byte in front of the arguments: they may lie anywhere.
        let args = [&[0xEE], args].concat();
        let mut aligned = vec![0u64; data.len().div_ceil(8)];
        let aligned = &mut zerocopy::IntoBytes::as_mut_bytes(&mut aligned[..])[..data.len()];
        aligned.copy_from_slice(data);
        let mut room = vec![0xAA; reply.len()];
        let mut answer = Reply::new(&mut room);
        let mut context = String::new();
        let message = Message { id, args: &args[1..], data: aligned };
        all::dispatch(&self.plugin, context.as_mut_str(), &7, message, &mut answer)?;
        let written = answer.written();
        reply[..written].copy_from_slice(&room[..written]);
        Ok(written)
    }

    fn knows(&self, id: u32) -> bool {
        self.count.is_none_or(|count| id <= count)
    }
}

/// The answer to raw bytes, and whether a handler ran.
fn raw(id: u32, args: &[u8], data: &[u8], room: usize) -> (Result<usize>, bool) {
    let loopback = Loopback::default();
    let answer = loopback.call(id, args, data, &mut vec![0; room]);
    (answer, loopback.plugin.runs.get() > 0)
}

/// A refusal, before any handler.
fn refused(status: Status) -> (Result<usize>, bool) {
    (Err(status.into()), false)
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Off), Just(Mode::On), Just(Mode::Auto)]
}

prop_compose! {
    fn setup()(at: u64, bits: u32, mode in mode(), on: [bool; 2]) -> Setup {
        Setup { at, options: Options::from_bits_truncate(bits), mode, on }
    }
}

prop_compose! {
    fn point()(x: i32, y: i32, tag: [u16; 2]) -> Point {
        Point { x, y, tag }
    }
}

proptest! {
    #[test]
    fn integers_arrive(a: u8, b: u16, c: u32, d: u64, e: i8, f: i16, g: i32, h: i64) {
        let reply = all::Client(Loopback::default()).numbers(a, b, c, d, e, f, g, h).unwrap();
        prop_assert_eq!(reply[0], a);
        prop_assert_eq!(&reply[1..3], b.to_le_bytes());
        prop_assert_eq!(&reply[3..7], c.to_le_bytes());
        prop_assert_eq!(&reply[7..15], d.to_le_bytes());
        prop_assert_eq!(reply[15] as i8, e);
        prop_assert_eq!(&reply[16..18], f.to_le_bytes());
        prop_assert_eq!(&reply[18..22], g.to_le_bytes());
        prop_assert_eq!(&reply[22..], h.to_le_bytes());
    }

    #[test]
    fn checked_values_arrive(flag: bool, setup in setup(), modes in [mode(), mode()]) {
        let reply = all::Client(Loopback::default()).setup(flag, setup, modes);
        prop_assert_eq!(reply, Ok(Setup { mode: modes[usize::from(flag)], ..setup }));
    }

    #[test]
    fn slices_arrive_and_replies_are_as_long_as_was_written(
        first in 0u8..20, points in prop::collection::vec(point(), 0..20), room in 0usize..20,
    ) {
        let mut out = vec![Point { x: 1, y: 2, tag: [3, 4] }; room];
        let expected: Vec<_> = points.iter().skip(first.into()).take(room).copied().collect();
        prop_assert_eq!(all::Client(Loopback::default()).points(first, &points, &mut out), Ok(&expected[..]));
    }

    #[test]
    fn slices_of_checked_values_arrive(settings in prop::collection::vec(setup(), 0..20)) {
        prop_assert_eq!(all::Client(Loopback::default()).settings(&settings), Ok(settings.len() as u32));
    }

    /// No bytes make dispatch panic, and a handler runs only if the lengths are right.
    #[test]
    fn any_bytes_are_answered(
        id in 0u32..12, exact: bool, args in prop::collection::vec(0u8..3, 40), len in 0usize..=40,
        data in prop::collection::vec(0u8..3, 0..64), room in 0usize..64,
    ) {
        let Some(method) = all::INTERFACE.method(id).filter(|method| !method.retired) else {
            prop_assert_eq!(raw(id, &args, &data, room), refused(Status::UNKNOWN_MESSAGE));
            return Ok(());
        };
        let right = method.args.iter().map(|arg| size(arg.ty)).sum();
        let len = if exact { right } else { len };
        let (answer, ran) = raw(id, &args[..len], &data, room);
        let takes_data = matches!(method.args.last(), Some(Field { ty: Type::Slice(_), .. }));
        if len != right || (!takes_data && !data.is_empty()) {
            prop_assert!(!ran);
            prop_assert!(answer == refused(Status::INPUT_LENGTH).0 || answer == refused(Status::BAD_VALUE).0);
        }
    }
}

/// Bytes among the fixed arguments.
fn size(ty: &Type) -> usize {
    match *ty {
        Type::Unit | Type::Slice(_) => 0,
        Type::Bool => 1,
        Type::Uint(size) | Type::Int(size) => size.into(),
        Type::Array(element, length) => size(element) * length,
        Type::Struct { size, .. } | Type::Enum { size, .. } | Type::Flags { size, .. } => size,
    }
}

#[test]
fn names_of_parameters_are_free() {
    let client = all::Client(Loopback::default());
    let mut out = [0; 9];
    let reply = client.names(1, 2, 3, 4, 5, 6, 7, -1, [7, 8, 9], true, 10, 11, &[1, 2, 3], &mut out);
    assert_eq!(reply, Ok(&[1, 3, 5, u32::MAX, 9, 1, 3][..]));
    assert_eq!(client.nothing(), Ok(()));
    assert_eq!(client.merge([Options::FAST, Options::LOUD]), Ok(Options::FAST | Options::LOUD));
}

#[test]
fn the_handlers_error_arrives_with_its_detail() {
    let client = all::Client(Loopback::default());
    assert_eq!(client.fail(Status::PLUGIN_ERROR.0, 99), Err(Error::plugin(99)));
}

#[test]
fn unknown_and_retired_messages_reach_nobody() {
    for id in [0, 5, 10, u32::MAX] {
        assert_eq!(raw(id, &[0; 4], &[], 64), refused(Status::UNKNOWN_MESSAGE), "message {id}");
    }
    let all = all::Client(Loopback::default());
    assert_eq!([0, 1, 5, 8, 10].map(|id| all.has(id)), [false, true, false, true, false]);
    let older = all::Client(Loopback { count: Some(6), ..Default::default() });
    assert_eq!([1, 5, 6, 7].map(|id| older.has(id)), [true, false, true, false]);
}

#[test]
fn a_wrong_length_reaches_nobody() {
    for len in [0, 29, 31, 256] {
        assert_eq!(raw(1, &vec![0; len], &[], 64), refused(Status::INPUT_LENGTH), "{len} bytes of arguments");
    }
    assert_eq!(raw(1, &[0; 30], &[0], 64), refused(Status::INPUT_LENGTH), "data that nobody takes");
    assert_eq!(raw(6, &[], &[], 0), (Ok(0), true));
    assert_eq!(raw(6, &[0], &[], 0), refused(Status::INPUT_LENGTH), "arguments that nobody takes");
    assert_eq!(raw(3, &[0], &[0; 12], 0), (Ok(0), true));
    assert_eq!(raw(3, &[0], &[0; 13], 0), refused(Status::INPUT_LENGTH), "a part of an element");
}

#[test]
fn bytes_that_are_no_value_reach_nobody() {
    let setup = |options: u32, mode: u16, on: [u8; 2]| {
        let parts = [&[0; 8][..], &options.to_le_bytes(), &mode.to_le_bytes(), &on];
        parts.concat()
    };
    let args = |flag: u8, setup: &[u8], modes: [u16; 2]| {
        [&[flag][..], setup, &modes[0].to_le_bytes(), &modes[1].to_le_bytes()].concat()
    };
    let good = setup(1 << 31 | 3, 40_000, [0, 1]);
    assert_eq!(raw(2, &args(1, &good, [0, 1]), &[], 16), (Ok(16), true));
    let bad = [
        ("no bool", args(2, &good, [0, 1])),
        ("no bool in a struct", args(0, &setup(0, 0, [0, 255]), [0, 1])),
        ("no variant", args(0, &good, [0, 2])),
        ("no variant in a struct", args(0, &setup(0, 39_999, [0, 0]), [0, 1])),
        ("unknown flag", args(0, &setup(1 << 2, 0, [0, 0]), [0, 1])),
    ];
    for (what, args) in bad {
        assert_eq!(raw(2, &args, &[], 16), refused(Status::BAD_VALUE), "{what}");
    }
    assert_eq!(raw(9, &[1, 0, 0, 0, 2, 0, 0, 0], &[], 4), (Ok(4), true));
    assert_eq!(raw(9, &[1, 0, 0, 0, 4, 0, 0, 0], &[], 4), refused(Status::BAD_VALUE), "unknown flag in an array");
    assert_eq!(raw(4, &[], &[good.clone(), good.clone()].concat(), 4), (Ok(4), true));
    for bad in [setup(1 << 2, 0, [0, 0]), setup(0, 2, [0, 0]), setup(0, 0, [2, 0])] {
        assert_eq!(raw(4, &[], &[good.clone(), bad].concat(), 4), refused(Status::BAD_VALUE), "in a slice");
    }
}

#[test]
fn a_reply_of_fixed_size_must_fit_before_the_handler_runs() {
    let too_small = |needed| (Err(Error::new(Status::OUTPUT_LENGTH, needed)), false);
    assert_eq!(raw(1, &[0; 30], &[], 29), too_small(30));
    assert_eq!(raw(4, &[], &[], 0), too_small(4));
    assert_eq!(raw(1, &[0; 30], &[], 30), (Ok(30), true));
    assert_eq!(raw(1, &[0; 29], &[], 0), refused(Status::INPUT_LENGTH), "the input is checked first");
}

#[test]
fn a_reply_says_how_long_it_would_have_to_be() {
    let mut room = [0xAA; 10];
    let mut reply = Reply::new(&mut room);
    assert_eq!(reply.put(&7u64), Ok(()));
    assert_eq!((reply.written(), reply.room()), (8, 2));
    let too_small = Err(Error::new(Status::OUTPUT_LENGTH, 12));
    assert_eq!(reply.need(4), too_small);
    assert_eq!(reply.put(&1u32), too_small);
    assert_eq!(reply.out::<u16>().extend(&[1, 2]), too_small);
    assert_eq!(reply.written(), 8, "what does not fit writes nothing");
    assert_eq!(reply.out::<u16>().room(), 1);
    assert_eq!(reply.out::<u16>().push(0x0201), Ok(()));
    assert_eq!(reply.bytes(&[]), Ok(()));
    assert_eq!(room, [7, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
}

/// A driver that answers these bytes to everything.
struct Says(&'static [u8]);
impl Transport for Says {
    fn call(&self, _: u32, _: &[u8], _: &[u8], reply: &mut [u8]) -> Result<usize> {
        let fits = self.0.len().min(reply.len());
        reply[..fits].copy_from_slice(&self.0[..fits]);
        Ok(self.0.len())
    }
}

#[test]
fn a_client_checks_the_reply() {
    let protocol = || Error::from(Status::PROTOCOL);
    let setup = Setup { at: 0, options: Options::FAST, mode: Mode::On, on: [false, true] };
    let ask = |says| all::Client(Says(says)).setup(false, setup, [Mode::On; 2]);
    assert_eq!(ask(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1]), Ok(setup));
    assert_eq!(ask(&[0; 15]), Err(protocol()), "too short");
    assert_eq!(ask(&[0; 17]), Err(protocol()), "too long");
    assert_eq!(ask(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 1]), Err(protocol()), "no variant");
    assert_eq!(ask(&[0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 1]), Err(protocol()), "unknown flag");
    assert_eq!(ask(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 2]), Err(protocol()), "no bool");
    assert_eq!(all::Client(Says(&[0])).nothing(), Err(protocol()), "a reply to a message that has none");

    let mut room = [Point { x: 0, y: 0, tag: [0; 2] }; 2];
    let mut list = |says| all::Client(Says(says)).points(0, &[], &mut room).map(<[_]>::len);
    assert_eq!(list(&[0; 12]), Ok(1));
    assert_eq!(list(&[0; 13]), Err(protocol()), "a part of an element");
    assert_eq!(list(&[0; 36]), Err(protocol()), "longer than the room");
}

/// Declared where the author's own names are those of core, and say something else.
mod own_names {
    #![allow(dead_code, clippy::extra_unused_type_parameters, reason = "a trap for what the macros write")]

    const fn size_of<T>() -> usize {
        0
    }
    const fn align_of<T>() -> usize {
        0
    }

    kp_abi::wire! {
        pub struct Wide { a: u64, b: u32, c: u32 }
        pub enum Mode: u16 { Off = 0, On = 1 }
        pub flags Options: u64 { FAST = 1 << 0 }
    }
    kp_abi::interface! {
        pub mod own, version 1 {
            fn wide(mode: Mode, options: Options) -> Wide = 1;
        }
    }
}

#[test]
fn an_authors_own_names_change_nothing_on_the_wire() {
    use own_names::own;
    let [method] = own::INTERFACE.methods else { panic!("one message") };
    assert_eq!(method.reply.size(), Some(16));
    assert_eq!([method.args[0].ty.size(), method.args[1].ty.size()], [Some(2), Some(8)]);
    let says = own::Client(Says(&[0; 16]));
    assert!(says.wide(own_names::Mode::On, own_names::Options::FAST).is_ok(), "room for the whole reply");
}
