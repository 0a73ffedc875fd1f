//! A panic in plugin code kills the calling process. The device answers Poisoned from then on, and the module unloads.
use super::{Loaded, NAME, command::CommandRegister, open};
use crate::{
    interrupts::until,
    linux::{dies, stress::address},
    registry::{guest_test, helper},
};
use kp_abi::{
    Result, Status,
    request::{self, ANY_VECTOR, NO_TIMEOUT, kind, state},
};
use kp_user::{Connection, Node, Plugin};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{fs, path::Path};
use trouble_interface::{BYTES, trouble};

/// The callbacks that panic, one after the other. Each looks up another byte, so that their panics can be told apart.
const PLACES: [&str; 4] = ["call", "open", "close", "int_enable"];

/// As in a call, and then the device is unbound.
const UNBOUND: &str = "unbound";

/// Each place, with the module loaded anew; and at last a module that has not panicked.
#[guest_test("planted panic", stage = "planted")]
fn a_panic_poisons_the_plugin_and_it_unloads() {
    for place in PLACES {
        println!("panic in {place}");
        panic_in(place);
    }
    println!("panic in a call, and the device is unbound");
    unbound_after_it();
    let loaded = Loaded::new();
    let plugin = open(&[]);
    assert_eq!(trouble::Client(&plugin).ping(), Ok(()), "the poison is gone with the module");
    let connection = plugin.connection();
    connection.int_enable(kind::MSI, 1, 1, &[]).expect("nothing of the device's is in use");
    trouble::Client(&plugin).raise(1).expect("the device answers");
    connection.int_wait(NO_TIMEOUT, ANY_VECTOR, 1).expect("the interrupt arrives");
    drop(plugin);
    drop(loaded);
}

/// A device that was unbound while a dead call was in its plugin: what the kernel's tables say of it must not outlive the module.
fn unbound_after_it() {
    let loaded = Loaded::new();
    let address = address(&open(&[]));
    let enabled = || fs::read_to_string(format!("/sys/bus/pci/devices/{address}/enable")).expect("it can be read");
    assert_eq!(enabled().trim(), "1");
    let command = CommandRegister::of(&address);
    command.make_master();
    die(UNBOUND);
    fs::write(format!("/sys/bus/pci/drivers/kp_{NAME}/unbind"), &address).expect("the device can be unbound");
    assert!(!command.is_master(), "nobody tells it what to transfer any more");
    tables_name_it(true);
    let bound = read_all(Path::new("/sys/devices")) + read_all(Path::new("/sys/kernel/irq"));
    drop(loaded);
    tables_name_it(false);
    let unloaded = read_all(Path::new("/sys/devices")) + read_all(Path::new("/sys/kernel/irq"));
    assert!(bound.read > 100 && unloaded.read > 100, "there are such files: {}, {}", bound.read, unloaded.read);
    assert_eq!(unloaded.name_it, Vec::<String>::new(), "of these nothing is left");
    assert_eq!(enabled().trim(), "0", "nobody has the device enabled");
    // The kernel counts who holds its record, and complains if somebody gives up what it does not hold.
    drop(command);
    fs::write(format!("/sys/bus/pci/devices/{address}/remove"), "1").expect("a device can be removed");
    fs::write("/sys/bus/pci/rescan", "1").expect("it can be found again");
    assert_eq!(enabled().trim(), "0", "it was found");
}

/// Files of sysfs.
#[derive(Default)]
struct Files {
    read: usize,
    /// What says the module's name.
    name_it: Vec<String>,
}

impl std::ops::Add for Files {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.read += other.read;
        self.name_it.extend(other.name_it);
        self
    }
}

/// Reads all that there is in a folder of sysfs, but for the device's memory. What the kernel refuses is left out.
fn read_all(folder: &Path) -> Files {
    let mut files = Files::default();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("sysfs says what a file is"));
        let name = entry.file_name().into_string().unwrap_or_default();
        if kind.is_dir() {
            files = files + read_all(&path);
        } else if kind.is_file()
            && !(name.starts_with("resource") && name != "resource")
            && let Ok(bytes) = fs::read(&path)
        {
            files.read += 1;
            let says = String::from_utf8_lossy(&bytes);
            if says.contains(&format!("kp_{NAME}")) || says.contains(&format!("kp-{NAME}")) {
                files.name_it.push(path.display().to_string());
            }
        }
    }
    files
}

/// Do the kernel's tables of memory say that the plugin has some? All of them can be read.
fn tables_name_it(has: bool) {
    let module = format!("kp_{NAME}");
    let read = |table: &str| fs::read(table).unwrap_or_else(|error| panic!("{table}: {error}"));
    let names = |table: &str| String::from_utf8_lossy(&read(table)).contains(&module);
    assert_eq!(names("/proc/iomem"), has, "regions");
    for table in ["/proc/ioports", "/proc/interrupts", "/proc/misc", "/proc/modules"] {
        assert_eq!(names(table), has && table == "/proc/modules", "{table}");
    }
}

/// In a process of its own: panics in one place, and does not return.
#[helper("planted panic-here")]
fn here(place: &str) {
    let mut places = PLACES.iter().chain([&UNBOUND]);
    let at = places.position(|&one| one == place).unwrap_or_else(|| panic!("no such place: {place}"));
    let index = BYTES + at as u32;
    let byte = index as u8;
    let told = match place {
        "call" | UNBOUND => trouble::Client(&open(&[])).boom(index).map(drop),
        "open" => open_raw(&[byte, 0]),
        "close" => open(&[0, byte]).close(),
        _ => open(&[]).connection().int_enable(kind::MSI, 1, 1, &[byte]).map(drop),
    };
    panic!("the driver lives, and answers {told:?}");
}

fn open_raw(data: &[u8]) -> Result<()> {
    node().open(&mut crate::raw_ioctl::open(trouble::INTERFACE), data)
}

fn node() -> Node {
    Node::open(format!("/dev/kp/{NAME}.0")).expect("the node can be opened")
}

fn panic_in(place: &str) {
    let loaded = Loaded::new();
    let witness = open(&[]);
    let fresh = node();
    // The interrupt has one owner: in the last place the one that dies wants it.
    if place == "int_enable" {
        die(place);
    } else {
        let connection = witness.connection();
        connection.int_enable(kind::MSI, 1, 1, &[]).expect("an interrupt can be enabled");
        let waited = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| connection.int_wait(NO_TIMEOUT, ANY_VECTOR, 1));
            until("the wait is pending", || connection.query(0).is_ok_and(|query| query.waits == 1));
            die(place);
            waiter.join().expect("the waiter does not panic")
        });
        assert_eq!(waited.map(drop), POISONED, "a wait that was pending");
    }
    everything_is_poisoned(&witness, &fresh);
    assert_eq!(witness.connection().close(), Ok(()), "CLOSE");
    assert_eq!(trouble::Client(&witness).ping(), POISONED, "a call after CLOSE");
    assert_eq!(fresh.close(), Ok(()), "CLOSE of a session that never opened");
    drop((witness, fresh));
    drop(loaded);
}

/// Starts a process that panics in the plugin.
fn die(place: &str) {
    dies(&["planted", "panic-here", place]);
}

const POISONED: Result<()> = Err(kp_abi::Error { status: Status::POISONED, detail: 0 });

/// Every request but QUERY and CLOSE, on an open session and on one that never opened.
fn everything_is_poisoned(open: &Plugin, fresh: &Node) {
    assert_eq!(fresh.open(&mut crate::raw_ioctl::open(trouble::INTERFACE), &[]), POISONED, "OPEN");
    assert_eq!(node().open(&mut crate::raw_ioctl::open(trouble::INTERFACE), &[]), POISONED, "OPEN of a new file");
    for connection in [&**open.connection(), fresh as &dyn Connection] {
        assert_eq!(connection.call(1, 0, &[], &[], &mut []).map(drop), POISONED, "CALL");
        assert_eq!(connection.call(1, request::CALL_NOWAIT, &[], &[], &mut []).map(drop), POISONED, "CALL, NOWAIT");
        assert_eq!(connection.int_enable(kind::LINE, 1, 1, &[]).map(drop), POISONED, "INT_ENABLE");
        assert_eq!(connection.int_wait(NO_TIMEOUT, ANY_VECTOR, 1).map(drop), POISONED, "INT_WAIT");
        assert_eq!(connection.int_count(ANY_VECTOR).map(drop), POISONED, "INT_COUNT");
        assert_eq!(connection.int_disable().map(drop), POISONED, "INT_DISABLE");
        assert_eq!(connection.query(0).map(|query| query.state), Ok(state::POISONED), "QUERY");
    }
    let descriptor = open.as_fd().expect("a node has a descriptor");
    let mut polled = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default())).expect("a node can be polled");
    assert!(polled[0].revents().contains(PollFlags::HUP | PollFlags::ERR), "{:?}", polled[0].revents());
}
