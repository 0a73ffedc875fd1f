//! On a kernel that wakes threads at Irql: the handler of a plugin without `int_at_dpc` wakes the app itself.
mod stuck;

use kp_abi::{
    Counters, interface,
    request::{ANY_VECTOR, NO_TIMEOUT, kind},
};
use kp_core::*;
use kp_sim::{Sim, device::DeviceModel, edu::Edu, explore, replay};
use kp_user::Plugin;
use stuck::Stuck;

const SECOND: u64 = 1_000_000_000;

registers! {
    mod regs[0x68] {
        0x24 INTERRUPT_STATUS: u32, RO;
        0x60 RAISE: u32, WO;
        0x64 ACKNOWLEDGE: u32, WO;
    }
}

/// It defers each interrupt, and has no deferred handler.
struct Card {
    bar: Bar<regs::Map>,
}

impl Init for Card {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        Ok(Card { bar: device.map(cx, 0)? })
    }
}

interface! {
    mod card, version 1 {
        /// One interrupt.
        fn raise() = 1;
    }
}

impl card::Handler<Passive> for Card {
    fn raise(&self, _: &mut Passive, _: &()) -> Result<()> {
        self.bar.write(regs::RAISE, 1);
        Ok(())
    }
}

impl IntAtIrql for Card {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        let bits = self.bar.read(regs::INTERRUPT_STATUS);
        self.bar.write(regs::ACKNOWLEDGE, bits);
        if bits & 1 != 0 { Verdict::DEFER } else { Verdict::NOT_MINE }
    }
}

plugin! { Card { name: "card", devices: [0x1234:0x11e8], interface: card, callbacks: [IntAtIrql] } }

fn with(model: impl DeviceModel + 'static) -> (Sim<Card>, Plugin) {
    let sim = Sim::<Card>::builder().device(model).wakes_at_irql().build().unwrap();
    let plugin = sim.connect(card::INTERFACE).unwrap();
    (sim, plugin)
}

/// What `count` interrupts come to, if each is a notification, of which `delivered` were taken.
fn each_told(count: u64, delivered: u64, lost: u64) -> Counters {
    let available = count - delivered - lost;
    Counters {
        received: count,
        deferred: count,
        dpc_runs: count,
        notified: count,
        delivered,
        available,
        lost,
        spurious: 0,
    }
}

#[test]
fn no_dpc_is_queued_and_each_interrupt_is_a_notification() {
    for kinds in [kind::LINE, kind::MSI] {
        let run = replay(1, |_| {
            let (_sim, plugin) = with(Edu::new());
            let (app, client) = (plugin.connection(), card::Client(&plugin));
            app.int_enable(kinds, 1, 1, &[]).unwrap();
            for _ in 0..5 {
                client.raise().unwrap();
            }
            // Two may merge before the handler runs.
            let counters = app.int_count(ANY_VECTOR).unwrap().1;
            let count = counters.received;
            assert_eq!(counters, each_told(count, 0, 0));
            let taken = app.int_wait(SECOND, ANY_VECTOR, 3).map(|taken| (taken.got, taken.available));
            assert_eq!(taken, Ok((3, count - 3)));
            client.raise().unwrap();
            assert_eq!(
                app.int_disable().unwrap().1,
                each_told(count + 1, 3, count - 2),
                "what nobody has taken is lost"
            );
            assert_eq!(app.int_wait(0, ANY_VECTOR, 1).unwrap_err(), Status::NOT_ENABLED);
            app.int_enable(kinds, 1, 1, &[]).unwrap();
            assert_eq!(app.int_count(ANY_VECTOR).unwrap().1, Counters::default(), "counted anew");
        });
        assert_eq!(run.failure, None);
        assert!(run.trace.events.iter().all(|event| !event.what.starts_with("dpc")), "{}", run.trace);
    }
}

/// Whatever the order of waiting and interrupting.
#[test]
fn no_wake_up_is_lost() {
    explore(0..300, |world| {
        let (_sim, plugin) = with(Edu::new());
        plugin.connection().int_enable(kind::ANY, 1, 1, &[]).unwrap();
        world.scope(|scope| {
            let app = &plugin;
            scope.spawn("device", move || card::Client(app).raise().unwrap());
            scope.spawn("app", move || {
                assert_eq!(app.connection().int_wait(NO_TIMEOUT, ANY_VECTOR, 16).unwrap().got, 1)
            });
        });
        assert_eq!(plugin.connection().int_disable().unwrap().1, each_told(1, 1, 0));
    });
}

/// The session's end waits for the handler that wakes it.
#[test]
fn a_session_may_close_while_its_interrupts_come() {
    explore(0..150, |world| {
        let (sim, other) = with(Edu::new());
        let listener = sim.connect(card::INTERFACE).unwrap();
        listener.connection().int_enable(kind::ANY, 1, 1, &[]).unwrap();
        world.scope(|scope| {
            let other = &other;
            scope.spawn("device", move || (0..3).for_each(|_| card::Client(other).raise().unwrap()));
            scope.spawn("app", move || drop(listener));
        });
        drop(other);
        sim.unload().unwrap();
    });
}

/// What comes of such a line, while nobody waits.
fn stuck(each: u32) -> (Result<()>, Counters, u32) {
    let (sim, plugin) = with(Stuck::each(each));
    let app = plugin.connection();
    app.int_enable(kind::LINE, 1, 1, &[]).unwrap();
    // It interrupts again whenever the kernel is entered.
    let mut counters = Counters::default();
    while let now = app.int_count(ANY_VECTOR).unwrap().1
        && now.received > counters.received
    {
        counters = now;
    }
    app.int_wait(0, ANY_VECTOR, u32::MAX).unwrap();
    let told = app.int_wait(0, ANY_VECTOR, 1).map(|_| ());
    app.int_disable().unwrap();
    (told, counters, sim.storms())
}

#[test]
fn a_line_that_never_ends_is_a_storm_though_each_interrupt_wakes() {
    let (told, counters, storms) = stuck(3_000);
    assert_eq!((told, storms), (Err(Status::INTERRUPT_STORM.into()), 1));
    assert!((200_000..210_000).contains(&counters.received), "{counters:?}");
}

#[test]
fn a_busy_line_is_no_storm_though_nobody_waits() {
    let (told, counters, storms) = stuck(50);
    assert_eq!((told, storms), (Err(Status::TIMEOUT.into()), 0));
    assert!(counters.received > 400_000, "{counters:?}");
}
