//! The storm guard: what it masks, what it cannot mask, and what is no storm.
mod stuck;

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use kp_abi::{
    interface,
    request::{ANY_VECTOR, kind},
};
use kp_core::*;
use kp_sim::{Sim, edu::Edu};
use kp_user::Plugin;
use stuck::Stuck;

/// Handler runs without a deferred one between them at which the guard acts.
const RUNS: u64 = 200_000;

registers! {
    mod regs[0x68] {
        0x24 INTERRUPT_STATUS: u32, RO;
        0x60 RAISE: u32, WO;
        0x64 ACKNOWLEDGE: u32, WO;
    }
}

struct Card {
    bar: Bar<regs::Map>,
    /// Claims every interrupt, and does nothing about it.
    greedy: AtomicBool,
    /// The DPC raises so many interrupts more.
    more: AtomicU32,
}

impl Init for Card {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        Ok(Card { bar: device.map(cx, 0)?, greedy: AtomicBool::new(false), more: AtomicU32::new(0) })
    }
}

interface! {
    mod card, version 1 {
        fn greedy(on: bool) = 1;
        /// So many interrupts, each raised when the one before is served.
        fn raise(times: u32) = 2;
        /// Sends a message that has no reason.
        fn spurious() = 3;
    }
}

impl card::Handler<Passive> for Card {
    fn greedy(&self, _: &mut Passive, _: &(), on: bool) -> Result<()> {
        self.greedy.store(on, Relaxed);
        Ok(())
    }
    fn raise(&self, _: &mut Passive, _: &(), times: u32) -> Result<()> {
        self.more.store(times - 1, Relaxed);
        self.bar.write(regs::RAISE, 1);
        Ok(())
    }
    fn spurious(&self, _: &mut Passive, _: &()) -> Result<()> {
        self.bar.write(regs::RAISE, 1 << 31);
        Ok(())
    }
}

impl IntEnable for Card {
    fn int_enable(&self, _: &mut Passive, _: Enabling<'_, Self>) -> Result<()> {
        self.bar.write(regs::ACKNOWLEDGE, !0);
        Ok(())
    }
    fn int_disarm(&self, _: &mut Passive, _: &()) {
        self.bar.write(regs::ACKNOWLEDGE, !0);
    }
}

impl IntAtIrql for Card {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        if self.greedy.load(Relaxed) {
            return Verdict::DONE;
        }
        let bits = self.bar.read(regs::INTERRUPT_STATUS);
        self.bar.write(regs::ACKNOWLEDGE, bits);
        if bits & 1 != 0 { Verdict::DEFER } else { Verdict::NOT_MINE }
    }
}

impl IntAtDpc for Card {
    fn int_at_dpc(&self, _: &mut Dispatch, _: &(), _: Source, count: u32) -> u32 {
        let more = self.more.load(Relaxed);
        if more > 0 {
            self.more.store(more - 1, Relaxed);
            self.bar.write(regs::RAISE, 1);
        }
        count
    }
}

plugin! { Card { name: "card", devices: [0x1234:0x11e8], interface: card, callbacks: [IntEnable, IntAtIrql, IntAtDpc] } }

fn enabled(kinds: u32) -> (Sim<Card>, Plugin) {
    let sim = Sim::<Card>::with(Edu::new()).unwrap();
    let plugin = sim.connect(card::INTERFACE).unwrap();
    plugin.connection().int_enable(kinds, 1, 1, &[]).unwrap();
    (sim, plugin)
}

fn storm_lines(sim: &Sim<Card>) -> Vec<String> {
    sim.log().into_iter().filter(|line| line.contains("never ends") || line.contains("nobody cared")).collect()
}

#[test]
fn a_storm_of_the_devices_own_is_masked_and_its_neighbour_is_still_heard_as_not_its_own() {
    let (sim, plugin) = enabled(kind::LINE);
    let (client, connection) = (card::Client(&plugin), plugin.connection());
    client.greedy(true).unwrap();
    client.raise(1).unwrap();
    assert_eq!(connection.int_wait(0, ANY_VECTOR, 1).unwrap_err(), Status::INTERRUPT_STORM);
    let counters = connection.int_count(ANY_VECTOR).unwrap().1;
    assert_eq!((counters.received, counters.spurious), (RUNS + 1, 0));
    assert_eq!(storm_lines(&sim).len(), 1);
    assert!(storm_lines(&sim)[0].ends_with("an interrupt never ends: masked until it is disabled"), "{:?}", sim.log());
    sim.neighbour_raises(u32::MAX);
    let counters = connection.int_count(ANY_VECTOR).unwrap().1;
    assert_eq!((counters.received, counters.spurious), (RUNS + 1, 100_000), "another device's");
    assert!(storm_lines(&sim)[1].ends_with("nobody cared: disabled"));
    sim.neighbour_raises(0);
    connection.int_disable().unwrap();
    assert_eq!(sim.storms(), 1);
}

#[test]
fn each_enabling_that_never_ends_has_one_line_in_the_log() {
    let (sim, plugin) = enabled(kind::LINE);
    let (client, connection) = (card::Client(&plugin), plugin.connection());
    for times in 1..=2 {
        client.greedy(true).unwrap();
        client.raise(1).unwrap();
        assert_eq!(connection.int_wait(0, ANY_VECTOR, 1).unwrap_err(), Status::INTERRUPT_STORM);
        connection.int_disable().unwrap();
        assert_eq!(storm_lines(&sim).len(), times, "of {times} enablings");
        client.greedy(false).unwrap();
        connection.int_enable(kind::LINE, 1, 1, &[]).unwrap();
    }
    assert_eq!(sim.storms(), 2);
}

#[test]
fn a_storm_that_cannot_be_masked_is_left_to_the_kernel_and_the_log_does_not_say_masked() {
    let (sim, plugin) = enabled(kind::LINE);
    let (client, connection) = (card::Client(&plugin), plugin.connection());
    client.greedy(true).unwrap();
    sim.neighbour_raises(u32::MAX);
    assert_eq!(connection.int_wait(0, ANY_VECTOR, 1).unwrap_err(), Status::INTERRUPT_STORM);
    let (_, last) = connection.int_disable().unwrap();
    assert_eq!((last.received, last.spurious), (RUNS, 100_000), "claimed no more from then on");
    let lines = storm_lines(&sim);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with("it is not masked, and not taken for the device's any more"), "{lines:?}");
    assert!(lines[1].ends_with("nobody cared: disabled"), "{lines:?}");

    sim.neighbour_raises(0);
    client.greedy(false).unwrap();
    connection.int_enable(kind::LINE, 1, 1, &[]).unwrap();
    client.raise(1).unwrap();
    assert_eq!(connection.int_wait(0, ANY_VECTOR, 8).map(|n| n.got), Ok(1), "the next enabling works");
    assert_eq!(sim.storms(), 1);
}

#[test]
fn what_the_device_raises_after_a_storm_that_could_not_be_masked_is_masked() {
    let (sim, plugin) = enabled(kind::LINE);
    let (client, connection) = (card::Client(&plugin), plugin.connection());
    client.greedy(true).unwrap();
    sim.neighbour_raises(RUNS as u32 + 50);
    client.raise(1).unwrap();
    let (_, last) = connection.int_disable().unwrap();
    assert_eq!((last.received, last.spurious), (RUNS + 1, 10_000), "long before the kernel turns the line off");
    let lines = storm_lines(&sim);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(sim.storms(), 1);
}

#[test]
fn a_busy_device_that_is_served_is_no_storm() {
    for kinds in [kind::LINE, kind::MSI] {
        let (sim, plugin) = enabled(kinds);
        let times = 2 * RUNS as u32 + 1_000;
        card::Client(&plugin).raise(times).unwrap();
        let taken = plugin.connection().int_wait(0, ANY_VECTOR, u32::MAX).map(|n| n.got);
        assert_eq!(taken, Ok(times), "every one of them, and none too often");
        assert_eq!(plugin.connection().int_wait(0, ANY_VECTOR, 1).unwrap_err(), Status::TIMEOUT);
        assert_eq!(storm_lines(&sim), [""; 0]);
    }
}

/// The simulator ends a run in which a message is answered as another's.
#[test]
fn a_message_is_the_devices_own_whatever_its_handler_says() {
    let (_sim, plugin) = enabled(kind::MSI);
    card::Client(&plugin).spurious().unwrap();
    assert_eq!(plugin.connection().int_count(ANY_VECTOR).unwrap().1.spurious, 1);
    plugin.connection().int_disable().unwrap();
}

/// What comes of a line that its handler defers and does not silence, while the DPC gets to run once in so many of the handler's runs.
fn deferred_only(each: u32) -> (Result<u32>, kp_abi::Counters, u32) {
    let sim = Sim::<Card>::with(Stuck::each(each)).unwrap();
    let plugin = sim.connect(card::INTERFACE).unwrap();
    let connection = plugin.connection();
    connection.int_enable(kind::LINE, 1, 1, &[]).unwrap();
    let told = loop {
        match connection.int_wait(0, ANY_VECTOR, 1) {
            Ok(_) => {}
            Err(error) => break Err(error),
        }
    };
    let counters = connection.int_count(ANY_VECTOR).unwrap().1;
    connection.int_disable().unwrap();
    (told, counters, sim.storms())
}

#[test]
fn a_line_that_is_deferred_and_never_silenced_is_a_storm_though_its_dpc_gets_to_run() {
    let (told, counters, storms) = deferred_only(1_500);
    assert_eq!(told, Err(Status::INTERRUPT_STORM.into()));
    assert!(counters.received > RUNS && counters.received < RUNS + 2_000, "{counters:?}");
    // The handler also interrupts the DPC.
    assert!(counters.dpc_runs > 10, "{counters:?}");
    assert_eq!(storms, 1);
}

#[test]
fn a_busy_line_whose_dpc_keeps_up_is_no_storm() {
    let (told, counters, storms) = deferred_only(50);
    assert_eq!(told, Err(Status::TIMEOUT.into()));
    assert!(counters.received > 2 * RUNS && storms == 0, "{counters:?}");
}
