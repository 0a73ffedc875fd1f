//! Batches of the client library: messages of every length of arguments, data and reply.
use kp_abi::{Error, Result, Status};
use kp_core::*;
use kp_sim::{Mode, Process, Sim};
use kp_user::{Connection, IntEnabled, Notification, SharedMemory};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

kp_abi::interface! {
    /// Messages of every shape. Replies are made of all bytes of the arguments.
    pub mod shapes, version 1 {
        /// Nothing.
        fn nothing() = 1;
        /// In the submission, an odd length.
        fn odd(bytes: [u8; 13], flag: bool) -> [u8; 13] = 2;
        /// As much as fits into the submission.
        fn edge(bytes: [u8; 32]) -> [u8; 32] = 3;
        /// Too much for it by one, and a reply of one word and a bit.
        fn beyond(bytes: [u8; 33]) -> [u8; 9] = 4;
        /// Whole words.
        fn words(words: [u64; 8]) -> [u64; 8] = 5;
        /// A reply that is not small.
        fn longer(bytes: [u8; 100]) -> [u8; 100] = 6;
        /// As many arguments as there can be, and a reply that is large.
        fn widest(words: [u64; 32]) -> [u64; 33] = 7;
        /// Arguments and data; the reply is both.
        fn list(head: [u8; 3], data: &[u8]) -> [u8] = 8;
        /// The same, and a reply of fixed size.
        fn sum(head: [u8; 3], data: &[u8]) -> u64 = 9;
        /// Is it the flag?
        fn not(flag: bool) -> bool = 10;
        /// How many messages of this number have run in all.
        fn count() -> u32 = 11;
    }
}

/// The plugin, and how often it was asked to count.
struct Shapes(core::sync::atomic::AtomicU32);

impl Init for Shapes {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Shapes(0.into()))
    }
}

impl shapes::Handler<Passive> for Shapes {
    fn nothing(&self, _: &mut Passive, _: &()) -> Result<()> {
        Ok(())
    }
    fn odd(&self, _: &mut Passive, _: &(), bytes: [u8; 13], flag: bool) -> Result<[u8; 13]> {
        Ok(bytes.map(|byte| if flag { !byte } else { byte }))
    }
    fn edge(&self, _: &mut Passive, _: &(), bytes: [u8; 32]) -> Result<[u8; 32]> {
        Ok(bytes.map(|byte| !byte))
    }
    fn beyond(&self, _: &mut Passive, _: &(), bytes: [u8; 33]) -> Result<[u8; 9]> {
        Ok(std::array::from_fn(|at| bytes[at] ^ bytes[at + 9] ^ bytes[at + 18] ^ bytes[at + 24]))
    }
    fn words(&self, _: &mut Passive, _: &(), words: [u64; 8]) -> Result<[u64; 8]> {
        Ok(words.map(|word| !word))
    }
    fn longer(&self, _: &mut Passive, _: &(), bytes: [u8; 100]) -> Result<[u8; 100]> {
        Ok(bytes.map(|byte| !byte))
    }
    fn widest(&self, _: &mut Passive, _: &(), words: [u64; 32]) -> Result<[u64; 33]> {
        Ok(std::array::from_fn(|at| words.get(at).map_or(33, |word| !word)))
    }
    fn list(&self, _: &mut Passive, _: &(), head: [u8; 3], data: &[u8], out: &mut Out<'_, '_, u8>) -> Result<()> {
        out.extend(&head).and_then(|()| out.extend(data))
    }
    fn sum(&self, _: &mut Passive, _: &(), head: [u8; 3], data: &[u8]) -> Result<u64> {
        Ok(head.iter().chain(data).fold(0, |sum, &byte| sum.wrapping_mul(31) + u64::from(byte)))
    }
    fn not(&self, _: &mut Passive, _: &(), flag: bool) -> Result<bool> {
        Ok(!flag)
    }
    fn count(&self, _: &mut Passive, _: &()) -> Result<u32> {
        Ok(self.0.fetch_add(1, Relaxed) + 1)
    }
}

plugin! { Shapes { name: "shapes", interface: shapes, callbacks: [] } }

/// Bytes that are nobody else's.
fn bytes<const N: usize>(seed: usize) -> [u8; N] {
    std::array::from_fn(|at| (seed * 37 + at * 11 + 1) as u8)
}

fn words<const N: usize>(seed: usize) -> [u64; N] {
    std::array::from_fn(|at| u64::from_le_bytes(bytes(seed * 100 + at)))
}

#[test]
fn a_message_of_any_shape_is_answered_as_its_call_is() {
    let sim = Sim::<Shapes>::new().unwrap();
    let plugin = sim.connect(shapes::INTERFACE).unwrap();
    let client = shapes::Client(&plugin);
    let mut batch = client.batch().unwrap();
    // Data of these lengths: in the submission with the arguments, just so, just not, and far from it.
    let data: [u8; 1000] = bytes(5);
    let lengths = [0, 1, 7, 8, 23, 24, 25, 29, 32, 33, 40, 999, 1000];
    for round in 0..3 {
        // The second time they stand elsewhere, where the first one's bytes still are.
        let seeds = [round, round + 10];
        let tickets = seeds.map(|seed| {
            (
                batch.nothing().unwrap(),
                batch.odd(bytes(seed), seed % 2 == 1).unwrap(),
                batch.edge(bytes(seed)).unwrap(),
                batch.beyond(bytes(seed)).unwrap(),
                batch.words(words(seed)).unwrap(),
                batch.longer(bytes(seed)).unwrap(),
                batch.widest(words(seed)).unwrap(),
                batch.not(seed % 2 == 1).unwrap(),
            )
        });
        let lists = lengths.map(|length| batch.list(bytes(round), &data[..length], 1003).unwrap());
        let sums = lengths.map(|length| batch.sum(bytes(round), &data[..length]).unwrap());
        let replies = batch.run();
        for (seed, (nothing, odd, edge, beyond, whole, longer, widest, not)) in seeds.into_iter().zip(tickets) {
            assert_eq!(replies.get(nothing), client.nothing());
            assert_eq!(replies.get(odd), client.odd(bytes(seed), seed % 2 == 1));
            assert_eq!(replies.get(edge), client.edge(bytes(seed)));
            assert_eq!(replies.get(beyond), client.beyond(bytes(seed)));
            assert_eq!(replies.get(whole), client.words(words(seed)));
            assert_eq!(replies.get(longer), client.longer(bytes(seed)));
            assert_eq!(replies.get(widest), client.widest(words(seed)));
            assert_eq!(replies.get(not), client.not(seed % 2 == 1));
        }
        for (length, (list, sum)) in lengths.into_iter().zip(lists.into_iter().zip(sums)) {
            let mut room = [0; 1003];
            assert_eq!(replies.list(list).as_deref(), client.list(bytes(round), &data[..length], &mut room).as_deref());
            assert_eq!(replies.get(sum), client.sum(bytes(round), &data[..length]), "{length} bytes");
        }
    }
}

#[test]
fn the_area_can_be_filled_to_its_last_word_and_no_further() {
    let sim = Sim::<Shapes>::new().unwrap();
    let plugin = sim.connect(shapes::INTERFACE).unwrap();
    plugin.set_up_ring(64, 4096).unwrap();
    let client = shapes::Client(&plugin);
    let mut batch = client.batch().unwrap();
    let mut old = None;
    for round in 0..2 {
        let tickets: [_; 32] = std::array::from_fn(|at| batch.words(words(round + at)).unwrap());
        assert_eq!(batch.words(words(0)).unwrap_err(), Status::BUSY, "32 messages of 128 bytes");
        assert_eq!(batch.count().unwrap_err(), Status::BUSY, "not even a word");
        assert_eq!(batch.list(bytes(0), &[], 4097).unwrap_err(), Status::PAYLOAD_TOO_LARGE, "it would never fit");
        assert_eq!(batch.list(bytes(0), &[], usize::MAX).unwrap_err(), Status::PAYLOAD_TOO_LARGE);
        let nothing = batch.nothing().expect("takes none of it");
        assert_eq!(batch.len(), 33, "who was refused is not in it");
        let replies = batch.run();
        for (at, ticket) in tickets.into_iter().enumerate() {
            assert_eq!(replies.get(ticket), client.words(words(round + at)));
        }
        assert_eq!(replies.get(nothing), Ok(()));
        if let Some(old) = old.replace(tickets[0]) {
            assert_eq!(
                replies.get(old),
                Err(Status::PROTOCOL.into()),
                "there is a message of that number, but another one"
            );
        }
    }
    let whole = batch.list(bytes(0), &[], 4096).expect("all of it");
    assert_eq!(batch.run().list(whole).as_deref(), Ok(&bytes::<3>(0)[..]));
}

#[test]
fn a_full_queue_tells_what_would_never_fit_from_what_will() {
    let sim = Sim::<Shapes>::new().unwrap();
    let plugin = sim.connect(shapes::INTERFACE).unwrap();
    plugin.set_up_ring(2, 4096).unwrap();
    let mut batch = shapes::Client(&plugin).batch().unwrap();
    let tickets = [batch.count().unwrap(), batch.count().unwrap()];
    assert_eq!(batch.count().unwrap_err(), Status::BUSY);
    assert_eq!(batch.sum(bytes(0), &[0; 4096]).unwrap_err(), Status::PAYLOAD_TOO_LARGE);
    for number in [0, 12, u32::MAX] {
        assert_eq!(kp_abi::Queue::queue(&mut *batch, number, &[], &[], 0).unwrap_err(), Status::UNKNOWN_MESSAGE);
    }
    assert_eq!(kp_abi::Queue::queue(&mut *batch, 1, &[0; 257], &[], 0).unwrap_err(), Status::PAYLOAD_TOO_LARGE);
    let replies = batch.run();
    assert_eq!(tickets.map(|ticket| replies.get(ticket)), [Ok(1), Ok(2)]);
}

/// A connection whose RING_ENTER can be made to stop before the first message.
struct Stopping<C>(C, Arc<AtomicBool>);

impl<C: Connection> Connection for Stopping<C> {
    fn ring_enter(&self, to_submit: u32) -> Result<()> {
        if self.1.load(Relaxed) { Err(Status::INTERRUPTED.into()) } else { self.0.ring_enter(to_submit) }
    }
    fn query(&self, chain_at: u32) -> Result<kp_abi::request::Query> {
        self.0.query(chain_at)
    }
    fn open(&self, open: &mut kp_abi::request::Open, data: &[u8]) -> Result<()> {
        self.0.open(open, data)
    }
    fn call(&self, message: u32, flags: u32, args: &[u8], data: &[u8], reply: &mut [u8]) -> Result<usize> {
        self.0.call(message, flags, args, data, reply)
    }
    fn close(&self) -> Result<()> {
        self.0.close()
    }
    fn int_enable(&self, kinds: u32, min: u32, max: u32, data: &[u8]) -> Result<IntEnabled> {
        self.0.int_enable(kinds, min, max, data)
    }
    fn int_wait(&self, timeout_ns: u64, vector: u32, max: u32) -> Result<Notification> {
        self.0.int_wait(timeout_ns, vector, max)
    }
    fn int_count(&self, vector: u32) -> Result<(u64, kp_abi::Counters)> {
        self.0.int_count(vector)
    }
    fn int_disable(&self) -> Result<(u64, kp_abi::Counters)> {
        self.0.int_disable()
    }
    fn ring_setup(&self, setup: &mut kp_abi::request::RingSetup) -> Result<()> {
        self.0.ring_setup(setup)
    }
    fn ring_teardown(&self) -> Result<()> {
        self.0.ring_teardown()
    }
    fn map_shared(&self, offset: u64, len: usize, write: bool) -> Result<SharedMemory> {
        self.0.map_shared(offset, len, write)
    }
    #[cfg(unix)]
    fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.0.as_fd()
    }
}

#[test]
fn what_a_stopped_run_has_left_never_runs() {
    let sim = Sim::<Shapes>::new().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let app = sim.open_in(&Process::new(1), Mode::ReadWrite).unwrap();
    let plugin = kp_user::Plugin::over(Arc::new(Stopping(app, stop.clone())), shapes::INTERFACE, &[]).unwrap();
    let client = shapes::Client(&plugin);
    let mut batch = client.batch().unwrap();
    let stopped = Err(Error::from(Status::INTERRUPTED));
    for round in 0..3 {
        stop.store(true, Relaxed);
        let left = [batch.count().unwrap(), batch.count().unwrap()];
        let replies = batch.run();
        assert_eq!(left.map(|ticket| replies.get(ticket)), [stopped; 2], "each says why it has not run");
        stop.store(false, Relaxed);
        // With the next message, with none, and with the next batch.
        match round {
            0 => _ = batch.nothing().unwrap(),
            1 => (),
            _ => {
                drop(batch);
                batch = client.batch().unwrap();
            }
        }
        assert_eq!(batch.run().get(left[0]), Err(Status::PROTOCOL.into()));
        assert_eq!(client.count(), Ok(round + 1), "nobody else has counted");
    }
}
