//! A call takes no memory of the kernel up to 4,096 bytes each way, nor above that from the second on: by the kernel's own count, and in
//! each form that a call has. One that gets none leaves nothing behind.
use kp_abi::{
    interface, limits,
    request::{Open, feature},
};
use kp_core::*;
use kp_sim::Sim;
use kp_user::Connection;

interface! {
    mod copier, version 1 {
        /// Nothing either way.
        fn nothing() = 1;
        /// Gives the data back.
        fn copy(data: &[u8]) -> [u8] = 2;
        /// Sleeps until the session ends.
        fn hold(data: &[u8]) = 3;
    }
}

/// What takes no memory itself.
struct Copier;

impl Init for Copier {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Copier)
    }
}

impl copier::Handler<Passive> for Copier {
    fn nothing(&self, _: &mut Passive, _: &()) -> Result<()> {
        Ok(())
    }
    fn copy(&self, _: &mut Passive, _: &(), data: &[u8], out: &mut Out<'_, '_, u8>) -> Result<()> {
        out.extend(data)
    }
    fn hold(&self, cx: &mut Passive, _: &(), _: &[u8]) -> Result<()> {
        loop {
            cx.sleep_ms(60_000)?;
        }
    }
}

plugin! { Copier { name: "copier", interface: copier, callbacks: [] } }

/// Calls by `nothing` and `copy`, of each length, and what each takes of memory.
fn watched(sim: &Sim<Copier>, mut nothing: impl FnMut(), mut copy: impl FnMut(&[u8])) {
    let taken = |call: &mut dyn FnMut()| {
        let before = sim.fallible_calls();
        call();
        sim.fallible_calls() - before
    };
    for round in 0..3 {
        assert_eq!(taken(&mut nothing), 0, "without anything, round {round}");
        for len in [0, 64, 4096] {
            assert_eq!(taken(&mut || copy(&vec![7; len])), 0, "{len} bytes, round {round}");
        }
    }
    let largest = vec![7; limits::MAX_DATA];
    // What is larger has a place of its own, and the count sees it made.
    assert_ne!(taken(&mut || copy(&largest)), 0, "the first of the largest");
    for round in 0..3 {
        for len in [limits::MAX_DATA, 4097, 4096, 0] {
            assert_eq!(
                taken(&mut || copy(&largest[..len])),
                0,
                "{len} bytes, round {round} after the first of the largest"
            );
        }
    }
}

#[test]
fn a_call_takes_no_memory_in_the_struct_form_and_in_the_direct_one() {
    for directly in [false, true] {
        let sim = Sim::<Copier>::new().unwrap();
        let app = sim.open();
        let interface = copier::INTERFACE;
        let mut open = Open {
            abi_major: limits::ABI_MAJOR,
            abi_minor: limits::ABI_MINOR,
            features: feature::DIRECT,
            message_count: interface.methods.len() as u32,
            fingerprint: interface.fingerprint(),
            ..kp_abi::request::Request::new()
        };
        app.open(&mut open, &[]).unwrap();
        assert_eq!(open.features, feature::DIRECT);
        if directly {
            app.agree(interface);
        }
        let copy = |data: &[u8]| {
            let mut reply = vec![0; data.len()];
            assert_eq!(app.call(2, 0, &[], data, &mut reply), Ok(data.len()));
            assert_eq!(reply, data);
        };
        watched(&sim, || assert_eq!(app.call(1, 0, &[], &[], &mut []), Ok(0)), copy);
    }
}

#[test]
fn a_message_in_a_ring_takes_no_memory() {
    let sim = Sim::<Copier>::new().unwrap();
    let plugin = sim.connect(copier::INTERFACE).unwrap();
    plugin.set_up_ring(4, 300_000).unwrap();
    let client = copier::Client(&plugin);
    let nothing = || {
        let mut batch = client.batch().unwrap();
        let done = batch.nothing().unwrap();
        batch.run().get(done).unwrap();
    };
    let copy = |data: &[u8]| {
        let mut batch = client.batch().unwrap();
        let copied = batch.copy(data, data.len()).unwrap();
        assert_eq!(batch.run().list(copied).as_deref(), Ok(data));
    };
    watched(&sim, nothing, copy);
}

/// A session that has no memory for a call's bytes once has room for as many calls as before, once there is some again.
#[test]
fn a_call_that_found_no_memory_takes_no_others_place() {
    let data = [7; 4097];
    let without_memory = (1..100).find_map(|n| {
        let sim = Sim::<Copier>::builder().fail_nth(n).build().ok()?;
        let plugin = sim.connect(copier::INTERFACE).ok()?;
        let told = copier::Client(&plugin).copy(&data, &mut [0; 4097]).map(drop);
        (told == Err(Status::NO_MEMORY.into())).then_some((sim, plugin))
    });
    let (_sim, plugin) = without_memory.expect("one of them is the call's");
    let calls = || plugin.query().unwrap().calls;
    std::thread::scope(|scope| {
        let held: Vec<_> =
            (0..limits::MAX_CALLS).map(|_| scope.spawn(|| copier::Client(&plugin).hold(&data))).collect();
        while calls() < limits::MAX_CALLS && !held.iter().any(|call| call.is_finished()) {
            std::thread::yield_now();
        }
        let inside = calls();
        plugin.connection().close().unwrap();
        let told: Vec<_> = held.into_iter().map(|call| call.join().unwrap()).collect();
        assert_eq!(told, vec![Err(Status::CLOSED.into()); limits::MAX_CALLS as usize], "{inside} of them were inside");
    });
}
