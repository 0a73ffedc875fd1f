//! A client that knows the protocol and nothing of kp-user's, and a server for it.
use kp_abi::{
    Status,
    request::{ANY_VECTOR, Call, IntWait, NO_TIMEOUT, Request, control_code},
    socket::{Hello, MAGIC, ReplyFrame, RequestFrame, Welcome, kind},
    zerocopy::{FromZeros, IntoBytes},
};
use kp_sim::{Sim, edu::Edu, socket::Server};
use kp_user::{ControlNode, DeviceControl, Plugin};
use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

use crate::test_plugin::{TestPlugin, messages};

/// How long anything may take that is bound to come.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A place for a socket or a file, in a folder that goes with it.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(TempDir::with_prefix("kp-").expect("a folder can be made"))
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("socket")
    }
}

/// A server of the test plugin, with a device, and where it listens.
pub fn server() -> (Server<TestPlugin>, Place) {
    let place = Place::new();
    let server = Server::start(Sim::builder().device(Edu::new()), &place.path(), None).expect("it starts");
    (server, place)
}

/// One connection.
pub struct Raw {
    stream: Mutex<UnixStream>,
}

impl Raw {
    /// A connection that has said nothing yet.
    pub fn silent(place: &Place) -> Self {
        let stream = UnixStream::connect(place.path()).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Self { stream: Mutex::new(stream) }
    }

    /// One that has said hello, and what was answered.
    pub fn hello(place: &Place, kind: u32, handle: u64) -> (Self, Result<u64, Status>) {
        let raw = Self::silent(place);
        raw.send(Hello { magic: MAGIC, kind, handle }.as_bytes());
        let mut welcome = Welcome::new_zeroed();
        raw.stream().read_exact(welcome.as_mut_bytes()).expect("an answer");
        assert_eq!(welcome.magic, MAGIC);
        let answer = if welcome.status == 0 { Ok(welcome.handle) } else { Err(Status(welcome.status)) };
        (raw, answer)
    }

    /// A new handle, with its number.
    pub fn open(place: &Place) -> (Self, u64) {
        let (raw, handle) = Self::hello(place, kind::OPEN, 0);
        (raw, handle.expect("a handle"))
    }

    /// One more connection of a handle's.
    pub fn more(place: &Place, kind: u32, handle: u64) -> Self {
        let (raw, answer) = Self::hello(place, kind, handle);
        assert_eq!(answer, Ok(handle));
        raw
    }

    fn stream(&self) -> impl std::ops::DerefMut<Target = UnixStream> {
        self.stream.lock().expect("no test panics with it")
    }

    /// Any bytes. The other side may have closed.
    pub fn send(&self, bytes: &[u8]) -> bool {
        self.stream().write_all(bytes).is_ok()
    }

    /// A request, in frames.
    pub fn send_request(&self, code: u32, input: &[u8], out_len: u32) {
        let frame = RequestFrame { code, in_len: input.len() as u32, out_len, reserved: 0 };
        self.send(&[frame.as_bytes(), input].concat());
    }

    /// The answer to a request. None: the other side has closed.
    pub fn reply(&self) -> Option<Result<Vec<u8>, Status>> {
        let mut stream = self.stream();
        let mut reply = ReplyFrame::new_zeroed();
        match stream.read_exact(reply.as_mut_bytes()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("no answer within {PATIENCE:?}"),
            Err(_) => return None,
        }
        let mut output = vec![0; reply.out_len as usize];
        stream.read_exact(&mut output).ok()?;
        Some(if reply.status == 0 { Ok(output) } else { Err(Status(reply.status)) })
    }

    /// Bytes that have come, at least one of them; none: the other side has closed. Waits for them.
    pub fn bytes(&self) -> usize {
        match self.stream().read(&mut [0; 64]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("nothing within {PATIENCE:?}"),
            Err(_) => 0,
        }
    }

    /// Is there a byte now?
    pub fn has_bytes(&self) -> bool {
        let mut stream = self.stream();
        stream.set_nonblocking(true).expect("it can be set");
        let read = stream.read(&mut [0; 64]);
        stream.set_nonblocking(false).expect("it can be set");
        read.is_ok_and(|read| read > 0)
    }

    /// Closes the half that sends, and waits for the other half's end.
    pub fn close(self) {
        let _ = self.stream().shutdown(Shutdown::Write);
        while self.bytes() != 0 {}
    }
}

impl DeviceControl for Raw {
    fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Status> {
        self.send_request(code, input, output.len() as u32);
        let reply = self.reply().ok_or(Status::DEVICE_GONE)??;
        output[..reply.len()].copy_from_slice(&reply);
        Ok(reply.len())
    }
}

/// The code of a request.
pub fn code<R: Request>() -> u32 {
    control_code(R::NR).expect("each request has one")
}

/// An open session over a connection.
pub fn plugin(raw: Raw) -> Plugin {
    Plugin::over(Arc::new(ControlNode::over(raw)), messages::INTERFACE, &[]).expect("the interface is its own")
}

/// A call that sleeps for longer than any test.
pub fn nap() -> Vec<u8> {
    let call = Call { message: 6, args_len: 4, ..Call::new() };
    [call.as_bytes(), &u32::MAX.to_le_bytes(), &[0; 4]].concat()
}

/// A wait for a notification, without an end.
pub fn wait() -> IntWait {
    IntWait { timeout_ns: NO_TIMEOUT, vector: ANY_VECTOR, max: 1, ..IntWait::new() }
}

/// Looks until it is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::yield_now();
    }
}
