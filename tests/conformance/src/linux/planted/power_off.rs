//! The machine powers off while a call is frozen in a sleep of the plugin's, as at the end of a hibernation.
use super::{Loaded, open};
use crate::interrupts::until;
use rustix::{
    mount::{MountFlags, mount},
    system::{RebootCommand, reboot},
};
use std::{fs, thread};
use trouble_interface::trouble;

/// Where the freezer's control group is.
const GROUP: &str = "/freezer/kp";

/// Does not return: the machine is off.
pub fn run() {
    let _loaded = Loaded::new();
    let plugin = open(&[]);
    thread::scope(|scope| {
        scope.spawn(|| {
            let task = fs::read_link("/proc/thread-self").expect("this thread has a number");
            let task = task.file_name().expect("it is the path's end").to_str().expect("digits");
            freezer(task);
            panic!("the nap ends: {:?}", trouble::Client(&plugin).nap(60_000));
        });
        until("the call sleeps", || plugin.query().is_ok_and(|query| query.calls == 1));
        let state = format!("{GROUP}/freezer.state");
        fs::write(&state, "FROZEN").expect("the group can be frozen");
        until("the call is frozen", || fs::read_to_string(&state).is_ok_and(|state| state.trim() == "FROZEN"));
        panic!("the machine stays on: {:?}", reboot(RebootCommand::PowerOff));
    });
}

/// Puts a task into a control group that can be frozen.
fn freezer(task: &str) {
    fs::create_dir("/freezer").expect("a folder can be made");
    mount("kp", "/freezer", "cgroup", MountFlags::empty(), c"freezer").expect("this kernel has the freezer");
    fs::create_dir(GROUP).expect("a group can be made");
    fs::write(format!("{GROUP}/tasks"), task).expect("a task can be put into it");
}
