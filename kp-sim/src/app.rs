//! A simulated app: a process with memory of its own, and one open handle. Every request goes through the host's request code.
mod call;
mod control;
#[cfg(test)]
mod pended;
#[cfg(target_os = "linux")]
mod poll;

use crate::loaded::in_kernel;
use crate::{
    context,
    loaded::Loaded,
    misuse::{self, misuse},
    page::PAGE,
    process::Process,
    sync::lock,
    user_memory::{Access, UserMemory},
    user_request::{AppRequest, STATUS_AT},
};
use kp_abi::{
    Counters, Error, Interface, Result, Status, TransportStatus,
    request::{self, Request},
};
use kp_core::{
    Passive, Plugin,
    host::{Readiness, Session},
};
use kp_user::{Agreement, Connection, IntEnabled, Notification, SharedMemory};
use std::{
    panic::{self, AssertUnwindSafe},
    ptr::{self, NonNull},
    sync::{Arc, Mutex},
};

/// What a handle is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All requests.
    ReadWrite,
    /// QUERY only; others answer `DENIED`.
    Read,
}

/// One open handle. Dropping it closes the handle, without CLOSE.
///
/// It is a [`Connection`]: typed clients work over it by `kp_user::Plugin::over`. [`raw`](Self::raw) sends whatever a hostile
/// app may send.
pub struct App<P: Plugin> {
    file: Arc<File<P>>,
    process: Process,
    mode: Mode,
    agreement: Agreement,
    /// Places for a request's struct and buffers that no request uses now.
    arenas: Mutex<Vec<Arena>>,
}

/// The open file behind a handle. What is mapped of it keeps it open, as in a real kernel.
struct File<P: Plugin> {
    loaded: Arc<Loaded<P>>,
    /// INVARIANT: alive until this is dropped.
    session: NonNull<Session<P>>,
}
// SAFETY: a session may be used from any thread, and `release` comes once, when nobody borrows this any more.
unsafe impl<P: Plugin> Send for File<P> {}
// SAFETY: a session may be used from any thread, by shared borrows.
unsafe impl<P: Plugin> Sync for File<P> {}

impl<P: Plugin> File<P> {
    fn session(&self) -> &Session<P> {
        // SAFETY: alive by the invariant.
        unsafe { self.session.as_ref() }
    }
}

/// Mapped memory for one request: its struct at the start, then what it sends, then room for the reply.
#[derive(Clone, Copy)]
struct Arena {
    address: u64,
    len: usize,
}

/// Where the parts of a request lie.
struct Layout {
    arena: Arena,
    input: u64,
    output: u64,
}

impl<P: Plugin> App<P> {
    pub(crate) fn open(loaded: &Arc<Loaded<P>>, process: &Process, mode: Mode) -> Result<Self> {
        let Some(driver) = loaded.driver() else { return Err(Status::DEVICE_GONE.into()) };
        {
            let mut state = loaded.machine.state();
            if state.is_unloading {
                return Err(Status::DEVICE_GONE.into());
            }
            state.handles += 1;
        }
        let session = in_kernel(&loaded.machine, Some(process), |cx| {
            let session = driver.session(cx, process.caller());
            drop(driver);
            session
        });
        let session = session.inspect_err(|_| loaded.machine.state().handles -= 1)?;
        let file = Arc::new(File { loaded: loaded.clone(), session });
        Ok(Self { file, process: process.clone(), mode, agreement: Agreement::default(), arenas: Mutex::default() })
    }

    /// The memory of its process.
    pub fn memory(&self) -> &UserMemory {
        self.process.memory()
    }

    /// Sends request `nr` with its struct at `address`, checked by nobody. Errors: the rows of the status table marked T, and
    /// `POISONED` if plugin code panicked in this very request; every other answer is in the struct's head.
    pub fn raw(&self, nr: u32, address: u64) -> Result<(), Status> {
        self.serve(|cx, session| session.request(cx, nr, &mut self.request(address, STATUS_AT)))
    }

    /// Sends RING_ENTER in its short form. The status, if the transport has not failed. Errors: as for [`raw`](Self::raw).
    pub fn raw_enter(&self, to_submit: u32) -> Result<Status, Status> {
        self.serve(|cx, session| session.enter_directly(cx, to_submit, self.mode == Mode::ReadWrite))
    }

    /// Sends message `message` in the direct form of CALL with its buffer at `address`, checked by nobody. The status, if the transport
    /// does not fail; else as [`raw`](Self::raw).
    pub fn raw_direct(&self, message: u32, address: u64) -> Result<Status, Status> {
        self.serve(|cx, session| session.direct(cx, message, self.request(address, 0)))
    }

    /// The way to the memory of its process.
    fn request(&self, address: u64, answer: u64) -> AppRequest<'_> {
        let read_write = self.mode == Mode::ReadWrite;
        AppRequest { memory: self.memory(), address, answer_at: address.wrapping_add(answer), read_write }
    }

    /// Has the session serve one request, in the kernel.
    fn serve<R>(&self, f: impl FnOnce(&mut Passive, &Session<P>) -> Result<R, Status>) -> Result<R, Status> {
        self.serve_in(&self.process, f)
    }

    /// As [`serve`](Self::serve), for a thread of its process.
    fn serve_in<R>(
        &self,
        thread: &Process,
        f: impl FnOnce(&mut Passive, &Session<P>) -> Result<R, Status>,
    ) -> Result<R, Status> {
        let session = self.file.session();
        let serve = || in_kernel(&self.file.loaded.machine, Some(thread), |cx| f(cx, session));
        match panic::catch_unwind(AssertUnwindSafe(serve)) {
            Ok(served) => served,
            Err(payload) if misuse::is_verdict() => {
                misuse::take();
                panic::resume_unwind(payload)
            }
            Err(_) => Err(Status::POISONED),
        }
    }

    /// What poll(2) says.
    pub fn readiness(&self) -> Readiness {
        let session = self.file.session();
        in_kernel(&self.file.loaded.machine, Some(&self.process), |cx| session.readiness(cx))
    }

    /// Maps what RING_SETUP has answered, as mmap(2) does. It stays mapped, and this handle's session open, until it is dropped.
    /// Errors: `BAD_FIELD`: nothing is mapped so. `DENIED`: it can only be read, or the handle is for reading.
    pub fn map(&self, offset: u64, len: usize, write: bool) -> Result<SharedMemory> {
        if write && self.mode == Mode::Read {
            return Err(TransportStatus::DENIED.status().into());
        }
        let machine = &self.file.loaded.machine;
        let shared = context::enter(machine, Some(self.process.clone()), || {
            let find = |start: NonNull<u8>, _: bool| machine.shared(start.as_ptr().expose_provenance());
            self.file.session().map_shared(offset, len, write, find)
        })?;
        let Some(shared) = shared else { misuse("the kernel maps what it does not share") };
        let start = shared.start();
        // SAFETY: the owner keeps the pages, and both sides use them by atomic words.
        Ok(unsafe { SharedMemory::new(start, len, Arc::new((shared, self.file.clone()))) })
    }

    /// The kernel takes back each buffer that begins where this memory does, as one that has it by a request which is cancelled: on Windows, when the app's
    /// process ends.
    pub fn cancel_buffer(&self, memory: &SharedMemory) {
        let machine = &self.file.loaded.machine;
        let numbers = machine.state().heap.pinned_at(ptr::from_ref(memory.word(0)).addr());
        in_kernel(machine, None, |cx| {
            let raw = numbers.into_iter().filter_map(|number| NonNull::new(ptr::without_provenance_mut(number)));
            raw.for_each(|pages| self.file.session().unregister(cx, pages));
        });
    }

    /// A signal comes: a wait ends with `INTERRUPTED`. Sleeps in the plugin go on.
    pub fn interrupt(&self) {
        self.signal(false);
    }

    /// The process is killed: waits and sleeps end with `INTERRUPTED`, now and from now on.
    pub fn kill(&self) {
        self.signal(true);
    }

    fn signal(&self, fatal: bool) {
        self.file.loaded.signal(&self.process, fatal);
    }

    /// A place for a request, taken out of the unused ones.
    fn arena(&self, input: usize, output: usize) -> Layout {
        let input_len = input.next_multiple_of(PAGE);
        let len = PAGE + input_len + output.next_multiple_of(PAGE);
        let found = {
            let mut arenas = lock(&self.arenas);
            let at = arenas.iter().position(|arena| arena.len >= len);
            at.map(|at| arenas.swap_remove(at))
        };
        let arena = found.unwrap_or_else(|| Arena { address: self.memory().map(len, Access::ReadWrite), len });
        let input = arena.address + PAGE as u64;
        Layout { arena, input, output: input + input_len as u64 }
    }

    fn give_back(&self, layout: &Layout) {
        lock(&self.arenas).push(layout.arena);
    }

    /// Sends a request whose struct has been filled in, and brings its answer back.
    fn send<R: Request>(&self, layout: &Layout, request: &mut R) -> Result<()> {
        let address = layout.arena.address;
        self.memory().write(address, request.as_bytes())?;
        self.raw(R::NR, address)?;
        self.memory().read(address, request.as_mut_bytes())?;
        let head = request.head();
        match Status(head.status) {
            Status::OK => Ok(()),
            status => Err(Error::new(status, head.detail)),
        }
    }

    /// As [`send`](Self::send), with data that the struct points to.
    fn exchange<R: Request>(&self, data: &[u8], fill: impl FnOnce(&mut R, u64), request: &mut R) -> Result<()> {
        let layout = self.arena(data.len(), 0);
        let answer = self.memory().write(layout.input, data).map_err(Error::from).and_then(|()| {
            fill(request, layout.input);
            self.send(&layout, request)
        });
        self.give_back(&layout);
        answer
    }

    fn ask<R: Request>(&self, mut request: R) -> Result<R> {
        self.exchange(&[], |_: &mut R, _| (), &mut request)?;
        Ok(request)
    }
}

/// Lengths travel as 32 bits.
fn length(bytes: &[u8]) -> Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| Status::PAYLOAD_TOO_LARGE.into())
}

impl<P: Plugin> Connection for App<P> {
    fn query(&self, chain_at: u32) -> Result<request::Query> {
        let mut query = request::Query::new();
        query.chain_at = chain_at;
        self.ask(query)
    }

    fn open(&self, open: &mut request::Open, data: &[u8]) -> Result<()> {
        open.data_len = length(data)?;
        let sent = *open;
        self.exchange(data, |open: &mut request::Open, address| open.data_addr = address, open)?;
        self.agreement.opened(&sent, open);
        Ok(())
    }

    fn agree(&self, interface: &Interface) {
        self.agreement.agree(interface);
    }

    fn call(&self, message: u32, flags: u32, args: &[u8], data: &[u8], reply: &mut [u8]) -> Result<usize> {
        let data_at = args.len().next_multiple_of(8);
        let layout = self.arena(data_at + data.len(), reply.len());
        let answer = match self.agreement.shape(message, args.len(), data.len(), reply.len()) {
            Some(shape) if flags == 0 => self.call_directly(&layout, shape, message, args, data, reply),
            _ => self.call_in(&layout, (message, flags), args, data, reply),
        };
        self.give_back(&layout);
        answer
    }

    fn close(&self) -> Result<()> {
        self.ask(request::Close::new()).map(|_| ())
    }

    fn int_enable(&self, kinds: u32, min: u32, max: u32, data: &[u8]) -> Result<IntEnabled> {
        let mut enable = request::IntEnable::new();
        (enable.kinds, enable.min, enable.max, enable.data_len) = (kinds, min, max, length(data)?);
        self.exchange(data, |enable: &mut request::IntEnable, address| enable.data_addr = address, &mut enable)?;
        Ok(IntEnabled { kind: enable.kind, count: enable.count, generation: enable.generation })
    }

    fn int_wait(&self, timeout_ns: u64, vector: u32, max: u32) -> Result<Notification> {
        let mut wait = request::IntWait::new();
        (wait.timeout_ns, wait.vector, wait.max) = (timeout_ns, vector, max);
        let wait = self.ask(wait)?;
        Ok(Notification {
            vector: wait.got_vector,
            got: wait.got,
            available: wait.available,
            generation: wait.generation,
        })
    }

    fn int_count(&self, vector: u32) -> Result<(u64, Counters)> {
        let mut count = request::IntCount::new();
        count.vector = vector;
        let count = self.ask(count)?;
        Ok((count.generation, count.counters))
    }

    fn int_disable(&self) -> Result<(u64, Counters)> {
        let disable = self.ask(request::IntDisable::new())?;
        Ok((disable.generation, disable.counters))
    }

    fn ring_setup(&self, setup: &mut request::RingSetup) -> Result<()> {
        *setup = self.ask(*setup)?;
        Ok(())
    }

    fn ring_enter(&self, to_submit: u32) -> Result<()> {
        match self.raw_enter(to_submit)? {
            Status::OK => Ok(()),
            status => Err(status.into()),
        }
    }

    fn ring_teardown(&self) -> Result<()> {
        self.ask(request::RingTeardown::new()).map(|_| ())
    }

    fn can_map(&self) -> bool {
        !self.file.loaded.machine.options().no_mmap
    }

    fn map_shared(&self, offset: u64, len: usize, write: bool) -> Result<SharedMemory> {
        self.map(offset, len, write)
    }

    fn new_memory(&self, len: usize) -> Result<(u64, SharedMemory)> {
        let address = self.memory().map(len, Access::ReadWrite);
        self.memory().shared(address, len).map(|memory| (address, memory)).map_err(Error::from)
    }

    fn buffer_register(&self, register: &request::BufferRegister) -> Result<()> {
        self.ask(*register).map(|_| ())
    }

    fn buffer_release(&self, buffer: u32) -> Result<()> {
        self.ask(request::BufferRelease { buffer, ..request::BufferRelease::new() }).map(|_| ())
    }

    fn schema(&self, offset: u32, room: &mut [u8]) -> Result<request::Schema> {
        let layout = self.arena(0, room.len());
        let mut schema = request::Schema { offset, len: length(room)?, addr: layout.output, ..request::Schema::new() };
        let answer = self.send(&layout, &mut schema).and_then(|()| {
            let part = room.get_mut(..schema.written as usize).ok_or(Status::PROTOCOL)?;
            self.memory().read(layout.output, part).map_err(Error::from)
        });
        self.give_back(&layout);
        answer.map(|()| schema)
    }

    #[cfg(unix)]
    fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
}

impl<P: Plugin> Drop for File<P> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return; // a test that fails already is not to wait for anything
        }
        in_kernel(&self.loaded.machine, None, |cx| {
            // SAFETY: nobody borrows this file, so no request of it is in flight; it is not used again.
            unsafe { Session::release(self.session, cx) }
        });
        self.loaded.machine.state().handles -= 1;
    }
}
