//! A kernel, a handle and a request, all of them good; a test spoils what it likes, and sends.
use super::card::{Card, messages};
use kp_abi::{
    Status, limits,
    request::{BufferRegister, Head, Open, Query, Request, RingSetup, access, feature, kind},
};
use kp_sim::{Access, App, KERNEL_AT, Mode, PAGE, Process, Sim, edu::Edu};
use kp_user::Connection;
use std::{iter, thread};

/// What the request finds.
pub struct World {
    pub mode: Mode,
    pub is_open: bool,
    pub is_closed: bool,
    /// Optional parts that OPEN asks for.
    pub features: u64,
    /// 1: this session has enabled the interrupt; 2: another one has.
    pub owner: u32,
    pub has_ring: bool,
    /// The session has registered buffer 0.
    pub has_buffer: bool,
    /// Of the session's buffer 1, if it has one: its pages, and what may be done with it.
    pub ring_buffer: Option<(u64, u32)>,
    /// The kernel's apps map none of its memory.
    pub no_mmap: bool,
    /// As many sessions as there may be.
    pub sessions_are_full: bool,
    /// As many calls as there may be are inside.
    pub calls_are_full: bool,
    /// As many waits as there may be are pending.
    pub waits_are_full: bool,
    pub sleeps: bool,
    pub has_panicked: bool,
    pub is_gone: bool,
}

/// Where the struct lies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In pages that can be read and written.
    Good,
    /// The head cannot be written.
    ReadOnly,
    /// What follows the first version is in a page that is not there.
    EndsWithPage,
}

/// A request, ready to be sent.
pub struct Scene<R> {
    pub world: World,
    pub nr: u32,
    pub request: R,
    pub place: Place,
    /// The last byte of the struct is not zero.
    pub has_tail: bool,
    memory: Process,
}

impl<R: Request> Scene<R> {
    pub fn new(request: R) -> Self {
        let world = World {
            mode: Mode::ReadWrite,
            is_open: true,
            is_closed: false,
            features: feature::RING | feature::BUFFERS,
            owner: 0,
            has_ring: false,
            has_buffer: false,
            ring_buffer: None,
            no_mmap: false,
            sessions_are_full: false,
            calls_are_full: false,
            waits_are_full: false,
            sleeps: false,
            has_panicked: false,
            is_gone: false,
        };
        let memory = Process::new(1);
        Self { world, nr: R::NR, request, place: Place::Good, has_tail: false, memory }
    }

    /// An address with these bytes.
    pub fn bytes(&self, bytes: &[u8]) -> u64 {
        let address = self.memory.memory().map(bytes.len(), Access::ReadWrite);
        self.memory.memory().write(address, bytes).unwrap();
        address
    }

    fn pages(&self, count: u64) -> u64 {
        self.memory.memory().map(count as usize * PAGE, Access::ReadWrite)
    }

    /// An address that could be the app's, and at which there is nothing.
    pub fn nothing(&self) -> u64 {
        self.bytes(&[0]) + PAGE as u64
    }

    /// Sends it: the status in its head, or the transport's.
    pub fn status(mut self) -> Status {
        let builder = Sim::<Card>::builder().device(Edu::new());
        let sim = if self.world.no_mmap { builder.no_mmap() } else { builder }.build().unwrap();
        let app = sim.open_in(&self.memory, self.world.mode).unwrap();
        let others = self.prepare(&sim, &app);
        let at = self.put();
        let send = || match app.raw(self.nr, at) {
            Ok(()) => Status(app.memory().value::<Head>(at).unwrap().status),
            Err(status) => status,
        };
        let full = self.world.calls_are_full || self.world.waits_are_full;
        let status = if full { in_a_crowd(&app, self.world.calls_are_full, send) } else { send() };
        if self.world.sleeps {
            sim.resume();
        }
        drop(others);
        status
    }

    /// Makes the world so. Who else has a session.
    fn prepare(&self, sim: &Sim<Card>, app: &App<Card>) -> Vec<App<Card>> {
        let world = &self.world;
        if world.is_open && world.mode == Mode::ReadWrite {
            Connection::open(app, &mut open(world.features), &[]).unwrap();
            let register = |buffer, pages, access| {
                let (addr, len) = (self.pages(pages), pages * PAGE as u64);
                app.buffer_register(&BufferRegister { addr, len, buffer, access, ..BufferRegister::new() }).unwrap();
            };
            if world.has_ring {
                let buffer = if world.no_mmap { 2 } else { 0 };
                if world.no_mmap {
                    register(buffer, 2, access::WRITE);
                }
                app.ring_setup(&mut RingSetup { entries: 4, buffer, ..RingSetup::new() }).unwrap();
            }
            if world.has_buffer {
                register(0, 1, access::READ);
            }
            if let Some((pages, access)) = world.ring_buffer {
                register(1, pages, access);
            }
            if world.owner == 1 {
                app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
            }
        }
        if world.is_closed {
            app.close().unwrap();
        }
        let mut others = vec![sim.open()];
        Connection::open(&others[0], &mut open(0), &[]).unwrap();
        if world.owner == 2 {
            others[0].int_enable(kind::ANY, 1, 1, &[]).unwrap();
        }
        if world.sessions_are_full {
            others.extend(iter::from_fn(|| {
                let more = sim.open();
                Connection::open(&more, &mut open(0), &[]).is_ok().then_some(more)
            }));
        }
        if world.sleeps {
            sim.suspend();
        }
        if world.has_panicked {
            let panicked = others[0].call(4, 0, &[], &[], &mut []);
            assert_eq!(panicked, Err(Status::POISONED.into()), "a plugin that panics");
        }
        if world.is_gone {
            sim.remove(true);
        }
        others
    }

    /// Puts the struct where the app has it.
    fn put(&mut self) -> u64 {
        let memory = self.memory.memory();
        let place = memory.map(2 * PAGE, Access::ReadWrite);
        let size = self.request.head().size as usize;
        let at = match self.place {
            Place::Good => place,
            Place::ReadOnly => place,
            Place::EndsWithPage => place + (PAGE - R::FIRST_SIZE) as u64,
        };
        memory.write(at, self.request.as_bytes()).unwrap();
        if self.has_tail {
            memory.write(at + size as u64 - 1, &[1]).unwrap();
        }
        match self.place {
            Place::Good => {}
            Place::ReadOnly => memory.protect(at, 2 * PAGE, Access::ReadOnly),
            Place::EndsWithPage => memory.unmap(place + PAGE as u64, PAGE),
        }
        at
    }
}

/// Runs `f` while the session has as many calls, or waits, as it may have. They end with it.
fn in_a_crowd(app: &App<Card>, of_calls: bool, f: impl FnOnce() -> Status) -> Status {
    thread::scope(|scope| {
        let count = if of_calls { limits::MAX_CALLS } else { limits::MAX_WAITS };
        for _ in 0..count {
            scope.spawn(|| match of_calls {
                true => app.call(2, 0, &3_600_000u32.to_le_bytes(), &[], &mut []).map(|_| ()),
                false => app.int_wait(u64::MAX, u32::MAX, 1).map(|_| ()),
            });
        }
        let there = |query: Query| if of_calls { query.calls } else { query.waits };
        while there(app.query(0).unwrap()) < count {
            thread::yield_now();
        }
        let status = f();
        let _ = app.close();
        status
    })
}

/// An OPEN that fits.
pub fn open(features: u64) -> Open {
    Open {
        abi_major: limits::ABI_MAJOR,
        abi_minor: limits::ABI_MINOR,
        message_count: messages::INTERFACE.methods.len() as u32,
        fingerprint: messages::INTERFACE.fingerprint(),
        features,
        ..Open::new()
    }
}

/// An address that is no app's.
pub const NO_APPS: u64 = KERNEL_AT;
