//! The two queues, from both sides: who writes which word, and in which order.
//!
//! Each queue has one writer and one reader. The writer fills a slot, then moves the tail with release ordering; the reader loads the
//! tail with acquire ordering, empties slots, then moves the head with release ordering; the writer loads the head with acquire
//! ordering before it fills a slot anew. Indices count for ever, modulo 2^32; a slot's number is the index modulo the entries.
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

/// The words that both sides see. The slots of a queue are as many as its entries: a power of two.
#[derive(Clone, Copy)]
pub struct Words<'m> {
    /// Written by the app.
    pub sq_tail: &'m AtomicU32,
    /// Written by the app.
    pub cq_head: &'m AtomicU32,
    /// Written by the driver.
    pub sq_head: &'m AtomicU32,
    /// Written by the driver.
    pub cq_tail: &'m AtomicU32,
    /// Written by the app.
    pub submissions: &'m [SubmissionSlot],
    /// Written by the driver.
    pub completions: &'m [CompletionSlot],
}

/// A submission as the driver has read it, once. `inline` is still the app's: whoever needs it reads it once.
#[derive(Clone, Copy)]
pub struct Taken<'m> {
    /// The app's own.
    pub user_data: u64,
    /// Number of the message.
    pub message: u32,
    /// Flags.
    pub flags: u16,
    /// Length of the arguments in bytes.
    pub args_len: u16,
    /// Where the input is.
    pub in_off: u32,
    /// Length of the data in bytes.
    pub in_len: u32,
    /// Where the reply goes.
    pub out_off: u32,
    /// Room for the reply in bytes.
    pub out_len: u32,
    /// The inline bytes.
    pub inline: &'m [AtomicU64],
}

/// How far the driver has come.
#[derive(Clone, Copy, Debug)]
pub struct DriverSide {
    mask: u32,
    sq_head: u32,
    cq_tail: u32,
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
    /// At the start of a ring of so many entries, a power of two.
    pub const fn new(entries: u32) -> Self {
        Self { mask: entries - 1, sq_head: 0, cq_tail: 0 }
    }

    /// Reads the app's two indices, once each. [`Status::RING_CORRUPT`]: one of them is more than the entries ahead or behind.
    pub fn begin(&self, words: &Words<'_>, to_submit: u32) -> Result<Batch, Status> {
        let entries = self.mask + 1;
        let submitted = words.sq_tail.load(Acquire).wrapping_sub(self.sq_head);
        let untaken = self.cq_tail.wrapping_sub(words.cq_head.load(Acquire));
        if submitted > entries || untaken > entries {
            return Err(Status::RING_CORRUPT);
        }
        Ok(Batch { submitted: submitted.min(to_submit), room: entries - untaken })
    }

    /// Takes the next submission. Only as many as `begin` has found.
    #[inline(always)]
    pub fn take<'m>(&mut self, words: &Words<'m>) -> Option<Taken<'m>> {
        // The mask is private, so no guess of the processor leaves the array.
        let slot = words.submissions.get((self.sq_head & self.mask) as usize)?;
        let (head, inline) = slot.split_at(4);
        let [user_data, message, input, output] = head else { return None };
        let (message, input, output) = (message.load(Relaxed), input.load(Relaxed), output.load(Relaxed));
        self.sq_head = self.sq_head.wrapping_add(1);
        Some(Taken {
            user_data: user_data.load(Relaxed),
            message: message as u32,
            flags: (message >> 32) as u16,
            args_len: (message >> 48) as u16,
            in_off: input as u32,
            in_len: (input >> 32) as u32,
            out_off: output as u32,
            out_len: (output >> 32) as u32,
            inline,
        })
    }

    /// Writes a completion, and lets the app see it. Only as many as `begin` has found room for.
    #[inline(always)]
    pub fn post(&mut self, words: &Words<'_>, user_data: u64, status: Status, detail: u32) {
        let Some(slot) = words.completions.get((self.cq_tail & self.mask) as usize) else { return };
        slot[0].store(user_data, Relaxed);
        slot[1].store(u64::from(detail) << 32 | u64::from(status.0), Relaxed);
        self.cq_tail = self.cq_tail.wrapping_add(1);
        words.cq_tail.store(self.cq_tail, Release);
    }

    /// Lets the app have the slots of what was taken.
    pub fn end(&self, words: &Words<'_>) {
        words.sq_head.store(self.sq_head, Release);
    }
}

/// How far the app has come.
#[derive(Debug)]
pub struct AppSide {
    mask: u32,
    sq_tail: u32,
    published: u32,
    cq_head: u32,
}

impl AppSide {
    /// At the start of a ring of so many entries, a power of two.
    pub const fn new(entries: u32) -> Self {
        Self { mask: entries - 1, sq_tail: 0, published: 0, cq_head: 0 }
    }

    /// Writes a submission. False: the queue is full, and nothing was written. The driver sees it after [`publish`](Self::publish).
    #[inline]
    pub fn push(&mut self, words: &Words<'_>, submission: &Submission) -> bool {
        if self.sq_tail.wrapping_sub(words.sq_head.load(Acquire)) > self.mask {
            return false;
        }
        let Some(slot) = words.submissions.get((self.sq_tail & self.mask) as usize) else { return false };
        let Submission { user_data, message, flags, args_len, in_off, in_len, out_off, out_len, inline } = *submission;
        slot[0].store(user_data, Relaxed);
        slot[1].store(u64::from(args_len) << 48 | u64::from(flags) << 32 | u64::from(message), Relaxed);
        slot[2].store(u64::from(in_len) << 32 | u64::from(in_off), Relaxed);
        slot[3].store(u64::from(out_len) << 32 | u64::from(out_off), Relaxed);
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
    pub fn publish(&mut self, words: &Words<'_>) {
        self.published = self.sq_tail;
        words.sq_tail.store(self.sq_tail, Release);
    }

    /// Takes back what was pushed and not published.
    pub fn take_back(&mut self) {
        self.sq_tail = self.published;
    }

    /// Takes a completion, if there is one. The driver may use its slot anew after [`release`](Self::release).
    #[inline]
    pub fn pop(&mut self, words: &Words<'_>) -> Option<(u64, Error)> {
        if words.cq_tail.load(Acquire) == self.cq_head {
            return None;
        }
        let slot = words.completions.get((self.cq_head & self.mask) as usize)?;
        let answer = slot[1].load(Relaxed);
        let completion = (slot[0].load(Relaxed), Error::new(Status(answer as u32), (answer >> 32) as u32));
        self.cq_head = self.cq_head.wrapping_add(1);
        Some(completion)
    }

    /// Lets the driver have the slots of what was popped.
    #[inline]
    pub fn release(&self, words: &Words<'_>) {
        words.cq_head.store(self.cq_head, Release);
    }
}
