//! A panic in plugin code: poison, log, trap.
use crate::c::kp_c_panic;
use core::{
    fmt,
    panic::PanicInfo,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};
use kp_core::host::LogLine;

/// 0, then 1 for good. As wide as a device's state, so that a call looks at both in one comparison. Read by the C glue too.
#[unsafe(export_name = "kp_rs_poisoned")]
static POISONED: AtomicU32 = AtomicU32::new(0);

#[inline]
pub(crate) fn is_poisoned() -> bool {
    POISONED.load(Relaxed) != 0
}

/// What a panic's line is cut to, in bytes.
const LINE: usize = 256;

/// The panic handler: every later request is answered Poisoned; every sleeper is woken; file, line and message are logged; then the
/// kernel's own stop, an invalid instruction, which kills the calling task.
#[cfg_attr(kp_driver, optimize(size))]
pub fn panicked(info: &PanicInfo<'_>) -> ! {
    POISONED.store(1, Relaxed);
    let mut line = LogLine::<LINE>::new();
    if let Some(at) = info.location() {
        let _ = line.push("panicked at ") && line.push(at.file());
        let _ = line.push(":") && line.push_number(at.line()) && line.push(":") && line.push_number(at.column());
        let _ = line.push(": ");
    }
    let _ = fmt::write(&mut line, format_args!("{}", info.message()));
    let text = line.text();
    // SAFETY: `text` is readable. It returns, as objtool asks for.
    unsafe { kp_c_panic(text.as_ptr(), text.len()) };
    // SAFETY: traps, and so ends this task.
    unsafe { core::arch::asm!("ud2", options(noreturn, nomem, nostack)) }
}
