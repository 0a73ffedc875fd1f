//! A handle that outlives the process that opened it: a session belongs to the open file, not to a process.
//!
//! This process starts a parent; the parent opens edu, enables its interrupt and starts a holder, which inherits the descriptor.
//! For the kernel that is what fork does: one open file in two processes.
use super::{KINDS, Watchdog, again, connect, counters, enable, raise, until, works};
use crate::{
    linux::Loaded,
    registry::{guest_test, helper},
};
use kp_abi::{
    Status,
    request::{self, ANY_VECTOR, IntWait, Request, kind},
};
use kp_user::{Plugin, Ring};
use rustix::{
    io::{FdFlags, fcntl_setfd},
    ioctl::{Ioctl, IoctlOutput, Opcode, ioctl},
};
use std::{
    ffi::c_void,
    io::{BufRead, BufReader, Write, stdin},
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    process::Stdio,
};

/// What a process maps of a ring is its own: a child has no part in it, whatever it is asked, and nothing of it is executed.
fn not_inherited(plugin: &Plugin) {
    let ring = Ring::set_up(plugin.connection(), 1, 8).expect("the driver has rings");
    let smaps = std::fs::read_to_string("/proc/self/smaps").expect("the kernel lists what is mapped");
    let mut flags = Vec::new();
    let mut of_ring = false;
    for line in smaps.lines() {
        match line.strip_prefix("VmFlags: ") {
            Some(these) if of_ring => flags.push(these.split_whitespace().collect::<Vec<_>>()),
            Some(_) => {}
            None if line.contains('-') && line.split(' ').count() >= 5 => of_ring = line.contains("/dev/kp/edu"),
            None => {}
        }
    }
    assert_eq!(flags.len(), 2, "the page, and the ring's memory");
    for these in &flags {
        let has = |flag: &str| these.contains(&flag);
        assert!(has("dc"), "a child inherits it: {these:?}");
        assert!(has("io"), "a child may be made to inherit it: {these:?}");
        assert!(!has("ex") && !has("me"), "it may be executed: {these:?}");
    }
    drop(ring);
}

/// Kills the parent: interrupts stay. Then lets the holder close its copy: they go.
#[guest_test("stress fork", stage = "tear-down")]
fn a_session_outlives_the_process_that_opened_it() {
    let loaded = Loaded::all();
    let plugin = connect();
    not_inherited(&plugin);
    let _watchdog = Watchdog::new("a holder lets go");
    let before = counters(&plugin).0;
    let mut parent = again(&["parent"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started again");
    let mut to_holder = parent.stdin.take().expect("its input is a pipe");
    let mut from_holder = BufReader::new(parent.stdout.take().expect("its output is a pipe")).lines();
    let mut line = || from_holder.next().expect("the holder says so").expect("its output can be read");
    assert_eq!(line(), "holding");
    parent.kill().expect("a child can be killed");
    parent.wait().expect("a child can be waited for");

    assert_eq!(plugin.query().expect("a plugin can always be asked").sessions, 2, "the parent's session stays");
    for kinds in KINDS {
        assert_eq!(plugin.connection().int_enable(kinds, 1, 1, &[]), Err(Status::INTERRUPT_OWNED.into()));
    }
    let (generation, stale) = counters(&plugin);
    assert_eq!((generation, stale.received), (before + 1, 0), "the interrupt stays enabled");
    raise(&plugin);
    until("the interrupt arrives", || counters(&plugin).1.available == 1);
    to_holder.write_all(b"wait\n").expect("the holder reads");
    assert_eq!(line(), "got 1");
    assert_eq!(counters(&plugin).1.delivered, 1);

    drop(to_holder);
    until("the last copy is closed", || plugin.query().is_ok_and(|query| query.sessions == 1));
    for kinds in KINDS {
        works(&plugin, kinds);
    }
    println!("an interrupt outlives its parent, and ends with the last copy");
    drop(plugin);
    drop(loaded);
}

/// Opens edu, enables its interrupt, hands the descriptor down, and waits to be killed.
#[helper("stress parent")]
fn parent() {
    let plugin = connect();
    enable(&plugin, kind::LINE);
    let descriptor = plugin.as_fd().expect("a node has a descriptor");
    fcntl_setfd(descriptor, FdFlags::empty()).expect("a descriptor can be made inheritable");
    let mut holder =
        again(&["holder", &descriptor.as_raw_fd().to_string()]).spawn().expect("this program can be started again");
    let ended = holder.wait();
    panic!("the holder ended first: {ended:?}");
}

/// Takes a notification through the inherited descriptor for each line, until there are no more lines.
#[helper("stress holder")]
fn holder(descriptor: u32) {
    println!("holding");
    for _ in stdin().lines() {
        let mut wait = IntWait { vector: ANY_VECTOR, max: 1, ..Request::new() };
        // SAFETY: the parent has handed this descriptor down, and nothing here closes it.
        let file = unsafe { BorrowedFd::borrow_raw(descriptor as RawFd) };
        // SAFETY: one whole request struct, without addresses.
        unsafe { ioctl(file, Wait(&mut wait)) }.expect("the driver answers");
        assert_eq!(Status(wait.head.status), Status::OK);
        println!("got {}", wait.got);
    }
}

/// INT_WAIT, by the system call: the client library opens its own descriptors.
struct Wait<'a>(&'a mut IntWait);

// SAFETY: the opcode is INT_WAIT's, and the argument its struct.
unsafe impl Ioctl for Wait<'_> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        request::ioctl_number(IntWait::NR)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}
