//! A panic in plugin code: poison, log, stop the thread.
use crate::{irql, kernel, nt::*, signal};
use core::{
    fmt::Write,
    panic::PanicInfo,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::*},
};
use kp_core::host::Line;

static POISONED: AtomicBool = AtomicBool::new(false);
/// Threads that panicked; 0 is a free place.
static DEAD: [AtomicU32; 64] = [const { AtomicU32::new(0) }; 64];

/// Code of the stop screen: "KP", and 1 for a panic.
const BUGCHECK: u32 = 0x4B50_0001;
/// What a panic's line is cut to, in bytes.
const LINE: usize = 256;
/// How long a stopped thread sleeps at a time, in 100 ns, from now: an hour.
const AN_HOUR: i64 = -36_000_000_000;

#[inline]
pub(crate) fn is_poisoned() -> bool {
    POISONED.load(Relaxed)
}

pub(crate) fn is_dead(task: u32) -> bool {
    task != 0 && DEAD.iter().any(|dead| dead.load(Acquire) == task)
}

/// The panic handler: every later request is answered Poisoned, and whoever waits is woken; file, line and message are logged. A thread at Passive is stopped
/// for good, as no kernel function ends one from inside; above Passive, or when too many have panicked, the machine is.
pub fn panicked(info: &PanicInfo<'_>) -> ! {
    POISONED.store(true, Relaxed);
    let mut line = Line::<LINE>::new();
    let _ = write!(line, "{info}");
    kernel::log(line.text());
    let passive = irql::current().is_none_or(|level| level == 0);
    let task = PsGetCurrentThreadId() as u32;
    let mark = |dead: &AtomicU32| dead.compare_exchange(0, task, Release, Relaxed).is_ok();
    if !passive || !DEAD.iter().any(mark) {
        KeBugCheckEx(BUGCHECK, 0, 0, 0, 0);
    }
    signal::wake_all();
    loop {
        // SAFETY: readable; at Passive.
        unsafe { KeDelayExecutionThread(mode::KERNEL, 0, &AN_HOUR) };
    }
}
