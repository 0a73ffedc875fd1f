//! What only Windows has: control codes with a method and an access, two buffers of any length, and names with something behind them.
//!
//! Wine copies the buffers of METHOD_NEITHER, and tells a driver neither what stands behind its name nor whether a handle is for one
//! request at a time. So bad addresses, and waits on such a handle, are not in this list but in that of the loader.
use echo_interface::echo;
use kp_abi::{
    Status, TransportStatus,
    request::{BufferRegister, CTL_DEVICE, Call, Head, Open, Query, Request, Schema, control_code, in_direct_code},
    zerocopy::{FromBytes, IntoBytes},
};

/// A system, as far as devices are opened by path.
pub trait Opener {
    /// Opens a path for reading and writing. None: it opens nothing.
    fn open(&self, path: &str) -> Option<Box<dyn Control + '_>>;
}

/// An open device.
pub trait Control {
    /// DeviceIoControl, waited for: the length of what was written to `output`. `Err`: the transport itself failed.
    fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Status>;
}

const HEAD: usize = size_of::<Head>();
const PATH: &str = r"\\.\kp-echo";

/// Runs the list; echo is loaded. Gives the number of cases seen.
///
/// # Panics
/// At the first case with another answer.
pub fn run(system: &dyn Opener) -> usize {
    let mut seen = 0;
    codes(system, &mut seen);
    short_buffers(system, &mut seen);
    cut_replies(system, &mut seen);
    lengths(system, &mut seen);
    schema(system, &mut seen);
    names(system, &mut seen);
    seen
}

fn fresh(system: &dyn Opener) -> Box<dyn Control + '_> {
    system.open(PATH).unwrap_or_else(|| panic!("{PATH} does not open"))
}

/// A session of echo's.
pub(crate) fn session(system: &dyn Opener) -> Box<dyn Control + '_> {
    let file = fresh(system);
    let mut open = crate::raw_ioctl::open(echo::INTERFACE);
    let request = open;
    let written = file.control(code::<Open>(), request.as_bytes(), open.as_mut_bytes());
    assert_eq!((written, open.head.status), (Ok(size_of::<Open>()), Status::OK.0), "a session");
    file
}

fn code<R: Request>() -> u32 {
    control_code(R::NR).expect("each request has a code")
}

/// Is it the code of the request whose out-buffer is the memory that it is about?
pub(crate) fn is_direct(code: u32) -> bool {
    in_direct_code(BufferRegister::NR)
        .is_some_and(|read| [Some(read), control_code(BufferRegister::NR)].contains(&Some(code)))
}

/// Every number with every method and every access: one code for each request there is, and all others are unknown.
fn codes(system: &dyn Opener, seen: &mut usize) {
    let file = fresh(system);
    let input = [0; 256];
    for nr in (0..64).chain([255, 0x7FF]) {
        for (method, access) in (0..4).flat_map(|method| (0..4).map(move |access| (method, access))) {
            let code = CTL_DEVICE << 16 | access << 14 | (0x800 + nr) << 2 | method;
            let is_direct = is_direct(code);
            let known = control_code(nr) == Some(code) && !is_direct;
            // A size of 0: a request that is known says so in the head, and does nothing. One whose out-buffer is no answer says so itself.
            let mut output = [0xFF; 256];
            let answer = file.control(code, &input, &mut output);
            let want = match (known, is_direct) {
                (true, _) => Ok(HEAD),
                (false, true) => Err(Status::TOO_SMALL),
                (false, false) => Err(TransportStatus::UNKNOWN_REQUEST.status()),
            };
            assert_eq!(answer, want, "request {nr} with method {method} and access {access}");
            let head = Head::read_from_bytes(&output[..HEAD]).expect("a head");
            assert_eq!(head.status == Status::TOO_SMALL.0, known, "request {nr}: {}", Status(head.status));
            *seen += 1;
        }
    }
    // Another device's, with the right function.
    let foreign = 0x22 << 16 | (0x800 << 2);
    assert_eq!(file.control(foreign, &input, &mut [0; 256]), Err(TransportStatus::UNKNOWN_REQUEST.status()));
    *seen += 1;
}

/// A buffer without room for a head, on either side.
fn short_buffers(system: &dyn Opener, seen: &mut usize) {
    let file = fresh(system);
    for code in [code::<Query>(), code::<Call>()] {
        for len in [0, 1, 8, HEAD - 1] {
            assert_eq!(
                file.control(code, &vec![0; len], &mut [0; 256]),
                Err(TransportStatus::HEADER_TOO_SMALL.status())
            );
            assert_eq!(
                file.control(code, &[0; 256], &mut vec![0; len]),
                Err(TransportStatus::HEADER_TOO_SMALL.status())
            );
            *seen += 2;
        }
    }
}

/// A reply that is longer than the out-buffer is cut, as for an older app, and a struct longer than the in-buffer is too small.
fn cut_replies(system: &dyn Opener, seen: &mut usize) {
    let file = fresh(system);
    let query = Query::new();
    for room in [HEAD, HEAD + 4, 64, size_of::<Query>() - 1, size_of::<Query>(), 512] {
        let mut output = vec![0xEE; room];
        let written = file.control(code::<Query>(), query.as_bytes(), &mut output).expect("a head fits");
        let head = Head::read_from_prefix(&output).expect("a head").0;
        assert_eq!(head.status, Status::OK.0, "room {room}");
        assert!(written <= room.min(size_of::<Query>()), "room {room}: {written} written");
        assert!(output[written..].iter().all(|&byte| byte == 0xEE), "room {room}: nothing behind the reply");
        *seen += 1;
    }
    for len in [HEAD, size_of::<Query>() - 1] {
        let mut output = Query::new();
        let written = file.control(code::<Query>(), &query.as_bytes()[..len], output.as_mut_bytes());
        assert_eq!((written.is_ok(), output.head.status), (true, Status::TOO_SMALL.0), "an in-buffer of {len}");
        *seen += 1;
    }
}

/// Lengths in the struct against those of the buffers.
fn lengths(system: &dyn Opener, seen: &mut usize) {
    let file = session(system);
    let mut call = |what: &str, call: Call, follows: &[u8], room: usize, want: Status| {
        let mut output = vec![0; HEAD + room];
        output[8..12].copy_from_slice(&Status::NO_REPLY.0.to_le_bytes());
        let input = [call.as_bytes(), follows].concat();
        let answer = file.control(code::<Call>(), &input, &mut output);
        let head = Head::read_from_prefix(&output).expect("a head").0;
        assert_eq!(answer.map_or_else(|status| status, |_| Status(head.status)), want, "{what}");
        *seen += 1;
    };
    let say = Call { message: 1, in_len: 5, out_len: 4, ..Call::new() };
    call("say", say, b"hello", 4, Status::OK);
    call("data that ends before its length", say, b"hell", 4, TransportStatus::FAULT.status());
    call("no data", say, b"", 4, TransportStatus::FAULT.status());
    call("room that ends before its length", say, b"hello", 3, TransportStatus::FAULT.status());
    call("no room", say, b"hello", 0, TransportStatus::FAULT.status());
    call("an address of data", Call { in_addr: 0x1000, ..say }, b"hello", 4, TransportStatus::FAULT.status());
    call("an address of room", Call { out_addr: 0x1000, ..say }, b"hello", 4, TransportStatus::FAULT.status());
    call("more than is needed", say, b"hello and more", 64, Status::OK);
    let nap = Call { message: 5, args_len: 4, ..Call::new() };
    call("nap", nap, &[0; 4], 0, Status::OK);
    call("arguments that end before their length", nap, &[0; 3], 0, TransportStatus::FAULT.status());
    call("an address of arguments", Call { args_addr: 8, ..nap }, &[0; 4], 0, TransportStatus::FAULT.status());
    // Data starts at a multiple of 8 behind the arguments: here it would begin where the buffer ends.
    let repeat = Call { message: 3, args_len: 4, in_len: 4, out_len: 4, ..Call::new() };
    call("data in the padding", repeat, &[0; 8], 4, TransportStatus::FAULT.status());
}

/// A part of the schema stands behind the struct, however long the app has made that.
fn schema(system: &dyn Opener, seen: &mut usize) {
    const LEN: usize = size_of::<Schema>();
    let file = fresh(system);
    let mut told = |what: &str, size: usize, request: Schema, room: usize| {
        let mut input = vec![0; size];
        input[..LEN].copy_from_slice(request.as_bytes());
        input[..4].copy_from_slice(&(size as u32).to_le_bytes());
        let mut output = vec![0xEE; size + room];
        output[8..12].copy_from_slice(&Status::NO_REPLY.0.to_le_bytes());
        let answer = file.control(code::<Schema>(), &input, &mut output);
        let status = Status(Head::read_from_prefix(&output).expect("a head").0.status);
        *seen += 1;
        match (answer.and(if status == Status::OK { Ok(()) } else { Err(status) }), answer) {
            (Ok(()), Ok(written)) => {
                assert!(output[written..].iter().all(|&byte| byte == 0xEE), "{what}: nothing behind the reply");
                Ok(output[size..written.max(size)].to_vec())
            }
            (Err(status), _) | (_, Err(status)) => Err(status),
        }
    };
    let part = Schema { offset: 2, len: 7, ..Schema::new() };
    assert_eq!(told("seven bytes", LEN, part, 7), Ok(echo::SCHEMA[2..9].to_vec()));
    assert_eq!(told("with more room", LEN, part, 70), Ok(echo::SCHEMA[2..9].to_vec()));
    assert_eq!(told("to a later app", LEN + 24, part, 7), Ok(echo::SCHEMA[2..9].to_vec()));
    assert_eq!(told("its length alone", LEN, Schema { len: 0, addr: 8, ..part }, 0), Ok(vec![]));
    let fault = Err(TransportStatus::FAULT.status());
    assert_eq!(told("with less room", LEN, part, 6), fault);
    assert_eq!(told("without room", LEN, part, 0), fault);
    assert_eq!(told("to an address", LEN, Schema { addr: 8, ..part }, 7), fault);
}

/// A name with something behind it opens nothing. Wine itself refuses these; a backslash alone it takes away, so that a driver there
/// never sees one.
fn names(system: &dyn Opener, seen: &mut usize) {
    for tail in [r"\x", ":x", ".0", "x"] {
        let path = format!("{PATH}{tail}");
        assert!(system.open(&path).is_none(), "{path} opens");
        *seen += 1;
    }
}
