//! When a wait is over.
#![deny(unsafe_code)]
use super::{Timeout, kernel};

/// Once plugin code has panicked: how long a waiter sleeps before it checks whether the one that it waits for is dead, in ns.
const POISON_CHECK_NS: u64 = 100_000_000;

/// A time of the kernel's clock, in ns, at which a wait is over; or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline(u64);

impl Deadline {
    /// The wait has no limit.
    pub(crate) const NEVER: Self = Self(u64::MAX);
    /// The wait is over when it begins.
    pub(crate) const PAST: Self = Self(0);

    /// `timeout` from now on.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn after(timeout: Timeout) -> Self {
        if timeout.is_never() { Self::NEVER } else { Self(kernel::now_ns().saturating_add(timeout.ns())) }
    }

    /// The time of the clock; None: never.
    pub(crate) fn ns(self) -> Option<u64> {
        (self != Self::NEVER).then_some(self.0)
    }

    /// How long it is until then.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn left(self) -> Timeout {
        match self.ns() {
            Some(ns) => Timeout::from_ns(ns.saturating_sub(kernel::now_ns())),
            None => Timeout::NEVER,
        }
    }

    /// Has the time come?
    pub(crate) fn is_over(self) -> bool {
        self.left() == Timeout::from_ns(0)
    }

    /// How long to wait before the next look. A wait without a limit has none, so that a kernel can tell one that hangs; it ends with a
    /// panic of plugin code. From then on the waiter checks ten times a second whether the one that it waits for is dead.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn next_look(self, poisoned: bool) -> Timeout {
        let left = self.left();
        if poisoned { Timeout::from_ns(left.ns().min(POISON_CHECK_NS)) } else { left }
    }
}
