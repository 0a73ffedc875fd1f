//! Who a plugin is told has opened its node: which process, and whether it may do anything in the machine, not just in a part of it.
use super::again;
use crate::{
    Unload,
    linux::{load, unload},
    registry::{guest_test, helper},
};
use kp_user::Plugin;
use rustix::thread::{CapabilitySet, UnshareFlags, capabilities, gettid, set_capabilities, unshare_unsafe};
use std::thread;
use trouble_interface::{Who, trouble};

const NAME: &str = "trouble";

/// What a caller does before it opens the node, and whether it may do anything then.
const CALLERS: [(&str, bool); 3] = [("as-it-is", true), ("without-rawio", false), ("in-a-namespace", false)];

/// Each caller is a process of its own.
#[guest_test("stress callers", stage = "tear-down")]
fn a_plugin_knows_who_has_opened_it() {
    load(NAME);
    for (how, _) in CALLERS {
        let status = again(&["caller", how]).status().expect("this program can be started again");
        assert!(status.success(), "{how}: {status}");
    }
    assert_eq!(unload(NAME), Unload::Gone);
    println!("{} callers, each told apart", CALLERS.len());
}

/// Opens the node, and asks the plugin who that was.
///
/// # Errors
/// There is no such caller.
#[helper("stress caller")]
fn caller(how: &str) -> Result<(), String> {
    let (_, admin) = *CALLERS.iter().find(|(name, _)| *name == how).ok_or(format!("no such caller: {how}"))?;
    match how {
        "without-rawio" => {
            let mut sets = capabilities(None).expect("a process knows its capabilities");
            sets.effective -= CapabilitySet::SYS_RAWIO;
            set_capabilities(None, sets).expect("a process may give one up");
        }
        // Root there, and the owner of the node, but nobody in the machine.
        // SAFETY: only the user namespace changes, and no other thread runs.
        "in-a-namespace" => unsafe { unshare_unsafe(UnshareFlags::NEWUSER) }.expect("root may have a namespace"),
        _ => {}
    }
    // Not the process's first thread: who has opened it is the process all the same.
    let asks = || {
        assert_ne!(gettid(), rustix::process::getpid());
        let plugin = Plugin::open_interface(NAME, trouble::INTERFACE, &[]).unwrap_or_else(|error| panic!("{error}"));
        trouble::Client(&plugin).who().expect("the plugin answers")
    };
    let who = thread::scope(|scope| scope.spawn(asks).join().expect("it does not panic"));
    let is_32bit = u32::from(size_of::<usize>() == 4);
    assert_eq!(who, Who { process: std::process::id(), admin: admin.into(), is_32bit }, "{how}");
    Ok(())
}
