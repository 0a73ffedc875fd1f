//! The world of Windows, and of Wine: drivers are services, clients are processes. Wine gives a service no device, so only the part `calls`
//! of the scenario runs there; the parts on edu and bmd are the loader's.
pub mod life;
pub mod pnp;
pub mod raw_ioctl;
mod service;
mod version;

use crate::{Subject, Unload, Victim, World, child::spawn_until_ready, interrupts::until};
use kp_user::{Connection, Node, Plugin};
use service::{Service, State};
use std::path::PathBuf;
use windows_sys::{
    Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress},
    core::{s, w},
};

/// This machine. Its drivers are `kp-<plugin>.sys` in the folder of this program.
#[derive(Default)]
pub struct Machine {
    loaded: Vec<(&'static str, Service)>,
}

impl World for Machine {
    fn load(&mut self, subject: Subject) {
        let name = subject.name();
        let service = Service::create(name, &file(&format!("kp-{name}.sys")));
        service.start().unwrap_or_else(|error| panic!("load {name}: {error}"));
        self.loaded.push((name, service));
    }

    /// Windows remembers that a driver is to unload, refuses to open it meanwhile, and unloads it when its last handle is closed. Wine
    /// calls the driver's Unload at once, handles or not. So under Wine the driver is asked only when its own count of sessions, from
    /// QUERY, is 0.
    fn unload(&mut self, subject: Subject) -> Unload {
        let name = subject.name();
        let at = self.loaded.iter().position(|(loaded, _)| *loaded == name).expect("it is loaded");
        let service = &self.loaded[at].1;
        if is_wine() && sessions(name) > 0 {
            return Unload::Stays;
        }
        if service.state() == State::Running {
            service.stop().unwrap_or_else(|error| panic!("unload {name}: {error}"));
        }
        if is_wine() {
            until("the driver has unloaded", || service.state() != State::Stopping);
        }
        if service.state() != State::Stopped {
            return Unload::Stays;
        }
        self.loaded.remove(at);
        Unload::Gone
    }

    fn connect(&mut self, subject: Subject) -> Plugin {
        Plugin::open_interface(subject.name(), subject.interface(), &[]).unwrap_or_else(|error| panic!("{error}"))
    }

    fn client_that_waits(&mut self, kinds: u32) -> Box<dyn Victim> {
        Box::new(spawn_until_ready(&["client-that-waits", &kinds.to_string()]))
    }
}

/// What needs no device, loaded until this is dropped: echo.
pub struct Loaded(Machine);

impl Loaded {
    /// Loads it.
    pub fn all() -> Self {
        let mut machine = Machine::default();
        machine.load(Subject::Echo);
        Loaded(machine)
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.0.unload(Subject::Echo), Unload::Gone, "a session is open still");
        }
    }
}

/// A file in the folder of this program.
fn file(name: &str) -> PathBuf {
    std::env::current_exe().expect("this program has a file").with_file_name(name)
}

/// Open sessions of a plugin that drives no device, as its driver counts them. Wine closes a handle later than CloseHandle returns, but in the order
/// in which it was asked: once it has refused to open what is not there, the driver has no handle of this function's any more.
fn sessions(plugin: &str) -> u32 {
    let path = format!(r"\\.\kp-{plugin}");
    let node = Node::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let count = node.query(0).unwrap_or_else(|error| panic!("{path}: {error}")).sessions;
    drop(node);
    assert!(Node::open(&format!(r"{path}\nothing")).is_err(), "a driver's name has nothing behind it");
    count
}

/// Whether this is Wine.
pub fn is_wine() -> bool {
    // SAFETY: a name with a zero at its end; every process has this library.
    let ntdll = unsafe { GetModuleHandleW(w!("ntdll.dll")) };
    // SAFETY: a library that is loaded, and a name with a zero at its end.
    unsafe { GetProcAddress(ntdll, s!("wine_get_version")) }.is_some()
}
