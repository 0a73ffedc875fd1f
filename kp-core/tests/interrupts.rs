//! Interrupts in the simulated kernel, free and by schedule.
mod test_plugin;

use kp_abi::{
    Status,
    limits::MAX_AVAILABLE,
    request::{ANY_VECTOR, Open, Request, kind},
};
use kp_sim::{
    Sim,
    device::{DeviceModel, Identity, IrqKind, Memory},
    edu::Edu,
    find, replay,
};
use kp_user::Connection;
use test_plugin::{TestPlugin, messages};

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_line_and_a_message_bring_notifications() {
    for wanted in [kind::LINE, kind::MSI] {
        let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
        let plugin = sim.connect(messages::INTERFACE).unwrap();
        let (app, client) = (plugin.connection(), messages::Client(&plugin));
        assert_eq!(app.int_enable(wanted, 1, 1, &[]).unwrap().kind, wanted);
        for _ in 0..3 {
            client.raise(5).unwrap();
        }
        let got = app.int_wait(SECOND, ANY_VECTOR, 16).unwrap();
        assert_eq!((got.got, got.available), (3, 0), "with kind {wanted}");
        let (_, counters) = app.int_disable().unwrap();
        assert_eq!((counters.received, counters.deferred, counters.notified, counters.delivered), (3, 3, 3, 3));
    }
}

#[test]
fn a_machine_without_a_kind_refuses_it() {
    let sim = Sim::<TestPlugin>::builder().device(Edu::new()).kinds(kind::LINE).build().unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let app = plugin.connection();
    assert_eq!(app.int_enable(kind::MSI, 1, 1, &[]), Err(Status::NO_INTERRUPT.into()));
    assert_eq!(app.int_enable(kind::ANY, 1, 1, &[]).unwrap().kind, kind::LINE);
}

#[test]
fn a_wait_ends_when_its_time_is_up_and_when_a_signal_comes() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let connection = plugin.connection();
    connection.int_enable(kind::ANY, 1, 1, &[]).unwrap();
    assert_eq!(connection.int_wait(20_000_000, ANY_VECTOR, 1), Err(Status::TIMEOUT.into()));
    assert_eq!(connection.int_wait(0, ANY_VECTOR, 1), Err(Status::TIMEOUT.into()));

    let app = sim.open();
    app.interrupt();
    let mut open = kp_abi::request::Open::default();
    open.head.size = size_of::<kp_abi::request::Open>() as u32;
    open.abi_major = kp_abi::limits::ABI_MAJOR;
    open.fingerprint = messages::INTERFACE.chain(0);
    app.open(&mut open, &[]).unwrap();
    connection.int_disable().unwrap();
    app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
    assert_eq!(app.int_wait(SECOND, ANY_VECTOR, 1), Err(Status::INTERRUPTED.into()));
    assert_eq!(app.int_wait(0, ANY_VECTOR, 1), Err(Status::TIMEOUT.into()), "the signal was handled");
}

/// What has woken a session before is no reason for its next wait to look again and again.
#[test]
fn a_wait_sleeps_until_its_time_is_up_however_often_its_session_was_woken_before() {
    let run = replay(1, |_| {
        let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
        let plugin = sim.connect(messages::INTERFACE).unwrap();
        let app = plugin.connection();
        app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
        for _ in 0..3 {
            messages::Client(&plugin).raise(1).unwrap();
            assert_eq!(app.int_wait(SECOND, ANY_VECTOR, 1).unwrap().got, 1);
        }
        assert_eq!(app.int_wait(20_000_000, ANY_VECTOR, 1), Err(Status::TIMEOUT.into()));
    });
    assert_eq!(run.failure, None);
    let waits = run.trace.events.iter().filter(|event| event.what == "wait").count();
    assert!((1..=4).contains(&waits), "four requests looked {waits} times");
}

#[test]
fn a_line_that_never_ends_is_masked() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let (app, client) = (plugin.connection(), messages::Client(&plugin));
    app.int_enable(kind::LINE, 1, 1, &[]).unwrap();
    client.stick().unwrap();
    client.raise(1).unwrap();
    assert_eq!(app.int_wait(SECOND, ANY_VECTOR, 1), Err(Status::INTERRUPT_STORM.into()));
    assert!(sim.log().iter().any(|line| line.contains("an interrupt never ends")));
    app.int_disable().unwrap();
    assert_eq!(sim.storms(), 1);
}

/// Deferrals that come before the DPC runs are one run with their count; none is lost, whatever the order.
#[test]
fn deferrals_merge_before_a_dpc_and_none_is_lost() {
    let mut merged = 0;
    let failed = find(0..60, |world| {
        let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
        let app = sim.connect(messages::INTERFACE).unwrap();
        app.connection().int_enable(kind::ANY, 1, 1, &[]).unwrap();
        world.scope(|scope| {
            for name in ["first", "second"] {
                let app = &app;
                scope.spawn(name, move || {
                    for _ in 0..4 {
                        messages::Client(app).raise(1).unwrap();
                    }
                });
            }
        });
        let (_, counters) = app.connection().int_disable().unwrap();
        assert_eq!(counters.notified, counters.deferred, "each DPC run gave its count on");
        assert_eq!(counters.received, counters.deferred);
        assert_eq!(counters.notified, counters.delivered + counters.available + counters.lost);
        merged += u32::from(counters.dpc_runs < counters.deferred);
    });
    assert_eq!(failed, None);
    assert!(merged > 0, "no schedule merged two deferrals");
}

/// A card with MSI-X: a write sends the message of that number.
struct Card {
    messages: std::collections::VecDeque<u16>,
    count: u16,
}

const VECTORS: u16 = 4;

impl DeviceModel for Card {
    fn identity(&self) -> Identity {
        Identity { vendor: 1, device: 2 }
    }
    fn read(&mut self, _: usize, _: u64, _: u8, _: &mut dyn Memory) -> u64 {
        1
    }
    fn write(&mut self, _: usize, offset: u64, _: u8, value: u64, _: &mut dyn Memory) {
        if offset == 0x60 && value < self.count.into() {
            self.messages.push_back(value as u16);
        }
    }
    fn vectors(&self, kind: IrqKind) -> u16 {
        if kind == IrqKind::MsiX { VECTORS } else { 0 }
    }
    fn select(&mut self, _: Option<IrqKind>, count: u16) {
        self.count = count;
    }
    fn take_message(&mut self) -> Option<u16> {
        self.messages.pop_front()
    }
}

#[test]
fn each_vector_has_its_own_notifications() {
    let card = Card { messages: Default::default(), count: 0 };
    let sim = Sim::<TestPlugin>::with(card).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let (app, client) = (plugin.connection(), messages::Client(&plugin));
    assert_eq!(app.int_enable(kind::ANY, 5, 9, &[]), Err(Status::NO_INTERRUPT.into()));
    assert_eq!(app.int_enable(kind::LINE | kind::MSI, 1, 1, &[]), Err(Status::NO_INTERRUPT.into()));
    let enabled = app.int_enable(kind::ANY, 2, 3, &[]).unwrap();
    assert_eq!((enabled.kind, enabled.count), (kind::MSIX, 3));
    for vector in [2, 0, 2, 3] {
        client.raise(vector).unwrap();
    }
    assert_eq!(app.int_wait(0, 1, 9), Err(Status::TIMEOUT.into()));
    let got = [2, ANY_VECTOR, ANY_VECTOR].map(|vector| app.int_wait(0, vector, 1).unwrap());
    assert_eq!(got.map(|got| (got.vector, got.got, got.available)), [(2, 1, 1), (0, 1, 0), (2, 1, 0)]);
    assert_eq!(app.int_wait(0, 3, 9), Err(Status::BAD_VECTOR.into()));
    assert_eq!(app.int_count(2).unwrap().1.received, 2);
}

/// A wait for any vector goes on behind the one that was served last: a vector that always has something keeps none from its turn.
#[test]
fn a_busy_vector_does_not_starve_the_others() {
    let sim = Sim::<TestPlugin>::with(Card { messages: Default::default(), count: 0 }).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let (app, client) = (plugin.connection(), messages::Client(&plugin));
    app.int_enable(kind::MSIX, 3, 3, &[]).unwrap();
    for vector in [0, 0, 0, 0, 2, 2, 1] {
        client.raise(vector).unwrap();
    }
    let served = [(); 7].map(|()| app.int_wait(0, ANY_VECTOR, 1).unwrap().vector);
    assert_eq!(served, [0, 1, 2, 0, 2, 0, 0]);
}

/// ISRs of two vectors run at the same time in some order, those of one vector never do.
#[test]
fn two_vectors_run_at_once_and_one_never_twice() {
    let mut overlapped = false;
    for seed in 0..100 {
        let run = replay(seed, |world| {
            let card = Card { messages: Default::default(), count: 0 };
            let sim = Sim::<TestPlugin>::with(card).unwrap();
            let plugin = sim.connect(messages::INTERFACE).unwrap();
            plugin.connection().int_enable(kind::MSIX, 4, 4, &[]).unwrap();
            let client = messages::Client(&plugin);
            world.scope(|scope| {
                for (name, vector) in [("first", 0), ("second", 1), ("third", 0)] {
                    scope.spawn(name, move || (0..3).for_each(|_| client.raise(vector).unwrap()));
                }
            });
        });
        assert_eq!(run.failure, None);
        // Vectors whose ISR runs, in the order of the trace.
        let mut running = Vec::new();
        for event in &run.trace.events {
            match event.what {
                "isr" => {
                    assert!(!running.contains(&event.value), "seed {seed}: vector {} twice at once", event.value);
                    running.push(event.value);
                    overlapped |= running.len() > 1;
                }
                "isr ends" => running.retain(|&vector| vector != event.value),
                _ => {}
            }
        }
    }
    assert!(overlapped, "no schedule ran two vectors at once");
}

/// A plugin that panics in its interrupt handler, or drops a box there.
mod bad {
    use kp_core::*;

    pub struct Bad {
        bar: Bar<regs::Map>,
    }
    registers! {
        mod regs[0x68] {
            0x60 RAISE: u32, WO;
            0x64 ACKNOWLEDGE: u32, WO;
        }
    }
    impl Init for Bad {
        type Session = ();
        type Interrupt = ();
        fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
            Ok(Bad { bar: device.map(cx, 0)? })
        }
    }
    kp_abi::interface! {
        pub mod messages, version 1 {
            fn raise() = 1;
        }
    }
    impl messages::Handler<Passive> for Bad {
        fn raise(&self, _: &mut Passive, _: &()) -> Result<()> {
            self.bar.write(regs::RAISE, 1);
            Ok(())
        }
    }
    impl IntAtIrql for Bad {
        fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
            self.bar.write(regs::ACKNOWLEDGE, !0);
            panic!("planted")
        }
    }
    plugin! { Bad { name: "bad", interface: messages, callbacks: [IntAtIrql] } }
}

#[test]
fn a_panic_in_a_handler_poisons_and_spares_who_was_interrupted() {
    let sim = Sim::<bad::Bad>::with(Edu::new()).unwrap();
    let plugin = sim.connect(bad::messages::INTERFACE).unwrap();
    plugin.connection().int_enable(kind::LINE, 1, 1, &[]).unwrap();
    sim.device(|edu: &mut Edu| edu.write(0, 0x60, 4, 1, &mut Vec::new()));
    assert!(sim.is_poisoned());
    assert_eq!(sim.log().iter().filter(|line| line.contains("panicked at")).count(), 1);
    assert_eq!(bad::messages::Client(&plugin).raise(), Err(Status::POISONED.into()));
    drop(plugin);
    assert_eq!(sim.unload(), Ok(()));
}

/// A plugin whose DPC asks for as many notifications as it can.
mod greedy {
    use kp_core::*;

    pub struct Greedy {
        bar: Bar<regs::Map>,
    }
    registers! {
        mod regs[0x68] {
            0x60 RAISE: u32, WO;
            0x64 ACKNOWLEDGE: u32, WO;
        }
    }
    impl Init for Greedy {
        type Session = ();
        type Interrupt = ();
        fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
            Ok(Greedy { bar: device.map(cx, 0)? })
        }
    }
    kp_abi::interface! {
        pub mod messages, version 1 {
            fn raise() = 1;
        }
    }
    impl messages::Handler<Passive> for Greedy {
        fn raise(&self, _: &mut Passive, _: &()) -> Result<()> {
            self.bar.write(regs::RAISE, 1);
            Ok(())
        }
    }
    impl IntAtIrql for Greedy {
        fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
            self.bar.write(regs::ACKNOWLEDGE, !0);
            Verdict::DEFER
        }
    }
    impl IntAtDpc for Greedy {
        fn int_at_dpc(&self, _: &mut Dispatch, _: &(), _: Source, _: u32) -> u32 {
            u32::MAX
        }
    }
    plugin! { Greedy { name: "greedy", interface: messages, callbacks: [IntAtIrql, IntAtDpc] } }
}

#[test]
fn what_is_above_the_limit_is_lost_and_counted_and_each_enabling_counts_anew_under_its_own_number() {
    const MANY: u64 = u32::MAX as u64;
    let sim = Sim::<greedy::Greedy>::with(Edu::new()).unwrap();
    let plugin = sim.connect(greedy::messages::INTERFACE).unwrap();
    let (app, client) = (plugin.connection(), greedy::messages::Client(&plugin));
    let mut last = 0;
    for _ in 0..3 {
        let enabled = app.int_enable(kind::MSI, 1, 1, &[]).unwrap();
        assert!(enabled.generation > last, "{} after {last}", enabled.generation);
        last = enabled.generation;
        client.raise().unwrap();
        client.raise().unwrap();
        let (generation, counters) = app.int_count(0).unwrap();
        assert_eq!((generation, counters.notified, counters.available), (last, 2 * MANY, MAX_AVAILABLE));
        assert_eq!(counters.lost, 2 * MANY - MAX_AVAILABLE);
        let got = app.int_wait(0, ANY_VECTOR, 5).unwrap();
        assert_eq!((got.got, got.available, got.generation), (5, MAX_AVAILABLE - 5, last));
        client.raise().unwrap();
        let (generation, counters) = app.int_disable().unwrap();
        assert_eq!((generation, counters.notified, counters.delivered), (last, 3 * MANY, 5));
        assert_eq!((counters.available, counters.lost), (0, 3 * MANY - 5), "nobody has taken the rest");
    }
}

#[test]
fn time_passes_for_the_device() {
    let sim = Sim::<TestPlugin>::with(Edu::new().factorial_takes(u32::MAX, 3_000_000)).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    assert_eq!(messages::Client(&plugin).factorial(5), Ok(120), "it was polled until it was done");
    assert!(sim.now_ns() >= 3_000_000);

    let app = plugin.connection();
    app.int_enable(kind::LINE, 1, 1, &[]).unwrap();
    sim.device(|edu: &mut Edu| {
        edu.write(0, 0x20, 4, 0x80, &mut Vec::new());
        edu.write(0, 0x08, 4, 3, &mut Vec::new());
    });
    sim.advance(2_000_000);
    assert_eq!(app.int_count(ANY_VECTOR).unwrap().1.received, 0);
    sim.advance(1_000_000);
    assert_eq!(app.int_count(ANY_VECTOR).unwrap().1.received, 1);
}

#[test]
fn a_device_that_sleeps_does_not_interrupt_and_is_reset() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let app = plugin.connection();
    app.int_enable(kind::LINE, 1, 1, &[]).unwrap();
    sim.suspend();
    sim.device(|edu: &mut Edu| edu.write(0, 0x60, 4, 1, &mut Vec::new()));
    assert_eq!(app.int_count(ANY_VECTOR).unwrap().1.received, 0);
    sim.resume();
    assert_eq!(app.int_count(ANY_VECTOR).unwrap().1.received, 0, "power-on has cleared it");
    messages::Client(&plugin).raise(1).unwrap();
    assert_eq!(app.int_count(ANY_VECTOR).unwrap().1.received, 1);
}

/// Serves two or three vectors of a card that has four.
mod few {
    use kp_core::*;

    pub struct Few;

    impl Init for Few {
        type Session = ();
        type Interrupt = ();
        fn init(_: &mut Passive, _: Device) -> Result<Self> {
            Ok(Few)
        }
    }
    impl IntAtIrql for Few {
        fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
            Verdict::NOT_MINE
        }
    }

    plugin! { Few { name: "few", devices: [0x1:0x2], vectors: 2..=3, callbacks: [IntAtIrql] } }
}

/// Vectors are the machine's: an app that asks for all of them gets what the plugin says it can serve.
#[test]
fn no_app_gets_more_vectors_than_the_plugin_serves_nor_fewer_than_it_needs() {
    let sim = Sim::<few::Few>::with(Card { messages: Default::default(), count: 0 }).unwrap();
    let app = sim.open();
    let (abi_major, abi_minor) = (kp_abi::limits::ABI_MAJOR, kp_abi::limits::ABI_MINOR);
    app.open(&mut Open { abi_major, abi_minor, ..Request::new() }, &[]).unwrap();
    assert_eq!(app.int_enable(kind::ANY, 4, 9, &[]), Err(Status::NO_INTERRUPT.into()), "wants more");
    assert_eq!(app.int_enable(kind::ANY, 1, 1, &[]), Err(Status::NO_INTERRUPT.into()), "allows fewer");
    for (min, max, count) in [(1, 2048, 3), (3, 4, 3), (1, 2, 2), (2, 2, 2)] {
        assert_eq!(app.int_enable(kind::ANY, min, max, &[]).unwrap().count, count, "{min} to {max}");
        app.int_disable().unwrap();
    }
}
