//! What an enabled interrupt gives: its kind, and notifications.

/// What INT_ENABLE got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntEnabled {
    /// One of [`kind`](kp_abi::request::kind).
    pub kind: u32,
    /// Vectors.
    pub count: u32,
    /// Number of this enabling; each one has its own counters.
    pub generation: u64,
}

/// Notifications that a wait has taken. Each goes to exactly one wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Vector they came from.
    pub vector: u32,
    /// Notifications taken; at least 1.
    pub got: u32,
    /// Notifications of that vector still there.
    pub available: u64,
    /// Number of the enabling they belong to.
    pub generation: u64,
}
