//! Clock, delays and time limits.
use super::contract;

/// How long to wait at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(u64);

impl Timeout {
    /// No limit.
    pub const NEVER: Self = Self(u64::MAX);

    /// So many nanoseconds; `u64::MAX` is no limit.
    #[inline]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// In nanoseconds; `u64::MAX` without a limit.
    #[inline]
    pub const fn ns(self) -> u64 {
        self.0
    }

    /// Is there no limit?
    #[inline]
    pub const fn is_never(self) -> bool {
        self.0 == u64::MAX
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
