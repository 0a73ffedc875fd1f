//! A port whose requests carry their data themselves, as those of Windows do, and that tells a handle's last close from its release.
use core::sync::atomic::{AtomicU32, Ordering::*};
use kp_abi::{
    interface,
    limits::ABI_MAJOR,
    request::{Call, Head, Open as OpenRequest, Request},
    zerocopy::{FromBytes, Immutable, IntoBytes},
};
use kp_core::{
    host::{BoundDevice, Faulted, RawDevice, Session, UserRequest},
    *,
};
use kp_sim::Sim;

/// Counts what it has opened, and what it has closed.
struct Carrier {
    opened: AtomicU32,
    closed: AtomicU32,
}

impl Init for Carrier {
    type Session = u32;
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Carrier { opened: AtomicU32::new(0), closed: AtomicU32::new(0) })
    }
}

impl Open for Carrier {
    fn open(&self, _: &mut Passive, _: &Caller, data: &[u8]) -> Result<u32> {
        self.opened.fetch_add(1, Relaxed);
        Ok(data.len() as u32)
    }
    fn close(&self, _: &mut Passive, _: u32) {
        self.closed.fetch_add(1, Relaxed);
        log!("closed after {}", self.opened.load(Relaxed));
    }
}

interface! {
    mod carrier, version 1 {
        /// The sum of all bytes, and one more.
        fn sum(more: u32, bytes: &[u8]) -> u32 = 1;
        /// How long the data of OPEN was.
        fn opened_with() -> u32 = 2;
    }
}

impl carrier::Handler<Passive, u32> for Carrier {
    fn sum(&self, _: &mut Passive, _: &u32, more: u32, bytes: &[u8]) -> Result<u32> {
        Ok(more + bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>())
    }
    fn opened_with(&self, _: &mut Passive, session: &u32) -> Result<u32> {
        Ok(*session)
    }
}

plugin! { Carrier { name: "carrier", interface: carrier, callbacks: [Open] } }

/// One request: its struct, and behind it what it carries.
struct Carried {
    bytes: Vec<u8>,
    reply: Vec<u8>,
    /// Where the object is that copies of data touch, how long it is, and how far they may go.
    object: Option<(usize, usize, usize)>,
    /// How far they went.
    touched: usize,
}

impl Carried {
    fn new(request: &(impl IntoBytes + Immutable), behind: &[u8]) -> Self {
        Self { bytes: [request.as_bytes(), behind].concat(), reply: Vec::new(), object: None, touched: 0 }
    }

    fn touch(&mut self, bytes: &[u8]) {
        if let Some((at, ..)) = self.object {
            self.touched = self.touched.max(bytes.as_ptr().addr() + bytes.len() - at);
        }
    }

    /// The answer's status and detail.
    fn answer(&self) -> (Status, u32) {
        let (head, _) = Head::read_from_prefix(&self.bytes).unwrap();
        (Status(head.status), head.detail)
    }
}

impl UserRequest for Carried {
    fn read_header(&mut self, head: &mut [u8]) -> Result<(), Faulted> {
        head.copy_from_slice(self.bytes.get(..head.len()).ok_or(Faulted)?);
        Ok(())
    }
    fn read_size(&mut self) -> Result<u32, Faulted> {
        Head::read_from_prefix(&self.bytes).map(|(head, _)| head.size).map_err(|_| Faulted)
    }
    fn read_tail(&mut self, at: usize, bytes: &mut [u8]) -> Result<(), Faulted> {
        self.copy_from_user(at as u64, bytes)
    }
    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), Faulted> {
        self.bytes.get_mut(at..at + bytes.len()).ok_or(Faulted)?.copy_from_slice(bytes);
        Ok(())
    }
    fn answer(&mut self, status: u32, detail: u32) -> Result<(), Faulted> {
        self.write(8, [status, detail].as_bytes())
    }
    fn access_ok(&self, _: u64, _: usize) -> bool {
        true
    }
    fn input_range(&self, _: u64, inline: usize, len: usize) -> Result<u64, Faulted> {
        if inline + len <= self.bytes.len() { Ok(inline as u64) } else { Err(Faulted) }
    }
    fn check_usercopy(&mut self, object: &[u8], longest: usize) {
        self.object = Some((object.as_ptr().addr(), object.len(), longest));
    }
    fn copy_data_from_user(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Faulted> {
        self.touch(bytes);
        self.copy_from_user(address, bytes)
    }
    fn copy_from_user(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Faulted> {
        let at = address as usize;
        bytes.copy_from_slice(self.bytes.get(at..at + bytes.len()).ok_or(Faulted)?);
        Ok(())
    }
    fn copy_to_user(&mut self, _: u64, bytes: &[u8]) -> Result<(), Faulted> {
        self.reply = bytes.to_vec();
        Ok(())
    }
    fn is_read_write(&self) -> bool {
        true
    }
}

/// Sends a request: its answer's status and detail, and the reply.
fn send(session: &Session<Carrier>, cx: &mut Passive, nr: u32, user: &mut Carried) -> (Status, u32) {
    assert!(session.request(cx, nr, user).is_ok(), "the transport fails");
    Carried::answer(user)
}

fn open(session: &Session<Carrier>, cx: &mut Passive, data: &[u8]) {
    let fingerprint = carrier::INTERFACE.chain(0);
    let open = OpenRequest { abi_major: ABI_MAJOR, fingerprint, data_len: data.len() as u32, ..OpenRequest::new() };
    assert_eq!(send(session, cx, OpenRequest::NR, &mut Carried::new(&open, data)), (Status::OK, 0));
}

fn call(message: u32, args_len: u32, in_len: u32) -> Call {
    Call { message, args_len, in_len, out_len: 4, ..Call::new() }
}

/// A handle of a plugin that drives no device, while `f` runs. It is released then, and the plugin removed.
fn with_session(sim: &Sim<Carrier>, f: impl FnOnce(&mut Passive, &Session<Carrier>)) {
    sim.enter(|cx| {
        // SAFETY: this thread alone has it.
        let bound = unsafe { BoundDevice::<Carrier>::bind(cx, RawDevice::none()) }.unwrap();
        let handle = bound.session(cx, Caller::new(1, false, false)).unwrap();
        // SAFETY: it is released below, and not before.
        f(cx, unsafe { handle.as_ref() });
        // SAFETY: it came from there, and no request of it is under way.
        unsafe { Session::release(handle, cx) };
        // SAFETY: this thread alone has it.
        assert!(unsafe { bound.remove(cx, true) });
    });
}

#[test]
fn what_a_request_carries_stands_behind_its_struct_each_part_aligned_to_eight() {
    let sim = Sim::<Carrier>::new().unwrap();
    with_session(&sim, |cx, session| {
        open(session, cx, b"hello");
        let mut length = Carried::new(&call(2, 0, 0), &[]);
        assert_eq!(send(session, cx, Call::NR, &mut length), (Status::OK, 4));
        assert_eq!(length.reply, 5_u32.to_le_bytes());
        for data in [&[1, 2, 3][..], &[9; 100], &[]] {
            let args = 37_u64.to_le_bytes(); // four bytes, and what is left of eight
            let mut carried = Carried::new(&call(1, 4, data.len() as u32), &[&args[..], data].concat());
            assert_eq!(send(session, cx, Call::NR, &mut carried), (Status::OK, 4));
            let sum = 37 + data.iter().map(|&byte| u32::from(byte)).sum::<u32>();
            assert_eq!(carried.reply, sum.to_le_bytes());
            let (_, len, longest) = carried.object.expect("the object was vouched for");
            let touched = carried.touched..carried.touched.next_multiple_of(8) + 1;
            assert!(touched.contains(&longest), "copies touch {touched:?}, and may go as far as {longest}");
            assert!(longest <= len, "{longest} of {len}");
        }
    });
}

#[test]
fn a_session_ends_at_its_handles_last_close_and_is_freed_by_its_release() {
    let sim = Sim::<Carrier>::new().unwrap();
    with_session(&sim, |cx, session| {
        open(session, cx, b"");
        assert!(!session.readiness(cx).over);
        for _ in 0..2 {
            session.end(cx);
            assert!(session.readiness(cx).over, "a poll is told");
            assert_eq!(send(session, cx, Call::NR, &mut Carried::new(&call(2, 0, 0), &[])).0, Status::CLOSED);
            assert_eq!(sim.log(), ["closed after 1"], "once, and before the release");
        }
    });
    assert_eq!(sim.log(), ["closed after 1"]);
}

#[test]
fn a_handle_that_was_never_opened_ends_too() {
    let sim = Sim::<Carrier>::new().unwrap();
    with_session(&sim, |cx, session| {
        session.end(cx);
        assert!(session.readiness(cx).over, "a poll is told");
    });
    assert_eq!(sim.log().len(), 0, "nothing was opened");
}
