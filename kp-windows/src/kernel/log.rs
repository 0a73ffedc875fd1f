//! Lines in the debugger's log, each with the plugin's name before it.
use crate::nt::DbgPrintEx;
use core::{
    ptr, slice, str,
    sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed},
};

static NAME: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static NAME_LEN: AtomicUsize = AtomicUsize::new(0);

/// Log lines come from the component for drivers of devices that have no class of their own, DPFLTR_IHVDRIVER_ID.
const COMPONENT: u32 = 77;
/// DPFLTR_ERROR_LEVEL: shown without asking for it.
const LEVEL: u32 = 0;
/// What a log line is cut to, in bytes: DbgPrintEx takes 512 with the name.
const LINE: usize = 440;

/// Keeps the plugin's name. Before anything else of the port.
pub(crate) fn set_name(name: &'static str) {
    NAME.store(name.as_ptr().cast_mut(), Relaxed);
    NAME_LEN.store(name.len(), Relaxed);
}

/// The plugin's name.
pub(crate) fn name() -> &'static str {
    let (name, len) = (NAME.load(Relaxed), NAME_LEN.load(Relaxed));
    if name.is_null() {
        return "";
    }
    // SAFETY: `set_name` has stored the parts of a text that is never freed.
    let bytes = unsafe { slice::from_raw_parts(name, len) };
    // SAFETY: all of that text.
    unsafe { str::from_utf8_unchecked(bytes) }
}

/// Writes one line. Any level.
pub(crate) fn line(text: &str) {
    let (name, name_len) = (NAME.load(Relaxed), NAME_LEN.load(Relaxed));
    let text = text.as_bytes();
    let format = c"kp-%.*s: %.*s\n".as_ptr().cast();
    // SAFETY: two readable ranges, and a format for them.
    unsafe { DbgPrintEx(COMPONENT, LEVEL, format, name_len, name, text.len().min(LINE), text.as_ptr()) };
}
