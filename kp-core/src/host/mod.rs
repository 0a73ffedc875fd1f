//! What a port implements and calls. Plugins never come here.
//!
//! No files import each other in a circle: `tests/house` holds that.
//!
//! | what a port calls | |
//! |---|---|
//! | `requests` | each request, from the app's bytes to the app's bytes; `wait`: INT_WAIT, in steps; `direct`: CALL's fast path |
//! | `ring` | batched calls, through memory that app and driver share |
//! | `pause` | a device that sleeps or is being reset |
//! | `lifecycle` | bind and remove, open and close: every tear-down, in its one order |
//! | `enable` | enabling and disabling the interrupt, as values that undo themselves |
//! | `own`, `listen` | an interrupt of the plugin's own: when it is enabled; apps that listen to it |
//! | `isr`, `storm` | what runs when the device interrupts; the guard against an interrupt that never ends |
//! | `scheduled` | timers and work items |
//!
//! | what they work on | |
//! |---|---|
//! | `session`, `session_context` | one open, and its gate; what its calls have of it |
//! | `device`, `device_state` | the record of a bound device: the plugin's value, its interrupt, its handles; its state |
//! | `interrupt`, `notifications`, `vector`, `kernel_page` | the interrupt; pending notifications; counters, and where an app sees them |
//! | `buffers`, `buffer_table`, `shared_memory` | a call's bytes; an app's buffers; memory that an app maps |
//! | `link`, `masks` | what a plugin keeps of its device; which of its vectors it masks |
//! | `device_dma`, `dma_memory`, `mapped`, `page_ref`, `stop_dma` | a device's own transfers: what is made for them, who frees it and when; pages; how transfers end |
//!
//! | what those are made of | |
//! |---|---|
//! | `gate`, `rundown`, `read_mostly`, `robust_mutex`, `pending` | who is inside a session, or uses a device's memory (rundown protection); who reads what seldom changes; one at a time; is the DPC queued? Checked by `tests/models` |
//! | `waker`, `kernel_wait_queue`, `event_count`, `waiters`, `deadline`, `list`, `stack`, `nospec`, `log_line` | waiting and waking; time limits; intrusive lists, and one without a lock; indices; text without allocation |
//! | `outcome`, [`UserRequest`] | how a request ends; one request's bytes in the app's memory |
//! | [`Kernel`] (`port`) | what the port implements, by topic |
mod buffer_table;
mod buffers;
mod deadline;
mod device;
mod device_dma;
mod device_state;
mod direct;
mod dma_memory;
mod enable;
mod event_count;
mod gate;
mod info;
mod interrupt;
mod isr;
mod kernel_page;
mod kernel_wait_queue;
mod lifecycle;
mod link;
mod list;
mod listen;
mod log_line;
mod mapped;
mod masks;
mod nospec;
mod notifications;
mod outcome;
mod own;
mod page_ref;
mod pause;
mod pending;
mod port;
mod read_mostly;
mod requests;
mod ring;
mod robust_mutex;
mod rundown;
mod scheduled;
mod session;
mod session_context;
mod shared_memory;
mod stack;
mod stop_dma;
mod storm;
mod sync;
mod user_request;
mod vector;
mod wait;
mod waiters;
mod waker;

pub(crate) use deadline::Deadline;
pub use device::{BoundDevice, RawDevice};
pub(crate) use dma_memory::DmaMemory;
pub(crate) use event_count::EventCount;
pub use info::{info, info_len};
pub use isr::{dpc, isr};
pub(crate) use kernel_wait_queue::KernelWaitQueue;
pub(crate) use link::Link;
pub use log_line::LogLine;
pub(crate) use mapped::Mapped;
pub use outcome::{DirectResult, RequestResult};
pub(crate) use page_ref::PageRef;
pub use pause::SUSPEND_NS;
pub(crate) use port::kernel;
#[doc(hidden)]
pub use port::types as port_types;
pub use port::{
    BarIndex, BarKind, Caching, CoherentMemory, ConfigWidth, DeviceId, Dma, DmaDirection, DmaId, IoMapping, Irq,
    IrqEntry, IrqKinds, IrqRequest, Kernel, Lock, LockKind, Log, Memory, Mmap, Mmio, Pages, Pci, PortIo,
    PreparedVectors, RawBar, RawLock, RawMapping, RawPages, RawTimer, RawWaitQueue, RawWorkItem, Task, TaskFlags,
    TaskId, Time, Timeout, TimerEntry, Timers, WaitKind, WaitQueues, Woken, WorkEntry, WorkItems,
};
pub use requests::Readiness;
pub(crate) use robust_mutex::{OwnerDied, RobustMutex};
pub(crate) use scheduled::{Scheduled, TimerRecord, WorkRecord, unlisted};
pub use scheduled::{timer, work};
pub use session::Session;
pub(crate) use session_context::SessionContext;
pub use user_request::{DirectUserRequest, Faulted, UserRequest};
pub use wait::{PendingWait, WaitAnswer};

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
    // SAFETY: the caller's promise: the thread is at Passive, and this is the only level on its stack.
    f(&mut unsafe { Passive::assume() })
}

/// Runs `f` at Dispatch: what a port does first where it is called so, and no level is at hand.
///
/// # Safety
/// The calling processor runs at Dispatch or below, and stays there.
pub unsafe fn dispatch<R>(f: impl FnOnce(&mut Dispatch) -> R) -> R {
    // SAFETY: the caller's promise: the processor stays at Dispatch or below while `f` runs.
    f(&mut unsafe { Dispatch::assume() })
}
