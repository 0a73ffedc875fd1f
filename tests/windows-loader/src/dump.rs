//! What the smallest dump of a bug check has of memory: the stack of the thread that called it, from there on.
use crate::kernel::Machine;
use std::{mem::MaybeUninit, ptr, sync::OnceLock};

/// How much of a stack is kept.
const MOST: usize = 16 << 10;

/// A part of a stack.
#[derive(Default)]
pub(crate) struct Dump(OnceLock<(usize, Vec<u8>)>);

impl Dump {
    /// Keeps this thread's stack, from this function on upwards. Only the first one counts.
    pub(crate) fn take(&self) {
        let here = 0_u8;
        let start = (&raw const here).expose_provenance();
        let len = stack_end().saturating_sub(start).min(MOST);
        // SAFETY: between a variable of this function and the end of this thread's stack all is mapped; it is read as it is now, by bytes
        // that may be anything.
        let bytes = (0..len).map(|at| unsafe { ptr::with_exposed_provenance::<u8>(start + at).read_volatile() });
        let _ = self.0.set((start, bytes.collect()));
    }

    fn text(&self, address: usize) -> Option<String> {
        let (start, bytes) = self.0.get()?;
        let text = bytes.get(address.checked_sub(*start)?..)?;
        let end = text.iter().position(|&byte| byte == 0)?;
        Some(String::from_utf8_lossy(&text[..end]).into_owned())
    }
}

/// Where this thread's stack ends.
fn stack_end() -> usize {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: this thread, and a place for its attributes.
    if unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) } != 0 {
        return 0;
    }
    let (mut start, mut len) = (ptr::null_mut(), 0);
    // SAFETY: written above; two places to be filled in.
    unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &mut start, &mut len) };
    // SAFETY: written above, and not used again.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    start.expose_provenance() + len
}

impl Machine {
    /// The text at an address, up to its zero, in the stack of the thread that called KeBugCheckEx.
    pub fn dumped_text(&self, address: usize) -> Option<String> {
        self.kernel.dump.text(address)
    }
}
