//! A panic in plugin code: poison, log, stop the machine.
use crate::{kernel::log, nt::KeBugCheckEx};
use core::{
    fmt::Write,
    panic::PanicInfo,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};
use kp_core::host::LogLine;

static POISONED: AtomicBool = AtomicBool::new(false);

/// Code of the stop: "KP", and 1 for a panic.
const BUGCHECK: u32 = 0x4B50_0001;
/// What a panic's line and a file's name are cut to, in bytes.
const LINE: usize = 256;

#[inline]
pub(crate) fn is_poisoned() -> bool {
    POISONED.load(Relaxed)
}

/// The panic handler: file, line and message are logged; then the kernel's own stop, a bug check. Its parameters: the plugin's name, up to
/// eight bytes, the first one lowest; the address of the file's name; the line; the address of the whole message. Both texts end with a
/// zero, and lie on the stack of the thread, which the smallest dump has too.
pub fn panicked(info: &PanicInfo<'_>) -> ! {
    POISONED.store(true, Relaxed);
    let mut message = LogLine::<LINE>::new();
    let _ = write!(message, "{info}");
    log::line(message.text());
    let (file, number) = info.location().map_or(("", 0), |location| (location.file(), location.line()));
    let (file, message) = (zero_ended(file), zero_ended(message.text()));
    let mut name = [0; 8];
    for (to, from) in name.iter_mut().zip(log::name().bytes()) {
        *to = from;
    }
    let texts = [&file, &message].map(|text| text.as_ptr().expose_provenance());
    KeBugCheckEx(BUGCHECK, usize::from_le_bytes(name), texts[0], number as usize, texts[1])
}

/// The end of a text, with a zero behind it: of a path that is what tells.
fn zero_ended(text: &str) -> [u8; LINE] {
    let mut bytes = [0; LINE];
    let end = text.as_bytes();
    let end = &end[end.len().saturating_sub(LINE - 1)..];
    for (to, from) in bytes.iter_mut().zip(end) {
        *to = *from;
    }
    bytes
}
