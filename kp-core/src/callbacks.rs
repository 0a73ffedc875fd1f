//! What a plugin implements: one trait per callback, all of them optional but [`Init`].
#![deny(unsafe_code)]
use crate::{Device, Dispatch, Irql, Message, Passive, Reply, Result};
use kp_abi::request::kind;

/// The plugin itself: one value per bound device, or one per load if it drives none.
pub trait Init: Sized + Send + Sync + 'static {
    /// State of one open; `()` if there is none.
    type Session: Send + Sync + 'static;
    /// State that the interrupt callbacks share; `()` if there is none.
    type Interrupt: Send + Sync + 'static;

    /// Takes the device over. An error leaves it unbound, and is the reason that the log and the kernel are told.
    ///
    /// The value is dropped at Passive, when the device is gone or the plugin is unloaded and the last session has closed.
    fn init(cx: &mut Passive, device: Device) -> Result<Self>;
}

/// A session starts and ends. Without it a session is `Session::default()`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` lists `Open` but does not implement it",
    note = "write `impl Open for {Self}`, or take it off the list in `plugin!`"
)]
pub trait Open: Init {
    /// An app opens. `data` is what it sent along: at most 4096 bytes, copied. An error refuses the app, with this status.
    fn open(&self, cx: &mut Passive, caller: &Caller, data: &[u8]) -> Result<Self::Session>;

    /// The app closed, or died. No call on the session is running, and its interrupt is disabled.
    /// Sleeps here are not ended early.
    fn close(&self, cx: &mut Passive, session: Self::Session) {
        let _ = (cx, session);
    }
}

/// Raw messages. For typed ones name an interface in [`plugin!`](crate::plugin!) instead, which writes this.
#[diagnostic::on_unimplemented(
    message = "`{Self}` lists `Call` but does not implement it",
    note = "for typed messages name the interface in `plugin!` instead: `interface: ...`"
)]
pub trait Call: Init {
    /// A message from the app. Calls of one session may run at the same time. The app gets what was written to `reply`
    /// if the answer is `Ok`, else the error alone. The message's bytes can be [lent](Reply::lend) to the reply.
    fn call<'m>(
        &self,
        cx: &mut Passive,
        session: &Self::Session,
        message: Message<'m>,
        reply: &mut Reply<'m>,
    ) -> Result<()>;
}

/// The interrupt is enabled and disabled. Without it the interrupt context is `Interrupt::default()`.
///
/// An interrupt of the plugin's own (`interrupt: own` in [`plugin!`](crate::plugin!)) is enabled after `init`, and disabled when the device goes. Errors are
/// `init`'s then.
///
/// In this order: `int_enable`, the handler is connected, `int_arm`, then interrupts, `int_disarm`, the handler is
/// disconnected, `int_disable`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` lists `IntEnable` but does not implement it",
    note = "write `impl IntEnable for {Self}`, or take it off the list in `plugin!`"
)]
pub trait IntEnable: Init {
    /// Makes the state that the interrupt callbacks share. The handler is not connected yet: leave the device's interrupt off. An
    /// error refuses the app.
    fn int_enable(&self, cx: &mut Passive, enabling: Enabling<'_, Self>) -> Result<Self::Interrupt>;

    /// The handler is connected: tell the device what kind of interrupt it has, and how many, if it has to know, and let it interrupt.
    /// After an error the handler is disconnected and `int_disable` runs, but not `int_disarm`.
    fn int_arm(&self, cx: &mut Passive, interrupt: &Self::Interrupt, granted: Granted) -> Result<()> {
        let _ = (cx, interrupt, granted);
        Ok(())
    }

    /// The handler is still connected: quiet the device. Not called if the device is gone or sleeps.
    fn int_disarm(&self, cx: &mut Passive, interrupt: &Self::Interrupt) {
        let _ = (cx, interrupt);
    }

    /// The last `int_at_irql` and `int_at_dpc` have returned.
    fn int_disable(&self, cx: &mut Passive, interrupt: Self::Interrupt) {
        let _ = (cx, interrupt);
    }
}

/// The interrupt itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` lists `IntAtIrql` but does not implement it",
    note = "write `impl IntAtIrql for {Self}`, or take it off the list in `plugin!`"
)]
pub trait IntAtIrql: Init {
    /// The device may have interrupted. Acknowledge it, and say whose it was and whether there is more to do.
    fn int_at_irql(&self, cx: &mut Irql, interrupt: &Self::Interrupt, source: Source) -> Verdict;
}

/// What an interrupt left to do. Without it each deferral is one notification, and on Linux the handler wakes the app at once: leave it out if
/// it would do nothing but return `count`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` lists `IntAtDpc` but does not implement it",
    note = "write `impl IntAtDpc for {Self}`, or take it off the list in `plugin!`"
)]
pub trait IntAtDpc: Init {
    /// `count` deferrals of this source since the last time, at least 1. Returns how many notifications the app gets.
    /// Runs for one source never overlap.
    fn int_at_dpc(&self, cx: &mut Dispatch, interrupt: &Self::Interrupt, source: Source, count: u32) -> u32;
}

/// A timer's time has come.
#[diagnostic::on_unimplemented(
    message = "`{Self}` lists `TimerAtDpc` but does not implement it",
    note = "write `impl TimerAtDpc for {Self}`, or take it off the list in `plugin!`"
)]
pub trait TimerAtDpc: Init {
    /// `timer` is the number that [`Device::timer`] was given. Runs for one timer never overlap; those of other timers, calls and the
    /// interrupt's callbacks may run at the same time.
    fn timer_at_dpc(&self, cx: &mut Dispatch, timer: u16);
}

/// A work item that was queued.
#[diagnostic::on_unimplemented(
    message = "`{Self}` lists `Work` but does not implement it",
    note = "write `impl Work for {Self}`, or take it off the list in `plugin!`"
)]
pub trait Work: Init {
    /// `item` is the number that [`Device::work_item`] was given. Runs for one item never overlap; all else may run at the same time.
    ///
    /// Its sleeps and waits end early with `CLOSED` when the device goes, which waits for it, and with `SUSPENDED` when the device has to
    /// sleep and this has held it up for too long. Come to an end then.
    fn work(&self, cx: &mut Passive, item: u16);
}

/// Something happens to the device as a whole.
#[diagnostic::on_unimplemented(
    message = "`{Self}` lists `Event` but does not implement it",
    note = "write `impl Event for {Self}`, or take it off the list in `plugin!`"
)]
pub trait Event: Init {
    /// Once per device, whether a session is open or not. Answers [`Deliver::Swallow`].
    fn event(&self, cx: &mut Passive, happening: Happening) -> Deliver;
}

/// What `int_enable` is for.
#[non_exhaustive]
pub struct Enabling<'a, P: Init> {
    /// The session that asks. None: the interrupt is the plugin's own.
    pub session: Option<&'a P::Session>,
    /// What its app sent along: at most 4096 bytes, copied.
    pub data: &'a [u8],
    /// The kind of interrupt that the kernel has granted.
    pub kind: IrqKind,
    /// How many vectors of it, at least 1.
    pub count: u32,
}

/// What the kernel has given to a device, of what the app asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Granted {
    /// The kind of interrupt.
    pub kind: IrqKind,
    /// How many vectors, at least 1. With several, vector `n` comes as [`Source::Message(n)`](Source::Message).
    pub count: u32,
}

/// A kind of interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IrqKind {
    /// INTx: one level-triggered line, perhaps shared with other devices.
    Line,
    /// Message-signalled interrupts.
    Msi,
    /// Extended message-signalled interrupts: as many as the device's table has room for.
    MsiX,
}

impl IrqKind {
    /// Its bit on the wire: one of [`kp_abi::request::kind`].
    #[doc(hidden)]
    pub const fn bit(self) -> u32 {
        match self {
            IrqKind::Line => kind::LINE,
            IrqKind::Msi => kind::MSI,
            IrqKind::MsiX => kind::MSIX,
        }
    }
}

/// Where an interrupt came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The level-triggered line, perhaps shared with other devices.
    Line,
    /// MSI or MSI-X; the vector's index, from 0.
    Message(u16),
}

/// What `int_at_irql` answers: two facts that do not depend on each other.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The interrupt was this device's.
    pub claimed: bool,
    /// `int_at_dpc` has more to do.
    pub deferred: bool,
}

impl Verdict {
    /// Another device's.
    pub const NOT_MINE: Self = Self { claimed: false, deferred: false };
    /// Ours, and all is done.
    pub const DONE: Self = Self { claimed: true, deferred: false };
    /// Ours; go on in `int_at_dpc`.
    pub const DEFER: Self = Self { claimed: true, deferred: true };
}

/// What happens to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// It will lose power. Calls wait, none is running, and the interrupt is quiet from here on.
    Suspend,
    /// It has power again, with its registers as after power-on.
    Resume,
    /// It is going, or gone: reads may give all ones.
    Removing,
    /// Somebody else is about to reset it. Calls wait, none is running, and the interrupt is quiet from here on. Never on Windows.
    ResetPrepare,
    /// It was reset: its registers are as after power-on, its configuration space is as before. Calls go on afterwards. Never on Windows.
    ResetDone,
}

/// Whether the apps hear of it. Write [`Swallow`](Self::Swallow): events for apps are not in this version, and the answer changes nothing.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deliver {
    /// Tell every open session, where apps have events.
    ToApp,
    /// Keep it from them.
    Swallow,
}

/// Who opens.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Caller {
    /// The process's number, as its kernel counts.
    pub process: u32,
    /// May it administer the machine?
    pub admin: bool,
    /// Is it a 32-bit process on a 64-bit kernel?
    pub is_32bit: bool,
}

impl Caller {
    #[doc(hidden)]
    pub fn new(process: u32, admin: bool, is_32bit: bool) -> Self {
        Self { process, admin, is_32bit }
    }
}
