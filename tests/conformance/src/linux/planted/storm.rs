//! An interrupt that never ends: the guard masks it, its owner is told, and disabling and enabling end all of it.
use super::{Loaded, PATIENCE_NS, calls_as_it_is_freed, one_interrupt, open};
use crate::{interrupts::until, registry::guest_test};
use kp_abi::{
    Counters, Status,
    request::{ANY_VECTOR, kind},
};
use std::thread;
use trouble_interface::trouble;

/// Handler runs, without a deferred one between them, at which the guard masks. If they took too long for a storm, it counts anew.
const RUNS: u64 = 200_000;

/// Its owner is told, and disabling and enabling end all of it. Once for each kind of interrupt.
#[guest_test("planted storm", stage = "planted")]
fn an_interrupt_that_never_ends_is_masked() {
    let loaded = Loaded::new();
    for (name, kinds) in [("line", kind::LINE), ("MSI", kind::MSI)] {
        println!("{name}");
        masked(kinds);
    }
    drop(loaded);
}

fn masked(kinds: u32) {
    let plugin = open(&[]);
    let (client, connection) = (trouble::Client(&plugin), plugin.connection());
    let enable = || assert_eq!(connection.int_enable(kinds, 1, 1, &[]).map(|got| got.kind), Ok(kinds));
    enable();
    one_interrupt(&plugin);
    assert_eq!(client.storm(true), Ok(()));
    thread::scope(|scope| {
        let waiters = [(); 2].map(|()| scope.spawn(|| connection.int_wait(PATIENCE_NS, ANY_VECTOR, 1)));
        until("the waits are pending", || plugin.query().is_ok_and(|query| query.waits == 2));
        assert_eq!(client.raise(1), Ok(()));
        for waiter in waiters {
            let told = waiter.join().expect("the waiter does not panic");
            assert_eq!(told, Err(Status::INTERRUPT_STORM.into()), "a wait that was pending");
        }
    });
    assert_eq!(connection.int_wait(PATIENCE_NS, ANY_VECTOR, 1), Err(Status::INTERRUPT_STORM.into()), "a new wait");
    // It is masked: the device works, and whatever it sends is heard by nobody.
    for bit in 0..8 {
        assert_eq!(client.raise(1 << bit), Ok(()));
        assert_eq!(client.invert(0x1234_5678), Ok(!0x1234_5678));
    }
    let (_, last) = connection.int_disable().expect("the interrupt can be disabled");
    // The one before may be counted too: no deferred handler has run since. Where handlers are threads, one may be on its way when it is masked.
    assert!(last.received >= RUNS && last.received % RUNS <= 2, "masked at once, and for good: {last:?}");
    assert_eq!(last, Counters { received: last.received, ..one(kinds) }, "nothing was deferred, and nobody notified");
    println!("  masked when it was heard {} times", last.received);
    assert_eq!(connection.int_wait(0, ANY_VECTOR, 1), Err(Status::NOT_ENABLED.into()), "INT_DISABLE clears it");
    assert_eq!(client.storm(false), Ok(()));
    enable();
    assert_eq!(connection.int_wait(0, ANY_VECTOR, 1), Err(Status::TIMEOUT.into()), "it is no storm any more");
    one_interrupt(&plugin);
    assert_eq!(connection.int_disable().map(|(_, last)| last), Ok(one(kinds)), "counted anew");
}

/// The counters at the end of an enabling in which one interrupt came, whose notification was taken.
fn one(kinds: u32) -> Counters {
    let spurious = calls_as_it_is_freed(kinds);
    Counters { received: 1, spurious, deferred: 1, dpc_runs: 1, notified: 1, delivered: 1, ..Counters::default() }
}
