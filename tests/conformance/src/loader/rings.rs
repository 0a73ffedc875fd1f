//! Rings, each made of a buffer of the app's: a request is pending as long as one is there, and goes whoever ends first.
use super::{Loaded, Loader, open};
use crate::{Subject, Unload, World, interrupts::until, registry::guest_test};
use echo_interface::echo;
use edu_interface::edu;
use kp_abi::{
    Error, Result, Status,
    request::{ANY_VECTOR, kind},
    ring::{INLINE, Submission},
    zerocopy::FromZeros,
};
use kp_user::{ControlNode, Plugin, Ring};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use windows_loader::{Process, Token};

/// echo's message that sleeps, and for how long.
const NAP: u32 = 5;
const NAP_MS: u32 = 60_000;

/// An app in a process of its own.
struct App {
    process: Arc<Process>,
    plugin: Plugin,
}

impl App {
    fn new(world: &Loader, subject: Subject) -> Self {
        let process = world.get(subject).machine.process(Token::Administrator);
        let connection = Arc::new(ControlNode::over(open(&process, subject)));
        let plugin = Plugin::over(connection, subject.interface(), &[]).unwrap_or_else(|error| panic!("{error}"));
        Self { process, plugin }
    }

    fn ring(&self) -> Ring {
        Ring::set_up(self.plugin.connection(), 8, 4096).unwrap_or_else(|error| panic!("a ring: {error}"))
    }

    /// A batch of naps in another thread, of which the first one has begun. How many were taken, why it ended, and how the first nap did.
    fn naps(&self) -> JoinHandle<(u32, Result<()>, Status)> {
        let mut ring = self.ring();
        for _ in 0..4 {
            let nap = Submission {
                message: NAP,
                flags: INLINE,
                args_len: 4,
                inline: [NAP_MS.into(), 0, 0, 0],
                ..Submission::new_zeroed()
            };
            assert!(ring.queues().push(&nap), "there is room");
        }
        ring.queues().publish();
        let batch = thread::spawn(move || {
            let (taken, ended) = ring.enter();
            let (_, first) = ring.queues().pop().expect("it is answered");
            (taken, ended, first.status)
        });
        until("the first one naps", || self.plugin.query().is_ok_and(|query| query.calls == 1));
        batch
    }
}

/// The last line of the log says that nothing is left, pinned or else.
fn nothing_is_left(world: &mut Loader, subject: Subject) {
    assert!(world.get(subject).unload(), "nobody has it open");
    let log = world.get(subject).machine.log();
    let last = log.last().expect("a line");
    assert!(last.contains("live: 0 allocations, 0 locks, 0 mappings"), "{last}");
    assert!(!last.contains("pinned") || last.ends_with("0 dma, 0 pinned"), "{last}");
    world.end(subject);
}

/// Of a plugin with messages that name no buffers: the client's batch is what it is elsewhere.
#[guest_test(stage = "loader")]
fn a_batch_is_the_same_as_elsewhere(drivers: &str) {
    let mut world = Loader::loaded(drivers);
    let plugin = world.connect(Subject::Edu);
    let client = edu::Client(&plugin);
    for round in 1..5 {
        let mut batch = client.batch().expect("every driver has rings");
        let inverted: Vec<_> = (0..200).map(|n| batch.invert(n * round).expect("there is room")).collect();
        let replies = batch.run();
        let inverted: Vec<u32> = replies.all(inverted).collect::<Result<_>>().expect("each is answered");
        assert!(inverted.into_iter().zip(0..).all(|(inverted, n)| inverted == !(n * round)));
    }
    let connection = plugin.connection();
    connection.int_enable(kind::ANY, 1, 1, &[]).unwrap_or_else(|error| panic!("enable: {error}"));
    client.raise(1).expect("it is raised");
    until("it is counted", || connection.int_count(ANY_VECTOR).is_ok_and(|(_, counters)| counters.received == 1));
    let counters = plugin.with_ring(|ring| ring.expect("the batch's").counters(ANY_VECTOR));
    assert_eq!(counters, connection.int_count(ANY_VECTOR));
    drop(plugin);
    let plugin = world.connect(Subject::Echo);
    let mut batch = echo::Client(&plugin).batch().expect("every driver has rings");
    let long = [7; 5000];
    let (said, heard) = (batch.say(&long).expect("there is room"), batch.hear(5000).expect("there is room"));
    let replies = batch.run();
    assert_eq!(replies.get(said), Ok(5000));
    assert_eq!(replies.list(heard), Ok(long.to_vec()));
    drop(batch);
    assert_eq!(world.unload(Subject::Echo), Unload::Stays, "a handle is open");
    drop(plugin);
    nothing_is_left(&mut world, Subject::Echo);
    nothing_is_left(&mut world, Subject::Edu);
}

/// A process ends that has a ring, whose buffer it has released long ago: nobody waits for anything.
#[guest_test(stage = "loader")]
fn a_process_with_a_ring_ends_at_once(drivers: &str) {
    let mut world = Loader::loaded(drivers);
    for subject in [Subject::Echo, Subject::Edu] {
        let app = App::new(&world, subject);
        let ring = app.ring();
        let since = Instant::now();
        app.process.exit();
        assert!(since.elapsed() < Duration::from_secs(4), "nobody is in it");
        assert_eq!(ring.enter().1, Err(Status::NO_REPLY.into()), "the handle is closed");
        drop((ring, app));
        nothing_is_left(&mut world, subject);
    }
}

/// A process ends while a batch of its runs: the message's sleep ends, the batch ends with it, and lets the memory go.
#[guest_test(stage = "loader")]
fn a_process_that_ends_in_a_batch_ends_at_once(drivers: &str) {
    let mut world = Loader::new(drivers);
    world.load(Subject::Echo);
    for _ in 0..5 {
        let app = App::new(&world, Subject::Echo);
        let batch = app.naps();
        let since = Instant::now();
        app.process.exit();
        assert!(since.elapsed() < Duration::from_secs(4), "the nap was cut short");
        let (_, _, first) = batch.join().expect("the batch does not panic");
        assert_eq!(first, Status::INTERRUPTED, "the nap was cut short");
        drop(app);
    }
    let log = world.get(Subject::Echo).machine.log();
    assert!(!log.iter().any(|line| line.contains("still used")), "{log:?}");
    nothing_is_left(&mut world, Subject::Echo);
}

/// The request that keeps a ring's buffer is cancelled, and the process lives: the ring is gone, after the message that runs, and there may be another.
#[guest_test(stage = "loader")]
fn a_ring_goes_with_its_request(drivers: &str) {
    let mut world = Loader::new(drivers);
    world.load(Subject::Echo);
    let app = App::new(&world, Subject::Echo);
    let ring = app.ring();
    assert_eq!(app.process.cancel_all(), 1, "the buffer's request is pending");
    until("the ring is gone", || ring.enter().1 == Err(Status::NO_RING.into()));
    let second = app.ring();
    assert_eq!(second.enter(), (0, Ok(())));
    drop(ring); // takes the second one down: a session has one
    assert_eq!(second.enter().1, Err(Status::NO_RING.into()));
    drop((second, app));
    nothing_is_left(&mut world, Subject::Echo);
}

/// CLOSE, and the last CloseHandle, while a batch runs.
#[guest_test(stage = "loader")]
fn closing_ends_a_batch(drivers: &str) {
    let mut world = Loader::new(drivers);
    world.load(Subject::Echo);
    for closes in [false, true] {
        let app = App::new(&world, Subject::Echo);
        let batch = app.naps();
        if closes {
            app.plugin.connection().close().expect("it closes");
        } else {
            app.process.exit();
        }
        let ended = batch.join().expect("the batch does not panic");
        assert!(!closes || ended == (1, Err(Status::CLOSED.into()), Status::CLOSED), "{ended:?}");
        drop(app);
    }
    nothing_is_left(&mut world, Subject::Echo);
}

/// The device is pulled out while a session has a ring and another one runs batches: both are told, and their requests are over.
#[guest_test(stage = "loader")]
fn a_surprise_removal_ends_rings(drivers: &str) {
    let mut world = Loader::new(drivers);
    world.load(Subject::Edu);
    let (idle, busy) = (App::new(&world, Subject::Edu), App::new(&world, Subject::Edu));
    let ring = idle.ring();
    let Loaded { device, driver, .. } = world.get(Subject::Edu);
    let device = device.as_ref().expect("edu has a device");
    let runs = AtomicU32::new(0);
    thread::scope(|scope| {
        let batches = scope.spawn(|| {
            let client = edu::Client(&busy.plugin);
            loop {
                let mut batch = client.batch().expect("it is granted");
                let tickets: Option<Vec<_>> = (0..100).map(|n| batch.invert(n).ok()).collect();
                let answered: std::result::Result<Vec<u32>, Error> = match tickets {
                    Some(tickets) => batch.run().all(tickets).collect(),
                    None => Err(Status::DEVICE_GONE.into()),
                };
                if let Err(error) = answered {
                    return error.status;
                }
                runs.fetch_add(1, Relaxed);
            }
        });
        until("batches run", || runs.load(Relaxed) > 3);
        device.surprise_removal();
        assert_eq!(batches.join().expect("no panic there"), Status::DEVICE_GONE);
    });
    assert_eq!(ring.enter(), (0, Err(Status::DEVICE_GONE.into())));
    assert_eq!((idle.process.cancel_all(), busy.process.cancel_all()), (0, 0), "no request is pending any more");
    drop((ring, idle, busy));
    device.removed();
    driver.stop().unwrap_or_else(|status| panic!("stop: {status:#x}"));
    driver.wait_until_unloaded();
    world.end(Subject::Edu);
}
