//! A device that never lowers its line, whatever its driver does: it is masked, its waits say why, and it can be disabled and unloaded.
use super::{Loaded, Loader, open};
use crate::{Subject, Unload, World, registry::guest_test};
use edu_interface::edu;
use kp_abi::{
    Status,
    request::{ANY_VECTOR, NO_TIMEOUT, kind},
};
use kp_sim::{
    device::{DeviceModel, Identity, IrqKind, Memory},
    edu::Edu,
};
use kp_user::{ControlNode, Plugin};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use windows_loader::{Assigned, Machine, Options, Rule, Token, Verdict};

/// How often a deferred call is asked for: never.
const NEVER: u32 = u32::MAX;
/// The driver takes many interrupts in five seconds for a storm. For it this is a day.
const SLOWNESS: u32 = 20_000;

/// edu, with a line that is raised for good by the first interrupt.
struct Stuck {
    model: Edu,
    is_raised: bool,
    listens: Option<IrqKind>,
}

impl DeviceModel for Stuck {
    fn identity(&self) -> Identity {
        self.model.identity()
    }
    fn bar_len(&self, bar: usize) -> Option<u64> {
        self.model.bar_len(bar)
    }
    fn read(&mut self, bar: usize, offset: u64, width: u8, ram: &mut dyn Memory) -> u64 {
        // The interrupt status, of which bit 0 stays.
        let stuck = u64::from(self.is_raised && offset == 0x24);
        self.model.read(bar, offset, width, ram) | stuck
    }
    fn write(&mut self, bar: usize, offset: u64, width: u8, value: u64, ram: &mut dyn Memory) {
        self.is_raised |= offset == 0x60;
        self.model.write(bar, offset, width, value, ram);
    }
    fn vectors(&self, kind: IrqKind) -> u16 {
        self.model.vectors(kind)
    }
    fn select(&mut self, kind: Option<IrqKind>, count: u16) {
        self.listens = kind;
        self.model.select(kind, count);
    }
    fn line(&mut self) -> bool {
        self.is_raised && self.listens == Some(IrqKind::Line)
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
        self.is_raised = false;
        self.model.reset();
    }
}

/// What has a deferred call run on another processor: all of them are there, or none is used. Here deferred calls have processors of
/// their own in any case.
pub(super) const ELSEWHERE: &[&str] =
    &["KeGetCurrentProcessorNumberEx", "KeQueryActiveProcessorCount", "KeSetImportanceDpc", "KeSetTargetProcessorDpc"];

/// On a kernel that has all functions.
#[guest_test(stage = "loader")]
fn a_storm_is_stopped(drivers: &str) {
    storm(drivers, &[]);
}

#[guest_test(stage = "loader")]
fn a_storm_is_stopped_on_a_kernel_that_does_not_say_which_processor_it_is(drivers: &str) {
    storm(drivers, &ELSEWHERE[..1]);
}

/// A machine with edu's device, stuck: its interrupt is enabled, and never deferred.
fn enabled(drivers: &str, mut options: Options) -> (Loaded, Plugin) {
    options.slowness = SLOWNESS;
    let machine = Machine::new(options);
    let sys = Loader::new(drivers).sys(Subject::Edu);
    let driver = machine.start(&sys).unwrap_or_else(|error| panic!("start edu: {error}"));
    let device = machine.plug(Stuck { model: Edu::new(), is_raised: false, listens: None });
    device.add(&driver).unwrap_or_else(|status| panic!("AddDevice: {status:#x}"));
    device.start(Assigned::Line).unwrap_or_else(|status| panic!("START_DEVICE: {status:#x}"));
    let process = machine.process(Token::Administrator);
    let connection = Arc::new(ControlNode::over(open(&process, Subject::Edu)));
    let plugin = Plugin::over(connection, edu::INTERFACE, &[]).unwrap_or_else(|error| panic!("{error}"));
    edu::Client(&plugin).defer_every(NEVER).unwrap_or_else(|error| panic!("defer: {error}"));
    plugin.connection().int_enable(kind::LINE, 1, 1, &[]).unwrap_or_else(|error| panic!("enable: {error}"));
    (Loaded { process, device: Some(device), driver, machine }, plugin)
}

/// A line that nobody may turn off at the device is Windows' own trouble then; the log says that it is not masked.
#[guest_test(stage = "loader")]
fn nobody_stops_a_storm_where_an_administrator_forbids_it(drivers: &str) {
    let mut options = Options::default();
    options.parameters = vec![("LeaveCommandRegister".into(), 1)];
    let (loaded, plugin) = enabled(drivers, options);
    let machine = &loaded.machine;
    // The run ends, and with it maybe this call.
    let _ = catch_unwind(AssertUnwindSafe(|| edu::Client(&plugin).raise(1)));
    crate::interrupts::until("the loader has seen enough", || machine.verdict().is_some());
    let Some(Verdict::Broken(broken)) = machine.verdict() else { panic!("{:?}", machine.verdict()) };
    assert_eq!(broken.rule, Rule::Claimed, "{broken}");
    let log = machine.log();
    assert!(log.iter().any(|line| line.contains("not masked")), "{log:?}");
    // Nothing is closed in a machine that has stopped.
    std::mem::forget((plugin, loaded));
}

fn storm(drivers: &str, absent: &[&str]) {
    let mut options = Options::default();
    options.absent = absent.iter().map(|&name| name.to_owned()).collect();
    let (loaded, plugin) = enabled(drivers, options);
    let connection = plugin.connection();
    edu::Client(&plugin).raise(1).unwrap_or_else(|error| panic!("raise: {error}"));
    let ended = connection.int_wait(NO_TIMEOUT, ANY_VECTOR, 1).map_err(|error| error.status);
    assert_eq!(ended, Err(Status::INTERRUPT_STORM), "the wait");
    let count = || connection.int_count(ANY_VECTOR).map(|(_, counters)| counters.received);
    assert!(connection.int_disable().is_ok(), "it can be disabled");
    assert_eq!(count(), count(), "nothing is counted any more");
    drop(plugin);
    let mut world = Loader::new(drivers);
    world.edu = Some(loaded);
    assert_eq!(world.unload(Subject::Edu), Unload::Gone);
}
