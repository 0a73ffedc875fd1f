//! Batches: many messages in one request.
use crate::{Plugin, Ring};
use kp_abi::{
    Batching, Element, Error, Place, Queue, Result, Status, Ticket, Wire, limits,
    ring::{INLINE, INLINE_LEN, Submission},
    zerocopy::IntoBytes,
};
use std::{
    fmt,
    sync::{MutexGuard, PoisonError},
};

/// Messages of a ring that [`Plugin`] sets up by itself.
const ENTRIES: u32 = 256;
/// Bytes of a ring that [`Plugin`] sets up by itself, for what its messages send and get.
const DATA_LEN: u32 = 256 << 10;

/// Messages that queue up and go in one request: a batch on the session's [`Ring`].
///
/// It comes from a client's `batch()`, wrapped in the interface's own `Batch`, which has a method per message. A session has one batch at a
/// time: a second thread's `batch()` waits until the first batch is dropped.
///
/// ```no_run
/// # kp_abi::interface! { pub mod edu, version 1 { fn factorial(n: u32) -> u32 = 1; fn name() -> [u8] = 2; } }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let plugin = kp_user::Plugin::open_interface("edu", edu::INTERFACE, &[])?;
/// let device = edu::Client(&plugin);
/// let mut batch = device.batch()?;
/// let name = batch.name(32)?;
/// let factorials = (1..10).map(|n| batch.factorial(n)).collect::<Result<Vec<_>, _>>()?;
///
/// let replies = batch.run(); // one request
/// println!("{:?}", replies.list(name)?);
/// for factorial in replies.all(factorials) {
///     println!("{}", factorial?);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Batch<'p> {
    ring: MutexGuard<'p, Option<Ring>>,
    plugin: &'p Plugin,
    /// Number of the run that queues up now.
    run: u64,
    messages: Vec<Message>,
    /// Bytes of the data area that are taken.
    used: usize,
    /// Some of the last run's messages are still in the ring.
    stopped: bool,
}

/// A message and what came of it.
#[derive(Clone, Copy)]
struct Message {
    reply_at: usize,
    answer: Error,
}

impl<'p> Batch<'p> {
    pub(crate) fn start(plugin: &'p Plugin, ring: MutexGuard<'p, Option<Ring>>) -> Self {
        Self { ring, plugin, run: plugin.next_run(), messages: Vec::new(), used: 0, stopped: false }
    }

    /// Messages that are queued.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Is no message queued?
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Sends what is queued, in one request, and brings the replies. What is queued afterwards is a new batch.
    ///
    /// The messages run in their order, in this thread. One that fails does not keep the next one from running. If the session ends on
    /// the way, those that have not run answer why.
    pub fn run(&mut self) -> Replies<'_, 'p> {
        let run = std::mem::replace(&mut self.run, self.plugin.next_run());
        let mut messages = std::mem::take(&mut self.messages);
        self.used = 0;
        if let Some(ring) = self.ring.as_mut() {
            ring.queues().publish();
            let (_, stopped) = ring.enter();
            let mut queues = ring.queues();
            while let Some((number, answer)) = queues.pop() {
                if let Some(message) = messages.get_mut(number as usize) {
                    message.answer = answer;
                }
            }
            queues.release();
            if let Err(stopped) = stopped {
                for message in messages.iter_mut().filter(|message| message.answer == Status::NO_REPLY) {
                    message.answer = stopped;
                }
                self.stopped = true;
            }
        }
        Replies { batch: self, run, messages }
    }

    /// What is left of a run must not run with the next one.
    fn clear_away(&mut self) {
        if std::mem::take(&mut self.stopped) {
            *self.ring = None;
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.clear_away();
        if let Some(ring) = self.ring.as_mut() {
            ring.queues().take_back();
        }
    }
}

impl Queue for Batch<'_> {
    /// [`BUSY`](Status::BUSY) if the ring is full: run the batch, and go on with a new one. [`PAYLOAD_TOO_LARGE`](Status::PAYLOAD_TOO_LARGE) if
    /// it would not fit into an empty ring either.
    fn queue(&mut self, id: u32, args: &[u8], data: &[u8], room: usize) -> Result<Place> {
        if !self.plugin.has_message(id) {
            return Err(Status::UNKNOWN_MESSAGE.into());
        }
        self.clear_away();
        if self.ring.is_none() {
            *self.ring = Some(self.plugin.new_ring(ENTRIES, DATA_LEN)?);
        }
        let Some(ring) = self.ring.as_mut() else { return Err(Status::NO_RING.into()) };
        let data_at = args.len().next_multiple_of(8);
        let input = if data.is_empty() { args.len() } else { data_at + data.len() };
        let inline = input <= INLINE_LEN;
        let in_area = if inline { 0 } else { input.next_multiple_of(8) };
        let needed = in_area.saturating_add(room.next_multiple_of(8));
        if args.len() > limits::MAX_ARGS || needed > ring.data_len() {
            return Err(Status::PAYLOAD_TOO_LARGE.into());
        }
        if needed > ring.data_len() - self.used {
            return Err(Status::BUSY.into());
        }
        let reply_at = self.used + in_area;
        let mut submission = Submission {
            user_data: self.messages.len() as u64,
            message: id,
            flags: if inline { INLINE } else { 0 },
            args_len: args.len() as u16,
            in_word: (self.used / 8) as u32,
            in_len: data.len() as u32,
            out_word: if room == 0 { 0 } else { (reply_at / 8) as u32 },
            out_len: room as u32,
            inline: [0; 4],
        };
        if inline {
            let bytes = submission.inline.as_mut_bytes();
            bytes[..args.len()].copy_from_slice(args);
            if !data.is_empty() {
                bytes[data_at..input].copy_from_slice(data);
            }
        }
        if !ring.queues().push(&submission) {
            return Err(Status::BUSY.into());
        }
        if !inline {
            ring.write(self.used, args);
            if !data.is_empty() {
                ring.write(self.used + data_at, data);
            }
        }
        let number = self.messages.len();
        self.messages.push(Message { reply_at, answer: Status::NO_REPLY.into() });
        self.used += needed;
        Ok(Place { run: self.run, number })
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("messages", &self.messages.len()).finish_non_exhaustive()
    }
}

/// The replies of a batch. From [`Batch::run`].
pub struct Replies<'b, 'p> {
    batch: &'b Batch<'p>,
    run: u64,
    messages: Vec<Message>,
}

impl Replies<'_, '_> {
    /// A message's reply, as its call would have answered. [`PROTOCOL`](Status::PROTOCOL) for a ticket of another batch.
    pub fn get<R: Wire>(&self, ticket: Ticket<R>) -> Result<R> {
        // Most replies are small: those need no memory.
        match size_of::<R>() {
            size @ ..=64 => self.value(ticket, &mut [0; 64][..size]),
            size @ ..=limits::MAX_FIXED_REPLY => self.value(ticket, &mut [0; limits::MAX_FIXED_REPLY][..size]),
            size => self.value(ticket, &mut vec![0; size]),
        }
    }

    /// A reply that is read to `bytes`, which are as many as it has.
    #[inline]
    fn value<R: Wire>(&self, ticket: Ticket<R>, bytes: &mut [u8]) -> Result<R> {
        if self.bytes(ticket.place(), bytes)? != bytes.len() {
            return Err(Status::PROTOCOL.into());
        }
        ticket.read(bytes)
    }

    /// The reply of a message that answers with a list. Errors: as for [`get`](Self::get).
    pub fn list<R: Element>(&self, ticket: Ticket<[R]>) -> Result<Vec<R>> {
        let (_, written) = self.message(ticket.place())?;
        let mut list = Vec::new();
        list.resize_with(ticket.count(written)?, R::new_zeroed);
        self.bytes(ticket.place(), list.as_mut_bytes())?;
        Ok(list)
    }

    /// The replies of these messages, in turn.
    pub fn all<R: Wire>(&self, tickets: impl IntoIterator<Item = Ticket<R>>) -> impl Iterator<Item = Result<R>> {
        tickets.into_iter().map(|ticket| self.get(ticket))
    }

    /// The message, and how many bytes it was answered with.
    fn message(&self, place: Place) -> Result<(Message, usize)> {
        let message = self.messages.get(place.number).filter(|_| place.run == self.run).ok_or(Status::PROTOCOL)?;
        match message.answer.status {
            Status::OK => Ok((*message, message.answer.detail as usize)),
            _ => Err(message.answer),
        }
    }

    /// Reads a reply; how long it is.
    fn bytes(&self, place: Place, bytes: &mut [u8]) -> Result<usize> {
        let (message, written) = self.message(place)?;
        let ring = self.batch.ring.as_ref().ok_or(Status::NO_RING)?;
        if written > bytes.len() {
            return Err(Status::PROTOCOL.into());
        }
        if written != 0 {
            ring.read(message.reply_at, &mut bytes[..written]);
        }
        Ok(written)
    }
}

impl fmt::Debug for Replies<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").field("messages", &self.messages.len()).finish_non_exhaustive()
    }
}

impl<'p> Batching for &'p Plugin {
    type Queue = Batch<'p>;

    fn start_batch(&self) -> Result<Batch<'p>> {
        let plugin: &'p Plugin = self;
        Ok(Batch::start(plugin, plugin.ring.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}
