//! What runs when the device interrupts: the ISR and the DPC of one vector, whose every instruction is counted; and the run that deferrals get
//! at disabling which no DPC has seen.
use super::{
    device::DeviceRecord,
    interrupt::Interrupts,
    kernel,
    pending::Run,
    storm::{DPC_DUE, is_crowded},
    vector::{Vector, count},
    waker::Waker,
};
use crate::{Dispatch, Irql, Plugin, Source, Verdict};
use core::sync::atomic::Ordering::Relaxed;

/// Runs the plugin's `int_at_irql` for one vector: what a port that knows its plugin's type calls rather than [`IrqEntry`](super::IrqEntry).
/// True: the interrupt was this device's.
///
/// # Safety
/// At Irql, between `irq_connect` and the return of `irq_disconnect`, never twice at once for one vector; `cookie` is the entry's.
#[inline]
pub unsafe fn isr<P: Plugin>(cookie: *const (), vector: u32) -> bool {
    // SAFETY: the cookie is the record's address, and the record outlives the connection.
    let device = unsafe { &*cookie.cast::<DeviceRecord<P>>() };
    let (Some(this), Some(table)) = (device.interrupts(), &P::TABLE.int) else { return false };
    let Some(counts) = this.vector(vector) else { return false };
    if device.state.ignores_irqs() {
        return this.source(vector) != Source::Line;
    }
    if (kernel::poisoned() || counts.is_guarded())
        && let Some(answer) = this.guard(counts, vector)
    {
        return answer;
    }
    // SAFETY: connected.
    let Some(context) = (unsafe { this.context() }) else { return false };
    let source = this.source(vector);
    // SAFETY: connected: the plugin is there until every session's tear-down.
    let plugin = unsafe { device.plugin() };
    // SAFETY: the caller's promise: at Irql until this returns.
    let mut cx = unsafe { Irql::assume() };
    let Verdict { claimed, deferred } = (table.at_irql)(plugin, &mut cx, context, source);
    if !claimed && !deferred {
        count(&counts.spurious);
        if !P::TABLE.own_interrupt {
            this.counter_page.publish_isr(vector, counts.of_isr());
        }
        return source != Source::Line;
    }
    count(&counts.received);
    let unserved = counts.unserved.runs.load(Relaxed) + 1;
    counts.unserved.runs.store(unserved, Relaxed);
    if deferred {
        count(&counts.deferred);
    }
    // Of an interrupt of the plugin's own the DPC publishes all, under a lock: its listener may go at any moment.
    if !P::TABLE.own_interrupt && this.counter_page.is_attached() {
        publish(this, counts, vector);
    }
    if !deferred {
        return true;
    }
    if let Some(waker) = this.waker_at_irql() {
        waker.wake();
        if unserved < DPC_DUE {
            return true;
        }
    }
    if counts.pending.defer() {
        kernel::dpc_queue(this.device, vector);
    }
    true
}

/// The owner's app looks at what the ISR counts, in its page.
#[cold]
#[inline(never)]
fn publish<P: Plugin>(this: &Interrupts<P>, counts: &Vector, vector: u32) {
    this.counter_page.publish_isr(vector, counts.of_isr());
}

/// Runs the plugin's `int_at_dpc` for one vector.
///
/// # Safety
/// As [`isr`], at Dispatch.
#[inline]
pub unsafe fn dpc<P: Plugin>(cookie: *const (), vector: u32) {
    // SAFETY: the cookie is the record's address, and the record outlives the connection.
    let device = unsafe { &*cookie.cast::<DeviceRecord<P>>() };
    let Some(this) = device.interrupts() else { return };
    let Some(counts) = this.vector(vector) else { return };
    let Some(run) = counts.pending.begin() else { return };
    // SAFETY: the caller's promise: at Dispatch until this returns.
    let mut cx = unsafe { Dispatch::assume() };
    if let Some(waker) = this.waker_at_irql() {
        guarded_only(&mut cx, this, counts, waker, run);
    } else if is_crowded(run) {
        serve_crowd(&mut cx, device, this, counts, vector, run);
    } else {
        serve::<P, false>(&mut cx, device, this, counts, vector, run);
    }
    if counts.pending.done(run) {
        kernel::dpc_queue(this.device, vector);
    }
}

/// What a DPC run does for its deferrals. `CROWD`: there may be a crowd of them, or a storm.
#[inline(always)]
fn serve<P: Plugin, const CROWD: bool>(
    cx: &mut Dispatch,
    device: &DeviceRecord<P>,
    this: &Interrupts<P>,
    counts: &Vector,
    vector: u32,
    run: Run,
) {
    let (deferred, storm) = (run.deferred(), CROWD && run.storm());
    let notified = if CROWD && deferred == 0 { 0 } else { at_dpc(cx, device, this, counts, vector, deferred) };
    if !CROWD || counts.is_served(run, || this.is_line()) {
        counts.served();
    }
    if P::TABLE.own_interrupt {
        if notified != 0 || storm || this.counter_page.is_attached() {
            this.tell_listener(cx, vector, notified, storm);
        }
        return;
    }
    if notified == 0 && !storm {
        return;
    }
    let owner = this.notifications.with(cx, |notifications, _| {
        notifications.notify(vector, notified);
        notifications.storm |= storm;
        this.counter_page.publish_notifications(vector, || notifications.counts(vector));
        notifications.owner
    });
    if let Some(owner) = owner {
        // SAFETY: a DPC of this enabling.
        unsafe { owner.wake() };
    }
}

/// A DPC run where the ISR wakes: for the storm guard alone.
#[cfg_attr(kp_driver, optimize(size))]
#[cold]
#[inline(never)]
fn guarded_only<P: Plugin>(cx: &mut Dispatch, this: &Interrupts<P>, counts: &Vector, waker: &Waker, run: Run) {
    if counts.is_served(run, || this.is_line()) {
        counts.served();
    }
    if run.storm() {
        this.notifications.with(cx, |notifications, _| notifications.storm = true);
        waker.wake();
    }
}

/// A copy of [`serve`] that asks all of it, so that the other one, which runs each time, does not.
#[cfg_attr(kp_driver, optimize(size))]
#[cold]
#[inline(never)]
fn serve_crowd<P: Plugin>(
    cx: &mut Dispatch,
    device: &DeviceRecord<P>,
    this: &Interrupts<P>,
    counts: &Vector,
    vector: u32,
    run: Run,
) {
    serve::<P, true>(cx, device, this, counts, vector, run);
}

/// Deferrals that were counted after the last DPC run had looked: they get a run here. Under the interrupt's lock; no ISR and no DPC runs any
/// more, so this one cannot overlap with another.
///
/// # Safety
/// The interrupt's lock is held, and `irq_disconnect` has returned.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) unsafe fn run_pending<P: Plugin>(
    cx: &mut crate::Passive,
    device: &DeviceRecord<P>,
    this: &Interrupts<P>,
    vector: u32,
) {
    let Some(counts) = this.vector(vector) else { return };
    let pending = counts.pending.drain();
    if pending == 0 || this.waker_at_irql().is_some() {
        return;
    }
    let notified = this.notifications.with(cx, |_, cx| at_dpc(cx, device, this, counts, vector, pending));
    if P::TABLE.own_interrupt {
        return this.tell_listener(cx, vector, notified, false);
    }
    this.notifications.with(cx, |notifications, _| {
        notifications.notify(vector, notified);
        this.counter_page.publish_notifications(vector, || notifications.counts(vector));
    });
}

/// Runs `int_at_dpc`: the notifications that it asks for. Without one, each deferral is a notification. Connected, or under the lock.
#[inline]
fn at_dpc<P: Plugin>(
    cx: &mut Dispatch,
    device: &DeviceRecord<P>,
    this: &Interrupts<P>,
    counts: &Vector,
    vector: u32,
    pending: u32,
) -> u32 {
    if kernel::poisoned() {
        return 0;
    }
    // SAFETY: connected, or the lock is held.
    let (Some(table), Some(context)) = (&P::TABLE.int, unsafe { this.context() }) else { return 0 };
    let notified = match table.at_dpc {
        // SAFETY: connected, or under the lock: the plugin is there until every session's tear-down.
        Some(at_dpc) => at_dpc(unsafe { device.plugin() }, cx, context, this.source(vector), pending),
        None => pending,
    };
    count(&counts.dpc_runs);
    if !P::TABLE.own_interrupt {
        this.counter_page.publish_dpc(vector, &counts.dpc_runs);
    }
    notified
}
