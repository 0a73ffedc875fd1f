//! Where code runs, as types.
//!
//! A level is had by `&mut` only, from the host or a lock, for as long as it holds. It cannot be made, copied, kept or sent:
//! what takes `&mut Passive` cannot be called in an interrupt handler, nor with a spin lock held.
use crate::{
    Pages, Result, Status,
    host::{EventCount, LockKind, SessionContext, Timeout, WaitKind, Woken, kernel},
};
use core::{marker::PhantomData, ptr::NonNull};
use kp_abi::Buffer;

mod sealed {
    pub trait Sealed {}
}

/// A level. There are three: [`Passive`], [`Dispatch`] and [`Irql`].
pub trait Level: sealed::Sealed {
    /// The kind of lock whose holder runs at this level.
    #[doc(hidden)]
    const LOCK: LockKind;
}

/// This level is at most `C`.
#[diagnostic::on_unimplemented(
    message = "this code runs at level `{Self}`, too high for what is asked (at most `{C}`)",
    label = "not allowed at `{Self}`",
    note = "a lock is taken at its own level or below: make the lock a `SpinLock<_, {Self}>`, or move the work to a lower level",
    note = "what is no lock is work for a lower level: `int_at_irql` answers `Verdict::DEFER`, and `int_at_dpc` does it"
)]
pub trait AtMost<C: Level>: Level {}

/// A level that a spin lock may raise to: [`Dispatch`] or [`Irql`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no spin lock's level",
    note = "write `SpinLock<T, Dispatch>` or `SpinLock<T, Irql>`; at Passive only: `Mutex<T>`"
)]
pub trait Ceiling: Level {
    /// Lends the level to `f`.
    #[doc(hidden)]
    fn lend<R>(f: impl FnOnce(&mut Self) -> R, held: Raised) -> R;
}

/// Proof that a raw lock of the level's kind is held. Nobody outside the crate can make one.
#[doc(hidden)]
pub struct Raised(pub(crate) ());

/// May sleep: a process's own call, or a kernel thread. Nothing is held that would forbid it.
pub struct Passive {
    /// The session that a call is of: what ends its sleeps early, and its buffers. INVARIANT: alive as long as it is here.
    context: Option<NonNull<SessionContext>>,
}

/// Softirq, DPC, or under a `SpinLock<_, Dispatch>`. Must not sleep.
pub struct Dispatch {
    _not_send: PhantomData<*mut ()>,
}

/// Hard interrupt, or under a `SpinLock<_, Irql>`. Must not sleep, and is short.
pub struct Irql {
    _not_send: PhantomData<*mut ()>,
}

macro_rules! levels {
    ($($level:ident: $lock:ident, at most $($ceiling:ident)*;)*) => { $(
        impl sealed::Sealed for $level {}
        impl Level for $level {
            const LOCK: LockKind = LockKind::$lock;
        }
        $(impl AtMost<$ceiling> for $level {})*

        impl $level {
            /// Time since some start, in ns. Never goes back. Any level.
            #[inline]
            pub fn now_ns(&self) -> u64 {
                kernel::now_ns()
            }

            /// Spins for `us` microseconds; more than 50 are cut to 50. Any level.
            #[inline]
            pub fn stall_us(&mut self, us: u32) {
                kernel::stall_us(us.min(MAX_STALL_US));
            }
        }
    )* };
}
levels! {
    Passive: Sleeping, at most Passive Dispatch Irql;
    Dispatch: AtDispatch, at most Dispatch Irql;
    Irql: AtIrql, at most Irql;
}

macro_rules! raised_levels {
    ($($level:ident)*) => { $(
        impl $level {
            /// # Safety
            /// The calling code runs at this level until the value is dropped. Only `&mut` of it is handed out, and one
            /// level at a time.
            #[inline(always)]
            pub(crate) unsafe fn assume() -> Self {
                Self { _not_send: PhantomData }
            }
        }
        impl Ceiling for $level {
            #[inline(always)]
            fn lend<R>(f: impl FnOnce(&mut Self) -> R, _held: Raised) -> R {
                // SAFETY: `Raised` is made only with a lock of this level's kind held, until `f` has returned.
                let mut level = unsafe { Self::assume() };
                f(&mut level)
            }
        }
    )* };
}
raised_levels! { Dispatch Irql }

/// Longest spin of `stall_us`, in microseconds.
const MAX_STALL_US: u32 = 50;

impl Passive {
    /// Nothing ends its sleeps early: `init`, tear-down, events.
    ///
    /// # Safety
    /// The calling code may sleep until the value is dropped. Only `&mut` of it is handed out, and one level at a time.
    pub(crate) unsafe fn assume() -> Self {
        Self { context: None }
    }

    /// Runs `f`, whose sleeps end when the session's waker says so: a session's calls.
    #[inline(always)]
    pub(crate) fn in_session<R>(&mut self, context: &SessionContext, f: impl FnOnce(&mut Self) -> R) -> R {
        self.with_context(Some(NonNull::from(context)), f)
    }

    /// Runs `f`, in which nothing ends a sleep early: what a request undoes.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn undisturbed<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        self.with_context(None, f)
    }

    /// Whatever it names is borrowed by the caller, and so outlives this.
    #[inline(always)]
    fn with_context<R>(&mut self, context: Option<NonNull<SessionContext>>, f: impl FnOnce(&mut Self) -> R) -> R {
        let outer = core::mem::replace(&mut self.context, context);
        let result = f(self);
        self.context = outer;
        result
    }

    /// The app's buffer of this number, in a callback of the session that has registered it. It may be kept: the memory stays.
    ///
    /// Errors: `NO_BUFFER` if the session has none of this number, and in a callback of no session.
    pub fn buffer(&mut self, buffer: Buffer) -> Result<Pages> {
        // SAFETY: alive by the field's invariant.
        let context = self.context.map(|context| unsafe { context.as_ref() });
        let table = context.and_then(|context| context.buffers.as_ref()).ok_or(Status::NO_BUFFER)?;
        Ok(Pages::of(table.get(self, buffer.0)?))
    }

    /// Sleeps for `ms` milliseconds.
    ///
    /// Errors: `CLOSED` if the session closes meanwhile, `INTERRUPTED` if the process is being killed, `SUSPENDED` if the device has to
    /// sleep and this call has held it up for too long, `POISONED` if other code of the plugin panics. In `init`, `close`, `int_disarm`,
    /// `int_disable` and `event` nothing ends a sleep early.
    pub fn sleep_ms(&mut self, ms: u32) -> Result<()> {
        self.sleep_ns(u64::from(ms) * 1_000_000)
    }

    /// Sleeps for `us` microseconds. Errors as [`sleep_ms`](Self::sleep_ms).
    pub fn sleep_us(&mut self, us: u32) -> Result<()> {
        self.sleep_ns(u64::from(us) * 1_000)
    }

    /// Asks `done` again and again until it says true, for at most `ms` milliseconds. Spins a few microseconds first, then
    /// sleeps between the questions. `done` is lent the level: it may take a lock.
    ///
    /// Errors: `TIMEOUT` if the time is up; else as [`sleep_ms`](Self::sleep_ms). A device that went away reads all ones
    /// forever: a loop of one's own on a busy bit would hold up its removal.
    pub fn poll(&mut self, ms: u32, mut done: impl FnMut(&mut Passive) -> bool) -> Result<()> {
        // Most times it is true already: the clock is read for the others.
        if done(self) {
            return Ok(());
        }
        let deadline = kernel::now_ns().saturating_add(u64::from(ms) * 1_000_000);
        for round in 1_u64.. {
            // In this order: `done` is asked once more after the deadline, however long the last sleep took.
            let late = kernel::now_ns() >= deadline;
            if done(self) {
                return Ok(());
            }
            if late {
                break;
            }
            match round {
                0..4 => {}
                4..8 => kernel::stall_us(1 << (round - 4) as u32),
                8..14 => self.sleep_us(20 << (round - 8) as u32)?,
                _ => self.sleep_us(1_000)?,
            }
        }
        Err(Status::TIMEOUT.into())
    }

    /// Waits for a wake-up of `on` since `seen`, at most so long. OK; TIMEOUT, by the kernel's clock, which may be a coarse one; or
    /// a sleep's error, if it ends early as a sleep does.
    #[inline(never)]
    pub(crate) fn wait_on(&mut self, on: &EventCount, seen: u32, limit: Timeout) -> Status {
        match self.context {
            // SAFETY: alive by the field's invariant.
            Some(context) => unsafe { context.as_ref() }.waker.wait_on(self, on, seen, limit),
            None => {
                let woken = on.wait(seen, limit, WaitKind::Uninterruptible);
                // A panic ends each such wait at once from then on: nobody may ever wake it.
                if limit.is_never() && kernel::poisoned() {
                    Status::POISONED
                } else if woken == Woken::Timeout {
                    Status::TIMEOUT
                } else {
                    Status::OK
                }
            }
        }
    }

    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    fn sleep_ns(&mut self, ns: u64) -> Result<()> {
        match self.context {
            // SAFETY: alive by the field's invariant.
            Some(context) => unsafe { context.as_ref() }.waker.sleep(ns),
            None => {
                kernel::sleep_ns(ns);
                Ok(())
            }
        }
    }
}
