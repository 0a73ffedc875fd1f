//! What the kernel's tools have found, where that is not in its log.
use crate::registry::guest_test;
use std::{fs, thread, time::Duration};

/// Reports leaks; what is written to it is a command.
const LEAKS: &str = "/sys/kernel/debug/kmemleak";
/// The kernel takes nothing for a leak that is younger. Its own five seconds, and one for rounding.
const AGE: Duration = Duration::from_secs(6);

/// Nothing that the kernel has allocated is lost, and it still looks for deadlocks: it ends with the first thing that it reports.
///
/// # Errors
/// This kernel does not look, or has found something.
#[guest_test("sanitised nothing-found", stage = "sanitised-end")]
fn nothing_is_lost_and_no_lock_is_in_a_wrong_order() -> Result<(), String> {
    thread::sleep(AGE);
    // An object that changes between two scans is in use.
    for _ in 0..2 {
        fs::write(LEAKS, "scan").map_err(|error| format!("this kernel looks for no leaks: {LEAKS}: {error}"))?;
    }
    let lost = fs::read_to_string(LEAKS).map_err(|error| format!("{LEAKS}: {error}"))?;
    if !lost.is_empty() {
        return Err(format!("the kernel has lost memory:\n{lost}"));
    }
    match crate::linux::planted::looks_for_deadlocks() {
        Some(true) => Ok(()),
        Some(false) => {
            Err("the kernel looks for deadlocks no more: it has reported something, or could not go on".into())
        }
        None => Err("this kernel looks for no deadlocks".into()),
    }
}
