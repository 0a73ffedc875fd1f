//! What time it is, times as the kernel wants them, and sleep.
use crate::{
    kernel::optional::{INCREMENT, PRECISE, TICKS, UNBIASED, UNBIASED_PRECISE},
    nt::{KeDelayExecutionThread, mode},
};

/// Is there a clock? Passive, when they were looked up.
pub(crate) fn is_there() -> bool {
    unbiased().or_else(precise).or_else(ticks).is_some()
}

/// Is this Windows' own kernel, which knows what the machine has slept? Passive, when they were looked up.
pub(crate) fn leaves_sleep_out() -> bool {
    unbiased().is_some()
}

/// Since the machine was started, without what it has slept. Any level. Not inlined: see `irql`.
#[inline(never)]
pub(crate) fn now_ns() -> u64 {
    unbiased().or_else(precise).or_else(ticks).unwrap_or(0).saturating_mul(100)
}

/// For times too short to sleep in them, in ns. Any level. Not inlined: see `irql`.
#[inline(never)]
pub(crate) fn fine_ns() -> u64 {
    precise().or_else(ticks).unwrap_or(0).saturating_mul(100)
}

// Each in 100 ns, if the kernel has it.

fn unbiased() -> Option<u64> {
    if let Some(precise) = UNBIASED_PRECISE.get() {
        return Some(precise(&mut 0)); // it also tells the performance counter
    }
    Some(UNBIASED.get()?())
}

fn precise() -> Option<u64> {
    PRECISE.get().map(|precise| precise(&mut 0))
}

fn ticks() -> Option<u64> {
    let (ticks, increment) = (TICKS.get()?, INCREMENT.get()?);
    let mut count = 0;
    ticks(&mut count);
    Some(count.saturating_mul(increment().into()))
}

/// A time from now, as the kernel wants it: in 100 ns, negative. At least one, so that a timer's grain cannot make a loop spin.
pub(crate) fn relative(ns: u64) -> i64 {
    -((ns / 100).clamp(1, i64::MAX as u64) as i64)
}

/// Passive.
pub(crate) fn sleep(ns: u64) {
    let interval = relative(ns);
    // SAFETY: readable; a kernel-mode delay ends with its time only.
    unsafe { KeDelayExecutionThread(mode::KERNEL, 0, &interval) };
}
