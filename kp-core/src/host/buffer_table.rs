//! The buffers that an app has registered with its session, by number; and which of them its ring is made of.
#![deny(unsafe_code)]
use super::{RawPages, nospec::array_index_nospec, page_ref::PageRef, read_mostly::ReadMostly};
use crate::{KVec, Passive, Result, Status, limits};
use core::{num::NonZeroUsize, ptr::NonNull};

/// See the module.
pub(crate) struct BufferTable(ReadMostly<State>);

struct State {
    /// As many as the highest number so far.
    buffers: KVec<Option<PageRef>>,
    /// Bytes of all of them.
    pinned: u64,
    /// What the session's ring was last made of, if that was one of them.
    ring: Option<NonNull<RawPages>>,
    /// The session is torn down: nothing is registered any more.
    is_over: bool,
}

impl BufferTable {
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn new(cx: &mut Passive) -> Result<Self> {
        let state = State { buffers: KVec::new(), pinned: 0, ring: None, is_over: false };
        Ok(Self(ReadMostly::new(cx, state)?))
    }

    /// May `len` more bytes be registered as buffer `number`? BufferInUse, PinLimit, Closed.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn check(&self, cx: &mut Passive, number: u32, len: NonZeroUsize) -> Result<()> {
        self.0.read(cx, |state| state.check(number, len))
    }

    /// Registers `pages` as buffer `number`. Errors: as [`check`](Self::check), NoMemory; the pages are let go then.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn insert(&self, cx: &mut Passive, number: u32, pages: PageRef) -> Result<()> {
        // The caller's reference is dropped without the lock: letting pages go takes its time.
        self.0.change(cx, |state, cx| state.insert(cx, number, &pages))
    }

    /// Takes buffer `number` out. NoBuffer.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn remove(&self, cx: &mut Passive, number: u32) -> Result<PageRef> {
        self.0.change(cx, |state, _| {
            let pages = state.slot(number).and_then(Option::take).ok_or(Status::NO_BUFFER)?;
            Ok(state.unpinned(pages))
        })
    }

    /// The session's next ring is made of buffer `number`, which is to be dropped with it; 0: of none. `begin` runs before anybody can take these pages
    /// [back](Self::take_back). NoBuffer.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn lend(&self, cx: &mut Passive, number: u32, begin: impl FnOnce()) -> Result<Option<PageRef>> {
        self.0.change(cx, |state, _| {
            let pages = match number {
                0 => None,
                _ => Some(state.slot(number).and_then(|slot| slot.clone()).ok_or(Status::NO_BUFFER)?),
            };
            state.ring = pages.as_ref().map(PageRef::raw);
            begin();
            Ok(pages)
        })
    }

    /// Takes the buffer out that has these pages, if it is still there, and what `discard` gives if the ring is made of them. To be dropped.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn take_back<R>(
        &self,
        cx: &mut Passive,
        raw: NonNull<RawPages>,
        discard: impl FnOnce() -> R,
    ) -> (Option<PageRef>, Option<R>) {
        self.0.change(cx, |state, _| {
            let is_it = |slot: &&mut Option<PageRef>| slot.as_ref().is_some_and(|pages| pages.raw() == raw);
            let pages = state.buffers.iter_mut().find(is_it).and_then(Option::take);
            let ring = (state.ring == Some(raw)).then(discard);
            (pages.map(|pages| state.unpinned(pages)), ring)
        })
    }

    /// Buffer `number`. NoBuffer.
    pub(crate) fn get(&self, cx: &mut Passive, number: u32) -> Result<PageRef> {
        let pages = self.0.read(cx, |state| state.index(number).and_then(|at| state.buffers.get(at)?.clone()));
        pages.ok_or(Status::NO_BUFFER.into())
    }

    /// Lets all go, and takes no more.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn end(&self, cx: &mut Passive) {
        let buffers = self.0.change(cx, |state, _| {
            state.is_over = true;
            state.pinned = 0;
            core::mem::take(&mut state.buffers)
        });
        drop(buffers);
    }
}

impl State {
    fn check(&self, number: u32, len: NonZeroUsize) -> Result<()> {
        if self.is_over {
            return Err(Status::CLOSED.into());
        }
        if self.index(number).and_then(|at| self.buffers.get(at)?.as_ref()).is_some() {
            return Err(Status::BUFFER_IN_USE.into());
        }
        if self.pinned.saturating_add(len.get() as u64) > limits::MAX_PINNED {
            return Err(Status::PIN_LIMIT.into());
        }
        Ok(())
    }

    fn insert(&mut self, cx: &mut Passive, number: u32, pages: &PageRef) -> Result<()> {
        self.check(number, pages.len())?;
        while self.buffers.len() <= number as usize {
            self.buffers.push(cx, None)?;
        }
        if let Some(slot) = self.slot(number) {
            *slot = Some(pages.clone());
        }
        self.pinned += pages.len().get() as u64;
        Ok(())
    }

    /// These are out of it.
    fn unpinned(&mut self, pages: PageRef) -> PageRef {
        self.pinned -= pages.len().get() as u64;
        pages
    }

    /// The place of buffer `number`, if it has one.
    fn slot(&mut self, number: u32) -> Option<&mut Option<PageRef>> {
        let at = self.index(number)?;
        self.buffers.get_mut(at)
    }

    #[inline(always)]
    fn index(&self, number: u32) -> Option<usize> {
        let count = self.buffers.len();
        ((number as usize) < count).then(|| array_index_nospec(number as usize, count))
    }
}
