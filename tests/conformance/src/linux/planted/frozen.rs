//! A call is frozen in a sleep of the plugin's, so it cannot end. Who waits for it must not take the machine along.
use super::{Loaded, open};
use crate::{interrupts::until, linux::stress::address};
use kp_abi::{Status, request::state};
use kp_user::Plugin;
use rustix::{
    mount::{MountFlags, mount},
    system::{RebootCommand, reboot},
};
use std::{fs, sync::mpsc::channel, thread};
use trouble_interface::trouble;

/// The machine powers off, as at the end of a hibernation. Does not return.
pub fn power_off() {
    let _loaded = Loaded::new();
    let plugin = open(&[]);
    let group = Group::new("kp");
    thread::scope(|scope| {
        scope.spawn(|| {
            group.enter();
            panic!("the nap ends: {:?}", nap(&plugin));
        });
        until("the call sleeps", || plugin.query().is_ok_and(|query| query.calls == 1));
        group.set("FROZEN");
        until("the call is frozen", || group.state() == "FROZEN");
        panic!("the machine stays on: {:?}", reboot(RebootCommand::PowerOff));
    });
}

/// The device is unbound. Who does that holds its lock, which a suspend takes once everybody is frozen: it must not freeze.
pub fn unbind() {
    let loaded = Loaded::new();
    let (plugin, witness) = (open(&[]), open(&[]));
    let (callers, unbinders) = (Group::new("callers"), Group::new("unbinders"));
    let (sender, number) = channel();
    thread::scope(|scope| {
        let call = scope.spawn(|| {
            callers.enter();
            nap(&plugin)
        });
        until("the call sleeps", || plugin.query().is_ok_and(|query| query.calls == 1));
        callers.set("FROZEN");
        until("the call is frozen", || callers.state() == "FROZEN");
        let unbinding = scope.spawn(|| {
            sender.send(unbinders.enter()).expect("the other thread wants it");
            fs::write("/sys/bus/pci/drivers/kp_trouble/unbind", address(&witness)).expect("the device can be unbound");
        });
        let stat = format!("/proc/self/task/{}/stat", number.recv().expect("it says so first"));
        until("the device goes", || witness.query().is_ok_and(|query| query.state == state::GONE));
        until("who unbinds it waits", || {
            let stat = fs::read_to_string(&stat).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['I', 'D']))
        });
        unbinders.set("FROZEN");
        let froze = unbinders.state();
        unbinders.set("THAWED");
        callers.set("THAWED");
        assert_eq!(froze, "FREEZING", "who holds a device's lock must not freeze");
        assert_eq!(call.join().expect("the caller does not panic"), Err(Status::DEVICE_GONE.into()));
        unbinding.join().expect("the unbinding does not panic");
    });
    drop((plugin, witness));
    drop(loaded);
}

fn nap(plugin: &Plugin) -> kp_abi::Result<()> {
    trouble::Client(plugin).nap(60_000)
}

/// A control group of tasks that are frozen together, as a suspend freezes all.
struct Group(String);

impl Group {
    fn new(name: &str) -> Self {
        let root = "/freezer";
        if fs::create_dir(root).is_ok() {
            mount("kp", root, "cgroup", MountFlags::empty(), c"freezer").expect("this kernel has the freezer");
        }
        let path = format!("{root}/{name}");
        fs::create_dir(&path).expect("a group can be made");
        Self(path)
    }

    /// Puts this thread into it: the thread's number.
    fn enter(&self) -> String {
        let task = fs::read_link("/proc/thread-self").expect("this thread has a number");
        let task = task.file_name().and_then(|name| name.to_str()).expect("it is the path's end").to_owned();
        fs::write(format!("{}/tasks", self.0), &task).expect("a task can be put into a group");
        task
    }

    fn set(&self, state: &str) {
        fs::write(format!("{}/freezer.state", self.0), state).expect("a group can be frozen and thawed");
    }

    fn state(&self) -> String {
        let state = fs::read_to_string(format!("{}/freezer.state", self.0)).expect("a group has a state");
        state.trim().to_owned()
    }
}
