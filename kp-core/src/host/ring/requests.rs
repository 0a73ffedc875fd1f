//! RING_SETUP, RING_ENTER, RING_TEARDOWN, and an app's mapping of a ring.
#![deny(unsafe_code)]
use super::{message::run_submission, queues::Queues, rings::Ring};
use crate::{
    Passive, Plugin, Result, Status,
    host::{
        kernel,
        outcome::{DirectResult, RequestError},
        page_ref::PageRef,
        session::Session,
        shared_memory::SharedMemory,
    },
};
use core::{ptr::NonNull, sync::atomic::AtomicU64};
use kp_abi::{
    TransportStatus, request,
    ring::{
        Layout, PAGE,
        queue::{Batch, DriverSide},
    },
};

/// Where the kernel page is mapped.
const PAGE_OFFSET: u64 = 0;
/// Where the ring's memory is mapped.
const MEMORY_OFFSET: u64 = PAGE as u64;

impl<P: Plugin> Session<P> {
    /// RING_ENTER in its short form: the status, or the transport's own. `read_write`: the handle was opened so. In the caller's
    /// context.
    pub fn enter_directly(&self, cx: &mut Passive, to_submit: u32, read_write: bool) -> DirectResult {
        if !read_write {
            return Err(TransportStatus::DENIED.status());
        }
        match cx.in_session(&self.context, |cx| try_enter(self, cx, to_submit)) {
            Ok((_, Ok(()))) => Ok(Status::OK),
            Ok((_, Err(status))) => Ok(status),
            Err(RequestError::Answer(error)) => Ok(error.status),
            Err(RequestError::Transport(status)) => Err(status),
        }
    }

    /// An app maps what RING_SETUP has answered: runs `f` with the memory at `offset`, all `len` bytes of it, which stays as long as `f`
    /// runs; `true`: the app may write there. BadField: nothing is mapped so. Denied: it cannot be written. Passive.
    #[cfg_attr(kp_driver, optimize(size))]
    pub fn map_shared<R>(
        &self,
        offset: u64,
        len: usize,
        write: bool,
        f: impl FnOnce(NonNull<u8>, bool) -> R,
    ) -> Result<R, Status> {
        let mapped = self.rings.ring.with(|slot| {
            let page = self.rings.page().get().ok_or(Status::BAD_FIELD)?;
            let (memory, writable) = match (offset, slot) {
                (PAGE_OFFSET, _) => (page, false),
                // A buffer the app has already.
                (MEMORY_OFFSET, Some(ring)) if !is_lent::<P>(ring) => (&ring.memory, true),
                _ => return Err(Status::BAD_FIELD),
            };
            if len != memory.len() {
                return Err(Status::BAD_FIELD);
            }
            if write && !writable {
                return Err(TransportStatus::DENIED.status());
            }
            Ok(f(memory.start(), writable))
        });
        mapped?
    }
}

/// Is it made of a buffer? The compiler knows where none is.
#[inline(always)]
fn is_lent<P: Plugin>(ring: &Ring) -> bool {
    Session::<P>::has_buffers() && ring.memory.is_lent()
}

/// May this session have a ring?
#[cfg_attr(kp_driver, optimize(size))]
fn ring_allowed<P: Plugin>(session: &Session<P>) -> Result<(), RequestError> {
    if !session.is_open() || kernel::poisoned() {
        return Err(session.refusal_status().into());
    }
    if session.features() & request::feature::RING == 0 {
        return Err(TransportStatus::UNKNOWN_REQUEST.into());
    }
    Ok(())
}

/// What a claim of the ring answers.
#[cfg_attr(kp_driver, optimize(size))]
fn claimed<P: Plugin, R>(session: &Session<P>, claimed: Result<R, Status>) -> Result<R, RequestError> {
    claimed.map_err(|status| if status == Status::CLOSED { session.refusal_status() } else { status }.into())
}

/// RING_SETUP.
#[cfg_attr(kp_driver, optimize(size))]
pub(in crate::host) fn setup<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    setup: &mut request::RingSetup,
) -> Result<(), RequestError> {
    ring_allowed(session)?;
    if setup.reserved != 0 || setup.reserved_2 != 0 {
        return Err(Status::BAD_FIELD.into());
    }
    let Some(layout) = Layout::new(setup.entries, setup.data_len) else { return Err(Status::BAD_FIELD.into()) };
    if setup.buffer == 0 && !kernel::can_mmap() {
        return Err(Status::BAD_FIELD.into());
    }
    let made = session.rings.ring.with(|slot| -> Result<()> {
        if slot.is_some() {
            return Err(Status::RING_EXISTS.into());
        }
        let (memory, page) = match lent(session, cx, setup.buffer)? {
            Some(pages) => (SharedMemory::over(cx, pages, layout.len)?, None),
            None => {
                let page = session.rings.page().make(cx)?;
                (SharedMemory::new(cx, layout.len)?, Some(page))
            }
        };
        let ring = Ring { memory, layout, entries: setup.entries, side: DriverSide::START };
        // After an earlier ring, they are that one's.
        ring.side.end(&ring.queues(page).ok_or(Status::BAD_FIELD)?);
        *slot = Some(ring);
        Ok(())
    });
    claimed(session, made)??;
    let is_lent = Session::<P>::has_buffers() && setup.buffer != 0;
    setup.memory_offset = if is_lent { 0 } else { MEMORY_OFFSET };
    setup.memory_len = layout.len as u64;
    setup.page_offset = PAGE_OFFSET;
    setup.page_len = if is_lent { 0 } else { PAGE as u64 };
    setup.sq_at = layout.sq_at as u32;
    setup.cq_at = layout.cq_at as u32;
    setup.data_at = layout.data_at as u32;
    Ok(())
}

/// What the next ring is made of: buffer `number`, or, with 0, memory of the driver's. NoBuffer.
#[inline(always)]
fn lent<P: Plugin>(session: &Session<P>, cx: &mut Passive, number: u32) -> Result<Option<PageRef>> {
    match session.buffer_table() {
        Some(table) => table.lend(cx, number, || session.rings.ring.keep()),
        None if number == 0 => Ok(None),
        None => Err(Status::NO_BUFFER.into()),
    }
}

/// RING_ENTER.
pub(in crate::host) fn enter<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    enter: &mut request::RingEnter,
) -> Result<(), RequestError> {
    enter.submitted = 0;
    let (submitted, end) = try_enter(session, cx, enter.to_submit)?;
    enter.submitted = submitted;
    Ok(end?)
}

#[inline(always)]
fn try_enter<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    to_submit: u32,
) -> Result<(u32, Result<(), Status>), RequestError> {
    ring_allowed(session)?;
    claimed(
        session,
        session.rings.ring.with(|slot| match slot {
            Some(ring) => enter_ring(session, cx, ring, to_submit),
            None => (0, Err(Status::NO_RING)),
        }),
    )
}

/// Runs the batch: how many submissions were taken, and why no more.
fn enter_ring<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    ring: &mut Ring,
    to_submit: u32,
) -> (u32, Result<(), Status>) {
    let is_lent = is_lent::<P>(ring);
    let page = if is_lent { None } else { session.rings.page().get() };
    let queues = if is_lent || page.is_some() { ring.queues(page) } else { None };
    let data = ring.memory.words(ring.layout.data_at, ring.layout.data_len() / 8);
    let (Some(queues), Some(data)) = (queues, data) else { return (0, Err(Status::NO_RING)) };
    let Batch { submitted, room } = match ring.side.begin(&queues, to_submit) {
        Ok(batch) => batch,
        Err(status) => return (0, Err(status)),
    };
    let first = ring.side;
    let end = if room < submitted { Status::BUSY } else { Status::OK };
    let (side, status) = run_batch(session, cx, first, submitted.min(room), &queues, data);
    side.end(&queues);
    ring.side = side;
    let end = if status == Status::OK { end } else { status };
    let end = if end == Status::OK { Ok(()) } else { Err(end) };
    (side.answered().wrapping_sub(first.answered()), end)
}

/// Runs `count` submissions: how far it came, and why no further, or Ok. Apart from what comes before and after it, which the
/// compiler would keep in registers that the loop needs.
#[inline(never)]
fn run_batch<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    mut side: DriverSide,
    count: u32,
    queues: &Queues<'_>,
    data: &[AtomicU64],
) -> (DriverSide, Status) {
    let last = side.answered().wrapping_add(count);
    let task_flags = kernel::task_flags();
    while side.answered() != last {
        if task_flags.needs_resched() && kernel::cond_resched() {
            return (side, Status::INTERRUPTED);
        }
        if Session::<P>::has_buffers() && session.rings.ring.is_discarded() {
            return (side, Status::INTERRUPTED);
        }
        let entry = side.take(queues);
        let answer = run_submission(session, cx, entry, data, (&mut side, queues));
        if answer.is_err() && session.is_ending() {
            return (side, session.refusal_status());
        }
    }
    (side, Status::OK)
}

/// RING_SETUP's answer cannot be written: as RING_TEARDOWN, also if another thread has entered the ring by now.
#[cfg_attr(kp_driver, optimize(size))]
pub(in crate::host) fn undo<P: Plugin>(session: &Session<P>) -> Result<(), RequestError> {
    drop(session.rings.discard());
    Ok(())
}

/// RING_TEARDOWN.
#[cfg_attr(kp_driver, optimize(size))]
pub(in crate::host) fn teardown<P: Plugin>(session: &Session<P>) -> Result<(), RequestError> {
    ring_allowed(session)?;
    match claimed(session, session.rings.ring.with(Option::take))? {
        Some(ring) => {
            drop(ring);
            Ok(())
        }
        None => Err(Status::NO_RING.into()),
    }
}
