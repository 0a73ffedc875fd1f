//! What a driver's file says of itself, by Windows' own reader.
use super::service::wide;
use std::{ffi::c_void, path::Path, ptr, slice};
use windows_sys::Win32::Storage::FileSystem::{GetFileVersionInfoSizeW, GetFileVersionInfoW, VerQueryValueW};

/// A text of the file's version resource: English (United States), in UTF-16.
///
/// # Panics
/// If there is none.
pub fn text(file: &Path, key: &str) -> String {
    let name = wide(file);
    // SAFETY: a text with a zero at its end, and no handle wanted.
    let size = unsafe { GetFileVersionInfoSizeW(name.as_ptr(), ptr::null_mut()) };
    let mut block = vec![0_u32; (size as usize).div_ceil(4)];
    // SAFETY: a text with a zero at its end, and `size` bytes.
    let found = unsafe { GetFileVersionInfoW(name.as_ptr(), 0, size, block.as_mut_ptr().cast()) };
    assert!(size > 0 && found != 0, "{}: no version", file.display());
    let place = wide(format!(r"\StringFileInfo\040904B0\{key}"));
    let (mut at, mut len) = (ptr::null_mut::<c_void>(), 0);
    // SAFETY: the block that was just filled, a text with a zero at its end, and two places for the answer.
    let found = unsafe { VerQueryValueW(block.as_ptr().cast(), place.as_ptr(), &mut at, &mut len) };
    assert!(found != 0 && len > 0, "{}: no {key}", file.display());
    // SAFETY: it answers `len` characters inside the block, which is there still.
    let units = unsafe { slice::from_raw_parts(at.cast::<u16>(), len as usize) };
    String::from_utf16_lossy(units).trim_end_matches('\0').to_owned()
}
