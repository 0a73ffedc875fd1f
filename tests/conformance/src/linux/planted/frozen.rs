//! Apps are being frozen, as for a suspend or at the end of a hibernation, and one of them is in a sleep of the plugin's. It comes out first:
//! what waits for its call, a removal or a power-off, does not wait for its thawing, which may come only afterwards.
use super::{Loaded, open};
use crate::{interrupts::until, linux::stress::address, registry::guest_test};
use kp_abi::{Status, request::state};
use kp_user::Plugin;
use rustix::{
    mount::{MountFlags, mount},
    system::{RebootCommand, reboot},
};
use std::{fs, thread};
use trouble_interface::trouble;

/// The machine powers off. Does not return.
#[guest_test("planted power-off", stage = "planted")]
fn power_off() {
    let _loaded = Loaded::new();
    let plugin = open(&[]);
    let group = Group::new("kp");
    thread::scope(|scope| {
        scope.spawn(|| {
            group.enter();
            panic!("it runs on: {:?}", nap(&plugin));
        });
        until("the call sleeps", || plugin.query().is_ok_and(|query| query.calls == 1));
        group.set("FROZEN");
        assert_eq!(group.state(), "FREEZING", "a call in the plugin must not freeze");
        panic!("the machine stays on: {:?}", reboot(RebootCommand::PowerOff));
    });
}

/// The device is unbound.
#[guest_test("planted unbind", stage = "planted")]
fn unbind() {
    let loaded = Loaded::new();
    let (plugin, witness) = (open(&[]), open(&[]));
    let group = Group::new("kp");
    thread::scope(|scope| {
        let call = scope.spawn(|| {
            group.enter();
            nap(&plugin)
        });
        until("the call sleeps", || plugin.query().is_ok_and(|query| query.calls == 1));
        group.set("FROZEN");
        assert_eq!(group.state(), "FREEZING", "a call in the plugin must not freeze");
        fs::write("/sys/bus/pci/drivers/kp_trouble/unbind", address(&witness)).expect("the device can be unbound");
        assert_eq!(witness.query().expect("QUERY works always").state, state::GONE);
        until("the call is out, and frozen", || group.state() == "FROZEN");
        group.set("THAWED");
        assert_eq!(call.join().expect("the caller does not panic"), Err(Status::DEVICE_GONE.into()));
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

    /// Puts this thread into it.
    fn enter(&self) {
        let task = fs::read_link("/proc/thread-self").expect("this thread has a number");
        let task = task.file_name().and_then(|name| name.to_str()).expect("it is the path's end");
        fs::write(format!("{}/tasks", self.0), task).expect("a task can be put into a group");
    }

    fn set(&self, state: &str) {
        fs::write(format!("{}/freezer.state", self.0), state).expect("a group can be frozen and thawed");
    }

    fn state(&self) -> String {
        let state = fs::read_to_string(format!("{}/freezer.state", self.0)).expect("a group has a state");
        state.trim().to_owned()
    }
}
