//! The two queues, from both sides: who writes which word, and in which order.
//!
//! Each queue has one writer and one reader. The writer fills a slot, then moves the tail with release ordering; the reader loads the
//! tail with acquire ordering, empties slots, then moves the head with release ordering; the writer loads the head with acquire
//! ordering before it fills a slot anew. Indices count forever, modulo 2^32; a slot's number is the index modulo the entries.
//!
//! Neither side believes the other: how many entries there are, and how far it has come itself, each side keeps in memory of its own
//! and never reads back. The driver's side reads each of the app's words once.
use super::{
    Completion, INLINE, Submission,
    sync::{AtomicU32, AtomicU64, Ordering::*},
};
use crate::{Error, Status};

/// A submission's words.
pub type SubmissionSlot = [AtomicU64; size_of::<Submission>() / 8];
/// A completion's words.
pub type CompletionSlot = [AtomicU64; size_of::<Completion>() / 8];

/// The words that both sides see, as one side finds them: by sizes that are its own, never by what stands in the memory.
pub trait Shared<'m> {
    /// Entries of each queue: a power of two.
    fn entries(&self) -> u32;
    /// Written by the app.
    fn sq_tail(&self) -> &'m AtomicU32;
    /// Written by the app.
    fn cq_head(&self) -> &'m AtomicU32;
    /// Written by the driver.
    fn sq_head(&self) -> &'m AtomicU32;
    /// Written by the driver.
    fn cq_tail(&self) -> &'m AtomicU32;
    /// The submission with this index, modulo the entries. Written by the app.
    fn submission(&self, index: u32) -> &'m SubmissionSlot;
    /// The completion with this index, modulo the entries. Written by the driver.
    fn completion(&self, index: u32) -> &'m CompletionSlot;
}

/// A submission as the driver has read it, once. `inline` is still the app's: whoever needs it reads it once.
#[derive(Clone, Copy)]
pub struct SubmissionEntry<'m> {
    /// The app's own.
    pub user_data: u64,
    /// Message, length of the arguments, and flags.
    pub message: u64,
    /// Where the input is, and the length of the data.
    pub input: u64,
    /// Where the reply goes, and the room for it.
    pub output: u64,
    /// The inline bytes.
    pub inline: &'m [AtomicU64],
}

impl SubmissionEntry<'_> {
    /// Number of the message.
    #[inline(always)]
    pub fn number(&self) -> u32 {
        self.message as u32
    }

    /// Length of the arguments in bytes.
    #[inline(always)]
    pub fn args_len(&self) -> usize {
        usize::from((self.message >> 32) as u16)
    }

    /// Flags.
    #[inline(always)]
    pub fn flags(&self) -> u16 {
        (self.message >> 48) as u16
    }

    /// Where the input is, in words of 8 bytes from the start of the data area.
    #[inline(always)]
    pub fn in_word(&self) -> usize {
        self.input as u32 as usize
    }

    /// Length of the data in bytes.
    #[inline(always)]
    pub fn in_len(&self) -> usize {
        (self.input >> 32) as usize
    }

    /// Where the reply goes, in words of 8 bytes from the start of the data area.
    #[inline(always)]
    pub fn out_word(&self) -> usize {
        self.output as u32 as usize
    }

    /// Room for the reply in bytes.
    #[inline(always)]
    pub fn out_len(&self) -> usize {
        (self.output >> 32) as usize
    }
}

/// How far the driver has come. It answers each submission before it takes the next one, so one index counts both.
#[derive(Clone, Copy, Debug)]
pub struct DriverSide {
    answered: u32,
}

/// What one RING_ENTER may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Submissions to take.
    pub submitted: u32,
    /// Completions for which there is room.
    pub room: u32,
}

impl DriverSide {
    /// At the start of a ring.
    pub const START: Self = Self { answered: 0 };

    /// Reads the app's two indices, once each. [`Status::RING_CORRUPT`]: one of them is more than the entries ahead or behind.
    pub fn begin<'m>(&self, shared: &impl Shared<'m>, to_submit: u32) -> Result<Batch, Status> {
        let submitted = shared.sq_tail().load(Acquire).wrapping_sub(self.answered);
        let untaken = self.answered.wrapping_sub(shared.cq_head().load(Acquire));
        if submitted > shared.entries() || untaken > shared.entries() {
            return Err(Status::RING_CORRUPT);
        }
        Ok(Batch { submitted: submitted.min(to_submit), room: shared.entries() - untaken })
    }

    /// Submissions taken and answered so far, ever, modulo 2^32.
    #[inline(always)]
    pub fn answered(&self) -> u32 {
        self.answered
    }

    /// Takes the next submission, which is then to be answered. Only as many as `begin` has found.
    #[inline(always)]
    pub fn take<'m>(&self, shared: &impl Shared<'m>) -> SubmissionEntry<'m> {
        let [user_data, message, input, output, inline @ ..] = shared.submission(self.answered);
        SubmissionEntry {
            user_data: user_data.load(Relaxed),
            message: message.load(Relaxed),
            input: input.load(Relaxed),
            output: output.load(Relaxed),
            inline,
        }
    }

    /// Answers the submission that was taken: writes its completion. Only as many as `begin` has found room for.
    #[inline(always)]
    pub fn post<'m>(&mut self, shared: &impl Shared<'m>, user_data: u64, status: Status, detail: u32) {
        let slot = shared.completion(self.answered);
        slot[0].store(user_data, Relaxed);
        slot[1].store(u64::from(detail) << 32 | u64::from(status.0), Relaxed);
        self.answered = self.answered.wrapping_add(1);
    }

    /// Lets the app see the completions, and have the slots of what was taken.
    pub fn end<'m>(&self, shared: &impl Shared<'m>) {
        shared.cq_tail().store(self.answered, Release);
        shared.sq_head().store(self.answered, Release);
    }
}

/// How far the app has come.
#[derive(Clone, Copy, Debug)]
pub struct AppSide {
    sq_tail: u32,
    /// `sq_tail` as the driver knows it.
    published: u32,
    /// How far `sq_tail` may go: the slots before it are known to be free.
    sq_end: u32,
    cq_head: u32,
    /// How far `cq_head` may go: the completions before it are known to be there.
    cq_end: u32,
}

impl AppSide {
    /// At the start of a ring of so many entries, a power of two.
    pub const fn new(entries: u32) -> Self {
        Self { sq_tail: 0, published: 0, sq_end: entries, cq_head: 0, cq_end: 0 }
    }

    /// Finds out which slots are free. That changes in a RING_ENTER only, so it is to be done once after each, not at each submission.
    #[inline]
    pub fn look<'m>(&mut self, shared: &impl Shared<'m>) {
        let used = self.sq_tail.wrapping_sub(shared.sq_head().load(Acquire));
        self.sq_end = self.sq_tail.wrapping_add(shared.entries().saturating_sub(used));
    }

    /// Writes a submission. False: the queue was full when last [looked](Self::look) at, and nothing was written. The driver sees it after
    /// [`publish`](Self::publish).
    #[inline(always)]
    pub fn push<'m>(&mut self, shared: &impl Shared<'m>, submission: &Submission) -> bool {
        // Not by `==`, after which a compiler keeps both in the place of one.
        if self.sq_tail.wrapping_sub(self.sq_end).cast_signed() >= 0 {
            return false;
        }
        let slot = shared.submission(self.sq_tail);
        let Submission { user_data, message, flags, args_len, in_word, in_len, out_word, out_len, inline } =
            *submission;
        slot[0].store(user_data, Relaxed);
        slot[1].store(u64::from(flags) << 48 | u64::from(args_len) << 32 | u64::from(message), Relaxed);
        slot[2].store(u64::from(in_len) << 32 | u64::from(in_word), Relaxed);
        slot[3].store(u64::from(out_len) << 32 | u64::from(out_word), Relaxed);
        if flags & INLINE != 0 {
            for (word, value) in slot[4..].iter().zip(inline) {
                word.store(value, Relaxed);
            }
        }
        self.sq_tail = self.sq_tail.wrapping_add(1);
        true
    }

    /// Lets the driver see what was pushed.
    #[inline]
    pub fn publish<'m>(&mut self, shared: &impl Shared<'m>) {
        self.published = self.sq_tail;
        shared.sq_tail().store(self.sq_tail, Release);
    }

    /// Takes back what was pushed and not published.
    pub fn take_back(&mut self) {
        self.sq_tail = self.published;
    }

    /// Takes a completion, if there is one. The driver may use its slot anew after [`release`](Self::release).
    #[inline(always)]
    pub fn pop<'m>(&mut self, shared: &impl Shared<'m>) -> Option<(u64, Error)> {
        if self.cq_head == self.cq_end {
            self.cq_end = shared.cq_tail().load(Acquire);
            if self.cq_head == self.cq_end {
                return None;
            }
        }
        let slot = shared.completion(self.cq_head);
        let answer = slot[1].load(Relaxed);
        let completion = (slot[0].load(Relaxed), Error::new(Status(answer as u32), (answer >> 32) as u32));
        self.cq_head = self.cq_head.wrapping_add(1);
        Some(completion)
    }

    /// Lets the driver have the slots of what was popped.
    #[inline]
    pub fn release<'m>(&self, shared: &impl Shared<'m>) {
        shared.cq_head().store(self.cq_head, Release);
    }
}
