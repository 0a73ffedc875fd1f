//! Who is inside a session, and the way out.
//!
//! One word: a bit that says shut, and a count of those inside. It covers the plugin's callbacks and nothing else: the app's
//! bytes are copied in before and copied out after, so an app cannot hold a gate with a page that never comes.
use super::{
    Signal, Woken, kernel,
    sync::{AtomicU32, Ordering::*},
    wait_kind,
};
use crate::limits;

const SHUT: u32 = 1 << 31;

/// How often a drain asks whether the plugin has panicked, in ns. A call that panicked never leaves.
const POISON_CHECK_NS: u64 = 100_000_000;

pub(crate) struct Gate {
    word: AtomicU32,
}

/// Why a gate let nobody in.
pub(crate) enum Refused {
    Shut,
    Full,
}

impl Gate {
    /// A gate that is shut, until [`open`](Self::open).
    pub(crate) fn new() -> Self {
        Self { word: AtomicU32::new(SHUT) }
    }

    /// Goes in. Two uncontended atomic operations, this one and the pass's drop.
    #[inline]
    pub(crate) fn enter<'a>(&'a self, drained: &'a Signal) -> Result<Pass<'a>, Refused> {
        let before = self.word.fetch_add(1, Acquire);
        let pass = Pass { gate: self, drained };
        // One comparison: a gate that is shut counts more than any number of callers.
        if before >= limits::MAX_CALLS { Err(pass.refused(before)) } else { Ok(pass) }
    }

    /// Lets callers in. What they will see was written before.
    pub(crate) fn open(&self) {
        self.word.fetch_and(!SHUT, Release);
    }

    /// Lets nobody in any more. Those inside stay.
    pub(crate) fn shut(&self) {
        self.word.fetch_or(SHUT, AcqRel);
    }

    /// How many are inside.
    pub(crate) fn inside(&self) -> u32 {
        self.word.load(Relaxed) & !SHUT
    }

    /// Waits until the last one inside has left a gate that is shut. False: the plugin panicked, and somebody inside will never leave.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn drain(&self, drained: &Signal) -> bool {
        loop {
            let word = self.word.load(Acquire);
            if word == SHUT {
                return true;
            }
            let woken = drained.wait(&self.word, word, POISON_CHECK_NS, wait_kind::UNINTERRUPTIBLE);
            if woken == Woken::Timeout && kernel::poisoned() {
                return self.word.load(Acquire) == SHUT;
            }
        }
    }
}

/// Being inside. Dropping it is leaving.
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    drained: &'a Signal,
}

impl Pass<'_> {
    /// Out again, at once. `before`: what the gate's word was.
    #[cfg_attr(kp_driver, optimize(size))]
    #[cold]
    #[inline(never)]
    fn refused(self, before: u32) -> Refused {
        if before & SHUT != 0 { Refused::Shut } else { Refused::Full }
    }
}

impl Drop for Pass<'_> {
    #[inline]
    fn drop(&mut self) {
        // The session outlives this wake-up even if the drain sees the word first: it is freed only when the port has
        // no request of it in flight.
        if self.gate.word.fetch_sub(1, Release) == SHUT | 1 {
            self.drained.wake();
        }
    }
}
