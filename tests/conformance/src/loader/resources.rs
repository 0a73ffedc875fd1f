//! What START may assign, in all the forms in which the plug-and-play manager lists it: the drivers find their BARs and their messages.
use super::{Loaded, open_path};
use crate::{interrupts::until, registry::guest_test};
use ivshmem_interface::{SILENT, VECTORS, ivshmem};
use kp_abi::{Interface, Status, request::ANY_VECTOR};
use kp_sim::{
    device::{DeviceModel, Identity, IrqKind, Memory},
    edu::Edu,
};

use kp_user::{Enable, Kind, Plugin};
use std::{
    collections::{BTreeSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use trouble_interface::trouble;
use windows_loader::{Assigned, Broken, Machine, Process, Rule, Shape, Token, Verdict};

/// How long what is bound to come may take: a hang, not a measure.
const PATIENCE: Duration = Duration::from_secs(30);
const GIB: u64 = 1 << 30;

/// A machine with a driver, and a device that has been started.
pub(super) fn started(
    plugin: &str,
    drivers: &str,
    model: impl DeviceModel + 'static,
    shape: Shape,
    assigned: Assigned,
) -> Loaded {
    started_on(Machine::default(), plugin, drivers, model, shape, assigned)
}

/// The same on this machine.
pub(super) fn started_on(
    machine: Machine,
    plugin: &str,
    drivers: &str,
    model: impl DeviceModel + 'static,
    shape: Shape,
    assigned: Assigned,
) -> Loaded {
    let sys: PathBuf = [drivers, plugin, "windows-x86_64", &format!("kp-{plugin}.sys")].iter().collect();
    let driver = machine.start(&sys).unwrap_or_else(|error| panic!("start {plugin}: {error}"));
    let device = machine.plug_as(model, shape);
    device.add(&driver).unwrap_or_else(|status| panic!("AddDevice: {status:#x}"));
    device.start(assigned).unwrap_or_else(|status| panic!("START_DEVICE: {status:#x}"));
    Loaded { process: machine.process(Token::Administrator), device: Some(device), driver, machine }
}

pub(super) fn connect(process: &Arc<Process>, path: &str, interface: &Interface) -> Plugin {
    let node = Arc::new(kp_user::ControlNode::over(open_path(process, path)));
    Plugin::over(node, interface, &[]).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Unloads the driver, and ends its machine.
pub(super) fn finish(loaded: Loaded) {
    assert!(loaded.unload(), "nobody has it open");
    loaded.finish();
}

/// ivshmem-doorbell with one peer, itself: a register at 0x0c sends messages.
#[derive(Default)]
struct Doorbell {
    count: u16,
    sent: VecDeque<u16>,
}

impl DeviceModel for Doorbell {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1AF4, device: 0x1110 }
    }
    fn bar_len(&self, bar: usize) -> Option<u64> {
        [Some(0x100), Some(0x1000), Some(0x40_0000)].get(bar).copied().flatten()
    }
    fn read(&mut self, bar: usize, offset: u64, _: u8, _: &mut dyn Memory) -> u64 {
        if (bar, offset) == (0, 8) { 1 } else { 0 }
    }
    fn write(&mut self, bar: usize, offset: u64, _: u8, value: u64, _: &mut dyn Memory) {
        let message = value as u16;
        if (bar, offset) == (0, 0xC) && message < self.count {
            self.sent.push_back(message);
        }
    }
    fn vectors(&self, kind: IrqKind) -> u16 {
        if kind == IrqKind::MsiX { 8 } else { 0 }
    }
    fn select(&mut self, kind: Option<IrqKind>, count: u16) {
        self.count = if kind == Some(IrqKind::MsiX) { count } else { 0 };
    }
    fn take_message(&mut self) -> Option<u16> {
        self.sent.pop_front()
    }
}

const IVSHMEM: &str = r"\\.\kp-ivshmem.0";

/// MSI-X: a descriptor for each message, whose levels differ.
#[guest_test(stage = "loader")]
fn each_message_is_heard_and_all_at_the_highest_of_their_levels(drivers: &str) {
    for shape in [Shape::default(), {
        let mut shape = Shape::default();
        shape.mixed = true;
        shape
    }] {
        let loaded = started("ivshmem", drivers, Doorbell::default(), shape, Assigned::Messages(4));
        let plugin = connect(&loaded.process, IVSHMEM, ivshmem::INTERFACE);
        let client = ivshmem::Client(&plugin);
        let interrupts = plugin.interrupts(Enable::msix(1..=8)).unwrap();
        assert_eq!((interrupts.kind(), interrupts.count()), (Kind::MsiX, 4));
        for vector in [2, 0, 1, 2] {
            client.ring(vector).unwrap();
            let got = interrupts.wait_vector(vector, PATIENCE).unwrap();
            assert_eq!((got.vector, got.got, got.available), (vector, 1, 0));
        }
        assert_eq!(client.rung(), Ok([1, 1, 2, 0]));
        let handlers = loaded.device.as_ref().unwrap().handlers();
        assert_eq!(handlers.levels, BTreeSet::from([11]), "messages of the levels 9, 5, 11 and 7");
        drop((interrupts, plugin));
        finish(loaded);
    }
}

/// Messages of one device on several processors at once, again and again.
#[guest_test(stage = "loader")]
fn messages_that_come_at_once_are_each_heard(drivers: &str) {
    const ROUNDS: u32 = 200;
    let loaded = started("ivshmem", drivers, Doorbell::default(), Shape::default(), Assigned::Messages(4));
    let plugin = connect(&loaded.process, IVSHMEM, ivshmem::INTERFACE);
    let client = ivshmem::Client(&plugin);
    let interrupts = plugin.interrupts(Enable::msix(4..=4)).unwrap();
    for round in 1..=ROUNDS {
        loaded.machine.withhold_interrupts(true);
        for vector in 0..VECTORS as u32 {
            client.ring(vector).unwrap();
        }
        loaded.machine.withhold_interrupts(false);
        for vector in 0..3 {
            assert_eq!(interrupts.wait_vector(vector, PATIENCE).map(|got| got.got), Ok(1));
        }
        // The app is not told of this one.
        let received = || plugin.connection().int_count(SILENT).unwrap().1.received;
        until("it is received too", || received() == u64::from(round));
    }
    assert_eq!(client.rung(), Ok([ROUNDS; VECTORS]));
    let handlers = loaded.device.as_ref().unwrap().handlers();
    assert_eq!(handlers.at_once, 1, "the driver has a lock for all of them");
    interrupts.disable().unwrap();
    let counters = plugin.connection().int_count(ANY_VECTOR).unwrap().1;
    assert_eq!(
        (counters.received, counters.delivered, counters.lost),
        (4 * u64::from(ROUNDS), 3 * u64::from(ROUNDS), 0)
    );
    drop(plugin);
    finish(loaded);
}

#[guest_test(stage = "loader")]
fn fewer_messages_than_the_driver_can_have_are_used(drivers: &str) {
    for (assigned, count) in [(1, 1), (3, 3), (8, 4)] {
        let loaded = started("ivshmem", drivers, Doorbell::default(), Shape::default(), Assigned::Messages(assigned));
        let plugin = connect(&loaded.process, IVSHMEM, ivshmem::INTERFACE);
        let refused = plugin.interrupts(Enable::msix(count + 1..=count + 1)).map(|_| ()).map_err(|error| error.status);
        assert_eq!(refused, Err(Status::NO_INTERRUPT));
        let interrupts = plugin.interrupts(Enable::any()).unwrap();
        assert_eq!((interrupts.kind(), interrupts.count()), (Kind::MsiX, 1), "one is what is asked for by default");
        interrupts.disable().unwrap();
        let interrupts = plugin.interrupts(Enable::msix(1..=8)).unwrap();
        assert_eq!(interrupts.count(), count);
        ivshmem::Client(&plugin).ring(0).unwrap();
        assert_eq!(interrupts.wait(PATIENCE).map(|got| got.vector), Ok(0));
        drop((interrupts, plugin));
        finish(loaded);
    }
}

/// edu, with more BARs, whose first words say which they are.
struct Many {
    model: Edu,
    /// By number; the first is edu's own.
    lengths: [Option<u64>; 6],
}

impl Many {
    fn new(lengths: [Option<u64>; 6]) -> Self {
        Self { model: Edu::new(), lengths }
    }

    fn word(bar: usize) -> u32 {
        0xBA50_0000 | bar as u32
    }
}

impl DeviceModel for Many {
    fn identity(&self) -> Identity {
        self.model.identity()
    }
    fn bar_len(&self, bar: usize) -> Option<u64> {
        if bar == 0 { self.model.bar_len(0) } else { self.lengths[bar] }
    }
    fn read(&mut self, bar: usize, offset: u64, width: u8, ram: &mut dyn Memory) -> u64 {
        if bar == 0 { self.model.read(0, offset, width, ram) } else { Self::word(bar).into() }
    }
    fn write(&mut self, bar: usize, offset: u64, width: u8, value: u64, ram: &mut dyn Memory) {
        if bar == 0 {
            self.model.write(bar, offset, width, value, ram);
        }
    }
}

/// What the plugin reads at the beginning of each BAR.
fn words(drivers: &str, lengths: [Option<u64>; 6], shape: Shape) -> [u32; 6] {
    let loaded = started("trouble", drivers, Many::new(lengths), shape, Assigned::Nothing);
    let plugin = connect(&loaded.process, r"\\.\kp-trouble.0", trouble::INTERFACE);
    let words = trouble::Client(&plugin).words().unwrap();
    drop(plugin);
    finish(loaded);
    words
}

const ID: u32 = 0x0100_00ED;
const NONE: u32 = !0;

#[guest_test(stage = "loader")]
fn bars_are_found_in_whatever_form_they_are_listed(drivers: &str) {
    let small = Some(0x1000);
    let word = Many::word;
    for mixed in [false, true] {
        let plain = || {
            let mut shape = Shape::default();
            shape.mixed = mixed;
            shape
        };
        let all = words(drivers, [None, small, Some(0x10_0000), small, small, small], plain());
        assert_eq!(all, [ID, word(1), word(2), word(3), word(4), word(5)]);

        // 64 bits, in two places each; of the second no more than the beginning is mapped.
        let mut wide = plain();
        (wide.wide, wide.prefetchable) = (vec![0, 2, 4], vec![2]);
        for large in [4 * GIB, 8 * GIB, 2048 * GIB, 1 << 20 << 30] {
            let three = words(drivers, [None, None, Some(large), None, small, None], wide.clone());
            assert_eq!(three, [ID, NONE, word(2), NONE, word(4), NONE], "{large:#x} bytes");
        }

        // Ports between them; one BAR of 32 bits and one of 64.
        let mut ports = plain();
        (ports.wide, ports.ports) = (vec![4], vec![(1, 0x20), (3, 8)]);
        let two = words(drivers, [None, None, small, None, Some(GIB), None], ports);
        assert_eq!(two, [ID, NONE, word(2), NONE, word(4), NONE]);
    }
}

/// Where a processor has no ports, the translated list has memory in their place; the raw one says what they are.
#[guest_test(stage = "loader")]
fn ports_are_no_memory_whatever_the_processor_makes_of_them(drivers: &str) {
    let mut shape = Shape::mixed();
    shape.ports_are_memory = true;
    let two = words(drivers, [None, None, None, Some(0x1000), None, None], shape);
    assert_eq!(two, [ID, NONE, NONE, Many::word(3), NONE, NONE]);
}

#[guest_test(stage = "loader")]
fn a_bar_that_was_not_assigned_is_not_there(drivers: &str) {
    let mut shape = Shape::mixed();
    shape.unlisted = vec![3];
    let two = words(drivers, [None, None, None, Some(0x1000), Some(0x1000), None], shape.clone());
    assert_eq!(two, [ID, NONE, NONE, NONE, Many::word(4), NONE]);

    // One that the plugin cannot do without: it refuses the device, and another start may assign it.
    shape.unlisted = vec![0];
    let machine = Machine::default();
    let sys: PathBuf = [drivers, "edu", "windows-x86_64", "kp-edu.sys"].iter().collect();
    let driver = machine.start(&sys).unwrap_or_else(|error| panic!("start edu: {error}"));
    let device = machine.plug_as(Edu::new(), shape);
    device.add(&driver).unwrap();
    let refused = device.start(Assigned::Line).map_err(|status| Status::from_ntstatus(status as u32));
    assert_eq!(refused, Err(Some(Status::WRONG_DEVICE)));
    device.removed();
    drop(device);
    finish(Loaded { process: machine.process(Token::Administrator), device: None, driver, machine });
}

/// The plug-and-play manager stops it to assign other resources.
#[guest_test(stage = "loader")]
fn a_device_finds_its_bars_where_they_are_after_another_start(drivers: &str) {
    let loaded = started(
        "trouble",
        drivers,
        Many::new([None, Some(0x1000), None, None, None, None]),
        Shape::default(),
        Assigned::Line,
    );
    let device = loaded.device.as_ref().unwrap();
    for assigned in [Assigned::Nothing, Assigned::Line, Assigned::Messages(1), Assigned::Line] {
        let plugin = connect(&loaded.process, r"\\.\kp-trouble.0", trouble::INTERFACE);
        assert_eq!(trouble::Client(&plugin).words().unwrap()[..2], [ID, Many::word(1)]);
        drop(plugin);
        until("the handle is closed", || device.open_handles() == 0);
        device.stop().unwrap();
        device.start(assigned).unwrap();
    }
    finish(loaded);
}

#[guest_test(stage = "loader")]
fn a_device_that_does_not_start_again_has_given_everything_back(drivers: &str) {
    for is_refused in [false, true] {
        let mut loaded = started("trouble", drivers, Edu::new(), Shape::default(), Assigned::Line);
        let device = loaded.device.take().unwrap();
        let plugin = connect(&loaded.process, r"\\.\kp-trouble.0", trouble::INTERFACE);
        trouble::Client(&plugin).refuse(u32::from(is_refused)).unwrap();
        let interrupts = plugin.interrupts(Enable::line()).unwrap();
        if is_refused {
            drop((interrupts, plugin));
            until("the handle is closed", || device.open_handles() == 0);
            device.stop().unwrap();
            assert!(device.start(Assigned::Line).is_err());
            device.failed();
        } else {
            // It is there, and has failed in another way, with its interrupt connected and a handle open.
            device.failed();
            assert_eq!(trouble::Client(&plugin).invert(1).map_err(|error| error.status), Err(Status::DEVICE_GONE));
            drop((interrupts, plugin));
            until("the handle is closed", || device.open_handles() == 0);
        }
        device.removed();
        drop(device);
        finish(loaded);
    }
}

/// By the loader: after a stop they may be somebody else's.
#[guest_test(stage = "loader")]
fn registers_that_a_plugin_keeps_are_found_at_once(drivers: &str) {
    let loaded = started("trouble", drivers, Edu::new(), Shape::default(), Assigned::Nothing);
    let device = loaded.device.as_ref().unwrap();
    let plugin = connect(&loaded.process, r"\\.\kp-trouble.0", trouble::INTERFACE);
    trouble::Client(&plugin).leak_mapping().unwrap();
    drop(plugin);
    until("the handle is closed", || device.open_handles() == 0);
    assert!(catch_unwind(AssertUnwindSafe(|| device.stop())).is_err());
    let Some(Verdict::Broken(Broken { rule, .. })) = loaded.machine.verdict() else { panic!("no rule is broken") };
    assert_eq!(rule, Rule::StoppedReleased);
    // Nothing is closed in a machine that is no more.
    std::mem::forget(loaded);
}
