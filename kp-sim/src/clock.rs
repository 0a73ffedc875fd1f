//! The steps of simulated time.

/// A clock that is read moves on by this much, in ns: a loop that waits for a time ends.
pub(crate) const READ_NS: u64 = 100;
/// Longest step in which time passes for a device, in ns.
pub(crate) const STEP_NS: u64 = 1_000_000;
