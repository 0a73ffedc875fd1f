//! The log, the clock, and the end.
use crate::{counted_text, cpu, exports::exports, kernel::Verdict, rule::Rule};

/// Time passes in steps of this many 100 ns where only ticks are counted.
const TICK: u64 = 156_250;

fn since_start() -> u64 {
    let kernel = cpu::kernel();
    kernel.started.elapsed().as_nanos() as u64 / 100 / u64::from(kernel.options.slowness.max(1))
}

exports! {
    /// Really variadic: those arguments that the format does not name are whatever lies there, and are not looked at.
    [0..=15] fn DbgPrintEx(_component: u32, _level: u32, format: *const u8, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> u32 {
        cpu::kernel().log(counted_text::format(format, &[a, b, c, d, e, f]));
        0
    }

    [0..=15] fn KeBugCheckEx(code: u32, a: usize, b: usize, c: usize, d: usize) {
        cpu::kernel().dump.take();
        cpu::kernel().stop(Verdict::BugCheck { code, parameters: [a, b, c, d] });
        cpu::abandon();
    }

    [0..=15] fn KeQueryInterruptTimePrecise(counter: *mut u64) -> u64 {
        let now = since_start();
        // SAFETY: the driver's place for the counter.
        unsafe { *counter = now };
        now + cpu::kernel().slept()
    }

    /// In ticks of the clock's.
    [0..=15] fn KeQueryUnbiasedInterruptTime() -> u64 {
        since_start() / TICK * TICK
    }

    [0..=15] fn KeQueryUnbiasedInterruptTimePrecise(counter: *mut u64) -> u64 {
        let now = since_start();
        // SAFETY: the driver's place for the counter.
        unsafe { *counter = now };
        now
    }

    [0..=15] fn KeQueryTickCount(count: *mut u64) {
        // SAFETY: the driver's place for the count.
        unsafe { *count = (since_start() + cpu::kernel().slept()) / TICK };
    }

    [0..=15] fn KeQueryTimeIncrement() -> u32 {
        TICK as u32
    }

    /// Only its address is used: scope tables are read by the loader itself.
    [0..=15] fn __C_specific_handler() -> i32 {
        cpu::fail(Rule::HandlerCalled.broken("__C_specific_handler was called by the driver itself"))
    }
}
