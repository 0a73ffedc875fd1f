//! A panic in plugin code: poison, log, trap.
use crate::c::kp_c_panic;
use core::{
    fmt::{self, Write},
    panic::PanicInfo,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

static POISONED: AtomicBool = AtomicBool::new(false);

#[inline]
pub(crate) fn is_poisoned() -> bool {
    POISONED.load(Relaxed)
}

/// What a panic's line is cut to, in bytes.
const LINE: usize = 256;

struct Line {
    bytes: [u8; LINE],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LINE - self.len;
        let part = &text.as_bytes()[..text.len().min(room)];
        for (place, &byte) in self.bytes[self.len..].iter_mut().zip(part) {
            *place = if byte == b'\n' { b' ' } else { byte }; // one line of the log, with the plugin's name in front
        }
        self.len += part.len();
        Ok(())
    }
}

/// The panic handler: every later request is answered Poisoned; file, line and message are logged; then the kernel's own stop, an
/// invalid instruction, which kills the calling task.
pub fn panicked(info: &PanicInfo<'_>) -> ! {
    POISONED.store(true, Relaxed);
    let mut line = Line { bytes: [0; LINE], len: 0 };
    let _ = write!(line, "{info}");
    // SAFETY: a readable range. It returns, as objtool asks for.
    unsafe { kp_c_panic(line.bytes.as_ptr(), line.len) };
    // SAFETY: traps, and so ends this task.
    unsafe { core::arch::asm!("ud2", options(noreturn, nomem, nostack)) }
}
