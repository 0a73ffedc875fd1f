//! What RING_SETUP answers, as the app maps it.
use super::{
    by_hand::{Raw, factorial, sim},
    test_plugin::messages,
};
use kp_abi::{
    Status,
    request::{Request, RingSetup, feature},
    ring::PAGE,
};
use kp_user::Connection;

#[test]
fn the_last_mapping_keeps_the_handle_open() {
    let sim = sim();
    let app = sim.open();
    let mut open = kp_abi::request::Open {
        abi_major: kp_abi::limits::ABI_MAJOR,
        abi_minor: kp_abi::limits::ABI_MINOR,
        features: feature::RING,
        message_count: messages::INTERFACE.methods.len() as u32,
        fingerprint: messages::INTERFACE.fingerprint(),
        ..Request::new()
    };
    app.open(&mut open, &[]).unwrap();
    let mut setup = RingSetup { entries: 4, data_len: 4096, ..Request::new() };
    app.ring_setup(&mut setup).unwrap();
    let memory = app.map(setup.memory_offset, setup.memory_len as usize, true).unwrap();
    let page = app.map(setup.page_offset, setup.page_len as usize, false).unwrap();
    let mapped = sim.live();
    drop(app); // no CLOSE, as by a process that dies
    assert_eq!(sim.live(), mapped);
    drop(memory);
    assert_eq!(sim.live(), mapped);
    drop(page);
    assert_eq!(sim.live().handles, 0);
    assert!(sim.live().allocations < mapped.allocations, "session, ring and page are gone");
    assert_eq!(sim.unload(), Ok(()));
}

#[test]
fn mappings_outlive_close_and_removal() {
    for removes in [false, true] {
        let sim = sim();
        let mut raw = Raw::new(&sim, 4, 4096);
        raw.push(&factorial(3));
        let with_ring = sim.live().allocations;
        if removes {
            sim.remove(true);
        } else {
            raw.app.close().unwrap();
        }
        assert!(sim.live().allocations < with_ring, "the kernel's side let the ring go");
        let gone = if removes { Status::DEVICE_GONE } else { Status::CLOSED };
        assert_eq!(raw.enter(1), (0, gone));
        // What is mapped is still there, and nobody's but the app's.
        raw.set_tail(9);
        raw.memory.write(raw.setup.data_at as usize, &[7; 4096]);
        assert_eq!(raw.cq_tail(), 0);
    }
}

#[test]
fn setting_up_is_refused_where_it_must_be_and_leaves_nothing() {
    let sim = sim();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let app = plugin.connection();
    let before = sim.live();
    let setup = |entries, data_len| {
        let mut setup = RingSetup { entries, data_len, ..Request::new() };
        app.ring_setup(&mut setup).map_err(|error| error.status)
    };
    for (entries, data_len) in [(0, 0), (3, 0), (8192, 0), (u32::MAX, 0), (1, u32::MAX), (4096, 4 << 20)] {
        assert_eq!(setup(entries, data_len), Err(Status::BAD_FIELD), "{entries} entries, {data_len} bytes");
    }
    assert_eq!(app.ring_enter(1), Err(Status::NO_RING.into()));
    assert_eq!(app.ring_teardown(), Err(Status::NO_RING.into()));
    assert_eq!(app.map_shared(0, PAGE, false).unwrap_err(), Status::BAD_FIELD, "nothing to map yet");
    assert_eq!(sim.live(), before);
    assert_eq!(setup(8, 100), Ok(()));
    assert_eq!(setup(8, 100), Err(Status::RING_EXISTS));
    for (offset, len) in [(0, 2 * PAGE), (PAGE as u64, PAGE), (2 * PAGE as u64, PAGE), (1, PAGE), (u64::MAX, PAGE)] {
        assert_eq!(app.map_shared(offset, len, false).unwrap_err(), Status::BAD_FIELD, "{len} bytes at {offset}");
    }
    assert_eq!(app.ring_teardown(), Ok(()));
    assert_eq!(setup(4096, 0), Ok(()), "and anew");
    assert_eq!(app.close(), Ok(()));
    assert_eq!(setup(8, 0), Err(Status::CLOSED));
    assert_eq!(app.ring_enter(1), Err(Status::CLOSED.into()));
    assert_eq!(app.ring_teardown(), Err(Status::CLOSED.into()));
    assert_eq!(app.map_shared(0, PAGE, false).unwrap_err(), Status::CLOSED);
}
