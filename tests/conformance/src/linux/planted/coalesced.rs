//! Several deferrals, one run of the deferred handler: on one processor, which cannot run it while a call keeps it at Dispatch.
use crate::{
    Unload,
    linux::{load, unload},
    registry::guest_test,
};
use clockwork_interface::clockwork;
use kp_abi::{
    Counters,
    request::{ANY_VECTOR, kind},
};
use kp_user::Plugin;
use std::thread;

const NAME: &str = "clockwork";
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
    load(NAME);
    let plugin = Plugin::open_interface(NAME, clockwork::INTERFACE, &[]).unwrap_or_else(|error| panic!("{error}"));
    let mut all = 0;
    for (name, kinds) in [("line", kind::LINE), ("MSI", kind::MSI)] {
        let connection = plugin.connection();
        assert_eq!(connection.int_enable(kinds, 1, 1, &[]).map(|got| got.kind), Ok(kinds));
        for dpc_runs in 1..=2 {
            assert_eq!(clockwork::Client(&plugin).burst(BURST as u32), Ok(()));
            let deferred = dpc_runs * BURST;
            let counters = connection.int_count(ANY_VECTOR).expect("an open session can count").1;
            let want = Counters { received: deferred, deferred, dpc_runs, ..Counters::default() };
            assert_eq!(counters, want, "{name}");
            all += BURST as u32;
            assert_eq!(clockwork::Client(&plugin).deferrals(), Ok(all), "{name}: that run was given all of them");
        }
        connection.int_disable().expect("the interrupt can be disabled");
        println!("{name}: one run of the deferred handler for {BURST} deferrals");
    }
    drop(plugin);
    assert_eq!(unload(NAME), Unload::Gone);
}
