//! Locks under a kernel that looks for deadlocks (CONFIG_PROVE_LOCKING): it finds a plugin's, and nothing that is none.
use super::{Loaded, one_interrupt, open};
use crate::registry::guest_test;
use kp_abi::request::kind;
use kp_user::Ring;
use std::fs;
use trouble_interface::trouble;

/// Does the kernel still look for deadlocks? It ends with the first thing that it reports. None: it never does.
pub fn looks() -> Option<bool> {
    let stats = fs::read_to_string("/proc/lockdep_stats").ok()?;
    let line = stats.lines().find_map(|line| line.trim().strip_prefix("debug_locks:"))?;
    Some(line.trim() == "1")
}

/// What a plugin's life takes, locks inside locks of their kind among it, is in order; two locks the other way round are reported.
///
/// # Errors
/// This kernel does not look.
#[guest_test("planted locks", stage = "by hand")]
fn a_lock_debugging_kernel_finds_one_wrong_order() -> Result<(), String> {
    if looks() != Some(true) {
        return Err(
            "this kernel looks for no deadlocks: it has no CONFIG_PROVE_LOCKING, or has found one before".into()
        );
    }
    let loaded = Loaded::new();
    let plugin = open(&[]);
    let client = trouble::Client(&plugin);
    let other = open(&[]);
    for kinds in [kind::LINE, kind::MSI] {
        plugin.connection().int_enable(kinds, 1, 1, &[]).expect("an interrupt can be enabled");
        one_interrupt(&plugin);
        assert!(other.connection().int_enable(kinds, 1, 1, &[]).is_err(), "it is the first session's");
        plugin.connection().int_disable().expect("it can be disabled");
    }
    drop(Ring::set_up(plugin.connection(), 8, 64).expect("it has rings"));
    drop(other);
    client.nest(false).expect("the plugin does as it is told");
    assert_eq!(looks(), Some(true), "there was no deadlock to report, see the log");
    client.nest(true).expect("nobody else takes the locks");
    assert_eq!(looks(), Some(false), "two locks in two orders are reported");
    println!("what is in order is not reported, and what is not is");
    drop(plugin);
    drop(loaded);
    Ok(())
}
