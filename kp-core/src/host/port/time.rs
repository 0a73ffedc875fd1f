//! Clock, delays and time limits.
use super::contract;

/// How long to wait at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout {
    ns: u64,
    is_coarse: bool,
}

impl Timeout {
    /// No limit.
    pub const NEVER: Self = Self::from_ns(u64::MAX);

    /// So many nanoseconds; `u64::MAX` is no limit.
    #[inline]
    pub const fn from_ns(ns: u64) -> Self {
        Self { ns, is_coarse: false }
    }

    /// As long, by a clock that may be coarse: whoever waits asks [`now_ns`](Time::now_ns) once it is over, and for most it never is.
    #[inline]
    pub const fn coarse(self) -> Self {
        Self { is_coarse: true, ..self }
    }

    /// May the wait end somewhat before its time, or by an eighth after it? Both are the port's choice: a kernel may have timers that are cheaper then.
    #[inline]
    pub const fn is_coarse(self) -> bool {
        self.is_coarse
    }

    /// In nanoseconds; `u64::MAX` without a limit.
    #[inline]
    pub const fn ns(self) -> u64 {
        self.ns
    }

    /// Is there no limit?
    #[inline]
    pub const fn is_never(self) -> bool {
        self.ns == u64::MAX
    }
}

contract! { ($)
    /// Clock and delays.
    safe trait Time, exported by __export_time;

    /// Time since some start, in ns, without what the machine has slept. Never goes back. Any level.
    safe fn now_ns() -> u64;
    /// Spins for `us` microseconds, at most 50. Any level.
    safe fn stall_us(us: u32) -> ();
    /// Sleeps for `ns` nanoseconds; nothing ends it early. Passive.
    safe fn sleep_ns(ns: u64) -> ();
}
