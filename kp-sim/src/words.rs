//! Memory that several sides access at once: by aligned words, each of them atomic.
use crate::device::aligned_parts;
use std::{
    ops::Range,
    ptr,
    sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::*},
};

macro_rules! widths {
    ($($width:literal $type:ty, $atomic:ty;)*) => {
        /// Reads one aligned word, little end first.
        ///
        /// # Safety
        /// `address` is aligned and alive, and accessed by atomics alone.
        pub(crate) unsafe fn load(address: usize, into: &mut [u8]) {
            match into.len() {
                $($width => {
                    // SAFETY: the caller's promise.
                    let word = unsafe { <$atomic>::from_ptr(ptr::with_exposed_provenance_mut(address)) }.load(Acquire);
                    into.copy_from_slice(&word.to_le_bytes());
                })*
                _ => {}
            }
        }

        /// Writes one aligned word, little end first.
        ///
        /// # Safety
        /// As for `load`.
        pub(crate) unsafe fn store(address: usize, from: &[u8]) {
            match from.len() {
                $($width => {
                    let mut bytes = [0; $width];
                    bytes.copy_from_slice(from);
                    // SAFETY: the caller's promise.
                    unsafe { <$atomic>::from_ptr(ptr::with_exposed_provenance_mut(address)) }
                        .store(<$type>::from_le_bytes(bytes), Release);
                })*
                _ => {}
            }
        }
    };
}
widths! {
    1 u8, AtomicU8;
    2 u16, AtomicU16;
    4 u32, AtomicU32;
    8 u64, AtomicU64;
}

/// The aligned words that `len` bytes from `at` on are made of: offset, and which of the bytes.
pub(crate) fn words(at: usize, len: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let eights = (0..len).step_by(8).map(move |from| (from, (len - from).min(8)));
    eights.flat_map(move |(from, count)| {
        aligned_parts((at + from) as u64, count as u8).map(move |(place, width)| {
            let place = place as usize;
            (place, place - at..place - at + usize::from(width))
        })
    })
}
