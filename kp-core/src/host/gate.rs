//! Rundown protection of a session: who is inside, and waiting until nobody is.
//!
//! It covers the plugin's callbacks and nothing else: the app's bytes are copied in before and copied out after, so an app cannot hold a gate
//! with a page that never comes. One word has all of it, so that entering is one atomic addition and one comparison:
//!
//! | the word, as a signed number | the gate |
//! |---|---|
//! | negative, below `OPEN` + `MAX_CALLS` | open, and so many are inside |
//! | negative, from there on | open, and full: the one that came leaves again |
//! | 0 or positive | shut or paused, and so many are inside |
#![deny(unsafe_code)]
use super::{
    Deadline, KernelWaitQueue, WaitKind, Woken, kernel,
    sync::{AtomicU32, Ordering::*},
};
use crate::limits;

/// The gate is open. It is the sign bit, so one signed comparison on the way in says whether the caller may enter. On the way out of a gate
/// that is not open, a comparison with zero says whether it was the last.
const OPEN: u32 = 1 << 31;

/// See the module.
pub(crate) struct Gate {
    word: AtomicU32,
    /// 1 between [`Gate::open`] and [`Gate::shut`]: a gate that lets nobody in then is paused.
    in_use: AtomicU32,
}

/// Why a gate let nobody in.
pub(crate) enum Refused {
    /// Not opened yet, or shut for good.
    Shut,
    /// Shut for a while.
    Paused,
    Full,
}

impl Gate {
    /// A gate that is shut, until [`open`](Self::open).
    pub(crate) fn new() -> Self {
        Self { word: AtomicU32::new(0), in_use: AtomicU32::new(0) }
    }

    /// Goes in. Two uncontended atomic operations, this one and the pass's drop.
    #[inline]
    pub(crate) fn enter<'a>(&'a self, drained: &'a KernelWaitQueue) -> Result<Pass<'a>, Refused> {
        let before = self.word.fetch_add(1, Acquire);
        let pass = Pass { gate: self, drained };
        if before.cast_signed() < (OPEN | limits::MAX_CALLS).cast_signed() {
            Ok(pass)
        } else {
            Err(pass.refused(before))
        }
    }

    /// Lets callers in. What they will see was written before.
    pub(crate) fn open(&self) {
        self.in_use.store(1, Release);
        self.word.fetch_or(OPEN, Release);
    }

    /// Lets nobody in any more. Those inside stay.
    pub(crate) fn shut(&self) {
        // Before the word: a caller that finds that shut finds the reason too.
        self.in_use.store(0, Release);
        self.pause();
    }

    /// Lets nobody in until [`resume`](Self::resume). Those inside stay.
    pub(crate) fn pause(&self) {
        self.word.fetch_and(!OPEN, AcqRel);
    }

    /// Lets callers in after a pause, unless it was shut meanwhile. A [`shut`](Self::shut) that comes at the same time has to be repeated.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn resume(&self) {
        if self.in_use.load(Acquire) != 0 {
            self.word.fetch_or(OPEN, Release);
        }
    }

    /// How many are inside.
    pub(crate) fn inside(&self) -> u32 {
        self.word.load(Relaxed) & !OPEN
    }

    /// Waits until the last one inside has left a gate that is shut or paused, or the time is up. False: somebody is inside still;
    /// if there was no limit, the plugin panicked, and somebody inside will never leave.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn drain(&self, drained: &KernelWaitQueue, until: Deadline) -> bool {
        loop {
            let word = self.word.load(Acquire);
            if word == 0 {
                return true;
            }
            let poisoned = kernel::poisoned();
            let woken = drained.wait(&self.word, word, until.next_look(poisoned), WaitKind::Uninterruptible);
            // A call that panicked never leaves: those who live had their time.
            if woken == Woken::Timeout && (poisoned || until.is_over()) {
                return self.word.load(Acquire) == 0;
            }
        }
    }
}

/// Being inside. Dropping it is leaving.
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    drained: &'a KernelWaitQueue,
}

impl Pass<'_> {
    /// Out again, at once. `before`: what the gate's word was.
    #[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
    fn refused(self, before: u32) -> Refused {
        match (before & OPEN, self.gate.in_use.load(Acquire)) {
            (0, 0) => Refused::Shut,
            (0, _) => Refused::Paused,
            _ => Refused::Full,
        }
    }
}

impl Drop for Pass<'_> {
    #[inline]
    fn drop(&mut self) {
        // The session outlives this wake-up even if the drain sees the word first: it is freed only when the port has
        // no request of it in flight.
        if self.gate.word.fetch_sub(1, Release) == 1 {
            self.drained.wake();
        }
    }
}
