//! Batches of 64 messages on the ring: from the first word that the app writes to the last that it reads.
use crate::{
    call::{OurDevice, pattern},
    clock::Sample,
};
use bench_interface::bench;
use kp_abi::{Status, request, ring::Submission};
use kp_user::{Plugin, Ring};

/// Messages in a batch.
pub const BATCH: usize = 64;
/// Bytes that each sends and gets.
const BYTES: usize = 64;

/// A ring on which a batch can be run again and again: the message that gives 64 bytes back, each with a place of its own.
pub struct Batches {
    ring: Ring,
    fd: std::os::fd::RawFd,
}

impl Batches {
    /// Sets the ring up, and writes what is to be sent.
    pub fn new(ours: &OurDevice) -> Result<Self, String> {
        let length = (2 * BATCH * BYTES) as u32;
        let ring = Ring::set_up(ours.plugin.connection(), BATCH as u32, length);
        let ring = ring.map_err(|error| format!("the ring: {error}"))?;
        for at in 0..BATCH {
            ring.write(at * BYTES, &pattern(BYTES));
        }
        Ok(Self { ring, fd: ours.fd })
    }

    /// One batch. False: a message was not answered as it should be.
    #[inline(always)]
    pub fn run(&mut self, batch: u32) -> bool {
        let mut queues = self.ring.queues();
        for at in 0..batch {
            let submission = Submission {
                user_data: at.into(),
                message: 2,
                flags: 0,
                args_len: BYTES as u16,
                in_word: at * (BYTES / 8) as u32,
                in_len: 0,
                out_word: (BATCH as u32 + at) * (BYTES / 8) as u32,
                out_len: BYTES as u32,
                inline: [0; 4],
            };
            queues.push(&submission);
        }
        queues.publish();
        let number = u64::from(request::ioctl_number(kp_abi::ring::ENTER_DIRECT));
        // SAFETY: the argument is a number, and the ring belongs to this descriptor.
        unsafe { libc::ioctl(self.fd, number as libc::Ioctl, libc::c_ulong::from(batch)) };
        let mut right = 0u32;
        while let Some((_, answer)) = queues.pop() {
            right += u32::from((answer.status, answer.detail) == (Status::OK, BYTES as u32));
        }
        queues.release();
        right == batch
    }

    /// Has the driver given back what it was sent?
    fn check(&mut self) -> Result<(), String> {
        let whole = self.run(BATCH as u32);
        for at in 0..BATCH {
            let mut reply = [0; BYTES];
            self.ring.read((BATCH + at) * BYTES, &mut reply);
            self.ring.write((BATCH + at) * BYTES, &[0; BYTES]);
            if !whole || reply[..] != pattern(BYTES) {
                return Err(format!("message {at} of a batch: {reply:?}"));
            }
        }
        Ok(())
    }
}

/// Measures batches.
pub fn run(ours: &OurDevice, pair: u64) -> Result<(), String> {
    let mut batches = Batches::new(ours)?;
    batches.check()?;
    Sample::of(201, pair, || _ = std::hint::black_box(batches.run(BATCH as u32))).print("ring-64-batch");
    Sample::of(201, pair, || _ = std::hint::black_box(batches.run(0))).print("ring-64-empty");
    batches.check()?;
    drop(batches); // a session has one ring
    client(&ours.plugin, pair)
}

/// The same batch by the client library: `batch()`'s typed methods, each with its own words, and each reply looked at.
fn client(plugin: &Plugin, pair: u64) -> Result<(), String> {
    let mut batch = bench::Client(plugin).batch().map_err(|error| format!("a client's batch: {error}"))?;
    let mut run = || {
        let tickets: [_; BATCH] = std::array::from_fn(|at| batch.copy64([at as u64; BYTES / 8]));
        let replies = batch.run();
        let right = |(at, ticket): (usize, &kp_abi::Result<_>)| {
            ticket.and_then(|ticket| replies.get(ticket)) == Ok([at as u64; BYTES / 8])
        };
        tickets.iter().enumerate().all(right)
    };
    if !run() {
        return Err("a client's batch went wrong".into());
    }
    Sample::of(201, pair, || _ = std::hint::black_box(run())).print("ring-64-client");
    if run() { Ok(()) } else { Err("a client's batch went wrong later".into()) }
}
