//! A request that waits for another's turn: its process can be killed, however long the other takes.
use super::{KINDS, Watchdog, again, int_enable};
use crate::{
    Unload,
    interrupts::until,
    linux::{load, unload},
    registry::{guest_test, helper},
};
use kp_user::Plugin;
use rustix::process::{Signal, getpid, kill_process};
use std::os::unix::process::ExitStatusExt;
use trouble_interface::trouble;

const NAME: &str = "trouble";

/// Disables with each kind of interrupt, which takes until the device was told to interrupt. Meanwhile a client that wants to enable is
/// killed: it is gone before that.
#[guest_test("stress turns", stage = "tear-down")]
fn a_client_that_waits_for_anothers_turn_can_be_killed() {
    load(NAME);
    let _watchdog = Watchdog::new("a client that waits for its turn is killed");
    for kinds in KINDS {
        let (owner, raiser) = (connect(), connect());
        int_enable(&owner, kinds);
        trouble::Client(&raiser).linger(1).expect("the plugin can be told to linger");
        std::thread::scope(|scope| {
            let disabling = scope.spawn(|| owner.connection().int_disable().map(drop));
            until("the owner disables", || owner.query().is_ok_and(|query| query.calls == 1));
            let status = again(&["waits-for-its-turn", &kinds.to_string()]).status();
            let status = status.expect("this program can be started again");
            assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{status}");
            assert!(!disabling.is_finished(), "it was gone only when it had its turn");
            while !disabling.is_finished() {
                trouble::Client(&raiser).raise(1).expect("the device can be told to interrupt");
            }
            assert_eq!(disabling.join().expect("no panic"), Ok(()));
        });
        trouble::Client(&raiser).linger(0).expect("the plugin can be told not to linger");
        int_enable(&raiser, kinds);
        assert_eq!(raiser.connection().int_disable().map(drop), Ok(()), "those behind the killed one get their turn");
    }
    println!("killed while it waits for its turn, with either kind of interrupt");
    assert_eq!(unload(NAME), Unload::Gone);
}

/// Becomes the client that is killed there.
///
/// # Errors
/// It is still alive.
#[helper("stress waits-for-its-turn")]
fn victim(kinds: u32) -> Result<(), String> {
    let plugin = connect();
    std::thread::scope(|scope| {
        scope.spawn(|| plugin.connection().int_enable(kinds, 1, 1, &[]));
        until("this client wants to enable", || plugin.query().is_ok_and(|query| query.calls == 1));
        kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
    });
    Err("the client is still alive".into())
}

fn connect() -> Plugin {
    Plugin::open_interface(NAME, trouble::INTERFACE, &[]).unwrap_or_else(|error| panic!("{error}"))
}
