//! Batches of the client library, over the simulator.
mod test_plugin;

use kp_abi::{Batching, Status, TransportStatus};
use kp_sim::{Mode, Process, Sim, edu::Edu};
use std::sync::Arc;
use test_plugin::{TestPlugin, messages};

fn sim() -> Sim<TestPlugin> {
    Sim::with(Edu::new()).expect("the plugin takes its device")
}

#[test]
fn a_batch_answers_as_calls_do() {
    let sim = sim();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let client = messages::Client(&plugin);
    let mut batch = client.batch().unwrap();
    let text = [b'x'; 100];
    let kept = batch.keep(&text).unwrap();
    let list = batch.kept(200).unwrap();
    let short = batch.kept(99).unwrap();
    let factorials = (0..10).map(|n| batch.factorial(n)).collect::<Result<Vec<_>, _>>().unwrap();
    let raised = batch.raise(0).unwrap();
    assert_eq!(batch.len(), 14);
    let replies = batch.run();
    assert_eq!(replies.get(kept), Ok(100));
    assert_eq!(replies.list(list).as_deref(), Ok(&text[..]));
    assert_eq!(replies.list(short), client.kept(&mut [0; 99]).map(<[u8]>::to_vec));
    assert_eq!(replies.list(short), Err(kp_abi::Error::new(Status::OUTPUT_LENGTH, 100)));
    let products: Vec<u32> = replies.all(factorials).collect::<Result<_, _>>().unwrap();
    assert_eq!(products, (0..10).map(|n| client.factorial(n).unwrap()).collect::<Vec<_>>());
    assert_eq!(replies.get(raised), Ok(()));
}

#[test]
fn a_ticket_of_another_plugins_batch_gets_no_reply() {
    let sims = [sim(), sim()];
    let plugins = sims.each_ref().map(|sim| sim.connect(messages::INTERFACE).unwrap());
    let clients = plugins.each_ref().map(messages::Client);
    let mut batches = clients.each_ref().map(|client| client.batch().unwrap());
    let [one, two] = batches.each_mut().map(|batch| (batch.factorial(3).unwrap(), batch));
    let replies = two.1.run();
    assert_eq!((replies.get(two.0), replies.get(one.0)), (Ok(6), Err(Status::PROTOCOL.into())));
}

#[test]
fn a_batch_that_is_not_run_is_forgotten() {
    let sim = sim();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let client = messages::Client(&plugin);
    client.batch().unwrap().keep(b"never").unwrap();
    let mut batch = client.batch().unwrap();
    let text = batch.kept(16).unwrap();
    assert_eq!(batch.run().list(text), Ok(vec![]));
}

#[test]
fn a_full_batch_says_so_and_goes_on_after_its_run() {
    let sim = sim();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    plugin.set_up_ring(4, 4096).unwrap();
    let client = messages::Client(&plugin);
    let mut batch = client.batch().unwrap();
    for round in 0..5u32 {
        let tickets: Vec<_> = (0..4).map(|n| batch.factorial(round + n).unwrap()).collect();
        assert_eq!(batch.factorial(1).unwrap_err(), Status::BUSY, "four entries");
        let old = tickets[0];
        let replies = batch.run();
        let products: Vec<u32> = replies.all(tickets).map(Result::unwrap).collect();
        assert_eq!(products, (0..4).map(|n| (1..=round + n).product()).collect::<Vec<u32>>());
        assert_eq!(batch.run().get(old), Err(Status::PROTOCOL.into()), "a ticket of the run before");
    }
    batch.keep(&[1; 4000]).unwrap();
    assert_eq!(batch.keep(&[1; 1000]).unwrap_err(), Status::BUSY, "the data area is full");
    assert_eq!(batch.keep(&[1; 5000]).unwrap_err(), Status::PAYLOAD_TOO_LARGE, "it would never fit");
}

#[test]
fn a_session_that_ends_ends_the_batch_where_it_is() {
    let sim = sim();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let client = messages::Client(&plugin);
    let mut batch = client.batch().unwrap();
    let before = batch.factorial(3).unwrap();
    assert_eq!(batch.run().get(before), Ok(6));
    let after = batch.factorial(3).unwrap();
    sim.remove(true);
    assert_eq!(batch.run().get(after), Err(Status::DEVICE_GONE.into()));
}

#[test]
fn two_threads_take_turns_with_batches() {
    let sim = sim();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let client = messages::Client(&plugin);
            scope.spawn(move || {
                for _ in 0..20 {
                    let mut batch = client.batch().unwrap();
                    let tickets: Vec<_> = (0..8).map(|n| batch.factorial(thread + n).unwrap()).collect();
                    let products: Vec<u32> = batch.run().all(tickets).map(Result::unwrap).collect();
                    assert_eq!(products, (0..8).map(|n| (1..=thread + n).product()).collect::<Vec<u32>>());
                }
            });
        }
    });
}

#[test]
fn an_app_that_has_not_asked_for_rings_gets_none() {
    let sim = sim();
    let connection: Arc<dyn kp_user::Connection> = Arc::new(sim.open_in(&Process::new(1), Mode::ReadWrite).unwrap());
    let mut open = kp_abi::request::Open {
        abi_major: 1,
        abi_minor: 0,
        features: kp_abi::request::feature::RING,
        message_count: messages::INTERFACE.methods.len() as u32,
        fingerprint: messages::INTERFACE.fingerprint(),
        ..kp_abi::request::Request::new()
    };
    connection.open(&mut open, &[]).unwrap();
    assert_eq!(open.features, 0, "ABI 1.0 has no rings");
    assert_eq!(kp_user::Ring::set_up(&connection, 8, 0).unwrap_err(), TransportStatus::UNKNOWN_REQUEST.status());
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    assert!(plugin.has_batches() && (&plugin).start_batch().is_ok());
}

#[test]
fn the_kernel_page_shows_what_int_count_says() {
    use kp_abi::request::ANY_VECTOR;
    let sim = sim();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    plugin.set_up_ring(8, 4096).unwrap();
    let client = messages::Client(&plugin);
    let shown = || plugin.with_ring(|ring| ring.unwrap().counters(ANY_VECTOR)).unwrap();
    let counted = || plugin.connection().int_count(ANY_VECTOR).unwrap();
    assert_eq!(shown(), (0, kp_abi::Counters::default()), "no enabling yet");
    for _ in 0..2 {
        let interrupts = plugin.interrupts(kp_user::Enable::any()).unwrap();
        assert_eq!(shown(), counted(), "from zero");
        for _ in 0..5 {
            client.raise(1).unwrap();
            assert_eq!(shown(), counted());
        }
        assert_eq!(shown().1.received, 5);
        interrupts.wait(std::time::Duration::from_secs(1)).unwrap();
        assert_eq!(shown(), counted(), "after a wait");
        assert!(shown().1.available > 0);
        let last = interrupts.disable().unwrap();
        assert_eq!(shown(), counted(), "after the end");
        assert_eq!(shown().1, last);
    }
    assert_eq!(plugin.with_ring(|ring| ring.unwrap().counters(7)), Err(Status::BAD_VECTOR.into()));
}
