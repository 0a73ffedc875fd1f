//! Ke…: levels, spin locks, events, waits.
use crate::{
    cpu::{self, checked, level},
    dispatcher::kind,
    exports::exports,
    nt::{Header, ListEntry, NtStatus, STATUS_SUCCESS},
    rule::Rule,
    spin,
};
use std::time::{Duration, Instant};

/// When a wait ends, from the kernel's way to say it: in 100 ns, negative from now on, positive since 1601.
pub(super) fn deadline(timeout: *const i64) -> Option<Instant> {
    if timeout.is_null() {
        return None;
    }
    // SAFETY: the driver's number.
    match unsafe { *timeout } {
        // A far future is as good as none.
        time if time <= 0 => Instant::now().checked_add(Duration::from_nanos(time.unsigned_abs().saturating_mul(100))),
        _ => cpu::fail(Rule::WaitRelative.broken("a wait until an absolute time")),
    }
}

/// Raises the level and takes a spin lock; the answer is the level before.
fn raise_and_acquire(lock: *mut usize, to: u8) -> u8 {
    let before = cpu::set_irql(to);
    match spin::acquire(&cpu::kernel(), lock.expose_provenance(), Some(before)) {
        Some(()) => before,
        None => cpu::abandon(),
    }
}

fn lower(to: u8) {
    if to > cpu::irql() {
        cpu::fail(Rule::IrqlLowered.broken(format!("KeLowerIrql: from {} to {to}", cpu::irql())));
    }
    if to < level::DISPATCH && cpu::held(|held| !held.is_empty()) {
        cpu::fail(Rule::IrqlLowered.broken(format!("KeLowerIrql: to {to} with a spin lock held")));
    }
    cpu::set_irql(to);
}

exports! {
    [0..=15] fn KeGetCurrentIrql() -> u8 {
        cpu::irql()
    }

    [0..=15] fn KfRaiseIrql(to: u8) -> u8 {
        if to < cpu::irql() || to > level::HIGH {
            cpu::fail(Rule::IrqlRaised.broken(format!("KfRaiseIrql: from {} to {to}", cpu::irql())));
        }
        cpu::set_irql(to)
    }

    [0..=15] fn KeLowerIrql(to: u8) {
        lower(to);
    }

    /// Its name on Arm64.
    [0..=15] fn KfLowerIrql(to: u8) {
        lower(to);
    }

    [0..=2] fn KeAcquireSpinLockRaiseToDpc(lock: *mut usize) -> u8 {
        raise_and_acquire(lock, level::DISPATCH)
    }

    [2..=2] fn KeReleaseSpinLock(lock: *mut usize, to: u8) {
        checked(spin::release(lock.expose_provenance(), Some(to)));
    }

    [2..=15] fn KeAcquireSpinLockAtDpcLevel(lock: *mut usize) {
        if spin::acquire(&cpu::kernel(), lock.expose_provenance(), None).is_none() {
            cpu::abandon();
        }
    }

    [2..=15] fn KeReleaseSpinLockFromDpcLevel(lock: *mut usize) {
        checked(spin::release(lock.expose_provenance(), None));
    }

    [0..=1] fn KeEnterCriticalRegion() {
        cpu::critical_region(1);
    }

    [0..=1] fn KeLeaveCriticalRegion() {
        if !cpu::critical_region(-1) {
            cpu::fail(Rule::RegionLeft.broken("KeLeaveCriticalRegion: the thread is in none"));
        }
    }

    [0..=2] fn KeInitializeEvent(event: *mut Header, kind: i32, state: u8) {
        if kind != i32::from(kind::NOTIFICATION) && kind != i32::from(kind::SYNCHRONIZATION) {
            cpu::fail(Rule::EventKind.broken(format!("KeInitializeEvent: {kind} is no kind of event")));
        }
        let list = (&raw mut *event).expose_provenance() + 8;
        // SAFETY: the driver's memory for an event.
        unsafe {
            *event = Header {
                kind: kind as u8,
                _control: [0, 6, 0],
                signal_state: state.into(),
                wait_list: ListEntry { flink: list, blink: list },
            };
        }
    }

    [0..=2] fn KeSetEvent(event: *mut Header, _increment: i32, _wait: u8) -> i32 {
        cpu::kernel().dispatcher.set(event, 1)
    }

    [0..=2] fn KeResetEvent(event: *mut Header) -> i32 {
        cpu::kernel().dispatcher.set(event, 0)
    }

    [0..=2] fn KeClearEvent(event: *mut Header) {
        cpu::kernel().dispatcher.set(event, 0);
    }

    [0..=2] fn KeWaitForSingleObject(object: *mut Header, _reason: i32, mode: i8, _alertable: u8, timeout: *const i64) -> NtStatus {
        let deadline = deadline(timeout);
        if cpu::irql() >= level::DISPATCH && deadline.is_none_or(|deadline| deadline > Instant::now()) {
            cpu::fail(Rule::WaitLevel.broken("KeWaitForSingleObject: a wait at DISPATCH_LEVEL that is not over at once"));
        }
        let kernel = cpu::kernel();
        kernel.dispatcher.wait(&kernel, Some(object), mode != 0, deadline).unwrap_or_else(|| cpu::abandon())
    }

    [0..=1] fn KeDelayExecutionThread(mode: i8, _alertable: u8, interval: *const i64) -> NtStatus {
        let kernel = cpu::kernel();
        let deadline = deadline(interval);
        match kernel.dispatcher.wait(&kernel, None, mode != 0, deadline).unwrap_or_else(|| cpu::abandon()) {
            crate::nt::STATUS_TIMEOUT => STATUS_SUCCESS,
            other => other,
        }
    }
}
