//! Where a call's bytes are while it runs: a pair of buffers that a session keeps, one for what comes in and one for the reply.
//!
//! They are zeroed once, when they are made, and never shared between sessions: what an earlier call left in them is the session's
//! own, and no handler sees it anyway. A second call at the same time gets a pair of its own, and so on: there are as many as there may be
//! calls, since a call has its pair from before its bytes are copied, which may take as long as the app likes.
use crate::{KBox, KVec, Passive, Result, Status, limits};
use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, AtomicU32, Ordering::*},
};
use kp_abi::zerocopy::IntoBytes;

/// A session's pair for up to `DATA` bytes each way.
pub(super) struct Buffers<const DATA: usize>(Kept);

/// A session's pairs of one size.
struct Kept {
    /// The one that is kept; null while a call has it, and before the first one.
    pair: AtomicPtr<Pair>,
    /// How many there are.
    count: AtomicU32,
}

/// [`Buffers`] of a size that is not known before.
pub(super) struct AnyBuffers<'a> {
    kept: &'a Kept,
    data: usize,
}

/// So many bytes and a message's fixed arguments, and then as many bytes. 8-aligned.
struct Pair {
    words: KVec<u64>,
}

impl Pair {
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    fn new(cx: &mut Passive, data: usize) -> Result<NonNull<Self>> {
        let words = KVec::zeroed(cx, (limits::MAX_ARGS + 2 * data) / 8)?;
        Ok(KBox::new(cx, Self { words })?.into_raw())
    }
}

impl<const DATA: usize> Buffers<DATA> {
    pub(super) const fn new() -> Self {
        Self(Kept { pair: AtomicPtr::new(ptr::null_mut()), count: AtomicU32::new(0) })
    }

    /// Makes the pair, so that calls need not.
    pub(super) fn make(&self, cx: &mut Passive) -> Result<()> {
        self.0.keep(self.0.another(cx, DATA)?);
        Ok(())
    }

    /// Runs `f` with a pair, the kept one, or else a new one: first `MAX_ARGS + DATA` bytes for what comes in, then `DATA` for the reply.
    #[inline(always)]
    pub(super) fn with<R>(&self, cx: &mut Passive, f: impl FnOnce(&mut Passive, &mut [u8]) -> R) -> Result<R> {
        self.0.with(cx, DATA, f)
    }

    /// For code that is one for all sizes.
    pub(super) fn any(&self) -> AnyBuffers<'_> {
        AnyBuffers { kept: &self.0, data: DATA }
    }
}

impl AnyBuffers<'_> {
    /// As [`Buffers::with`]; `f` is told the size too.
    #[inline(always)]
    pub(super) fn with<R>(&self, cx: &mut Passive, f: impl FnOnce(&mut Passive, usize, &mut [u8]) -> R) -> Result<R> {
        self.kept.with(cx, self.data, |cx, buffers| f(cx, self.data, buffers))
    }
}

impl Kept {
    #[inline(always)]
    fn with<R>(&self, cx: &mut Passive, data: usize, f: impl FnOnce(&mut Passive, &mut [u8]) -> R) -> Result<R> {
        let pair = match NonNull::new(self.pair.swap(ptr::null_mut(), Acquire)) {
            Some(kept) => kept,
            None => self.another(cx, data)?,
        };
        let in_use = InUse { kept: self, pair };
        // SAFETY: it came from a KBox, and is this call's alone since the swap.
        let pair = unsafe { &mut *in_use.pair.as_ptr() };
        Ok(f(cx, pair.words.as_mut_bytes()))
    }

    /// A new pair. TooManyCalls: there are as many as there may be calls.
    #[cfg_attr(kp_driver, optimize(size))]
    #[cold]
    #[inline(never)]
    fn another(&self, cx: &mut Passive, data: usize) -> Result<NonNull<Pair>> {
        let made = match self.count.fetch_add(1, Relaxed) {
            count if count >= limits::MAX_CALLS => Err(Status::TOO_MANY_CALLS.into()),
            _ => Pair::new(cx, data),
        };
        made.inspect_err(|_| {
            self.count.fetch_sub(1, Relaxed);
        })
    }

    /// Keeps a pair. If another was kept meanwhile, that one is freed.
    #[inline(always)]
    fn keep(&self, pair: NonNull<Pair>) {
        if let Some(other) = NonNull::new(self.pair.swap(pair.as_ptr(), AcqRel)) {
            self.free(other);
        }
    }

    #[cfg_attr(kp_driver, optimize(size))]
    #[cold]
    #[inline(never)]
    fn free(&self, pair: NonNull<Pair>) {
        // SAFETY: it came from a KBox, and the swap that gave it has made it the caller's alone.
        drop(unsafe { KBox::from_raw(pair) });
        self.count.fetch_sub(1, Relaxed);
    }
}

/// A pair that a call has. It is kept afterwards, also when the simulator unwinds.
struct InUse<'a> {
    kept: &'a Kept,
    pair: NonNull<Pair>,
}

impl Drop for InUse<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.kept.keep(self.pair);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(pair) = NonNull::new(*self.pair.get_mut()) {
            self.free(pair);
        }
    }
}
