//! A device's own transfers: memory that it shares, pages of the kernel's own and apps' buffers, on machines that reach memory in different ways.
use super::{Loaded, haste, is_qemu, open_path, qemu};
use crate::{interrupts::until, registry::guest_test};
use copier_interface::copier::{self, Client};
use kp_abi::{
    Buffer, Status,
    request::{BufferRegister, Request, access, control_code, in_direct_code},
    zerocopy::IntoBytes,
};
use kp_sim::{
    device::{DeviceModel, Identity, Memory},
    edu::Edu,
};
use kp_user::{Access, Connection, ControlNode, Plugin};
use std::{path::PathBuf, sync::Arc, time::Instant};
use windows_loader::{Assigned, Buffer as Place, Handle, Machine, Mode, Options, Sites, Token};

const PATH: &str = r"\\.\kp-copier.0";
const PAGE: usize = 4096;
const READ_WRITE: u32 = windows_loader::access::READ | windows_loader::access::WRITE;

/// As much of edu as moves bytes, at once.
#[derive(Default)]
struct Engine {
    /// Source, destination, count.
    told: [u64; 3],
    memory: Vec<u8>,
    is_master: bool,
}

impl DeviceModel for Engine {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x11E8 }
    }
    fn read(&mut self, _: usize, _: u64, _: u8, _: &mut dyn Memory) -> u64 {
        0
    }
    fn write(&mut self, _: usize, offset: u64, _: u8, value: u64, ram: &mut dyn Memory) {
        const INSIDE: u64 = 0x4_0000;
        self.memory.resize(PAGE, 0);
        match offset {
            0x80 | 0x88 | 0x90 => self.told[(offset as usize - 0x80) / 8] = value,
            0x98 if self.is_master => {
                let [source, destination, count] = self.told;
                let (bus, inside) = if value == 1 { (source, destination) } else { (destination, source) };
                let bytes = &mut self.memory[(inside - INSIDE) as usize..][..count as usize];
                let _ = if value == 1 { ram.read(bus, bytes) } else { ram.write(bus, bytes) };
            }
            _ => {}
        }
    }
    fn bus_master(&mut self, on: bool) {
        self.is_master = on;
    }
}

/// A machine of this kind with the driver and a card. None: the driver refuses one of them.
fn try_started(drivers: &str, options: Options, model: impl DeviceModel + 'static) -> Result<Loaded, Machine> {
    let machine = Machine::new(options);
    let sys: PathBuf = [drivers, "copier", "windows-x86_64", "kp-copier.sys"].iter().collect();
    let Ok(driver) = machine.start(&sys) else { return Err(machine) };
    match machine.attach(model, &driver, Assigned::Line) {
        Ok(device) => {
            Ok(Loaded { process: machine.process(Token::Administrator), device: Some(device), driver, machine })
        }
        Err(_) => {
            driver.unload().unwrap_or_else(|refused| panic!("{refused}"));
            Err(machine)
        }
    }
}

fn started(drivers: &str, options: Options, model: impl DeviceModel + 'static) -> Loaded {
    try_started(drivers, options, model).unwrap_or_else(|machine| panic!("refused: {:?}", machine.log()))
}

/// An app's session, and its handle.
struct App {
    plugin: Plugin,
    node: Arc<ControlNode<Arc<Handle>>>,
    handle: Arc<Handle>,
}

impl App {
    fn open(loaded: &Loaded) -> Self {
        Self::over(open_path(&loaded.process, PATH)).unwrap_or_else(|error| panic!("{error}"))
    }

    fn over(handle: Handle) -> Result<Self, kp_user::OpenError> {
        let handle = Arc::new(handle);
        let node = Arc::new(ControlNode::over(handle.clone()));
        let plugin = Plugin::over(node.clone(), copier::INTERFACE, &[])?;
        Ok(Self { plugin, node, handle })
    }

    fn client(&self) -> Client<&Plugin> {
        Client(&self.plugin)
    }
}

/// The kinds of machine: adapters of version 3 and 2; memory that devices reach where it is, or through so many map registers.
fn machines() -> impl Iterator<Item = Options> {
    [None, Some(1), Some(64)].into_iter().flat_map(|map_registers| {
        [false, true].map(|old_adapters| {
            let mut options = Options::default();
            (options.map_registers, options.old_adapters) = (map_registers, old_adapters);
            options
        })
    })
}

/// What an app has the card copy: how many bytes of it have arrived.
fn copy(app: &App, len: usize) -> kp_abi::Result<usize> {
    let (from, into) = (app.plugin.buffer(len, Access::Read)?, app.plugin.buffer(len, Access::Write)?);
    let sent: Vec<u8> = (0..len).map(|at| at as u8 ^ 0xA7).collect();
    from.write(0, &sent);
    app.client().copy(from.number(), into.number(), len as u32)?;
    let mut got = vec![0; len];
    into.read(0, &mut got);
    Ok(got.iter().zip(&sent).filter(|(got, sent)| got == sent).count())
}

/// The last line of the log says that nothing is left.
fn finish_with_nothing(loaded: Loaded) {
    assert!(loaded.unload(), "nobody has it open");
    let log = loaded.machine.log();
    let last = log.last().expect("a line");
    assert!(last.ends_with("live: 0 allocations, 0 locks, 0 mappings, 0 dma, 0 pinned"), "{last}");
    loaded.finish();
}

/// What is shared is seen by both at once, and pages and buffers arrive, however the machine's devices reach memory; and all of it is given back.
#[guest_test(stage = "loader")]
fn what_a_device_copies_arrives_on_every_kind_of_machine(drivers: &str) {
    for options in machines() {
        let loaded = started(drivers, options, Engine::default());
        let app = App::open(&loaded);
        let query = app.node.query(0).expect("an answer");
        assert_eq!((query.dma, query.max_buffers), (kp_abi::request::dma::HAS, 64));
        assert_eq!(app.client().shared(0x1234_5678), Ok(0x1234_5678));
        assert_eq!(app.client().pages(3 * 4096 + 100), Ok(3 * 4096 + 100));
        assert_eq!(copy(&app, 5 * PAGE), Ok(5 * PAGE));
        drop(app);
        finish_with_nothing(loaded);
    }
}

/// The same with edu's own engine, which takes its time.
#[guest_test(stage = "loader")]
fn edus_engine_copies_from_one_buffer_to_another(drivers: &str) {
    let mut options = Options::default();
    options.device_haste = haste(is_qemu());
    let loaded = if is_qemu() { started(drivers, options, qemu()) } else { started(drivers, options, Edu::new()) };
    let app = App::open(&loaded);
    assert_eq!(app.client().shared(7), Ok(7));
    assert_eq!(copy(&app, PAGE), Ok(PAGE));
    drop(app);
    finish_with_nothing(loaded);
}

/// Memory of the test's, whole pages.
struct Pages(Vec<u8>, usize);

impl Pages {
    fn new(pages: usize) -> Self {
        let bytes = vec![0; (pages + 1) * PAGE];
        let skip = bytes.as_ptr().addr().next_multiple_of(PAGE) - bytes.as_ptr().addr();
        Self(bytes, skip)
    }

    fn place(&mut self, pages: usize) -> Place {
        Place::output(&mut self.0[self.1..][..pages * PAGE])
    }
}

fn register(number: u32, len: usize, access: u32) -> BufferRegister {
    BufferRegister { len: len as u64, buffer: number, access, ..Request::new() }
}

/// A registration is the request that is pending: it is over when the last user has let go, also when it is cancelled, and what is refused is its own
/// status.
#[guest_test(stage = "loader")]
fn a_buffer_is_registered_as_long_as_its_request_is_pending(drivers: &str) {
    let loaded = started(drivers, Options::default(), Engine::default());
    let app = App::open(&loaded);
    let mut memory = Pages::new(3);
    let write = control_code(BufferRegister::NR).expect("a code");
    let read = in_direct_code(BufferRegister::NR).expect("a code");
    let mut begin = |code: u32, what: BufferRegister, pages: usize, skip: usize| {
        let mut place = memory.place(pages);
        place.address += skip;
        app.handle.start(code, Place::input(what.as_bytes()), place).expect("it begins")
    };
    let refused = |status: Status| status.ntstatus() as i32;
    for (code, what, skip, status) in [
        (read, register(5, PAGE, access::WRITE), 0, Status::BAD_FIELD),
        (write, register(5, 2 * PAGE, access::WRITE), 0, kp_abi::TransportStatus::FAULT.status()),
        (write, register(5, PAGE, access::WRITE), 8, kp_abi::TransportStatus::FAULT.status()),
        (write, register(64, PAGE, access::WRITE), 0, Status::BAD_FIELD),
        (
            write,
            BufferRegister { addr: 4096, ..register(5, PAGE, access::WRITE) },
            0,
            kp_abi::TransportStatus::FAULT.status(),
        ),
    ] {
        let begun = begin(code, what, 1, skip);
        assert!(begun.is_over(), "{what:?} is refused at once");
        assert_eq!(begun.wait().status, refused(status), "{what:?}");
    }
    let begun = begin(write, register(5, PAGE, access::WRITE), 1, 0);
    assert!(!begun.is_over());
    let again = begin(write, register(5, PAGE, access::WRITE), 1, 0);
    assert_eq!(again.wait().status, refused(Status::BUFFER_IN_USE));
    app.client().keep(Buffer(5)).expect("it is registered");
    app.node.buffer_release(5).expect("it is released");
    assert_eq!(app.client().keep(Buffer(5)), Err(Status::NO_BUFFER.into()));
    assert!(!begun.is_over(), "the plugin has it");
    app.client().forget().expect("it had it");
    assert_eq!(begun.wait().status, 0, "the last one has let go");
    // Cancelled, which is what the end of its thread does.
    let begun = begin(read, register(6, PAGE, access::READ), 1, 0);
    assert!(!begun.is_over());
    begun.cancel();
    assert_eq!(begun.wait().status, 0);
    until("it is released", || app.client().keep(Buffer(6)) == Err(Status::NO_BUFFER.into()));
    // The end of the session.
    let begun = begin(read, register(7, PAGE, access::READ), 1, 0);
    app.node.close().expect("it closes");
    assert_eq!(begun.wait().status, 0);
    drop((begun, again));
    drop(app);
    finish_with_nothing(loaded);
}

/// A process ends although the device has a buffer of its, and the plugin another: after five seconds the device is stopped.
#[guest_test(stage = "loader")]
fn a_device_keeps_no_process_from_its_end(drivers: &str) {
    const HASTE: u32 = 20;
    let mut options = Options::default();
    options.haste = HASTE;
    let loaded = started(drivers, options, Engine::default());
    let app = App::open(&loaded);
    let buffers: Vec<_> = (0..3).map(|_| app.plugin.buffer(PAGE, Access::Write).expect("memory")).collect();
    app.client().lose(buffers[0].number()).expect("the device has it");
    app.client().keep(buffers[1].number()).expect("the plugin has it");
    let since = Instant::now();
    loaded.process.exit();
    assert!((since.elapsed() * HASTE).as_secs() >= 4, "they were taken at once");
    drop(buffers);
    drop(app);
    let log = loaded.machine.log();
    assert!(log.iter().any(|line| line.contains("its buffer is still used after 5 s")), "{log:?}");
    let process = loaded.machine.process(Token::Administrator);
    let refused = process.open(PATH, windows_loader::access::READ, Mode::Overlapped);
    assert!(refused.is_err(), "the device is stopped");
    finish_with_nothing(loaded);
}

/// A process whose buffers nobody uses ends at once.
#[guest_test(stage = "loader")]
fn a_process_with_buffers_ends_at_once(drivers: &str) {
    let loaded = started(drivers, Options::default(), Engine::default());
    let app = App::open(&loaded);
    let buffer = app.plugin.buffer(PAGE, Access::Write).expect("memory");
    let since = Instant::now();
    loaded.process.exit();
    assert!(since.elapsed().as_secs() < 4, "nobody has them");
    drop(buffer);
    drop(app);
    finish_with_nothing(loaded);
}

/// The card is pulled out while it has a buffer, and the plugin another: both are free when the driver has been told.
#[guest_test(stage = "loader")]
fn a_card_that_is_pulled_out_lets_go_of_all(drivers: &str) {
    let mut loaded = started(drivers, Options::default(), Engine::default());
    let app = App::open(&loaded);
    let mut memory = Pages::new(1);
    let write = control_code(BufferRegister::NR).expect("a code");
    let what = register(9, PAGE, access::WRITE);
    let begun = app.handle.start(write, Place::input(what.as_bytes()), memory.place(1)).expect("it begins");
    app.client().lose(Buffer(9)).expect("the device has it");
    app.client().keep(Buffer(9)).expect("the plugin has it");
    let device = loaded.device.take().expect("a device");
    device.surprise_removal();
    assert_eq!(begun.wait().status, 0);
    drop(begun);
    drop(app);
    until("the last handle is closed", || device.open_handles() == 0);
    device.removed();
    drop(device);
    finish_with_nothing(loaded);
}

/// Each call of the kernel that can fail, failed once from each place, in a run with all kinds of memory: it is told, and nothing is left.
#[guest_test(stage = "loader")]
fn whatever_fails_nothing_is_left(drivers: &str) {
    for (map_registers, old_adapters) in [(None, false), (Some(4), true)] {
        let sites = Sites::new();
        let mut places = 0;
        loop {
            sites.arm();
            let mut options = Options::default();
            (options.map_registers, options.old_adapters) = (map_registers, old_adapters);
            options.faults = Some(sites.clone());
            match try_started(drivers, options, Engine::default()) {
                Ok(loaded) => {
                    let opened = loaded.process.open(PATH, READ_WRITE, Mode::Overlapped);
                    let app = opened.ok().and_then(|handle| App::over(handle).ok());
                    if let Some(app) = app {
                        let _ = app.client().shared(1);
                        let _ = app.client().pages(2 * 4096);
                        let _ = copy(&app, 2 * PAGE);
                    }
                    let device = loaded.device.as_ref().expect("a device");
                    until("the last handle is closed", || device.open_handles() == 0);
                    assert!(loaded.unload(), "nobody has it open");
                    loaded.finish();
                }
                Err(machine) => machine.finish(),
            }
            if sites.disarm().is_none() {
                break;
            }
            places += 1;
        }
        let met = sites.met();
        for name in ["MmAllocatePagesForMdlEx", "MmMapLockedPagesSpecifyCache", "IoGetDmaAdapter"] {
            assert!(met.iter().any(|site| site.function == name), "{name} was never met");
        }
        assert!(places > 30, "{places} places");
    }
}

/// A page that nobody can write, as a program's constants.
#[repr(align(4096))]
struct Constants([u8; PAGE]);

static CONSTANTS: Constants = Constants([0xA7; PAGE]);

/// Memory that a device only reads is locked for writing too, so that a page that is copied on write is copied before; what cannot be written is
/// locked for reading.
#[guest_test(stage = "loader")]
fn memory_that_is_read_is_locked_for_writing_where_it_can_be_written(drivers: &str) {
    let loaded = started(drivers, Options::default(), Engine::default());
    let app = App::open(&loaded);
    let mut memory = Pages::new(1);
    let write = control_code(BufferRegister::NR).expect("a code");
    let what = register(5, PAGE, access::READ);
    let begun = app.handle.start(write, Place::input(what.as_bytes()), memory.place(1)).expect("it begins");
    assert!(!begun.is_over(), "for reading, locked for both");
    app.node.buffer_release(5).expect("it is released");
    assert_eq!(begun.wait().status, 0);
    let address = CONSTANTS.0.as_ptr().expose_provenance() as u64;
    let constants = BufferRegister { addr: address, ..register(6, PAGE, access::READ) };
    app.node.buffer_register(&constants).expect("for reading alone");
    let into = app.plugin.buffer(PAGE, Access::Write).expect("memory");
    app.client().copy(Buffer(6), into.number(), PAGE as u32).expect("the card copies");
    let mut got = vec![0; PAGE];
    into.read(0, &mut got);
    assert_eq!(got, CONSTANTS.0);
    let both = BufferRegister { buffer: 7, access: access::WRITE, ..constants };
    assert!(app.node.buffer_register(&both).is_err(), "the device would write there");
    app.node.buffer_release(6).expect("it is released");
    drop((begun, into));
    drop(app);
    finish_with_nothing(loaded);
}

/// Another device's memory that an app has mapped is not registered.
#[guest_test(stage = "loader")]
fn another_devices_memory_is_not_pinnable(drivers: &str) {
    let loaded = started(drivers, Options::default(), Engine::default());
    let app = App::open(&loaded);
    let mut memory = Pages::new(2);
    let place = memory.place(2);
    loaded.machine.is_io_space(place.address + PAGE);
    let (write, read) = (control_code(BufferRegister::NR), in_direct_code(BufferRegister::NR));
    for (code, access) in [(write, access::WRITE), (write, access::READ), (read, access::READ)] {
        let what = register(5, 2 * PAGE, access);
        let begun = app.handle.start(code.expect("a code"), Place::input(what.as_bytes()), place).expect("it begins");
        assert!(begun.is_over(), "it is refused at once");
        assert_eq!(begun.wait().status, Status::NOT_PINNABLE.ntstatus() as i32);
    }
    drop(app);
    finish_with_nothing(loaded);
}

/// The same of a plugin without a device, which has no other use for an app's memory than to keep it: it ends as if its driver were unloaded, and a
/// buffer of another app's with it.
#[guest_test(stage = "loader")]
fn a_plugin_without_a_device_keeps_no_process_from_its_end(drivers: &str) {
    const KEEPER: &str = r"\\.\kp-keeper";
    let mut options = Options::default();
    options.haste = 20;
    let machine = Machine::new(options);
    let sys: PathBuf = [drivers, "keeper", "windows-x86_64", "kp-keeper.sys"].iter().collect();
    let driver = machine.start(&sys).unwrap_or_else(|error| panic!("start keeper: {error}"));
    let loaded = Loaded { process: machine.process(Token::Administrator), device: None, driver, machine };
    let other = loaded.machine.process(Token::Administrator);
    let open = |process| App::over(open_path(process, KEEPER)).unwrap_or_else(|error| panic!("{error}"));
    let (app, another) = (open(&loaded.process), open(&other));
    let buffer = app.plugin.buffer(PAGE, Access::Write).expect("memory");
    app.client().keep(buffer.number()).expect("the plugin has it");
    let theirs = another.plugin.buffer(PAGE, Access::Write).expect("memory");
    loaded.process.exit();
    let log = loaded.machine.log();
    assert!(log.iter().any(|line| line.contains("its buffer is still used after 5 s")), "{log:?}");
    assert_eq!(another.client().forget(), Err(Status::DEVICE_GONE.into()));
    assert!(other.open(KEEPER, READ_WRITE, Mode::Overlapped).is_err(), "it has ended");
    drop((buffer, app, theirs, another, other));
    finish_with_nothing(loaded);
}
