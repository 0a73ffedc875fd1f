//! Batches: many messages in one request.
use crate::{Plugin, Ring, shared};
use kp_abi::{
    Batching, Element, Error, Place, Queue, Result, Status, Ticket, Transport, Wire, limits,
    ring::{INLINE, INLINE_LEN, Submission},
    zerocopy::IntoBytes,
};
use std::{
    fmt,
    marker::PhantomData,
    num::NonZeroU64,
    sync::{MutexGuard, PoisonError, atomic::AtomicU64},
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
    /// The highest number that a message can have.
    highest: u32,
    /// Number of the run that queues up now.
    run: NonZeroU64,
    /// One for each entry of the ring, of which the first `queued` are in use. None before the ring is ready for messages.
    messages: Box<[Message]>,
    queued: usize,
    /// Words of the data area that are taken.
    used: u32,
    /// The messages of a run that has stopped on the way. Some of them are still in the ring.
    stopped: Option<Box<[Message]>>,
}

/// A message and what came of it. Aligned so that its place is found by a shift.
#[derive(Clone, Copy)]
#[repr(align(16))]
struct Message {
    /// Where its reply is, in words of the data area.
    reply_at: u32,
    answer: Error,
}

impl<'p> Batch<'p> {
    pub(crate) fn start(plugin: &'p Plugin, ring: MutexGuard<'p, Option<Ring>>) -> Self {
        Self {
            ring,
            plugin,
            highest: plugin.highest_message().unwrap_or(u32::MAX),
            run: plugin.next_run(),
            messages: Box::default(),
            queued: 0,
            used: 0,
            stopped: None,
        }
    }

    /// Messages that are queued.
    pub fn len(&self) -> usize {
        self.queued
    }

    /// Is no message queued?
    pub fn is_empty(&self) -> bool {
        self.queued == 0
    }

    /// Sends what is queued, in one request, and brings the replies. What is queued afterwards is a new batch.
    ///
    /// The messages run in their order, in this thread. One that fails does not keep the next one from running. If the session ends on
    /// the way, those that have not run answer why.
    pub fn run(&mut self) -> Replies<'_, 'p> {
        self.clear_away();
        let run = std::mem::replace(&mut self.run, self.plugin.next_run());
        let count = std::mem::take(&mut self.queued);
        self.used = 0;
        if let Some(ring) = self.ring.as_mut() {
            let messages = self.messages.get_mut(..count).unwrap_or_default();
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
                self.stopped = Some(std::mem::take(&mut self.messages));
            }
        }
        let messages = self.stopped.as_deref().unwrap_or(&self.messages).get(..count).unwrap_or_default();
        let data = self.ring.as_ref().map_or(&[][..], Ring::data);
        Replies { run, messages, data, batch: PhantomData }
    }

    /// What is left of a run must not run with the next one.
    fn clear_away(&mut self) {
        if self.stopped.take().is_some() {
            *self.ring = None;
        }
    }

    /// Makes a ring that is ready for messages, if there is none yet.
    fn make_ready(&mut self) -> Result<()> {
        self.clear_away();
        if self.messages.is_empty() {
            let ring = match self.ring.take() {
                Some(ring) => ring,
                None => self.plugin.new_ring(ENTRIES, DATA_LEN)?,
            };
            let unused = Message { reply_at: 0, answer: Status::NO_REPLY.into() };
            self.messages = vec![unused; ring.entries() as usize].into();
            *self.ring = Some(ring);
        }
        Ok(())
    }

    /// [`knows`](Transport::knows), in one comparison if the number is known to the compiler.
    #[inline(always)]
    fn has_message(&self, id: u32) -> bool {
        id <= self.highest && (id != 0 || self.plugin.knows(id))
    }

    /// Queues a message if all is ready for it. If not, [`put`](Self::put) makes it so, or says why not.
    // Always inlined: of what a typed method says, the compiler knows all but the bytes.
    #[inline(always)]
    fn try_put(&mut self, id: u32, args: &[u8], data: &[u8], room: usize) -> Option<Place> {
        if !self.has_message(id) || args.len() > limits::MAX_ARGS {
            return None;
        }
        let number = self.queued;
        let message = self.messages.get_mut(number)?;
        let (area, mut submissions) = self.ring.as_mut()?.parts();
        let Needs { data_at, input, inline, in_words, words } = Needs::of(args, data, room);
        let start = self.used as usize;
        let place = area.get(start..start + words)?;
        // What is written for a message that there is no entry for, the next one overwrites.
        if !inline {
            shared::write(place, args);
            if !data.is_empty() {
                shared::write(&place[data_at / 8..], data);
            }
        }
        // Inside of the area, whose words have numbers of 32 bits.
        let reply_at = self.used + in_words as u32;
        *message = Message { reply_at, answer: Status::NO_REPLY.into() };
        let mut submission = Submission {
            user_data: number as u64,
            message: id,
            flags: if inline { INLINE } else { 0 },
            args_len: args.len() as u16,
            in_word: self.used,
            in_len: data.len() as u32,
            out_word: if room == 0 { 0 } else { reply_at },
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
        if !submissions.push(&submission) {
            return None;
        }
        self.queued = number + 1;
        self.used += words as u32;
        Some(Place { run: self.run, number })
    }

    /// Queues any message, or says why not.
    #[inline(never)]
    fn put(&mut self, id: u32, args: &[u8], data: &[u8], room: usize) -> Result<Place> {
        if let Some(place) = self.try_put(id, args, data, room) {
            return Ok(place);
        }
        if !self.has_message(id) {
            return Err(Status::UNKNOWN_MESSAGE.into());
        }
        self.make_ready()?;
        let area = self.ring.as_ref().map_or(0, |ring| ring.data().len());
        if args.len() > limits::MAX_ARGS || Needs::of(args, data, room).words > area {
            return Err(Status::PAYLOAD_TOO_LARGE.into());
        }
        self.try_put(id, args, data, room).ok_or(Status::BUSY.into())
    }

    /// [`put`](Self::put), for a message without data that was not queued by [`try_put`](Self::try_put).
    #[cold]
    #[inline(never)]
    fn put_after_all(&mut self, id: u32, args: &[u8], room: usize) -> Result<Place> {
        self.put(id, args, &[], room)
    }
}

/// What a message needs in a ring.
struct Needs {
    /// Where the data stand behind the arguments.
    data_at: usize,
    /// Bytes of both.
    input: usize,
    /// They stand in the submission.
    inline: bool,
    /// Words of the data area for them.
    in_words: usize,
    /// Words of the data area for all, the reply too.
    words: usize,
}

impl Needs {
    #[inline(always)]
    fn of(args: &[u8], data: &[u8], room: usize) -> Self {
        let data_at = args.len().next_multiple_of(8);
        let input = if data.is_empty() { args.len() } else { data_at + data.len() };
        let inline = input <= INLINE_LEN;
        let in_words = if inline { 0 } else { input.div_ceil(8) };
        Self { data_at, input, inline, in_words, words: in_words + room.div_ceil(8) }
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
    #[inline(always)]
    fn queue(&mut self, id: u32, args: &[u8], data: &[u8], room: usize) -> Result<Place> {
        if !data.is_empty() {
            return self.put(id, args, data, room);
        }
        if let Some(place) = self.try_put(id, args, &[], room) {
            return Ok(place);
        }
        // A copy, so that the compiler may have the arguments in registers up to here.
        let mut copy = [0; limits::MAX_ARGS];
        match copy.get_mut(..args.len()) {
            Some(front) => {
                front.copy_from_slice(args);
                self.put_after_all(id, front, room)
            }
            None => self.put_after_all(id, args, room),
        }
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("messages", &self.queued).finish_non_exhaustive()
    }
}

/// The replies of a batch. From [`Batch::run`].
pub struct Replies<'b, 'p> {
    run: NonZeroU64,
    messages: &'b [Message],
    /// The data area.
    data: &'b [AtomicU64],
    batch: PhantomData<&'b Batch<'p>>,
}

impl Replies<'_, '_> {
    /// A message's reply, as its call would have answered. [`PROTOCOL`](Status::PROTOCOL) for a ticket of another batch.
    #[inline]
    pub fn get<R: Wire>(&self, ticket: Ticket<R>) -> Result<R> {
        // Most replies are small: those need no memory.
        match size_of::<R>() {
            size @ ..=64 => self.value(ticket, &mut [0; 64][..size]),
            size @ ..=limits::MAX_FIXED_REPLY => self.value(ticket, &mut [0; limits::MAX_FIXED_REPLY][..size]),
            size => self.value(ticket, &mut vec![0; size]),
        }
    }

    /// A reply that is read to `bytes`, which are as many as it has.
    #[inline(always)]
    fn value<R: Wire>(&self, ticket: Ticket<R>, bytes: &mut [u8]) -> Result<R> {
        let (reply_at, written) = self.message(ticket.place())?;
        if written != bytes.len() {
            return Err(Status::PROTOCOL.into());
        }
        shared::read(self.words(reply_at, written)?, bytes);
        ticket.read(bytes)
    }

    /// The reply of a message that answers with a list. Errors: as for [`get`](Self::get).
    pub fn list<R: Element>(&self, ticket: Ticket<[R]>) -> Result<Vec<R>> {
        let (reply_at, written) = self.message(ticket.place())?;
        let words = self.words(reply_at, written)?;
        let mut list = Vec::new();
        list.resize_with(ticket.count(written)?, R::new_zeroed);
        shared::read(words, list.as_mut_bytes());
        Ok(list)
    }

    /// The replies of these messages, in turn.
    pub fn all<R: Wire>(&self, tickets: impl IntoIterator<Item = Ticket<R>>) -> impl Iterator<Item = Result<R>> {
        tickets.into_iter().map(|ticket| self.get(ticket))
    }

    /// Where a message's reply is, in words of the data area, and with how many bytes it was answered.
    #[inline]
    fn message(&self, place: Place) -> Result<(u32, usize)> {
        let message = self.messages.get(place.number).filter(|_| place.run == self.run).ok_or(Status::PROTOCOL)?;
        match message.answer.status {
            Status::OK => Ok((message.reply_at, message.answer.detail as usize)),
            _ => Err(message.answer),
        }
    }

    /// The words of a reply of so many bytes. [`PROTOCOL`](Status::PROTOCOL) if they are not there.
    #[inline]
    fn words(&self, at: u32, bytes: usize) -> Result<&[AtomicU64]> {
        let at = at as usize;
        Ok(self.data.get(at..at + bytes.div_ceil(8)).ok_or(Status::PROTOCOL)?)
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
