//! The kernel's log.
use super::contract;

contract! { ($)
    /// The kernel's log.
    safe trait Log, exported by __export_log;

    /// Writes one line to the kernel's log. Any level.
    safe fn log(text: &str) -> ();
    /// Is a place in the source that writes line after line to be slowed down? Any level; the answer must not change.
    safe fn log_is_limited() -> bool;
}
