//! One `kp` at a time changes a machine.

use crate::machine::Machine;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;

/// Held by who changes the machine. Root alone may open it, so that nobody else can hold it.
const FILE: &str = "/run/kp.lock";

/// Waits until no other `kp` changes this machine, and has others wait until what it gives is dropped. None: it cannot be locked, as by a user who
/// may not change it either.
pub(super) fn lock(machine: &dyn Machine) -> Option<File> {
    // Of files for another machine their folder is locked itself: in it is only what belongs to that.
    let file = if machine.is_staged() {
        File::open(machine.root())
    } else {
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(machine.at(FILE))
    };
    let file = file.ok()?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => {
            eprintln!("another kp is at work: this one waits until that has ended");
            flock(&file, FlockOperation::LockExclusive).ok()?;
        }
        tried => tried.ok()?,
    }
    Some(file)
}
