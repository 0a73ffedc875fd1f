//! Interrupts and deferred calls.
use super::{DeviceId, contract};
use crate::{IrqKind, Result};
use kp_abi::request::kind;

/// What the port calls when the device interrupts.
#[derive(Clone, Copy)]
pub struct IrqEntry {
    /// First argument of both functions.
    pub cookie: *const (),
    /// Runs the plugin's `int_at_irql` for vector `n`, at Irql. True: the interrupt was this device's.
    pub isr: unsafe fn(cookie: *const (), vector: u32) -> bool,
    /// Runs the plugin's `int_at_dpc` for vector `n`, at Dispatch; never twice at once for one vector.
    pub dpc: unsafe fn(cookie: *const (), vector: u32),
}
// SAFETY: the cookie is an address that only the two functions look into; they may run on any thread.
unsafe impl Send for IrqEntry {}

/// A set of kinds of interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqKinds(u32);

impl IrqKinds {
    /// The kinds whose bits of [`kp_abi::request::kind`] are set; others are left out.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & kind::ANY)
    }

    /// As bits of [`kp_abi::request::kind`].
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Is this kind among them?
    pub const fn contains(self, kind: IrqKind) -> bool {
        self.0 & kind.bit() != 0
    }
}

/// What kinds of vectors are wanted, and how many: at least `min`, at most `max`.
#[derive(Clone, Copy, Debug)]
pub struct IrqRequest {
    /// The acceptable kinds. Best first: MSI-X, MSI, line.
    pub kinds: IrqKinds,
    /// At least 1.
    pub min: u32,
    /// At least `min`, at most [`MAX_VECTORS`](kp_abi::limits::MAX_VECTORS).
    pub max: u32,
}

/// The vectors that a device was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreparedVectors {
    /// Their kind.
    pub kind: IrqKind,
    /// How many, at least 1.
    pub count: u32,
}

contract! { ($)
    /// Interrupts and deferred calls. kp-core calls these for one device from one thread at a time, in the order prepare, connect,
    /// disconnect, release; `irq_mask` and `dpc_queue` come from handlers, `irq_mask_vector` and `irq_hint` from any thread between the return
    /// of connect and the call of disconnect.
    unsafe trait Irq, exported by __export_irq;

    /// Gets vectors; the device cannot interrupt yet. Passive.
    safe fn irq_prepare(device: DeviceId, wanted: IrqRequest) -> Result<PreparedVectors>;
    /// Connects `entry` to every vector of `irq_prepare`, or to none. From now on it may be called. Passive.
    unsafe fn irq_connect(device: DeviceId, entry: IrqEntry) -> Result<()>;
    /// Disconnects; nothing if nothing is connected. Returns after the last ISR and DPC have returned and no DPC is queued. Passive.
    unsafe fn irq_disconnect(device: DeviceId) -> ();
    /// Gives the vectors of `irq_prepare` back; nothing if there are none. Passive.
    safe fn irq_release(device: DeviceId) -> ();
    /// Keeps a vector that never ends from interrupting, at once or soon; `irq_disconnect` undoes it. True: this device raised it, and
    /// is kept from it now. False: it goes on for all that the port knows, for instance since another device raises the line. Irql.
    safe fn irq_mask(device: DeviceId, vector: u32) -> bool;
    /// Keeps a message of MSI-X from interrupting, or no more: what came meanwhile comes then, once. Apart from `irq_mask`; a handler that has
    /// begun may still run. Each in turn, and none is kept when `irq_disconnect` is called. False: the kernel cannot. Dispatch, while connected.
    safe fn irq_mask_vector(device: DeviceId, vector: u32, mask: bool) -> bool;
    /// Says which processor a message best goes to; nothing if there is no such processor, or the kernel does as it likes. `irq_disconnect`
    /// undoes it. Dispatch, while connected.
    safe fn irq_hint(device: DeviceId, vector: u32, processor: u32) -> ();
    /// Has the entry's `dpc` run for this vector, once, soon. Irql and Dispatch, while connected.
    safe fn dpc_queue(device: DeviceId, vector: u32) -> ();
}
