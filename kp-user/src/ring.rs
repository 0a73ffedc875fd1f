//! The session's ring: submissions and completions in memory that the driver shares.
use crate::{
    Connection, SharedMemory,
    buffer::Numbers,
    shared::{Kept, PowerOfTwo, Slots},
};
use kp_abi::{
    Counters, Error, Result, Status,
    request::{ANY_VECTOR, BufferRegister, Request, RingSetup, access},
    ring::{
        KernelPage, Layout, SHOWN_VECTORS, Submission, UserPage, figures,
        queue::{AppSide, CompletionSlot, Shared, SubmissionSlot},
    },
};
use std::{
    fmt,
    mem::offset_of,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Acquire},
    },
};

/// A ring: what [`Batch`](crate::Batch) is made on, for those who want to fill in submissions themselves. A session has one at most.
/// Dropping it takes it down.
pub struct Ring {
    connection: Arc<dyn Connection>,
    memory: SharedMemory,
    /// None: the memory is a buffer.
    page: Option<SharedMemory>,
    layout: Layout,
    entries: u32,
    side: AppSide,
    sq_tail: Kept<AtomicU32>,
    cq_head: Kept<AtomicU32>,
    sq_head: Kept<AtomicU32>,
    cq_tail: Kept<AtomicU32>,
    submissions: Slots<SubmissionSlot>,
    completions: Slots<CompletionSlot>,
    data: Kept<[AtomicU64]>,
}

impl Ring {
    /// Sets it up, with `entries` submissions, a power of two, and `data_len` bytes for what they send and get.
    ///
    /// [`UNKNOWN_REQUEST`](kp_abi::TransportStatus::UNKNOWN_REQUEST) if the driver has no rings, or OPEN has not asked for them;
    /// [`RING_EXISTS`](Status::RING_EXISTS); [`BAD_FIELD`](Status::BAD_FIELD) above the limits; [`NO_MEMORY`](Status::NO_MEMORY), on Linux also
    /// above what the process may lock (RLIMIT_MEMLOCK). Where the ring's memory is a [buffer](crate::Buffer), as on Windows, it needs a number of its
    /// own while it is set up: [`BUFFER_IN_USE`](Status::BUFFER_IN_USE) if the session's buffers have them all.
    pub fn set_up(connection: &Arc<dyn Connection>, entries: u32, data_len: u32) -> Result<Self> {
        Self::set_up_by(connection, &Numbers::default(), entries, data_len)
    }

    /// The same; a buffer's number is one of these.
    pub(crate) fn set_up_by(
        connection: &Arc<dyn Connection>,
        numbers: &Numbers,
        entries: u32,
        data_len: u32,
    ) -> Result<Self> {
        let mut setup = RingSetup { entries, data_len, ..Request::new() };
        // One that no driver makes is refused by it, whatever its memory would be.
        let lent = match Layout::new(entries, data_len) {
            Some(layout) if !connection.can_map() => {
                Some(numbers.with_spare(|number| lend(&**connection, number, layout.len, &mut setup))?)
            }
            _ => {
                connection.ring_setup(&mut setup)?;
                None
            }
        };
        let ring = Self::map(connection, &setup, lent);
        if ring.is_err() {
            let _ = connection.ring_teardown();
        }
        ring
    }

    fn map(connection: &Arc<dyn Connection>, setup: &RingSetup, lent: Option<SharedMemory>) -> Result<Self> {
        let layout = Layout::new(setup.entries, setup.data_len).ok_or(Status::PROTOCOL)?;
        let said = (setup.memory_len, setup.sq_at, setup.cq_at, setup.data_at);
        let page_len = if lent.is_some() { 0 } else { size_of::<KernelPage>() };
        if said != (layout.len as u64, layout.sq_at as u32, layout.cq_at as u32, layout.data_at as u32)
            || setup.page_len != page_len as u64
        {
            return Err(Status::PROTOCOL.into());
        }
        let (memory, page) = match lent {
            Some(memory) => (memory, None),
            None => {
                let memory = connection.map_shared(setup.memory_offset, layout.len, true)?;
                (memory, Some(connection.map_shared(setup.page_offset, size_of::<KernelPage>(), false)?))
            }
        };
        let [sq_head, cq_tail] = match &page {
            Some(page) => {
                [offset_of!(KernelPage, sq_head), offset_of!(KernelPage, cq_tail)].map(|at| page.kept_word(at))
            }
            None => [offset_of!(UserPage, sq_head), offset_of!(UserPage, cq_tail)].map(|at| memory.kept_word(at)),
        };
        Ok(Self {
            connection: connection.clone(),
            layout,
            entries: setup.entries,
            side: AppSide::new(setup.entries),
            sq_tail: memory.kept_word(offset_of!(UserPage, sq_tail)),
            cq_head: memory.kept_word(offset_of!(UserPage, cq_head)),
            sq_head,
            cq_tail,
            submissions: memory.slots(layout.sq_at, setup.entries as usize),
            completions: memory.slots(layout.cq_at, setup.entries as usize),
            data: memory.kept_words(layout.data_at, layout.data_len() / 8),
            memory,
            page,
        })
    }

    /// Submissions that it has room for.
    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// Length of the data area in bytes: whole pages.
    pub fn data_len(&self) -> usize {
        self.layout.data_len()
    }

    /// The data area, and what writes a submission to the queue.
    #[inline(always)]
    pub(crate) fn parts(&mut self) -> (&[AtomicU64], Submissions<'_>) {
        let Self { side, sq_tail, cq_head, sq_head, cq_tail, submissions, completions, data, .. } = self;
        let words = Words {
            app: [sq_tail, cq_head],
            driver: [sq_head, cq_tail],
            submissions: submissions.get(),
            completions: completions.get(),
        };
        (data, Submissions { side, words })
    }

    /// The data area.
    #[inline(always)]
    pub(crate) fn data(&self) -> &[AtomicU64] {
        &self.data
    }

    /// Both queues, as the last [`enter`](Self::enter) has left them.
    // Always inlined, so that a loop has `now` in registers.
    #[inline(always)]
    pub fn queues(&mut self) -> Queues<'_> {
        let (_, Submissions { side, words }) = self.parts();
        let mut now = *side;
        now.look(&words);
        Queues { now, side, words }
    }

    /// RING_ENTER: has the driver run what was submitted, in this thread. How many it has taken, and why it stopped, if not for want of
    /// more: [`BUSY`](Status::BUSY) if completions have to be taken first, or another thread is here already.
    #[inline]
    pub fn enter(&self) -> (u32, Result<()>) {
        let before = self.sq_head.load(Acquire);
        let entered = self.connection.ring_enter(self.entries);
        (self.sq_head.load(Acquire).wrapping_sub(before), entered)
    }

    /// Writes to the data area, from `at`, a multiple of 8, on; whole words. Panics if there is no room.
    #[inline]
    pub fn write(&self, at: usize, bytes: &[u8]) {
        self.memory.write(self.layout.data_at + at, bytes);
    }

    /// Reads from the data area, from `at`, a multiple of 8, on. Panics if there are not as many.
    #[inline]
    pub fn read(&self, at: usize, bytes: &mut [u8]) {
        self.memory.read(self.layout.data_at + at, bytes);
    }

    /// The counters of the interrupt that this session has enabled since it has a ring, of `vector` or of all together with
    /// [`ANY_VECTOR`], and the number of that enabling; 0 if there is none. No system call: each figure is as it was at some moment, but not all at the same one. For
    /// exact sums there is [`Interrupts::counters`](crate::Interrupts::counters). Where the ring's memory is a buffer, as on Windows, it is that: a
    /// request, which shows whichever session's enabling there is.
    ///
    /// [`BAD_VECTOR`](Status::BAD_VECTOR) if the enabling has no such vector, or more vectors than the page has room for, which is 60.
    pub fn counters(&self, vector: u32) -> Result<(u64, Counters)> {
        let Some(page) = &self.page else { return self.connection.int_count(vector) };
        let word = |at| &page.words(at, 1)[0];
        loop {
            let read = || sum(page, vector, word(offset_of!(KernelPage, vectors)).load(Acquire) as usize);
            if let Some((generation, sum)) = figures::read(word(offset_of!(KernelPage, generation)), read) {
                return Ok((generation, sum?));
            }
        }
    }
}

/// Sets a ring up on new memory, `len` bytes, which is buffer `number` meanwhile: the ring keeps the memory afterwards.
fn lend(connection: &dyn Connection, number: u32, len: usize, setup: &mut RingSetup) -> Result<SharedMemory> {
    let (addr, memory) = connection.new_memory(len)?;
    let (buffer, len, access) = (number, len as u64, access::WRITE);
    connection.buffer_register(&BufferRegister { addr, len, buffer, access, ..Request::new() })?;
    setup.buffer = number;
    let made = connection.ring_setup(setup);
    // A session that is over has none any more.
    let _ = connection.buffer_release(number);
    made.map(|()| memory)
}

/// What the page has of one vector, or of all together, if there are `vectors`.
fn sum(page: &SharedMemory, vector: u32, vectors: usize) -> Result<Counters> {
    let shown = match vector as usize {
        _ if vector == ANY_VECTOR && vectors <= SHOWN_VECTORS => 0..vectors,
        one if one < vectors.min(SHOWN_VECTORS) => one..one + 1,
        _ => return Err(Status::BAD_VECTOR.into()),
    };
    let mut sum = Counters::default();
    for vector in shown {
        let at = offset_of!(KernelPage, counters) + vector * size_of::<Counters>();
        let mut words = page.words(at, size_of::<Counters>() / 8).iter().map(|word| word.load(Acquire));
        let mut next = || words.next().unwrap_or_default();
        sum.add(&Counters {
            received: next(),
            spurious: next(),
            deferred: next(),
            dpc_runs: next(),
            notified: next(),
            delivered: next(),
            available: next(),
            lost: next(),
        });
    }
    Ok(sum)
}

impl Drop for Ring {
    fn drop(&mut self) {
        // A session that is over has none any more.
        let _ = self.connection.ring_teardown();
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("entries", &self.entries).field("layout", &self.layout).finish_non_exhaustive()
    }
}

/// The queues as the app finds them.
struct Words<'m> {
    app: [&'m AtomicU32; 2],
    driver: [&'m AtomicU32; 2],
    submissions: PowerOfTwo<'m, SubmissionSlot>,
    completions: PowerOfTwo<'m, CompletionSlot>,
}

impl<'m> Shared<'m> for Words<'m> {
    fn entries(&self) -> u32 {
        self.submissions.len() as u32
    }
    fn sq_tail(&self) -> &'m AtomicU32 {
        self.app[0]
    }
    fn cq_head(&self) -> &'m AtomicU32 {
        self.app[1]
    }
    fn sq_head(&self) -> &'m AtomicU32 {
        self.driver[0]
    }
    fn cq_tail(&self) -> &'m AtomicU32 {
        self.driver[1]
    }
    #[inline(always)]
    fn submission(&self, index: u32) -> &'m SubmissionSlot {
        self.submissions.modulo(index as usize)
    }
    #[inline(always)]
    fn completion(&self, index: u32) -> &'m CompletionSlot {
        self.completions.modulo(index as usize)
    }
}

/// The submissions of a ring, one now and then: what [`Queues`] does for many. It does not look which slots are free, so a [`Queues`] has to
/// be made after each RING_ENTER.
pub(crate) struct Submissions<'a> {
    side: &'a mut AppSide,
    words: Words<'a>,
}

impl Submissions<'_> {
    /// As [`Queues::push`].
    #[inline(always)]
    pub(crate) fn push(&mut self, submission: &Submission) -> bool {
        self.side.push(&self.words, submission)
    }
}

/// A ring's two queues. From [`Ring::queues`].
pub struct Queues<'a> {
    /// Where it is now: in registers, in a loop.
    now: AppSide,
    side: &'a mut AppSide,
    words: Words<'a>,
}

impl Drop for Queues<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        *self.side = self.now;
    }
}

impl Queues<'_> {
    /// Writes a submission. False: the queue was full when it came from [`Ring::queues`]. The driver sees it after [`publish`](Self::publish).
    #[inline(always)]
    pub fn push(&mut self, submission: &Submission) -> bool {
        self.now.push(&self.words, submission)
    }

    /// Lets the driver see what was pushed.
    #[inline(always)]
    pub fn publish(&mut self) {
        self.now.publish(&self.words);
    }

    /// Takes back what was pushed and not published.
    pub fn take_back(&mut self) {
        self.now.take_back();
    }

    /// The next completion, if there is one: its submission's `user_data`, and status and detail.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<(u64, Error)> {
        self.now.pop(&self.words)
    }

    /// Lets the driver use the slots of what was popped.
    #[inline]
    pub fn release(&mut self) {
        self.now.release(&self.words);
    }
}
