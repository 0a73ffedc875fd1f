//! What C calls, and the call of it.
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What C reads.
static TABLE: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];

unsafe extern "C" {
    safe fn planted(bits: u32) -> u32;
}

/// Runs the C code.
pub fn run(bits: u32) -> u32 {
    planted(bits)
}

/// An entry of the table, and 0 behind its end.
// SAFETY: no other function of a program has this name.
#[unsafe(no_mangle)]
extern "C" fn planted_entry(at: u32) -> u32 {
    TABLE.get(at as usize).map_or(0, |entry| entry.load(Relaxed))
}

/// An entry of the table. Behind its end it panics.
// SAFETY: no other function of a program has this name.
#[unsafe(no_mangle)]
extern "C" fn planted_unchecked(at: u32) -> u32 {
    TABLE[at as usize].load(Relaxed)
}
