//! Several deferrals, one run of the deferred handler: on one processor, which cannot run it while a call keeps it at Dispatch.
use super::{Loaded, open};
use crate::registry::guest_test;
use kp_abi::{
    Counters,
    request::{ANY_VECTOR, kind},
};
use std::thread;
use trouble_interface::trouble;

/// Interrupts, and so deferrals, in one call.
const BURST: u64 = 5;

/// Twice with each kind of interrupt. The guest has one processor.
#[guest_test("planted coalesced", stage = "planted")]
fn deferrals_merge_into_one_run_and_none_is_lost() {
    assert_eq!(
        thread::available_parallelism().map(|count| count.get()).ok(),
        Some(1),
        "for a guest with one processor"
    );
    let loaded = Loaded::new();
    let plugin = open(&[]);
    for (name, kinds) in [("line", kind::LINE), ("MSI", kind::MSI)] {
        let connection = plugin.connection();
        assert_eq!(connection.int_enable(kinds, 1, 1, &[]).map(|got| got.kind), Ok(kinds));
        for bursts in 1..=2 {
            assert_eq!(trouble::Client(&plugin).burst(BURST as u32), Ok(()));
            let deferred = bursts * BURST;
            let counters = connection.int_count(ANY_VECTOR).expect("an open session can count").1;
            let want = Counters {
                received: deferred,
                deferred,
                dpc_runs: bursts,
                notified: deferred,
                delivered: deferred - BURST,
                available: BURST,
                ..Counters::default()
            };
            assert_eq!(counters, want, "{name}");
            let taken = connection.int_wait(0, ANY_VECTOR, u32::MAX).map(|taken| (taken.got, taken.available));
            assert_eq!(taken, Ok((BURST as u32, 0)), "{name}: all at once");
        }
        connection.int_disable().expect("the interrupt can be disabled");
        println!("{name}: one run of the deferred handler for {BURST} deferrals");
    }
    drop(plugin);
    drop(loaded);
}
