//! Nodes of a plugin that drives several devices: what udev can tell them apart by, and that a number belongs to its device whatever is
//! unbound and bound in whichever order. The guest has three edu devices, or more than Linux has dynamic misc numbers.
use super::{load, stress::text, unload};
use crate::{Unload, interrupts::until, registry::guest_test};
use edu_interface::edu;
use kp_abi::{Error, Status};
use kp_user::{BusAddress, Connection, Node, OpenOptions, Plugin};
use rustix::{
    fs::{CWD, FileType, Gid, Mode, Uid, mknodat},
    thread::{set_thread_gid, set_thread_groups, set_thread_uid},
};
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
    process::{Command, exit},
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    thread,
};

/// Devices of the guest.
const CARDS: usize = 3;
/// How often the device is unbound and bound while others open its node.
const ROUNDS: u32 = 50;
const DRIVER: &str = "/sys/bus/pci/drivers/kp_edu";

/// Where the guest has udev's daemon.
const UDEVD: &str = "/kp/systemd-udevd";
/// A person's own rule, as docs/linux.md has it, but for the group: the guest has none that has a name.
const OWN_RULE: &str = "SUBSYSTEM==\"kp-edu\", GROUP=\"4242\", MODE=\"0660\"\n";

/// udev makes a link to each node by its device's place on the bus, by the rules that the build has made, and takes it away again.
#[guest_test("links", stage = "links")]
fn udev_links_each_node_by_its_devices_place() {
    let cards = edus();
    fs::write("/etc/udev/rules.d/71-own.rules", OWN_RULE).expect("a rule can be written");
    fs::create_dir_all("/run").expect("udev has a folder for itself");
    let mut daemon = Command::new(UDEVD).spawn().expect("the guest has udev");
    // From here on it takes what the kernel says.
    until("udev listens", || Path::new("/run/udev/control").exists());
    load("edu");
    let link = |card: &String| format!("/dev/kp/by-path/pci-{card}");
    let leads_to = |card| fs::read_link(link(card)).ok();
    for (number, card) in cards.iter().enumerate() {
        until("there is a link", || leads_to(card).is_some());
        assert_eq!(leads_to(card), Some(format!("../edu.{number}").into()));
        until("the group is let in", || fs::metadata(node(number)).is_ok_and(|meta| meta.gid() == 4242));
        assert_eq!(fs::metadata(node(number)).map(|meta| meta.mode() & 0o7777).ok(), Some(0o660));
        assert_eq!(address(&link(card)).as_ref(), Ok(card));
    }
    let told = as_nobody(|| Plugin::open("edu").expect_err("nobody is in the group").to_string());
    let join = "root and the group 4242 may open it: join that by `sudo usermod -aG 4242 $USER`, and log in again";
    assert_eq!(told, format!("/dev/kp/edu.0: permission denied: {join}"));
    let listed = Plugin::list().expect("nodes can be listed");
    assert!(listed.iter().map(|listed| listed.address.map(|at| at.to_string())).eq(cards.iter().cloned().map(Some)));
    unbind(&cards[0]);
    until("its link is gone", || leads_to(&cards[0]).is_none());
    bind(&cards[0]);
    until("its link is back", || address(&link(&cards[0])).as_ref() == Ok(&cards[0]));
    assert_eq!(unload("edu"), Unload::Gone);
    until("all links are gone", || cards.iter().all(|card| leads_to(card).is_none()));
    daemon.kill().expect("the daemon can be ended");
    daemon.wait().expect("it ends");
    println!("{} links by path", cards.len());
}

/// What a thread says that has no rights but everybody's.
fn as_nobody<R: Send>(run: impl FnOnce() -> R + Send) -> R {
    const NOBODY: u32 = 65534;
    let without_rights = || {
        set_thread_groups(&[]).and_then(|()| set_thread_gid(Gid::from_raw(NOBODY)))?;
        set_thread_uid(Uid::from_raw(NOBODY))
    };
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            without_rights().expect("root may give up its rights");
            run()
        });
        thread.join().expect("it ends")
    })
}

/// More devices than there are dynamic misc numbers.
#[guest_test("many-nodes", stage = "many-nodes")]
fn more_devices_than_misc_numbers_each_have_a_node() {
    let cards = edus();
    assert!(cards.len() > 128, "the guest has {} devices", cards.len());
    load("edu");
    let found: BTreeSet<String> = (0..cards.len()).map(|number| address(&node(number)).expect("it opens")).collect();
    assert!(found.iter().eq(&cards), "each device has a node");
    assert_eq!(unload("edu"), Unload::Gone);
    println!("more than 128 devices, each with its node");
}

/// Bus addresses of the guest's edu devices, sorted.
pub(super) fn edus() -> Vec<String> {
    let read = |path: &Path, what: &str| fs::read_to_string(path.join(what)).unwrap_or_default();
    let is_edu = |path: &Path| (read(path, "vendor").trim(), read(path, "device").trim()) == ("0x1234", "0x11e8");
    let entries = fs::read_dir("/sys/bus/pci/devices").expect("the guest has a PCI bus").flatten();
    let found = entries.filter(|entry| is_edu(&entry.path()));
    let mut names: Vec<String> = found.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The same where it has a few.
fn cards() -> Vec<String> {
    let cards = edus();
    assert_eq!(cards.len(), CARDS, "{cards:?}");
    cards
}

fn node(number: usize) -> String {
    format!("/dev/kp/edu.{number}")
}

/// The device that a node leads to, as its driver says. `Err`: the errno of open(2).
fn address(path: &str) -> Result<String, i32> {
    let node = Node::open(path).map_err(|error| error.raw_os_error().expect("open(2) has failed"))?;
    Ok(text(node.query(0).expect("an open node can be asked").bus_address))
}

fn write(path: &str, what: &str) -> io::Result<()> {
    fs::write(path, what)
}

fn unbind(card: &str) {
    write(&format!("{DRIVER}/unbind"), card).unwrap_or_else(|error| panic!("unbind {card}: {error}"));
}

fn bind(card: &str) {
    write(&format!("{DRIVER}/bind"), card).unwrap_or_else(|error| panic!("bind {card}: {error}"));
}

/// Hands a device to the driver of this name alone; to any if it is empty.
fn set_override(card: &str, driver: &str) {
    let path = format!("/sys/bus/pci/devices/{card}/driver_override");
    write(&path, &format!("{driver}\n")).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// What a rule of udev can match, and where it finds it.
#[guest_test("nodes parent", stage = "nodes")]
fn a_node_has_its_device_as_parent() {
    let cards = &cards();
    load("edu");
    for (number, card) in cards.iter().enumerate() {
        let node = node(number);
        assert_eq!(address(&node).as_ref(), Ok(card), "numbers go by the order of the bus at first");
        let shown = format!("/sys/class/kp-edu/kp-edu.{number}");
        let link = |what: &str| {
            let path = format!("{shown}/{what}");
            let target = fs::read_link(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            target.file_name().expect("it leads somewhere").to_string_lossy().into_owned()
        };
        assert_eq!(link("device"), *card);
        assert_eq!(link("subsystem"), "kp-edu");
        let parent = fs::canonicalize(&shown).expect("a device has a path");
        assert!(parent.ancestors().any(|path| path.ends_with(card)), "{}", parent.display());
        let meta = fs::metadata(&node).expect("it has a node");
        assert!(meta.file_type().is_char_device());
        assert_eq!(meta.mode() & 0o7777, 0o600, "{node}");
        let numbers = fs::read_to_string(format!("{shown}/dev")).expect("a device has its numbers");
        let major = rustix::fs::major(meta.rdev());
        assert_eq!(numbers.trim(), format!("{major}:{}", rustix::fs::minor(meta.rdev())));
        let uevent = fs::read_to_string(format!("{shown}/uevent")).expect("udev reads it");
        assert!(uevent.lines().any(|line| line == format!("DEVNAME=kp/edu.{number}")), "{uevent}");
    }
    assert_eq!(unload("edu"), Unload::Gone);
    assert!(!Path::new("/sys/class/kp-edu").exists() && !Path::new(&node(0)).exists());
}

/// Listed with its address, and opened by it, whatever its number is: here in the other order.
#[guest_test("nodes by-address", stage = "nodes")]
fn a_device_is_opened_by_its_address() {
    let cards = &cards();
    let others = &cards[..CARDS - 1];
    others.iter().for_each(|card| set_override(card, "vfio-pci"));
    load("edu");
    let missing = || Plugin::open_at(&others[0]).expect_err("it is not bound").to_string();
    let why = missing();
    let due = format!("{}: no device node: driver_override of {} is set to vfio-pci: ", cards[0], cards[0]);
    assert!(why.starts_with(&due), "{why}");
    set_override(&others[0], "");
    let due = format!("{}: no plugin has a device at this address, but at {}: see `lspci -nnk`", cards[0], cards[2]);
    assert_eq!(missing(), due);
    others.iter().for_each(|card| set_override(card, ""));
    others.iter().rev().for_each(|card| bind(card));
    let listed = Plugin::list().expect("nodes can be listed");
    let shown: Vec<String> = listed.iter().map(|listed| format!("{} at {listed}", listed.path)).collect();
    let due = |(number, card)| format!("{} at edu.{number} at {card}", node(number));
    assert_eq!(shown, cards.iter().rev().enumerate().map(due).collect::<Vec<_>>());
    let options = OpenOptions::new().interface(edu::INTERFACE);
    for card in cards {
        let plugin = options.open_at(card).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(plugin.bus_address(), Ok(Some(card.parse::<BusAddress>().expect("sysfs writes addresses"))));
        assert_eq!(edu::Client(&plugin).factorial(5), Ok(120), "{card}");
    }
    assert_eq!(unload("edu"), Unload::Gone);
    let missing = options.open_at(&cards[0]).expect_err("nothing is loaded").to_string();
    let due = "no plugin has a device at this address, nor at any other: is the module loaded? `kp load edu`, or `insmod kp-edu.ko`";
    assert_eq!(missing, format!("{}: {due}", cards[0]));
}

/// A copy of a node, as a container has one: with the numbers of the moment in which it was made.
struct Copy(String);

impl Copy {
    fn of(node: &str) -> Self {
        let numbers = fs::metadata(node).expect("it has a node").rdev();
        let copy = format!("/tmp/{}", Path::new(node).file_name().expect("it has a name").to_string_lossy());
        mknodat(CWD, &copy, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, numbers).expect("a node can be made");
        Self(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Bound again in another order, each device has its old number, and old nodes lead to it, or to nothing while it is away.
#[guest_test("nodes number", stage = "nodes")]
fn a_number_belongs_to_its_address() {
    let cards = &cards();
    load("edu");
    let copies: Vec<Copy> = (0..cards.len()).map(|number| Copy::of(&node(number))).collect();
    let inside = |number: usize| address(&copies[number].0);
    cards.iter().for_each(|card| unbind(card));
    for number in 0..cards.len() {
        assert_eq!(inside(number), Err(libc::ENODEV), "nothing is bound");
        assert!(!Path::new(&node(number)).exists());
    }
    for (number, card) in cards.iter().enumerate().rev() {
        bind(card);
        assert_eq!(address(&node(number)).as_ref(), Ok(card), "by its node");
        for (other, its_own) in cards.iter().enumerate() {
            let due = if other < number { Err(libc::ENODEV) } else { Ok(its_own.clone()) };
            assert_eq!(inside(other), due, "{card} is bound");
        }
    }
    assert_eq!(unload("edu"), Unload::Gone);
    assert_eq!(inside(0), Err(libc::ENXIO), "nothing is loaded");
}

/// A device that comes later gets none of the numbers that others have had, though they are away. It comes when another driver's claim on
/// it is taken back.
#[guest_test("nodes new-address", stage = "nodes")]
fn a_new_address_gets_a_new_number() {
    let cards = &cards();
    let (first, last) = (&cards[0], &cards[CARDS - 1]);
    set_override(first, "vfio-pci");
    load("edu");
    assert_eq!(address(&node(0)).as_ref(), Ok(&cards[1]), "the first that is bound");
    let refused = write(&format!("{DRIVER}/bind"), first).expect_err("it is another driver's").raw_os_error();
    assert_eq!(refused, Some(libc::ENODEV));
    cards[1..].iter().for_each(|card| unbind(card));
    set_override(first, "");
    bind(first);
    assert!(!Path::new(&node(0)).exists(), "its number is another's");
    assert_eq!(address(&node(CARDS - 1)).as_ref(), Ok(first), "a number that nobody has had");
    bind(last);
    bind(&cards[1]);
    assert_eq!([0, 1].map(|number| address(&node(number))), [Ok(cards[1].clone()), Ok(last.clone())]);
    assert_eq!(unload("edu"), Unload::Gone);
}

/// What an app is told that finds no node: who has the device, or may have it alone. It is a remedy that works.
#[guest_test("nodes missing", stage = "nodes")]
fn an_app_without_a_node_is_told_who_has_the_device_and_how_to_get_it() {
    let cards = &edus();
    load("edu");
    let told = || Plugin::open("edu").expect_err("there is no node").to_string();
    for card in cards {
        unbind(card);
        set_override(card, "vfio-pci");
    }
    let why = told();
    let said = format!("no device node: driver_override of {} is set to vfio-pci: ", cards[0]);
    assert!(why.contains(&said), "{why}");
    // The first remedy is one command of kp's; the other one is of a shell's.
    let mut commands = why.split('`').skip(1).step_by(2);
    assert_eq!(commands.next(), Some(format!("kp load edu --take {}", cards[0]).as_str()));
    for command in commands {
        let (what, file) = command.strip_prefix("echo").and_then(|rest| rest.split_once('>')).expect(command);
        write(file.trim(), &format!("{}\n", what.trim())).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
    Plugin::open("edu").expect("it is bound");
    unbind(&cards[0]);
    let why = told();
    assert!(why.contains(&format!("no driver has {}, though kp_edu is loaded: ", cards[0])), "{why}");
    for card in cards {
        write(&format!("/sys/bus/pci/devices/{card}/remove"), "1")
            .unwrap_or_else(|error| panic!("remove {card}: {error}"));
    }
    assert!(told().contains("no device node: no device that kp_edu drives is on the bus"), "{}", told());
    write("/sys/bus/pci/rescan", "1").expect("the bus can be looked at again");
    until("all are back", || edus() == *cards);
    assert_eq!(unload("edu"), Unload::Gone);
    println!("a missing node, told by who has the device");
}

/// Ends the program: the other threads go on forever.
fn wrong(what: std::fmt::Arguments<'_>) -> ! {
    eprintln!("error: beside a removal: {what}");
    exit(1);
}

/// Threads that open a copy of a node all the time, while its device is unbound and bound: each gets the device, or is told that there is
/// none. What they have open then answers, also when the device is gone.
#[guest_test("nodes race", stage = "nodes")]
fn nobody_opens_what_is_being_removed() {
    let cards = edus();
    // The kernel says so soon if one hangs.
    write("/proc/sys/kernel/hung_task_timeout_secs", "10").expect("the kernel looks for what hangs");
    load("edu");
    let copy = Copy::of(&node(0));
    let (over, opened, refused) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    match Node::open(&copy.0) {
                        Ok(node) => {
                            opened.fetch_add(1, Relaxed);
                            let found = node.query(0).map(|query| text(query.bus_address));
                            if found.as_ref() != Ok(&cards[0]) {
                                wrong(format_args!("QUERY: {found:?}"));
                            }
                        }
                        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
                            refused.fetch_add(1, Relaxed);
                        }
                        Err(error) => wrong(format_args!("open: {error}")),
                    }
                }
            });
        }
        for _ in 0..ROUNDS {
            let seen = opened.load(Relaxed);
            until("somebody opens it", || opened.load(Relaxed) > seen);
            unbind(&cards[0]);
            let seen = refused.load(Relaxed);
            until("somebody is refused", || refused.load(Relaxed) > seen);
            bind(&cards[0]);
        }
        over.store(true, Relaxed);
    });
    let gone = Node::open(&copy.0).expect("the device is bound");
    unbind(&cards[0]);
    let refused = gone.open(&mut crate::raw_ioctl::open(edu::INTERFACE), &[]);
    assert_eq!(refused, Err(Error::from(Status::DEVICE_GONE)));
    drop(gone);
    assert_eq!(unload("edu"), Unload::Gone);
}
