//! A PCI Express port reports errors, as QEMU's monitor has it do, and the kernel recovers what is behind it. What cannot be corrected ends
//! sessions as a removal does, and the plugin takes its devices anew.
//!
//! The guest has a device that is behind no port, and a port with a device that has two functions.
use super::{Loaded, NAME, PATIENCE_NS, counters};
use crate::{
    interrupts::until,
    linux::{monitor::Monitor, nodes::edus, stress::text},
    raw_ioctl,
    registry::{guest_test, helper},
};
use kp_abi::{
    Error, Status,
    request::{ANY_VECTOR, NO_TIMEOUT, kind, state},
    ring::{INLINE, Submission},
    zerocopy::FromZeros,
};
use kp_user::{Connection, Node, OpenOptions, Plugin, Ring};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::OFlags,
};
use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::Command,
    thread,
};
use trouble_interface::{BYTES, trouble};

/// Both kinds of error that cannot be corrected: what the monitor is told, and where the kernel counts them. One that can be is nothing to a
/// driver; QEMU's ports keep it to themselves.
const NONFATAL: (&str, &str) = ("rp COMP_ABORT", "aer_dev_nonfatal");
const FATAL: (&str, &str) = ("rp DLP", "aer_dev_fatal");

const RECOVERED: &str = "device recovery successful";
const FAILED: &str = "device recovery failed";
const REFUSED: &str = "kp_trouble: init refused the device: ";

/// Bits of the PCI command register.
const MEMORY: u16 = 1 << 1;
const MASTER: u16 = 1 << 2;
const NO_LINE: u16 = 1 << 10;

/// Bits of the interrupt status.
const RAISED: u32 = 4;

/// Submissions of the ring.
const ENTRIES: u32 = 64;

/// All errors that the port can report.
#[guest_test("planted errors", stage = "planted")]
fn a_device_works_again_after_an_error_of_its_bus() {
    let free = iomem();
    let (mut machine, away) = Machine::new();
    let loaded = Loaded::new();
    let taken = iomem();
    let witness = open_at(&away);

    for (what, error) in [("not fatal", NONFATAL), ("fatal", FATAL)] {
        for (name, kinds) in [("line", kind::LINE), ("MSI", kind::MSI)] {
            println!("an error that is {what}, {name}");
            recovered(&mut machine, error, kinds);
        }
        println!("an error that is {what}, and init refuses");
        refused(&mut machine, &witness, error, &taken);
    }
    assert_eq!(iomem(), taken);
    println!("a neighbour that nobody drives");
    given_up(&mut machine, &witness, NONFATAL);
    given_up(&mut machine, &witness, FATAL);
    assert_eq!(iomem(), taken);

    assert_eq!(trouble::Client(&witness).invert(1), Ok(!1), "behind another port nobody notices");
    assert_eq!(witness.query().expect("QUERY works always").sessions, 1);
    trouble::Client(&witness).refuse(2).expect("init can be told to refuse");
    machine.error(FATAL, RECOVERED);
    drop((witness, loaded));
    assert_eq!(iomem(), free, "unloaded while two devices have no node");
}

/// An error after a panic in a call to the first function: nothing is recovered, and what the dead call may use stays until the unload.
#[guest_test("planted errors-after-a-panic", stage = "planted")]
fn after_a_panic() {
    let free = iomem();
    let (mut machine, _) = Machine::new();
    let loaded = Loaded::new();
    let taken = iomem();
    let old = machine.behind.each_ref().map(|card| open_at(card));
    let program = std::env::current_exe().expect("this program has a file");
    let status = Command::new(program).args(["planted", "errors-panic", &machine.behind[0]]).status();
    assert!(!status.expect("this program starts").success());
    machine.error(FATAL, FAILED);
    assert_eq!(machine.log.count(REFUSED), 0, "init does not run");
    for (card, plugin) in machine.behind.iter().zip(&old) {
        is_without_node(card);
        assert_eq!(trouble::Client(plugin).ping(), Err(Status::POISONED.into()));
    }
    assert_eq!(iomem(), taken);
    drop((old, loaded));
    assert_eq!(iomem(), free);
}

/// Panics in a call to a device, and does not return.
#[helper("planted errors-panic")]
fn panic_here(card: &str) {
    panic!("the driver lives, and answers {:?}", trouble::Client(&open_at(card)).boom(BYTES));
}

/// The port that reports errors, with what is behind it.
struct Machine {
    monitor: Monitor,
    log: KernelLog,
    port: String,
    behind: [String; 2],
}

impl Machine {
    /// And the device that is behind no port.
    fn new() -> (Self, String) {
        let cards = edus();
        let [away, behind @ ..] = &cards[..] else { panic!("no device") };
        let behind: [String; 2] = behind.to_vec().try_into().expect("two are behind the port");
        let port = port_of(&behind[0]);
        assert_eq!(port, port_of(&behind[1]));
        (Self { monitor: Monitor::open(), log: KernelLog::open(), port, behind }, away.clone())
    }

    /// Has the port report an error, and waits until the kernel is through with it and says so.
    fn error(&mut self, (error, _): (&str, &str), end: &str) {
        let before = self.log.count(end);
        self.monitor.error(error);
        until(end, || self.log.count(end) > before);
    }

    /// How often the kernel has seen it.
    fn seen(&self, (_, counter): (&str, &str)) -> u32 {
        let text = fs::read_to_string(sysfs(&self.port, counter)).expect("a port counts its errors");
        let total = text.lines().find_map(|line| line.strip_prefix("TOTAL_ERR_")).expect("there is a sum");
        total.split(' ').nth(1).and_then(|number| number.parse().ok()).expect("it is a number")
    }
}

/// The kernel's log, from the opening on.
struct KernelLog {
    file: File,
    lines: Vec<String>,
}

impl KernelLog {
    fn open() -> Self {
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open("/dev/kmsg");
        let mut file = file.expect("the log can be read");
        file.seek(SeekFrom::End(0)).expect("the log has an end");
        Self { file, lines: Vec::new() }
    }

    /// How many lines have these words.
    fn count(&mut self, words: &str) -> usize {
        let mut record = [0; 8192];
        // Each read gets one record.
        while let Ok(len) = self.file.read(&mut record) {
            self.lines.push(String::from_utf8_lossy(&record[..len]).into_owned());
        }
        self.lines.iter().filter(|line| line.contains(words)).count()
    }
}

fn sysfs(card: &str, what: &str) -> String {
    format!("/sys/bus/pci/devices/{card}/{what}")
}

fn write(path: &str, what: &str) {
    fs::write(path, what).unwrap_or_else(|error| panic!("{path}: {error}"));
}

fn port_of(card: &str) -> String {
    let path = fs::canonicalize(sysfs(card, "")).expect("a device has a path");
    path.parent().and_then(Path::file_name).expect("and a bus").to_string_lossy().into_owned()
}

fn command(card: &str) -> u16 {
    let config = fs::read(sysfs(card, "config")).expect("a device has a configuration space");
    u16::from_le_bytes([config[4], config[5]])
}

/// Who has which range of memory.
fn iomem() -> String {
    fs::read_to_string("/proc/iomem").expect("there is memory")
}

fn driver(card: &str) -> Option<String> {
    let driver = fs::read_link(sysfs(card, "driver")).ok()?;
    Some(driver.file_name()?.to_string_lossy().into_owned())
}

/// The device's node, if it has one.
fn node(card: &str) -> Option<String> {
    let listed = Plugin::list().expect("nodes can be listed");
    let at = listed.iter().find(|listed| listed.address.is_some_and(|address| address.to_string() == card))?;
    Some(at.path.clone())
}

fn open_at(card: &str) -> Plugin {
    OpenOptions::new().interface(trouble::INTERFACE).open_at(card).unwrap_or_else(|error| panic!("{error}"))
}

fn bind(card: &str, what: &str) {
    write(&format!("/sys/bus/pci/drivers/kp_{NAME}/{what}"), card);
}

/// The sessions of the first function, and a handle without one; and a session of the second.
struct Clients {
    owner: Plugin,
    napper: Plugin,
    batcher: Plugin,
    ring: Ring,
    fresh: Node,
    second: Plugin,
}

impl Clients {
    fn new(machine: &Machine, kinds: u32) -> Self {
        let [first, second] = &machine.behind;
        let batcher = open_at(first);
        let mut ring = Ring::set_up(batcher.connection(), ENTRIES, 0).expect("the driver has rings");
        let spin =
            Submission { message: 9, flags: INLINE, args_len: 4, inline: [100, 0, 0, 0], ..Submission::new_zeroed() };
        {
            let mut queues = ring.queues();
            (0..ENTRIES).for_each(|_| assert!(queues.push(&spin)));
            queues.publish();
        }
        let fresh = Node::open(node(first).expect("it has a node")).expect("it can be opened");
        let clients =
            Clients { owner: open_at(first), napper: open_at(first), batcher, ring, fresh, second: open_at(second) };
        let got = clients.owner.connection().int_enable(kinds, 1, 1, &[]).expect("an interrupt can be enabled");
        assert_eq!(got.kind, kinds);
        clients
    }

    /// Every request of every handle answers as after a removal.
    fn all_gone(&self) {
        let gone = || Error::from(Status::DEVICE_GONE);
        for plugin in [&self.owner, &self.napper, &self.batcher, &self.second] {
            let connection = plugin.connection();
            assert_eq!(plugin.query().map(|query| query.state), Ok(state::GONE));
            assert_eq!(trouble::Client(plugin).ping(), Err(gone()));
            assert_eq!(connection.int_enable(kind::MSI, 1, 1, &[]), Err(gone()));
            assert_eq!(connection.int_wait(0, ANY_VECTOR, 1), Err(gone()));
            assert_eq!(connection.ring_enter(1), Err(gone()));
            let over = PollFlags::HUP | PollFlags::ERR;
            let descriptor = plugin.as_fd().expect("a node has a descriptor");
            let mut polled = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
            assert_eq!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1));
            assert_eq!(polled[0].revents() & over, over);
        }
        assert_eq!(self.fresh.query(0).map(|query| query.state), Ok(state::GONE));
        assert_eq!(self.fresh.open(&mut raw_ioctl::open(trouble::INTERFACE), &[]), Err(gone()));
    }
}

/// An error under a wait, a call and a batch. Afterwards the devices have new nodes, and all of them works.
fn recovered(machine: &mut Machine, error: (&str, &str), kinds: u32) {
    let clients = Clients::new(machine, kinds);
    let Clients { owner, napper, batcher, ring, .. } = &clients;
    let gone = || Error::from(Status::DEVICE_GONE);
    let is_told = kinds == kind::MSI;
    if is_told {
        // An interrupt that is claimed, and nothing is done about it.
        trouble::Client(owner).greedy(true).expect("it can be told to claim all");
        trouble::Client(owner).raise(RAISED).expect("the device can be told to interrupt");
        until("it is claimed", || counters(owner).received == 1);
    }
    thread::scope(|scope| {
        let wait = scope.spawn(|| owner.connection().int_wait(NO_TIMEOUT, ANY_VECTOR, 1));
        let nap = scope.spawn(|| trouble::Client(napper).nap(60_000));
        let batch = scope.spawn(|| ring.enter());
        until("the wait is pending", || owner.query().is_ok_and(|query| query.waits == 1));
        until("the call sleeps", || napper.query().is_ok_and(|query| query.calls == 1));
        until("the batch runs", || batcher.query().is_ok_and(|query| query.calls == 1));

        let before = machine.seen(error);
        machine.error(error, RECOVERED);
        assert_eq!(machine.seen(error), before + 1);

        assert_eq!(wait.join().expect("the waiter does not panic").map(|_| ()), Err(gone()));
        assert_eq!(nap.join().expect("the napper does not panic"), Err(gone()));
        let (taken, end) = batch.join().expect("the batch does not panic");
        assert_eq!(end, Err(gone()));
        assert!(taken < ENTRIES, "the batch had not ended before");
    });
    clients.all_gone();
    if is_told {
        // A bus that is stopped for a fatal error has nobody to tell; and a reset does not clear this device's.
        let left = if error == FATAL { RAISED } else { 0 };
        let pending = trouble::Client(&open_at(&machine.behind[0])).pending();
        assert_eq!(pending, Ok(left), "a device that answers is quieted, and no other is touched");
    }
    for card in &machine.behind {
        assert_eq!(command(card) & (MEMORY | MASTER | NO_LINE), MEMORY | NO_LINE, "as before its first opening");
        works(card);
    }
    clients.all_gone();
    let new = open_at(&machine.behind[0]);
    let query = new.query().expect("QUERY works always");
    assert_eq!((query.state, query.sessions, query.resets), (state::BOUND, 1, 0), "it is another binding");
    drop(clients);
    assert_eq!(trouble::Client(&new).ping(), Ok(()));
}

/// Its registers, and both kinds of interrupt.
fn works(card: &str) {
    let plugin = open_at(card);
    assert_eq!(text(plugin.query().expect("QUERY works always").bus_address), card);
    let (client, connection) = (trouble::Client(&plugin), plugin.connection());
    for kinds in [kind::LINE, kind::MSI] {
        assert_eq!(client.invert(0x1234_5678), Ok(!0x1234_5678), "{card}: the registers work");
        let got = connection.int_enable(kinds, 1, 1, &[]).expect("an interrupt can be enabled");
        assert_eq!(got.kind, kinds);
        client.raise(1).expect("the device can be told to interrupt");
        let waited = connection.int_wait(PATIENCE_NS, ANY_VECTOR, 1);
        assert_eq!(waited.map(|notification| notification.got), Ok(1), "{card}: the interrupt works");
        connection.int_disable().expect("the interrupt can be disabled");
        assert_eq!(command(card) & MASTER, 0, "{card}: only messages have asked for that");
    }
}

/// The device has a driver and no node, and is quiet.
fn is_without_node(card: &str) {
    assert_eq!(node(card), None);
    assert_eq!(driver(card).as_deref(), Some("kp_trouble"), "it stays with its driver");
    assert_eq!(command(card) & MASTER, 0, "it starts no transfers");
}

/// After the recovery `init` refuses both functions: no node, and one line for each. One is then unbound and bound; the other removed, and
/// found again.
fn refused(machine: &mut Machine, witness: &Plugin, error: (&str, &str), taken: &str) {
    let behind = machine.behind.clone();
    let old = behind.each_ref().map(|card| (open_at(card), node(card)));
    old[0].0.connection().int_enable(kind::MSI, 1, 1, &[]).expect("an interrupt can be enabled");
    assert_ne!(command(&behind[0]) & MASTER, 0, "for its messages");
    let before = machine.log.count(REFUSED);
    trouble::Client(witness).masters(true).expect("init can be told what to do");
    trouble::Client(witness).refuse(2).expect("init can be told to refuse");
    machine.error(error, RECOVERED);
    assert_eq!(machine.log.count(REFUSED), before + 2, "one line for each");
    behind.iter().for_each(|card| is_without_node(card));
    assert_eq!(iomem(), taken, "the driver keeps what it has claimed");
    trouble::Client(witness).masters(false).expect("init can be told what to do");
    for (plugin, _) in &old {
        assert_eq!(trouble::Client(plugin).ping(), Err(Status::DEVICE_GONE.into()));
    }

    machine.error(error, RECOVERED);
    behind.iter().for_each(|card| works(card)); // init was asked again

    trouble::Client(witness).refuse(2).expect("init can be told to refuse");
    machine.error(error, RECOVERED);
    behind.iter().for_each(|card| is_without_node(card));
    assert_eq!(machine.log.count(REFUSED), before + 4);
    bind(&behind[0], "unbind");
    assert_eq!(driver(&behind[0]), None);
    bind(&behind[0], "bind");
    remove_and_rescan(&behind[1]);
    for (card, (_, node_before)) in behind.iter().zip(&old) {
        assert_eq!(node(card), *node_before, "its number is its own");
        works(card);
    }
    assert_eq!(machine.log.count(REFUSED), before + 4);
}

fn remove_and_rescan(card: &str) {
    write(&sysfs(card, "remove"), "1");
    assert!(!Path::new(&sysfs(card, "")).exists());
    write("/sys/bus/pci/rescan", "1");
    until("it is found again", || node(card).is_some());
}

/// One function has no driver, so that the kernel gives up on both: no node, and no transfers. What is bound anew works.
fn given_up(machine: &mut Machine, witness: &Plugin, error: (&str, &str)) {
    let [first, second] = machine.behind.clone();
    trouble::Client(witness).masters(true).expect("init can be told what to do");
    bind(&first, "unbind");
    bind(&first, "bind");
    trouble::Client(witness).masters(false).expect("init can be told what to do");
    bind(&second, "unbind");
    let old = open_at(&first);
    assert_ne!(command(&first) & MASTER, 0, "the plugin has asked for it");
    machine.error(error, FAILED);
    assert_eq!(trouble::Client(&old).ping(), Err(Status::DEVICE_GONE.into()));
    is_without_node(&first);
    bind(&first, "unbind");
    bind(&first, "bind");
    works(&first);
    remove_and_rescan(&second); // nobody has kept this one's configuration
    works(&second);
}
