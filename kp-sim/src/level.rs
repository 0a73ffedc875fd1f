//! Passive, Dispatch, Irql: the numbers of [`kp_core::host::LockKind`].

pub(crate) const PASSIVE: u8 = 0;
pub(crate) const DISPATCH: u8 = 1;
pub(crate) const IRQL: u8 = 2;

/// A level's name.
pub(crate) fn level_name(level: u8) -> &'static str {
    ["Passive", "Dispatch", "Irql"][usize::from(level.min(IRQL))]
}
