//! Whoever dies first, in whatever state of a transfer: the app, its session, the buffer's number, the device. The device never finds memory that is
//! gone, which would fail the test, and nothing is left.
use crate::mover::{LOAD, Mover, STORE, regs, run};
use kp_abi::{
    Buffer, limits,
    request::{BufferRegister, Open, Request, access, feature},
};
use kp_core::*;
use kp_sim::{Access, App, Sim, explore};
use kp_user::Connection;

kp_abi::interface! {
    mod copier, version 1 {
        /// The card's bytes into a buffer.
        fn receive(buffer: Buffer) = 1;
        /// A buffer's bytes into the card.
        fn send(buffer: Buffer) = 2;
    }
}

struct Copier {
    bar: Bar<regs::Map>,
    dma: Dma,
    engine: Mutex<()>,
}

impl Init for Copier {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let dma = device.dma(cx, DmaLimits::bits(32))?;
        dma.enable(cx)?;
        Ok(Copier { bar: device.map(cx, 0)?, dma, engine: Mutex::new(cx, ())? })
    }
}

impl Copier {
    fn copy<D: Direction>(&self, cx: &mut Passive, buffer: Buffer, command: u32) -> Result<()> {
        let pages = cx.buffer(buffer)?;
        self.engine.with(cx, |(), cx| {
            let mut transfer = Transfer::<D>::new(&self.dma, &pages, 0..pages.len());
            while let Some(part) = transfer.next(cx)? {
                for Segment { at, len } in part.segments() {
                    run(cx, &self.bar, command, at, len, 0)?;
                }
                part.take_back(cx);
            }
            Ok(())
        })
    }
}

impl copier::Handler<Passive> for Copier {
    fn receive(&self, cx: &mut Passive, (): &(), buffer: Buffer) -> Result<()> {
        self.copy::<FromDevice>(cx, buffer, STORE)
    }
    fn send(&self, cx: &mut Passive, (): &(), buffer: Buffer) -> Result<()> {
        self.copy::<ToDevice>(cx, buffer, LOAD)
    }
}

plugin! { Copier { name: "copier", devices: [0x1234:0x5678], interface: copier, callbacks: [] } }

/// An app with a buffer of two pages, number 0.
fn with_buffer(sim: &Sim<Copier>, access: u32) -> App<Copier> {
    let app = sim.open();
    let mut open = Open {
        abi_major: limits::ABI_MAJOR,
        abi_minor: limits::ABI_MINOR,
        features: feature::BUFFERS,
        message_count: copier::INTERFACE.methods.len() as u32,
        fingerprint: copier::INTERFACE.chain(usize::MAX),
        ..Request::new()
    };
    app.open(&mut open, &[]).unwrap();
    let addr = app.memory().map(2 * 4096, Access::ReadWrite);
    app.buffer_register(&BufferRegister { addr, len: 2 * 4096, access, ..Request::new() }).unwrap();
    app
}

/// An end of something.
type End = fn(&Sim<Copier>, &App<Copier>);

/// Every order of a transfer and an end, with a card that is well and one that hangs until all is over.
fn ends(end: End) {
    for (message, hangs) in [(1, false), (1, true), (2, false), (2, true)] {
        explore(0..20, |world| {
            let sim = Sim::<Copier>::with(if hangs { Mover::hanging() } else { Mover::default() }).unwrap();
            let app = with_buffer(&sim, access::WRITE);
            world.scope(|scope| {
                scope.spawn("caller", || _ = app.call(message, 0, &[0; 4], &[], &mut []));
                scope.spawn("end", || end(&sim, &app));
            });
            drop(app);
            sim.device(|card: &mut Mover| card.hangs = false);
            sim.advance(1_000_000);
            sim.remove(true);
            assert_eq!((sim.live().dma, sim.live().pinned), (0, 0), "message {message}, hangs: {hangs}");
            sim.unload().unwrap();
        });
    }
}

#[test]
fn an_app_dies_in_each_state_of_a_transfer() {
    ends(|_, app| app.kill());
}

#[test]
fn a_session_closes_in_each_state_of_a_transfer() {
    ends(|_, app| app.close().unwrap());
}

#[test]
fn a_buffer_is_released_and_unmapped_in_each_state_of_a_transfer() {
    ends(|_, app| {
        app.buffer_release(0).unwrap();
        let again = app.memory().map(4096, Access::ReadWrite);
        let of = BufferRegister { addr: again, len: 4096, access: access::WRITE, ..Request::new() };
        app.buffer_register(&of).expect("the number is free");
    });
}

#[test]
fn a_device_is_removed_in_each_state_of_a_transfer() {
    ends(|sim, _| sim.remove(true));
}

#[test]
fn a_device_is_pulled_out_in_each_state_of_a_transfer() {
    ends(|sim, _| sim.remove(false));
}

#[test]
fn a_device_sleeps_and_wakes_in_each_state_of_a_transfer() {
    ends(|sim, _| {
        sim.suspend();
        sim.resume();
    });
}

#[test]
fn a_device_is_reset_in_each_state_of_a_transfer() {
    ends(|sim, _| sim.reset());
}

#[test]
fn a_device_does_not_write_what_an_app_gave_for_reading() {
    let sim = Sim::<Copier>::with(Mover::default()).unwrap();
    let app = with_buffer(&sim, access::READ);
    assert_eq!(app.call(1, 0, &[0; 4], &[], &mut []).map(drop), Err(Status::READ_ONLY.into()));
    assert_eq!(app.call(2, 0, &[0; 4], &[], &mut []).map(drop), Ok(()), "but reads it");
}

/// Two apps with a buffer of the same number: each gets its own bytes, whatever the order.
#[test]
fn the_buffers_of_two_sessions_are_not_mixed_up() {
    explore(0..20, |world| {
        let mut card = Mover::default();
        card.memory.fill(7);
        let sim = Sim::<Copier>::with(card).unwrap();
        let (one, two) = (with_buffer(&sim, access::WRITE), with_buffer(&sim, access::WRITE));
        let second = two.memory().map(4096, Access::ReadWrite);
        world.scope(|scope| {
            scope.spawn("one", || one.call(1, 0, &[0; 4], &[], &mut []).map(drop).unwrap());
            scope.spawn("two", || {
                two.buffer_release(0).unwrap();
                let of = BufferRegister { addr: second, len: 4096, access: access::WRITE, ..Request::new() };
                two.buffer_register(&of).unwrap();
            });
        });
        let mut bytes = [0; 8];
        two.memory().read(second, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 8]);
    });
}
