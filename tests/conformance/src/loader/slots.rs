//! Several devices in one machine, of one driver and of two: what happens to one is not the other's affair.
use super::resources::connect;
use crate::{interrupts::until, registry::guest_test};
use edu_interface::edu;
use kp_abi::{Status, request::ANY_VECTOR};
use kp_user::{Enable, Plugin};
use std::{path::PathBuf, sync::Arc, thread, time::Duration};
use trouble_interface::trouble;
use windows_loader::{Assigned, Device, Driver, Machine, Mode, Options, Process, Shape, Token, access};

/// How long what is bound to come may take: a hang, not a measure.
const PATIENCE: Duration = Duration::from_secs(30);
const READ_WRITE: u32 = access::READ | access::WRITE;
/// What opening a device answers that is not there.
const NO_NAME: i32 = 0xC000_0034_u32 as i32;

/// A machine with drivers.
struct Slots {
    process: Arc<Process>,
    drivers: Vec<Driver>,
    machine: Machine,
}

impl Slots {
    fn new(folder: &str, plugins: &[&str]) -> Self {
        Self::in_machine(Machine::default(), folder, plugins)
    }

    fn in_machine(machine: Machine, folder: &str, plugins: &[&str]) -> Self {
        let start = |plugin: &&str| {
            let sys: PathBuf = [folder, plugin, "windows-x86_64", &format!("kp-{plugin}.sys")].iter().collect();
            machine.start(&sys).unwrap_or_else(|error| panic!("start {plugin}: {error}"))
        };
        let drivers = plugins.iter().map(start).collect();
        Self { process: machine.process(Token::Administrator), drivers, machine }
    }

    fn plug(&self) -> Device {
        self.machine.plug(kp_sim::edu::Edu::new())
    }

    /// A device of the driver of this number, started.
    fn device(&self, driver: usize) -> Device {
        let device = self.plug();
        device.add(&self.drivers[driver]).unwrap_or_else(|status| panic!("AddDevice: {status:#x}"));
        device.start(Assigned::Line).unwrap_or_else(|status| panic!("START_DEVICE: {status:#x}"));
        device
    }

    fn edu(&self, number: u32) -> Plugin {
        self.edu_at(&format!(r"\\.\kp-edu.{number}"))
    }

    fn edu_at(&self, path: &str) -> Plugin {
        let plugin = connect(&self.process, path, edu::INTERFACE);
        edu::Client(&plugin).defer_every(1).unwrap();
        plugin
    }

    fn is_there(&self, path: &str) -> Result<(), i32> {
        self.process.open(path, READ_WRITE, Mode::Overlapped).map(|handle| handle.close())
    }

    /// The devices go, and nothing is left.
    fn finish(self, devices: impl IntoIterator<Item = Device>) {
        for device in devices {
            device.remove().unwrap_or_else(|status| panic!("REMOVE_DEVICE: {status:#x}"));
        }
        self.unload();
    }

    fn unload(self) {
        let Self { process, drivers, machine } = self;
        for driver in &drivers {
            driver.stop().unwrap_or_else(|status| panic!("stop: {status:#x}"));
            driver.wait_until_unloaded();
        }
        drop((process, drivers));
        machine.finish();
    }
}

#[guest_test(stage = "loader")]
fn devices_have_the_lowest_names_that_are_free_in_the_order_of_their_start(drivers: &str) {
    let slots = Slots::new(drivers, &["edu"]);
    let [first, second, third] = [slots.plug(), slots.plug(), slots.plug()];
    for device in [&first, &second, &third] {
        device.add(&slots.drivers[0]).unwrap();
    }
    // Started in another order than they were found.
    for device in [&third, &first, &second] {
        device.start(Assigned::Line).unwrap();
    }
    let has = |number: u32| slots.edu(number).bus_address().unwrap().map(|address| address.to_string());
    assert_eq!([has(0), has(1), has(2)].map(Option::unwrap), ["0000:02:07.2", "0000:00:05.0", "0000:01:06.1"]);
    assert_eq!(slots.is_there(r"\\.\kp-edu.3"), Err(NO_NAME));

    // A name is given back with its device, and taken again by the next one that is started.
    first.remove().unwrap();
    assert_eq!(slots.is_there(r"\\.\kp-edu.1"), Err(NO_NAME));
    second.stop().unwrap();
    assert_eq!(slots.is_there(r"\\.\kp-edu.2"), Err(NO_NAME));
    let fourth = slots.device(0);
    assert_eq!(has(1).as_deref(), Some("0000:03:08.3"));
    second.start(Assigned::Nothing).unwrap();
    assert_eq!(has(2).as_deref(), Some("0000:01:06.1"));
    drop(first);
    slots.finish([fourth, third, second]);
}

/// Two that are removed and found again, side by side, hundreds of times, while a third one works.
#[guest_test(stage = "loader")]
fn one_device_comes_and_goes_while_another_does(drivers: &str) {
    const ROUNDS: u32 = 200;
    let slots = Slots::new(drivers, &["edu"]);
    let stays = slots.device(0);
    let plugin = slots.edu(0);
    thread::scope(|scope| {
        let come_and_go = |device: Device, round_trips: u32| {
            for round in 0..round_trips {
                device.add(&slots.drivers[0]).unwrap();
                device.start(Assigned::Line).unwrap();
                let path = device.interface().expect("a started device shows its interface");
                let plugin = slots.edu_at(&path);
                assert_eq!(edu::Client(&plugin).invert(round), Ok(!round));
                drop(plugin);
                device.remove().unwrap();
                assert_eq!(slots.is_there(&path), Err(NO_NAME));
            }
        };
        let goers = [slots.plug(), slots.plug()].map(|device| scope.spawn(move || come_and_go(device, ROUNDS)));
        let mut n = 0;
        while goers.iter().any(|goer| !goer.is_finished()) {
            n += 1;
            assert_eq!(edu::Client(&plugin).invert(n), Ok(!n));
        }
        for goer in goers {
            goer.join().expect("nothing is wrong with one of them");
        }
    });
    drop(plugin);
    slots.finish([stays]);
}

/// A raised line is asked of both handlers, and each claims only what its own device does.
#[guest_test(stage = "loader")]
fn a_line_that_two_devices_share_is_each_ones_own(drivers: &str) {
    let slots = Slots::new(drivers, &["edu"]);
    let devices = [slots.device(0), slots.device(0)];
    let plugins = [slots.edu(0), slots.edu(1)];
    share(
        &plugins
            .each_ref()
            .map(|plugin| (plugin, Box::new(move || edu::Client(plugin).raise(1).unwrap()) as Raise<'_>)),
    );
    // Of one whose interrupt is not enabled nothing is heard, and it does not disturb the other.
    let interrupts = plugins[1].interrupts(Enable::line()).unwrap();
    edu::Client(&plugins[0]).raise(1).unwrap();
    edu::Client(&plugins[1]).raise(1).unwrap();
    assert_eq!(interrupts.wait(PATIENCE).map(|got| got.got), Ok(1));
    drop(interrupts);
    drop(plugins);
    slots.finish(devices);
}

#[guest_test(stage = "loader")]
fn two_drivers_share_a_line(drivers: &str) {
    let slots = Slots::new(drivers, &["edu", "trouble"]);
    let devices = [slots.device(0), slots.device(1)];
    let (own, other) = (slots.edu(0), connect(&slots.process, r"\\.\kp-trouble.0", trouble::INTERFACE));
    share(&[
        (&own, Box::new(|| edu::Client(&own).raise(1).unwrap()) as Raise<'_>),
        (&other, Box::new(|| trouble::Client(&other).raise(1).unwrap())),
    ]);
    drop((own, other));
    slots.finish(devices);
}

/// Its plugin has not quieted it, and nobody listens to it any more: its line is off.
#[guest_test(stage = "loader")]
fn a_device_that_is_left_with_its_line_raised_does_not_disturb_another(drivers: &str) {
    let slots = Slots::new(drivers, &["edu"]);
    let (goes, stays) = (slots.device(0), slots.device(0));
    let plugin = slots.edu(1);
    let interrupts = plugin.interrupts(Enable::line()).unwrap();
    for stop in [true, false] {
        let going = slots.edu(0);
        edu::Client(&going).raise(1).unwrap();
        drop(going);
        until("the handle is closed", || goes.open_handles() == 0);
        if stop {
            goes.stop().unwrap();
            assert!(!goes.raises_its_line(), "stopped");
            goes.start(Assigned::Line).unwrap();
        } else {
            goes.remove().unwrap();
            assert!(!goes.raises_its_line(), "removed");
        }
        edu::Client(&plugin).raise(1).unwrap();
        assert_eq!(interrupts.wait(PATIENCE).map(|got| got.got), Ok(1));
    }
    drop((interrupts, plugin, goes));
    slots.finish([stays]);
}

type Raise<'a> = Box<dyn Fn() + Sync + 'a>;

/// Both devices interrupt again and again: first one alone, while the other is listened to, then both at once.
fn share(devices: &[(&Plugin, Raise<'_>); 2]) {
    const TIMES: u64 = 300;
    let enabled = devices.each_ref().map(|(plugin, _)| plugin.interrupts(Enable::line()).unwrap());
    let raise = |which: usize| {
        for _ in 0..TIMES {
            devices[which].1();
            assert_eq!(enabled[which].wait(PATIENCE).map(|got| got.got), Ok(1));
        }
    };
    let heard = |which: usize| devices[which].0.connection().int_count(ANY_VECTOR).unwrap().1;
    raise(0);
    assert_eq!((heard(0).delivered, heard(1).notified), (TIMES, 0));
    thread::scope(|scope| {
        scope.spawn(|| raise(0));
        raise(1);
    });
    let [first, second] = enabled.map(|interrupts| interrupts.disable().unwrap());
    assert_eq!([first.delivered, second.delivered], [2 * TIMES, TIMES]);
    assert_eq!([first.lost, second.lost], [0, 0]);
}

#[guest_test(stage = "loader")]
fn a_device_that_is_pulled_out_leaves_the_other_alone(drivers: &str) {
    let slots = Slots::new(drivers, &["edu"]);
    let (goes, stays) = (slots.device(0), slots.device(0));
    let (lost, kept) = (slots.edu(0), slots.edu(1));
    let waits = [&lost, &kept].map(|plugin| plugin.interrupts(Enable::line()).unwrap());
    let path = goes.interface().unwrap();
    thread::scope(|scope| {
        let [lost_wait, kept_wait] = waits.each_ref().map(|wait| scope.spawn(|| wait.wait(PATIENCE)));
        until("both wait", || [&lost, &kept].iter().all(|plugin| plugin.query().is_ok_and(|query| query.waits == 1)));
        let calls = scope.spawn(|| {
            for n in 0..2000 {
                assert_eq!(edu::Client(&kept).invert(n), Ok(!n));
            }
        });
        goes.surprise_removal();
        assert_eq!(lost_wait.join().unwrap().map_err(|error| error.status).err(), Some(Status::DEVICE_GONE));
        calls.join().expect("the other one goes on");
        assert!(!kept_wait.is_finished());
        edu::Client(&kept).raise(1).unwrap();
        assert_eq!(kept_wait.join().unwrap().map(|got| got.got), Ok(1));
    });
    assert_eq!(edu::Client(&lost).invert(1).map_err(|error| error.status), Err(Status::DEVICE_GONE));
    assert_eq!([slots.is_there(&path), slots.is_there(r"\\.\kp-edu.0")], [Err(NO_NAME); 2]);
    // The name is free already, though the old handle is open.
    let new = slots.device(0);
    assert_eq!(edu::Client(&slots.edu(0)).invert(1), Ok(!1));
    drop((waits, lost, kept));
    goes.removed();
    drop(goes);
    slots.finish([new, stays]);
}

/// As an app does that looks for devices of the interface's class.
#[guest_test(stage = "loader")]
fn a_device_is_opened_by_its_interface_while_that_is_enabled(drivers: &str) {
    let slots = Slots::new(drivers, &["edu"]);
    let [first, second] = [slots.plug(), slots.plug()];
    first.add(&slots.drivers[0]).unwrap();
    second.add(&slots.drivers[0]).unwrap();
    assert_eq!(first.interface(), None, "it is not started");
    for device in [&first, &second] {
        device.start(Assigned::Line).unwrap();
    }
    let [path, other] = [&first, &second].map(|device| device.interface().unwrap());
    assert!(path.starts_with(r"\\?\PCI#VEN_1234&DEV_11E8&") && path != other, "{path}, {other}");
    assert!(path.ends_with("#{6c6aa352-50f9-4ffa-ab38-5e9267c317f2}"), "{path}");
    let has = |path: &str| slots.edu_at(path).bus_address().unwrap().unwrap().to_string();
    assert_eq!([has(&path), has(&other), has(&path.to_uppercase())], ["0000:00:05.0", "0000:01:06.1", "0000:00:05.0"]);
    // A path in the device's own namespace, of which it has none.
    assert_eq!(slots.is_there(&format!(r"{path}\")), Err(NO_NAME));
    assert_eq!(slots.is_there(&format!(r"{path}\x")), Err(NO_NAME));
    let user = slots.machine.process(Token::User);
    for path in [path.clone(), format!(r"{path}\"), format!(r"{path}\x")] {
        let refused = user.open(&path, READ_WRITE, Mode::Overlapped).map(|_| ());
        assert_eq!(
            refused,
            Err(0xC000_0022_u32 as i32),
            "{path}: whoever may not open the device may not open a path in it"
        );
    }
    // It stays while the device is stopped, which nobody can open then.
    first.stop().unwrap();
    assert_eq!(first.interface().as_ref(), Some(&path));
    assert_eq!(slots.is_there(&path), Err(Status::DEVICE_GONE.ntstatus() as i32));
    first.start(Assigned::Line).unwrap();
    assert_eq!(slots.is_there(&path), Ok(()));
    until("the handle is closed", || first.open_handles() == 0);
    // It goes with the device, and is the same when that is found again.
    let plugin = slots.edu_at(&path);
    first.surprise_removal();
    assert_eq!((first.interface(), slots.is_there(&path)), (None, Err(NO_NAME)));
    drop(plugin);
    first.removed();
    second.remove().unwrap();
    assert_eq!(slots.is_there(&other), Err(NO_NAME));
    second.add(&slots.drivers[0]).unwrap();
    assert_eq!(slots.is_there(&other), Err(NO_NAME));
    second.start(Assigned::Line).unwrap();
    assert_eq!((second.interface().as_ref(), slots.is_there(&other)), (Some(&other), Ok(())));
    until("the handle is closed", || second.open_handles() == 0);
    drop(first);
    slots.finish([second]);
}

#[guest_test(stage = "loader")]
fn a_device_whose_bus_says_no_address_has_none(drivers: &str) {
    let slots = Slots::new(drivers, &["edu"]);
    let mut shape = Shape::default();
    shape.has_no_address = true;
    let device = slots.machine.plug_as(kp_sim::edu::Edu::new(), shape);
    device.add(&slots.drivers[0]).unwrap();
    device.start(Assigned::Nothing).unwrap();
    assert_eq!(slots.edu(0).bus_address(), Ok(None));
    slots.finish([device]);
}

/// By LeaveCommandRegister, for a Windows that watches over that register.
#[guest_test(stage = "loader")]
fn the_command_register_is_written_unless_a_parameter_forbids_it(drivers: &str) {
    for (parameters, writes) in
        [(&[][..], true), (&[("LeaveCommandRegister", 0)], true), (&[("LeaveCommandRegister", 1)], false)]
    {
        let mut options = Options::default();
        options.parameters = parameters.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        let slots = Slots::in_machine(Machine::new(options), drivers, &["edu"]);
        let device = slots.device(0);
        for assigned in [Assigned::Line, Assigned::Messages(1)] {
            let plugin = slots.edu(0);
            let interrupts = plugin.interrupts(Enable::any()).unwrap();
            edu::Client(&plugin).raise(1).unwrap();
            assert_eq!(interrupts.wait(PATIENCE).map(|got| got.got), Ok(1), "{parameters:?}, {assigned:?}");
            device.set_system_power(false).unwrap();
            device.set_system_power(true).unwrap();
            drop((interrupts, plugin));
            until("the handle is closed", || device.open_handles() == 0);
            device.stop().unwrap();
            device.start(Assigned::Messages(1)).unwrap();
        }
        assert_eq!(device.command_writes() > 0, writes, "{parameters:?}");
        slots.finish([device]);
    }
}
