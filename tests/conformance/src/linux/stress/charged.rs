//! What an app has the kernel keep is charged to its control group, so that the group's limit is one.
use super::again;
use crate::{
    Subject, World,
    linux::{Guest, Loaded},
    registry::{guest_test, helper},
};
use kp_abi::limits::MAX_DATA;
use kp_user::{Plugin, Ring};
use rustix::mount::{MountFlags, mount};
use std::fs;

/// Echo's message with a slice each way, as it is.
const REPEAT: u32 = 3;
const PLAIN: [u8; 8] = [0; 8];
/// Sessions whose memory is far more than anything else that the app takes meanwhile.
const SESSIONS: usize = 32;
/// Where the guest has its groups.
const ROOT: &str = "/groups";
const GROUP: &str = "/groups/kp";

/// The app is a process of its own, in a group of its own.
#[guest_test("stress charged", stage = "tear-down")]
fn kernel_memory_is_charged_to_the_app() {
    fs::create_dir(ROOT).expect("a folder can be made");
    mount("kp", ROOT, "cgroup2", MountFlags::empty(), None).expect("this kernel has control groups");
    fs::write(format!("{ROOT}/cgroup.subtree_control"), "+memory").expect("they count memory");
    fs::create_dir(GROUP).expect("a group can be made");
    let loaded = Loaded::all();
    let status = again(&["charged-app"]).status().expect("this program can be started again");
    assert!(status.success(), "{status}");
    drop(loaded);
    println!("{SESSIONS} sessions, whose memory is their app's");
}

/// Opens sessions, and looks at what its group has been charged.
#[helper("stress charged-app")]
fn app() {
    fs::write(format!("{GROUP}/cgroup.procs"), std::process::id().to_string()).expect("a process can be put there");
    let (data, mut reply) = (vec![7; MAX_DATA], vec![0; MAX_DATA]);
    let keeps = |due: usize, what: &str, keep: &mut dyn FnMut(&Plugin)| {
        let plugins = [(); SESSIONS].map(|()| Guest.connect(Subject::Echo));
        let before = charged();
        plugins.iter().for_each(&mut *keep);
        let more = charged() - before;
        assert!(more >= SESSIONS * due, "{what}: {SESSIONS} sessions have {due} bytes each, and the group {more} more");
    };
    keeps(2 * MAX_DATA, "buffers of the largest calls", &mut |plugin| {
        let told = plugin.connection().call(REPEAT, 0, &PLAIN, &data, &mut reply);
        assert_eq!(told, Ok(MAX_DATA));
    });
    let mut rings = Vec::new();
    keeps(2 * MAX_DATA, "rings", &mut |plugin| {
        rings.push(Ring::set_up(plugin.connection(), 1, 2 * MAX_DATA as u32).expect("the driver has rings"));
    });
}

/// Bytes that the group has.
fn charged() -> usize {
    let text = fs::read_to_string(format!("{GROUP}/memory.current")).expect("a group counts its memory");
    text.trim().parse().expect("a number")
}
