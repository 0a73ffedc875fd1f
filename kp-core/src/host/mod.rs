//! What a port implements and calls. Plugins never come here.
//!
//! - [`Kernel`]: what the port implements (`port`). [`UserRequest`]: one request's bytes in the app's memory.
//! - [`BoundDevice`]: a bound device, from `init` to removal. [`Session`]: one open of it.
//! - `link`: what a plugin keeps of its device, until the removal.
//! - `pause`: a device that sleeps or is being reset.
//! - `requests`: the app's bytes, decoded, checked and answered, the same on every kernel.
//! - [`info`]: what a driver's file says of its plugin.
//! - `direct`: the short way of a call whose message both sides have agreed on.
//! - `buffers`: where a call's bytes are while it runs.
//! - `ring`: batched calls, through memory that app and driver share.
//! - `interrupt`, `notifications`, `pending`: enabling, ISR, DPC; notifications and counters; whether the DPC is queued.
//! - `wait`: INT_WAIT, in steps.
//! - `gate`, `turn`, `signal`: who is inside; one at a time; waiting. `tests/models` checks `gate`, `turn` and `pending` as they stand.
mod buffers;
mod deadline;
mod device;
mod device_state;
mod direct;
mod enable;
mod gate;
mod info;
mod interrupt;
mod isr;
mod kernel_page;
mod lifecycle;
mod link;
mod list;
mod log_line;
mod nospec;
mod notifications;
mod outcome;
mod pause;
mod pending;
mod port;
mod requests;
mod ring;
mod robust_mutex;
mod session;
mod shared_memory;
mod storm;
mod sync;
mod user_request;
mod vector;
mod wait;
mod wait_queue;
mod waker;

pub(crate) use deadline::Deadline;
pub use device::{BoundDevice, RawDevice};
pub use info::{info, info_len};
pub use isr::{dpc, isr};
pub(crate) use link::Link;
pub use log_line::LogLine;
pub use outcome::{DirectResult, RequestResult};
pub use pause::SUSPEND_NS;
pub(crate) use port::kernel;
#[doc(hidden)]
pub use port::types as port_types;
pub use port::{
    BarIndex, ConfigWidth, DeviceId, IoMapping, Irq, IrqEntry, IrqKinds, IrqRequest, Kernel, Lock, LockKind, Log,
    Memory, Mmap, Mmio, Pci, RawLock, RawWaitQueue, Task, TaskFlags, TaskId, Time, Timeout, Vectors, WaitKind,
    WaitQueues, Woken,
};
pub use requests::Readiness;
pub(crate) use robust_mutex::{OwnerDied, RobustMutex};
pub use session::Session;
pub use user_request::{DirectUserRequest, Faulted, UserRequest};
pub use wait::{PendingWait, WaitAnswer};
pub(crate) use wait_queue::WaitQueue;
pub(crate) use waker::Waker;

use crate::{Dispatch, Error, Passive, Reply, Result, Status};

/// What a handler has written, to a reply with room for so many bytes. OutputLength: more than that. A handler may put a reply of its own,
/// with a room of its own, in the place of the host's.
#[inline(always)]
fn written(reply: Reply<'_>, room: usize) -> Result<&[u8]> {
    let bytes = reply.into_bytes();
    if bytes.len() <= room { Ok(bytes) } else { Err(Error::new(Status::OUTPUT_LENGTH, bytes.len() as u32)) }
}

/// Runs `f` at Passive, with nothing to end its sleeps: what a port's entry points do first.
///
/// # Safety
/// The calling thread runs at Passive, and `passive` is not already on its stack.
pub unsafe fn passive<R>(f: impl FnOnce(&mut Passive) -> R) -> R {
    // SAFETY: the caller's promise.
    f(&mut unsafe { Passive::assume() })
}

/// Runs `f` at Dispatch: what a port does first where it is called so, and no level is at hand.
///
/// # Safety
/// The calling processor runs at Dispatch or below, and stays there.
pub unsafe fn dispatch<R>(f: impl FnOnce(&mut Dispatch) -> R) -> R {
    // SAFETY: the caller's promise.
    f(&mut unsafe { Dispatch::assume() })
}
