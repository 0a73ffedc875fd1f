//! The simulator's world, and a simulated process that sends raw requests.
use crate::{
    Subject, Unload, Victim, World, interrupts,
    raw_ioctl::{self, Access, Handle},
};
use bmd::Bmd;
use echo::Echo;
use edu::Edu;
use kp_abi::Status;
use kp_core::Plugin as Driver;
use kp_sim::{App, Builder, Mode, Process, Sim};
use kp_user::{Connection, Plugin};
use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

/// Simulated kernels, one for each plugin; the modules that are loaded now.
#[derive(Default)]
pub struct Simulated {
    qemu: bool,
    no_mmap: bool,
    echo: Option<Sim<Echo>>,
    edu: Option<Sim<Edu>>,
    bmd: Option<Sim<Bmd>>,
}

impl Simulated {
    /// With the simulator's own model of the device.
    pub fn new() -> Self {
        Self::default()
    }

    /// With QEMU's.
    pub fn with_qemu() -> Self {
        Self { qemu: true, ..Self::default() }
    }

    /// Both plugins loaded.
    pub fn loaded() -> Self {
        Self::new().with_both()
    }

    /// The same, in kernels whose apps map none of their memory.
    pub fn loaded_without_mmap() -> Self {
        Self { no_mmap: true, ..Self::default() }.with_both()
    }

    fn with_both(mut self) -> Self {
        self.load(Subject::Echo);
        self.load(Subject::Edu);
        self
    }

    fn builder<P: Driver>(&self) -> Builder<P> {
        if self.no_mmap { Sim::builder().no_mmap() } else { Sim::builder() }
    }

    fn load_edu(&self) -> Sim<Edu> {
        let sim = if self.qemu {
            #[cfg(unix)]
            let device = kp_sim::qtest::Qemu::start().unwrap_or_else(|error| panic!("{error}"));
            #[cfg(not(unix))]
            let device = kp_sim::edu::Edu::new();
            self.builder().device(device).build()
        } else {
            self.builder().device(kp_sim::edu::Edu::new()).build()
        };
        sim.unwrap_or_else(|error| panic!("load edu: {error}"))
    }

    /// A card that finds everything within 28 bits, which is what QEMU has memory for here; its own model takes a hundredth of the time.
    fn load_bmd(&self) -> Sim<Bmd> {
        let builder = Sim::builder().bus_bits(28);
        let model = || kp_sim::edu::Edu::new().transfers_take(1_000_000);
        let builder = if self.qemu {
            #[cfg(unix)]
            let device = kp_sim::qtest::Qemu::start().unwrap_or_else(|error| panic!("{error}"));
            #[cfg(not(unix))]
            let device = model();
            builder.device(device)
        } else {
            builder.device(model())
        };
        builder.build().unwrap_or_else(|error| panic!("load bmd: {error}"))
    }

    fn bmd(&self) -> &Sim<Bmd> {
        self.bmd.as_ref().expect("bmd is loaded")
    }

    fn edu(&self) -> &Sim<Edu> {
        self.edu.as_ref().expect("edu is loaded")
    }

    fn echo(&self) -> &Sim<Echo> {
        self.echo.as_ref().expect("echo is loaded")
    }
}

impl World for Simulated {
    fn load(&mut self, subject: Subject) {
        match subject {
            Subject::Echo => {
                self.echo = Some(self.builder().build().unwrap_or_else(|error| panic!("load echo: {error}")))
            }
            Subject::Edu => self.edu = Some(self.load_edu()),
            Subject::Bmd => self.bmd = Some(self.load_bmd()),
        }
    }

    fn unload(&mut self, subject: Subject) -> Unload {
        let unloaded = match subject {
            Subject::Echo => self.echo().unload(),
            Subject::Edu => self.edu().unload(),
            Subject::Bmd => self.bmd().unload(),
        };
        if unloaded.is_err() {
            return Unload::Stays;
        }
        match subject {
            Subject::Echo => self.echo = None,
            Subject::Edu => self.edu = None,
            Subject::Bmd => self.bmd = None,
        }
        Unload::Gone
    }

    fn connect(&mut self, subject: Subject) -> Plugin {
        let plugin = match subject {
            Subject::Echo => self.echo().connect(subject.interface()),
            Subject::Edu => self.edu().connect(subject.interface()),
            Subject::Bmd => self.bmd().connect(subject.interface()),
        };
        plugin.unwrap_or_else(|error| panic!("{error}"))
    }

    fn client_that_waits(&mut self, kinds: u32) -> Box<dyn Victim> {
        let app = Arc::new(self.edu().open());
        // Below the client library, which would send CLOSE at the end: a process that is killed sends nothing.
        app.open(&mut raw_ioctl::open(Subject::Edu.interface()), &[]).unwrap_or_else(|error| panic!("open: {error}"));
        app.int_enable(kinds, 1, 1, &[]).unwrap_or_else(|error| panic!("enable: {error}"));
        let waiter = thread::spawn({
            let app = app.clone();
            move || {
                // Killed in its wait: the process is gone, and nobody reads the answer.
                let _ = app.int_wait(u64::MAX, u32::MAX, 1);
            }
        });
        interrupts::until("the wait is pending", || app.query(0).is_ok_and(|query| query.waits == 1));
        Box::new(Client { app, waiter })
    }
}

/// A client in a simulated process of its own.
struct Client {
    app: Arc<App<Edu>>,
    waiter: JoinHandle<()>,
}

impl Victim for Client {
    fn kill(self: Box<Self>) {
        self.app.kill();
        self.waiter.join().expect("the waiter does not panic");
        drop(Arc::into_inner(self.app).expect("the waiter was the only other one"));
    }
}

/// A simulated process over both plugins.
pub struct SimulatedProcess<'w> {
    world: &'w Simulated,
    process: Process,
}

impl<'w> SimulatedProcess<'w> {
    /// A new process; both plugins are loaded.
    pub fn new(world: &'w Simulated) -> Self {
        Self { world, process: Process::new(1) }
    }

    fn open(&self, plugin: &str, mode: Mode) -> Box<dyn Handle + '_> {
        fn open<P: Driver>(sim: &Sim<P>, process: &Process, mode: Mode) -> Box<dyn Handle>
        where
            App<P>: 'static,
        {
            Box::new(Raw(sim.open_in(process, mode).unwrap_or_else(|error| panic!("open: {error}"))))
        }
        match plugin {
            "echo" => open(self.world.echo(), &self.process, mode),
            _ => open(self.world.edu(), &self.process, mode),
        }
    }
}

struct Raw<P: Driver>(App<P>);

impl<P: Driver> Handle for Raw<P> {
    fn send(&self, nr: u32, address: u64) -> Result<(), Status> {
        self.0.raw(nr, address)
    }

    fn direct(&self, message: u32, address: u64) -> Result<Status, Status> {
        self.0.raw_direct(message, address)
    }

    fn map(&self, offset: u64, len: usize, write: bool) -> Result<kp_user::SharedMemory, Status> {
        self.0.map(offset, len, write).map_err(|error| error.status)
    }

    fn lend(&self, buffer: u32, len: usize) -> Result<kp_user::SharedMemory, Status> {
        let lend = || {
            let (addr, memory) = self.0.new_memory(len)?;
            self.0.buffer_register(&raw_ioctl::register(buffer, addr, len)).map(|()| memory)
        };
        lend().map_err(|error| error.status)
    }
}

impl raw_ioctl::Process for SimulatedProcess<'_> {
    fn map(&self, len: usize, access: Access) -> u64 {
        let access = match access {
            Access::ReadWrite => kp_sim::Access::ReadWrite,
            Access::ReadOnly => kp_sim::Access::ReadOnly,
        };
        self.process.memory().map(len, access)
    }

    fn read(&self, address: u64, bytes: &mut [u8]) {
        self.process.memory().read(address, bytes).expect("the test maps what it reads");
    }

    fn write(&self, address: u64, bytes: &[u8]) {
        self.process.memory().fill(address, bytes).expect("the test maps what it writes");
    }

    fn make_read_only(&self, address: u64, len: usize) {
        self.process.memory().protect(address, len, kp_sim::Access::ReadOnly);
    }

    fn kernel_address(&self) -> u64 {
        0xffff_8880_0000_1000
    }

    fn maps_rings(&self) -> bool {
        !self.world.no_mmap
    }

    fn handle(&self, plugin: &str) -> Box<dyn Handle + '_> {
        self.open(plugin, Mode::ReadWrite)
    }

    fn read_only_handle(&self, plugin: &str) -> Box<dyn Handle + '_> {
        self.open(plugin, Mode::Read)
    }
}
