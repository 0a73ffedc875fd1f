//! The world of the loader: the drivers' real .sys, in this process, over a simulated NT kernel.
mod asleep;
mod bad_buffers;
mod c_code;
mod clockwork;
mod device;
mod edu_app;
mod fault_injection;
mod life;
mod own_interrupt;
mod pcie;
mod ports;
mod power;
mod raw_ioctl;
mod resources;
mod rings;
mod slots;
mod storm;
mod strangers;
mod transfers;

use crate::{Subject, Unload, Victim, World, interrupts};
use kp_abi::request::kind;
use kp_sim::qtest::Qemu;
use kp_user::{Connection, ControlNode, Plugin};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use windows_loader::{Assigned, Device, Driver, Handle, Machine, Mode, Options, Process, Stopped, Token, access};

/// edu's device is QEMU's own in this program's tests, where they ask for nothing else.
static IS_QEMU: AtomicBool = AtomicBool::new(false);

/// From now on tests that want edu's device get QEMU's own.
pub fn use_qemu() {
    IS_QEMU.store(true, Relaxed);
}

/// How fast time passes for edu's device: QEMU's takes 100 ms for each transfer, by its own clock.
fn haste(qemu: bool) -> u32 {
    if qemu { 100 } else { 1 }
}

fn is_qemu() -> bool {
    IS_QEMU.load(Relaxed)
}

fn qemu() -> Qemu {
    Qemu::start().unwrap_or_else(|error| panic!("{error}"))
}

/// One simulated machine for each driver that is loaded.
pub struct Loader {
    /// The tool's output: `echo/windows-x86_64/kp-echo.sys` and so on.
    drivers: PathBuf,
    qemu: bool,
    echo: Option<Loaded>,
    edu: Option<Loaded>,
    bmd: Option<Loaded>,
}

/// A machine with a driver. Fields are dropped in this order.
pub struct Loaded {
    /// An app's process.
    pub process: Arc<Process>,
    /// edu's.
    pub device: Option<Device>,
    /// The driver.
    pub driver: Driver,
    /// The machine.
    pub machine: Machine,
}

impl Loader {
    /// With the drivers in the tool's output folder, `target/kp`, and the simulator's model of the device, unless [`use_qemu`] was called.
    pub fn new(drivers: impl Into<PathBuf>) -> Self {
        Self { drivers: drivers.into(), qemu: is_qemu(), echo: None, edu: None, bmd: None }
    }

    /// With QEMU's model.
    pub fn with_qemu(drivers: impl Into<PathBuf>) -> Self {
        Self { qemu: true, ..Self::new(drivers) }
    }

    /// Both drivers loaded.
    pub fn loaded(drivers: impl Into<PathBuf>) -> Self {
        let mut world = Self::new(drivers);
        world.load(Subject::Echo);
        world.load(Subject::Edu);
        world
    }

    fn sys(&self, subject: Subject) -> PathBuf {
        let name = subject.name();
        self.drivers.join(name).join("windows-x86_64").join(format!("kp-{name}.sys"))
    }

    fn start(&self, subject: Subject) -> Loaded {
        let mut options = Options::default();
        options.device_haste = haste(self.qemu);
        let machine = Machine::new(options);
        let driver =
            machine.start(&self.sys(subject)).unwrap_or_else(|error| panic!("start {}: {error}", subject.name()));
        let device = (subject != Subject::Echo).then(|| {
            let device = if self.qemu {
                machine.plug(qemu())
            } else {
                let model = kp_sim::edu::Edu::new().dma_mask(u64::from(u32::MAX)).transfers_take(1_000_000);
                machine.plug_as(model, windows_loader::Shape::mixed())
            };
            device.add(&driver).unwrap_or_else(|status| panic!("AddDevice: {status:#x}"));
            device.start(Assigned::Line).unwrap_or_else(|status| panic!("START_DEVICE: {status:#x}"));
            device
        });
        let process = machine.process(Token::Administrator);
        Loaded { process, device, driver, machine }
    }

    fn slot(&mut self, subject: Subject) -> &mut Option<Loaded> {
        match subject {
            Subject::Echo => &mut self.echo,
            Subject::Edu => &mut self.edu,
            Subject::Bmd => &mut self.bmd,
        }
    }

    /// Unloads both drivers, and fails if one cannot be, or leaves anything behind.
    fn unload_all(&mut self) {
        for subject in [Subject::Echo, Subject::Edu] {
            assert_eq!(self.unload(subject), Unload::Gone, "{}", subject.name());
        }
    }

    /// Ends the machine of a driver that is unloaded, and fails if anything is left behind.
    fn end(&mut self, subject: Subject) {
        if let Some(loaded) = self.slot(subject).take() {
            loaded.finish();
        }
    }

    /// A driver that is loaded.
    ///
    /// # Panics
    /// If it is not.
    pub fn get(&self, subject: Subject) -> &Loaded {
        let slot = match subject {
            Subject::Echo => &self.echo,
            Subject::Edu => &self.edu,
            Subject::Bmd => &self.bmd,
        };
        slot.as_ref().unwrap_or_else(|| panic!("{} is not loaded", subject.name()))
    }
}

/// The path by which apps open it.
pub fn path(subject: Subject) -> &'static str {
    match subject {
        Subject::Echo => r"\\.\kp-echo",
        Subject::Edu => r"\\.\kp-edu.0",
        Subject::Bmd => r"\\.\kp-bmd.0",
    }
}

fn open(process: &Arc<Process>, subject: Subject) -> Handle {
    open_path(process, path(subject))
}

fn open_path(process: &Arc<Process>, path: &str) -> Handle {
    let handle = process.open(path, access::READ | access::WRITE, Mode::Overlapped);
    handle.unwrap_or_else(|status| panic!("{path}: {status:#x}"))
}

impl Loaded {
    /// Unloads the driver, unless it is in use. False: it stays.
    fn unload(&self) -> bool {
        if let Some(device) = &self.device
            && device.remove().is_err()
        {
            return false;
        }
        let stopped = self.driver.stop().unwrap_or_else(|status| panic!("stop: {status:#x}"));
        if stopped == Stopped::Pending && self.driver.open_handles() > 0 {
            return false;
        }
        // Windows has kept the first request in mind; the last close carries it out.
        self.driver.wait_until_unloaded();
        true
    }

    /// Ends the machine, whose driver is unloaded, and fails if anything is left behind.
    fn finish(self) {
        let Self { process, device, driver, machine } = self;
        drop((process, device, driver));
        machine.finish();
    }
}

impl World for Loader {
    fn load(&mut self, subject: Subject) {
        *self.slot(subject) = Some(self.start(subject));
    }

    fn unload(&mut self, subject: Subject) -> Unload {
        if !self.get(subject).unload() {
            return Unload::Stays;
        }
        self.end(subject);
        Unload::Gone
    }

    fn connect(&mut self, subject: Subject) -> Plugin {
        let connection = Arc::new(ControlNode::over(open(&self.get(subject).process, subject)));
        Plugin::over(connection, subject.interface(), &[]).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The plug-and-play manager stops the device and starts it with other resources.
    fn assign(&mut self, kinds: u32) {
        let assigned = if kinds == kind::LINE { Assigned::Line } else { Assigned::Messages(1) };
        let subject = if self.bmd.is_some() { Subject::Bmd } else { Subject::Edu };
        let device = self.get(subject).device.as_ref().expect("it has a device");
        device.stop().unwrap_or_else(|status| panic!("STOP_DEVICE: {status:#x}"));
        device.start(assigned).unwrap_or_else(|status| panic!("START_DEVICE: {status:#x}"));
    }

    fn client_that_waits(&mut self, kinds: u32) -> Box<dyn Victim> {
        let process = self.get(Subject::Edu).machine.process(Token::Administrator);
        // Below the client library, which would send CLOSE at the end: a process that is killed sends nothing.
        let node = Arc::new(ControlNode::over(open(&process, Subject::Edu)));
        node.open(&mut crate::raw_ioctl::open(Subject::Edu.interface()), &[])
            .unwrap_or_else(|error| panic!("open: {error}"));
        node.int_enable(kinds, 1, 1, &[]).unwrap_or_else(|error| panic!("enable: {error}"));
        let waiter = thread::spawn({
            let node = node.clone();
            move || {
                // Killed in its wait: the process is gone, and nobody reads the answer.
                let _ = node.int_wait(u64::MAX, u32::MAX, 1);
            }
        });
        interrupts::until("the wait is pending", || node.query(0).is_ok_and(|query| query.waits == 1));
        Box::new(Client { process, node, waiter })
    }
}

/// A client in a process of its own.
struct Client {
    process: Arc<Process>,
    node: Arc<ControlNode<Handle>>,
    waiter: JoinHandle<()>,
}

impl Client {
    /// Ends the process.
    fn kill_now(self) {
        self.process.exit();
        self.waiter.join().expect("the waiter does not panic");
        drop(self.node);
    }
}

impl Victim for Client {
    fn kill(self: Box<Self>) {
        self.kill_now();
    }
}

/// How long a run may take: a hang, not a measure.
const PATIENCE: Duration = Duration::from_secs(300);

/// Has this program fail when a run has taken too long: in the loader a driver that forgets somebody who waits is no more than a wait.
pub fn end_what_hangs() {
    thread::spawn(|| {
        thread::sleep(PATIENCE);
        eprintln!("error: not over after {} s: somebody waits forever", PATIENCE.as_secs());
        std::process::exit(1);
    });
}
