//! What interrupts of edu do that no line of the scenario shows, because most hosts cannot be made to do it at will: in the simulator.
use edu::Edu;
use edu_interface::edu as messages;
use kp_abi::{
    Status,
    request::{ANY_VECTOR, NO_TIMEOUT, kind},
};
use kp_sim::{
    Sim,
    device::{DeviceModel, Identity, IrqKind, Memory},
    edu::Edu as Model,
    explore,
};
use kp_user::Plugin;
use std::sync::{Arc, Mutex};

/// Registers of edu.
const STATUS: u64 = 0x20;
const RAISE: u64 = 0x60;
const ACKNOWLEDGE: u64 = 0x64;

/// What the host does to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Write(u64, u64),
    Listens(bool),
}

/// edu, watched. It interrupts again at each acknowledgement, `again` times.
struct Watched {
    model: Model,
    seen: Arc<Mutex<Vec<Seen>>>,
    again: u32,
    /// Forgets at once why it has interrupted.
    forgets: bool,
}

impl DeviceModel for Watched {
    fn identity(&self) -> Identity {
        self.model.identity()
    }

    fn bar_len(&self, bar: usize) -> Option<u64> {
        self.model.bar_len(bar)
    }

    fn read(&mut self, bar: usize, offset: u64, width: u8, ram: &mut dyn Memory) -> u64 {
        self.model.read(bar, offset, width, ram)
    }

    fn write(&mut self, bar: usize, offset: u64, width: u8, value: u64, ram: &mut dyn Memory) {
        self.seen.lock().unwrap().push(Seen::Write(offset, value));
        self.model.write(bar, offset, width, value, ram);
        if offset == ACKNOWLEDGE && value == 1 && self.again > 0 {
            self.again -= 1;
            self.model.write(bar, RAISE, 4, 1, ram);
        }
        if offset == RAISE && self.forgets {
            self.model.write(bar, ACKNOWLEDGE, 4, value, ram);
        }
    }

    fn vectors(&self, kind: IrqKind) -> u16 {
        self.model.vectors(kind)
    }

    fn select(&mut self, kind: Option<IrqKind>, count: u16) {
        self.seen.lock().unwrap().push(Seen::Listens(kind.is_some()));
        self.model.select(kind, count);
    }

    fn line(&mut self) -> bool {
        self.model.line()
    }

    fn take_message(&mut self) -> Option<u16> {
        self.model.take_message()
    }

    fn bus_master(&mut self, on: bool) {
        self.model.bus_master(on);
    }

    fn advance(&mut self, ns: u64, ram: &mut dyn Memory) {
        self.model.advance(ns, ram);
    }

    fn reset(&mut self) {
        self.model.reset();
    }
}

/// A simulated kernel with edu's plugin, one client, and what its device sees.
fn watched(again: u32) -> (Sim<Edu>, Plugin, Arc<Mutex<Vec<Seen>>>) {
    let seen = Arc::default();
    let sim =
        Sim::<Edu>::with(Watched { model: Model::new(), seen: Arc::clone(&seen), again, forgets: false }).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    (sim, plugin, seen)
}

#[test]
fn every_deferral_before_a_dpc_counts() {
    let (_sim, plugin, _) = watched(4);
    let connection = plugin.connection();
    messages::Client(&plugin).defer_every(1).unwrap();
    connection.int_enable(kind::LINE, 1, 1, &[]).unwrap();
    messages::Client(&plugin).raise(1).unwrap();
    let counters = connection.int_count(ANY_VECTOR).unwrap().1;
    assert_eq!((counters.received, counters.deferred, counters.dpc_runs), (5, 5, 1), "received, deferred, DPC runs");
    assert_eq!(counters.notified, 5, "notified");
}

#[test]
fn the_device_is_quieted_before_nobody_listens_to_it() {
    for (name, kinds) in [("line", kind::LINE), ("MSI", kind::MSI)] {
        let (_sim, plugin, seen) = watched(0);
        plugin.connection().int_enable(kinds, 1, 1, &[]).unwrap();
        seen.lock().unwrap().clear();
        plugin.connection().int_disable().unwrap();
        let quieted = [Seen::Write(STATUS, 0), Seen::Write(ACKNOWLEDGE, 0xffff_ffff), Seen::Listens(false)];
        assert_eq!(seen.lock().unwrap()[..], quieted, "{name}");
    }
}

#[test]
fn every_enabling_has_its_own_number() {
    let (_sim, plugin, _) = watched(0);
    let connection = plugin.connection();
    for number in 1..4 {
        let enabled = connection.int_enable(kind::ANY, 1, 1, &[]).unwrap();
        assert_eq!(enabled.generation, number, "enable");
        assert_eq!(connection.int_count(ANY_VECTOR).unwrap().0, number, "count");
        assert_eq!(connection.int_disable().unwrap().0, number, "disable");
    }
}

/// As often as the storm guard takes for a storm, if no deferred handler runs between.
#[test]
fn a_busy_device_that_is_served_is_no_storm() {
    let (_sim, plugin, _) = watched(0);
    let connection = plugin.connection();
    messages::Client(&plugin).defer_every(1).unwrap();
    connection.int_enable(kind::MSI, 1, 1, &[]).unwrap();
    (0..201_000).for_each(|_| messages::Client(&plugin).raise(1).unwrap());
    assert_eq!(connection.int_wait(0, ANY_VECTOR, u32::MAX).map(|taken| taken.got), Ok(201_000), "all of them");
}

/// The simulator ends a run in which a message is answered as another device's.
#[test]
fn a_message_without_a_reason_is_spurious_and_handled() {
    let (sim, plugin, _) = watched(0);
    plugin.connection().int_enable(kind::MSI, 1, 1, &[]).unwrap();
    sim.device(|watched: &mut Watched| watched.forgets = true);
    messages::Client(&plugin).raise(1).unwrap();
    let counters = plugin.connection().int_count(ANY_VECTOR).unwrap().1;
    assert_eq!((counters.received, counters.spurious), (0, 1), "received, spurious");
}

/// A wait that nobody wakes is a deadlock, and the simulator ends the run with its name.
#[test]
fn a_wait_ends_when_its_reason_comes() {
    explore(0..20, |world| {
        let sim = Sim::<Edu>::with(Model::new()).unwrap();
        let plugin = sim.connect(messages::INTERFACE).unwrap();
        let connection = plugin.connection();
        messages::Client(&plugin).defer_every(1).unwrap();
        connection.int_enable(kind::ANY, 1, 1, &[]).unwrap();
        world.scope(|scope| {
            scope.spawn("waiter", || {
                assert_eq!(connection.int_wait(NO_TIMEOUT, ANY_VECTOR, 1).map(|taken| taken.got), Ok(1));
            });
            scope.spawn("device", || messages::Client(&plugin).raise(1).unwrap());
        });
        world.scope(|scope| {
            scope.spawn("waiter", || {
                let ended = connection.int_wait(NO_TIMEOUT, ANY_VECTOR, 1).map_err(|error| error.status);
                assert!(matches!(ended, Err(Status::INT_DISABLED | Status::NOT_ENABLED)), "{ended:?}");
            });
            scope.spawn("ender", || assert!(connection.int_disable().is_ok()));
        });
    });
}
