//! The world of a Linux guest: modules are files, clients are processes.
mod c_code;
pub mod clockwork;
pub mod codes;
pub mod compat;
mod dma;
pub mod interrupted;
mod monitor;
pub mod msix;
#[cfg(target_arch = "x86_64")]
mod no_device;
pub mod nodes;
mod own_interrupt;
mod pcie;
pub mod planted;
pub mod poll;
mod ports;
pub mod raw_ioctl;
mod sanitised;
pub mod stress;

use crate::{
    Subject, Unload, Victim, World,
    child::{spawn, spawn_until_ready},
    interrupts::until,
};
use kp_user::Plugin;
use rustix::{
    io::Errno,
    process::Signal,
    system,
    thread::{CpuSet, sched_setaffinity},
};
use std::{
    ffi::CString,
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::Path,
};

/// Where the modules are: `kp-<plugin>.ko` in this folder.
pub const MODULES: &str = "/kp";

/// The guest that this program runs in.
pub struct Guest;

impl World for Guest {
    fn load(&mut self, subject: Subject) {
        load(subject.name());
    }

    fn unload(&mut self, subject: Subject) -> Unload {
        unload(subject.name())
    }

    fn connect(&mut self, subject: Subject) -> Plugin {
        Plugin::open_interface(subject.name(), subject.interface(), &[]).unwrap_or_else(|error| panic!("{error}"))
    }

    fn client_that_waits(&mut self, kinds: u32) -> Box<dyn Victim> {
        Box::new(spawn_until_ready(&["client-that-waits", &kinds.to_string()]))
    }
}

/// Loads a plugin's module.
fn load(plugin: &str) {
    until_its_name_is_free(plugin);
    let path = format!("{MODULES}/kp-{plugin}.ko");
    let file = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    system::finit_module(&file, c"", 0).unwrap_or_else(|error| panic!("load {path}: {error}"));
}

/// Returns when the driver of an earlier load has given up its name: a kernel that releases objects late on purpose
/// (CONFIG_DEBUG_KOBJECT_RELEASE) has it for seconds, and refuses another one meanwhile.
fn until_its_name_is_free(plugin: &str) {
    let driver = format!("/sys/bus/pci/drivers/kp_{plugin}");
    until("a driver's name is free", || !Path::new(&driver).exists());
}

/// Starts this program again, which panics in a plugin: an oops ends it. It has one thread: with more the kernel would keep the file open for the
/// dead one.
fn dies(arguments: &[&str]) {
    let status = spawn(arguments).wait().expect("a child can be waited for");
    assert_eq!(status.signal(), Some(Signal::SEGV.as_raw()), "{arguments:?}: {status}");
}

/// Asks for its unload.
fn unload(plugin: &str) -> Unload {
    let name = CString::new(format!("kp_{plugin}")).expect("no zero in a plugin's name");
    match system::delete_module(&name, rustix::fs::OFlags::NONBLOCK.bits() as i32) {
        Ok(()) => {
            // The module's own line has to be there already: the log is judged by it.
            fs::write("/dev/kmsg", format!("<6>conformance: unloaded kp_{plugin}\n")).expect("the log can be written");
            Unload::Gone
        }
        Err(Errno::WOULDBLOCK) => Unload::Stays,
        Err(error) => panic!("unload {plugin}: {error}"),
    }
}

/// Keeps this thread, and those that it starts, on one processor.
fn stay_on(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).expect("the guest has two processors");
}

/// Both plugins, loaded until it is dropped.
pub struct Loaded;

impl Loaded {
    /// Loads both.
    pub fn all() -> Self {
        Guest.load(Subject::Echo);
        Guest.load(Subject::Edu);
        Loaded
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        for subject in [Subject::Echo, Subject::Edu] {
            let gone = Guest.unload(subject);
            assert!(std::thread::panicking() || gone == Unload::Gone, "{} is still in use", subject.name());
        }
    }
}
