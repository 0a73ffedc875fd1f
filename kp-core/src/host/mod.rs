//! What a port implements and calls. Plugins never come here.
//!
//! - [`Kernel`]: what the port implements (`port`). [`Door`]: one request's bytes in the app's memory.
//! - [`Driver`]: a bound device, from `init` to removal. [`Session`]: one open of it.
//! - `requests`: the app's bytes, decoded, checked and answered, the same on every kernel.
//! - `buffers`: where a call's bytes are while it runs.
//! - `interrupt`, `mailbox`, `pending`: enabling, ISR, DPC; notifications and counters; whether the DPC is queued.
//! - `wait`: INT_WAIT, in steps.
//! - `gate`, `turn`, `signal`: who is inside; one at a time; waiting. `tests/models` checks `gate`, `turn` and `pending` as they stand.
mod buffers;
mod door;
mod driver;
mod gate;
mod interrupt;
mod mailbox;
mod pending;
mod port;
mod requests;
mod session;
mod signal;
mod sync;
mod turn;
mod wait;

pub use crate::log::Line;
pub use door::{Door, Faulted};
pub use driver::{Driver, RawDevice};
pub(crate) use port::kernel;
pub use port::{IrqEntry, Kernel, RawLock, RawSignal, Vectors, Woken, lock_kind, wait_kind};
pub use requests::{Readiness, Served};
pub use session::Session;
pub(crate) use signal::{Signal, Stop};
pub(crate) use turn::{Lost, Turn};
pub use wait::{PendingWait, WaitAnswer};

use crate::Passive;

/// Runs `f` at Passive, with nothing to end its sleeps: what a port's entry points do first.
///
/// # Safety
/// The calling thread runs at Passive, and `passive` is not already on its stack.
pub unsafe fn passive<R>(f: impl FnOnce(&mut Passive) -> R) -> R {
    // SAFETY: the caller's promise.
    f(&mut unsafe { Passive::assume() })
}
