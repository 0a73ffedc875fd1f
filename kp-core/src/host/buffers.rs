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

/// Data of a call and reply, each, up to which a call allocates nothing, in bytes.
pub(super) const SMALL: usize = 4096;

/// A session's pairs.
pub(super) struct Buffers {
    /// For most calls; made at OPEN.
    small: Kept,
    /// For the largest; made at the first of them.
    large: Kept,
}

/// A session's pairs of one size.
struct Kept {
    /// The one that is kept; null while a call has it, and before the first one.
    pair: AtomicPtr<Pair>,
    /// How many there are.
    count: AtomicU32,
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

impl Buffers {
    pub(super) const fn new() -> Self {
        Self { small: Kept::new(), large: Kept::new() }
    }

    /// Does the small pair do for so many bytes each way?
    #[inline(always)]
    pub(super) const fn is_small(in_len: usize, out_len: usize) -> bool {
        in_len <= SMALL && out_len <= SMALL
    }

    /// Makes the small pair, so that calls need not.
    pub(super) fn make_small(&self, cx: &mut Passive) -> Result<()> {
        self.small.keep(self.small.another(cx, SMALL)?);
        Ok(())
    }

    /// A pair for so many bytes of data each way. Errors: `NO_MEMORY`, `TOO_MANY_CALLS`.
    #[inline(always)]
    pub(super) fn get(&self, cx: &mut Passive, in_len: usize, out_len: usize) -> Result<InUse<'_>> {
        let (kept, room) =
            if Self::is_small(in_len, out_len) { (&self.small, SMALL) } else { (&self.large, limits::MAX_DATA) };
        kept.get(cx, room)
    }

    /// As [`get`](Self::get), a small one.
    #[inline(always)]
    pub(super) fn get_small(&self, cx: &mut Passive) -> Result<InUse<'_>> {
        self.small.get(cx, SMALL)
    }
}

impl Kept {
    const fn new() -> Self {
        Self { pair: AtomicPtr::new(ptr::null_mut()), count: AtomicU32::new(0) }
    }

    /// The kept pair, or a new one.
    #[inline(always)]
    fn get(&self, cx: &mut Passive, room: usize) -> Result<InUse<'_>> {
        let pair = match NonNull::new(self.pair.swap(ptr::null_mut(), Acquire)) {
            Some(kept) => kept,
            None => self.another(cx, room)?,
        };
        Ok(InUse { kept: self, pair, room })
    }

    /// A new pair. TooManyCalls: there are as many as there may be calls.
    #[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
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

    #[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
    fn free(&self, pair: NonNull<Pair>) {
        // SAFETY: it came from a KBox, and the swap that gave it has made it the caller's alone.
        drop(unsafe { KBox::from_raw(pair) });
        self.count.fetch_sub(1, Relaxed);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(pair) = NonNull::new(*self.pair.get_mut()) {
            self.free(pair);
        }
    }
}

/// A pair that a call has. The session keeps it afterwards, also when the simulator unwinds.
pub(super) struct InUse<'a> {
    kept: &'a Kept,
    pair: NonNull<Pair>,
    room: usize,
}

impl InUse<'_> {
    /// All of it.
    #[inline(always)]
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: it came from a KBox, and is this call's alone since the swap that took it.
        unsafe { self.pair.as_ref() }.words.as_bytes()
    }

    /// Both buffers: first `MAX_ARGS` and as many bytes as there may be data, for what comes in, then as many for the reply.
    #[inline(always)]
    pub(super) fn halves(&mut self) -> Result<(&mut [u8], &mut [u8])> {
        let room = self.room;
        // SAFETY: it came from a KBox, and is this call's alone since the swap that took it.
        let pair = unsafe { self.pair.as_mut() };
        let halves = pair.words.as_mut_bytes().split_at_mut_checked(limits::MAX_ARGS + room);
        halves.ok_or_else(|| too_large().into())
    }
}

impl Drop for InUse<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.kept.keep(self.pair);
    }
}

/// Never: lengths were checked before. The compiler does not see it, and takes a call of a `#[cold]` function for unlikely.
#[cold]
#[inline(never)]
pub(super) fn too_large() -> Status {
    Status::PAYLOAD_TOO_LARGE
}
