//! The bounds of a device and of a session: one more than there may be is refused, with its own status, and nothing changes.
use crate::{
    interrupts::until,
    raw_ioctl::{Access, Handle, PAGE, Process, Sender},
};
use echo_interface::echo;
use edu_interface::edu;
use kp_abi::{
    Interface, Status,
    limits::{MAX_CALLS, MAX_SESSIONS, MAX_WAITS},
    request::{self, ANY_VECTOR, Call, Close, IntDisable, IntEnable, IntWait, Query, Request, kind},
    zerocopy::IntoBytes,
};
use std::thread;

/// Messages of echo.
const SAY: u32 = 1;
const NAP: u32 = 5;
/// How long a call or a wait lasts that something else ends, in ms.
const LONG_MS: u32 = 60_000;

/// Runs it, as far as the process can; echo is loaded, and edu if there is a device. Gives the number of refusals seen.
///
/// # Panics
/// If one more has another answer.
pub fn run(process: &dyn Process) -> usize {
    let limits = Limits(Sender::new(process));
    let mut seen = limits.sessions();
    if process.runs_requests_at_once() {
        seen += limits.calls();
    }
    if process.has_device() {
        seen += limits.waits();
    }
    seen
}

struct Limits<'p>(Sender<'p>);

impl<'p> Limits<'p> {
    fn session(&self, plugin: &str, interface: &Interface) -> Box<dyn Handle + 'p> {
        let handle = self.0.process.handle(plugin);
        assert_eq!(self.0.open(&*handle, interface).status, Status::OK, "a session of {plugin}");
        handle
    }

    fn query(&self, handle: &dyn Handle) -> Query {
        self.0.send(handle, Query::new()).request
    }

    fn say(&self, handle: &dyn Handle) -> Status {
        self.0.call(handle, SAY, &[], b"hello", 4).status
    }

    /// A request in memory of its own, for a thread that sends it.
    fn place(&self, request: impl IntoBytes + kp_abi::zerocopy::Immutable) -> u64 {
        let place = self.0.process.map(PAGE as usize, Access::ReadWrite);
        self.0.process.write(place, request.as_bytes());
        place
    }

    /// Sends what is at each of these places, from a thread each, and `meanwhile` runs on this one. The status that each ends with.
    fn at_once<T>(
        &self,
        handle: &dyn Handle,
        nr: u32,
        places: &[u64],
        meanwhile: impl FnOnce() -> T,
    ) -> (T, Vec<Status>) {
        let got = thread::scope(|scope| {
            let sent: Vec<_> = places.iter().map(|&place| scope.spawn(move || handle.send(nr, place))).collect();
            let got = meanwhile();
            for sent in sent {
                assert_eq!(sent.join().expect("a sender does not panic"), Ok(()), "the transport");
            }
            got
        });
        let head = |&place| self.0.value::<request::Head>(place);
        (got, places.iter().map(|place| Status(head(place).status)).collect())
    }

    /// The 65th session of a device: it stays as it was, and opens when another one has closed.
    fn sessions(&self) -> usize {
        let s = &self.0;
        let asking = s.process.handle("echo");
        let count = || self.query(&*asking).sessions;
        until("earlier sessions are over", || count() == 0);
        assert_eq!(self.query(&*asking).max_sessions, MAX_SESSIONS);
        let open: Vec<_> = (0..MAX_SESSIONS).map(|_| self.session("echo", echo::INTERFACE)).collect();
        let more = s.process.handle("echo");
        for _ in 0..2 {
            assert_eq!(s.open(&*more, echo::INTERFACE).status, Status::TOO_MANY_SESSIONS, "one more session");
            assert_eq!(self.say(&*more), Status::NOT_OPEN, "it stays as it was");
            assert_eq!(count(), MAX_SESSIONS, "it is not counted");
        }
        for session in &open {
            assert_eq!(self.say(&**session), Status::OK, "the others go on");
        }
        assert_eq!(s.send(&*open[7], Close::new()).status, Status::OK);
        assert_eq!(s.open(&*more, echo::INTERFACE).status, Status::OK, "there is room for it");
        assert_eq!(self.say(&*more), Status::OK);
        let again = s.process.handle("echo");
        assert_eq!(s.open(&*again, echo::INTERFACE).status, Status::TOO_MANY_SESSIONS, "there is room for one");
        3
    }

    /// The 65th call in flight of a session. Another session is not concerned.
    fn calls(&self) -> usize {
        let s = &self.0;
        let (handle, other) = (self.session("echo", echo::INTERFACE), self.session("echo", echo::INTERFACE));
        assert_eq!(self.query(&*handle).max_calls, MAX_CALLS);
        let naps = (0..MAX_CALLS).map(|_| self.place(s.prepare(NAP, &LONG_MS.to_le_bytes(), &[], 0)));
        let naps: Vec<u64> = naps.collect();
        // What is wrong is told when the naps are over.
        let (got, ended) = self.at_once(&*handle, Call::NR, &naps, || {
            until("all calls are under way", || self.query(&*handle).calls == MAX_CALLS);
            let refused = [self.say(&*handle), s.call(&*handle, NAP, &[0; 4], &[], 0).status, self.say(&*handle)];
            let inside = self.query(&*handle).calls;
            (refused, inside, self.say(&*other), s.send(&*handle, Close::new()).status)
        });
        assert_eq!(got, ([Status::TOO_MANY_CALLS; 3], MAX_CALLS, Status::OK, Status::OK), "one more call");
        assert_eq!(ended, [Status::CLOSED; MAX_CALLS as usize], "the calls under way");
        assert_eq!(self.query(&*handle).calls, 0);
        3
    }

    /// The 65th wait of a session, whether it would last or only asks.
    fn waits(&self) -> usize {
        let s = &self.0;
        let handle = self.session("edu", edu::INTERFACE);
        let enable = IntEnable { kinds: kind::ANY, min: 1, max: 1, ..IntEnable::new() };
        assert_eq!(s.send(&*handle, enable).status, Status::OK);
        assert_eq!(self.query(&*handle).max_waits, MAX_WAITS);
        let timeout_ns = u64::from(LONG_MS) * 1_000_000;
        let wait = IntWait { vector: ANY_VECTOR, max: 1, timeout_ns, ..IntWait::new() };
        let waits: Vec<u64> = (0..MAX_WAITS).map(|_| self.place(wait)).collect();
        let (got, ended) = self.at_once(&*handle, IntWait::NR, &waits, || {
            until("all waits are pending", || self.query(&*handle).waits == MAX_WAITS);
            let refused = [timeout_ns, 0].map(|timeout_ns| s.send(&*handle, IntWait { timeout_ns, ..wait }).status);
            let pending = self.query(&*handle).waits;
            (refused, pending, s.send(&*handle, IntDisable::new()).status)
        });
        assert_eq!(got, ([Status::TOO_MANY_WAITS; 2], MAX_WAITS, Status::OK), "one more wait");
        assert_eq!(ended, [Status::INT_DISABLED; MAX_WAITS as usize], "the waits that were pending");
        assert_eq!(self.query(&*handle).waits, 0);
        assert_eq!(s.send(&*handle, enable).status, Status::OK);
        assert_eq!(s.send(&*handle, IntWait { timeout_ns: 0, ..wait }).status, Status::TIMEOUT, "there is room");
        2
    }
}
