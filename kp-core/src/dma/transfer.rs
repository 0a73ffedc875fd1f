//! More than a device or the machine takes at once.
use super::{Direction, Dma, Mapping, OnDevice, Pages};
use crate::{Passive, Result, Status};
use core::{marker::PhantomData, ops::Range};
use kp_abi::ring::PAGE;

/// The longest part, in bytes.
const LONGEST: usize = 2 << 20;

/// A transfer of more than the device or the machine takes at once: it gives one part after the other.
///
/// ```
/// # use kp_core::*;
/// # fn f(cx: &mut Passive, dma: &Dma, pages: &Pages, program: impl Fn(Segments<'_>), ended: impl Fn(&mut Passive) -> Result<()>) -> Result<()> {
/// let mut transfer = Transfer::<FromDevice>::new(dma, pages, 0..pages.len());
/// while let Some(part) = transfer.next(cx)? {
///     program(part.segments());
///     ended(cx)?; // too late: `part` is dropped, and its memory kept until the device has stopped
///     part.take_back(cx);
/// }
/// # Ok(()) }
/// ```
pub struct Transfer<D: Direction> {
    dma: Dma,
    pages: Pages,
    start: usize,
    at: usize,
    end: usize,
    /// Of the part that was given last.
    given: usize,
    /// Of the part before, 0 at first. What is tried next is twice as long: of what lies scattered, little more than fits the device's limits.
    before: usize,
    _direction: PhantomData<fn(D)>,
}

impl<D: Direction> Transfer<D> {
    /// Of `range` of the pages, in bytes. An empty one has no parts.
    pub fn new(dma: &Dma, pages: &Pages, range: Range<usize>) -> Self {
        let (dma, pages) = (dma.clone(), pages.clone());
        Self {
            dma,
            pages,
            start: range.start,
            at: range.start,
            end: range.end,
            given: 0,
            before: 0,
            _direction: PhantomData,
        }
    }

    /// The next part, with the device: as much as its limits and the machine allow. None: that was all. Passive.
    ///
    /// Errors: those of [`Mapping::new`]; `NO_MEMORY` if not even a page can be shown now. What is done stays done, and it may be asked again.
    pub fn next(&mut self, cx: &mut Passive) -> Result<Option<OnDevice<Mapping<D>>>> {
        self.at += core::mem::take(&mut self.given);
        if self.at >= self.end {
            return Ok(None);
        }
        let part = self.map(cx)?;
        self.given = part.len();
        self.before = self.given;
        Ok(Some(part.hand_over_at_once()))
    }

    /// How many bytes are done: of all parts but the one that is with the device.
    pub fn done(&self) -> usize {
        self.at - self.start
    }

    #[inline(always)]
    fn map(&self, cx: &mut Passive) -> Result<Mapping<D>> {
        let limits = self.dma.limits();
        let most = u64::from(limits.max_segment()) * u64::from(limits.max_segments());
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(LONGEST);
        let attempt = if self.before == 0 { LONGEST } else { self.before.saturating_mul(2).max(PAGE) };
        let len = (self.end - self.at).min(most).min(attempt);
        match Mapping::longest_inlined(cx, &self.dma, &self.pages, self.at..self.at.wrapping_add(len)) {
            // Of copies, so that none of this transfer has to have an address.
            Err(error) if error.status == Status::NO_MEMORY && len > PAGE => {
                Self::map_less(cx, &self.dma.clone(), &self.pages.clone(), self.at, len)
            }
            done => done,
        }
    }

    /// So many bytes are too much at once.
    #[cfg_attr(kp_driver, optimize(size))]
    #[cold]
    #[inline(never)]
    fn map_less(cx: &mut Passive, dma: &Dma, pages: &Pages, at: usize, mut len: usize) -> Result<Mapping<D>> {
        loop {
            len = (len / 2).next_multiple_of(PAGE);
            match Mapping::longest(cx, dma, pages, at..at.wrapping_add(len)) {
                Err(error) if error.status == Status::NO_MEMORY && len > PAGE => {}
                done => return done,
            }
        }
    }
}
