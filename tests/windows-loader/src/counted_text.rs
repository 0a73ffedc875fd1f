//! What drivers pass by address: counted strings, and formats of messages.
use crate::nt::UnicodeString;
use std::ptr;

/// A counted string. None: a null pointer.
pub(crate) fn string(string: *const UnicodeString) -> Option<String> {
    if string.is_null() {
        return None;
    }
    // SAFETY: the driver's string.
    let UnicodeString { length, buffer, .. } = unsafe { *string };
    if length == 0 {
        return Some(String::new());
    }
    // SAFETY: as above: as many units as it says.
    let units = unsafe { std::slice::from_raw_parts(buffer, usize::from(length) / 2) };
    Some(String::from_utf16_lossy(units))
}

/// A text that a zero ends.
pub(crate) fn wide(text: *const u16) -> String {
    // SAFETY: the driver's text, up to its zero.
    let units = (0..).map(|n| unsafe { text.add(n).read() }).take_while(|unit| *unit != 0);
    String::from_utf16_lossy(&units.collect::<Vec<u16>>())
}

fn byte(address: usize) -> u8 {
    // SAFETY: a byte of the driver's text, or of its format.
    unsafe { ptr::with_exposed_provenance::<u8>(address).read() }
}

/// A text of at most `most` bytes, up to its zero.
fn text(address: usize, most: usize) -> String {
    let bytes: Vec<u8> = (0..most).map(|i| byte(address + i)).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What DbgPrintEx writes. Knows `%s`, `%.*s`, `%d`, `%u`, `%x`, `%X`, `%p`, with `l`, `ll`, `I64`, and ignores width and zeros.
pub(crate) fn format(format: *const u8, arguments: &[usize]) -> String {
    let format = text(format.expose_provenance(), 4096);
    let mut arguments = arguments.iter().copied();
    let mut next = || arguments.next().unwrap_or_default();
    let mut line = String::new();
    let mut rest = format.as_str();
    while let Some(at) = rest.find('%') {
        line.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            line.push('%');
            rest = after;
            continue;
        }
        let end = rest.find(['s', 'd', 'i', 'u', 'x', 'X', 'p', 'c']).unwrap_or(rest.len().saturating_sub(1));
        let (flags, kind) = rest.split_at(end);
        let most = if flags.contains(".*") { next() as u32 as usize } else { 512 };
        let is_wide = flags.contains("ll") || flags.contains("I64");
        match kind.as_bytes().first() {
            Some(b's') => line.push_str(&text(next(), most)),
            Some(b'd' | b'i') if is_wide => line.push_str(&(next() as i64).to_string()),
            Some(b'd' | b'i') => line.push_str(&(next() as i32).to_string()),
            Some(b'u') if is_wide => line.push_str(&next().to_string()),
            Some(b'u') => line.push_str(&(next() as u32).to_string()),
            Some(b'x' | b'X') if !is_wide => line.push_str(&format!("{:x}", next() as u32)),
            Some(b'x' | b'X' | b'p') => line.push_str(&format!("{:x}", next())),
            Some(b'c') => line.push(next() as u8 as char),
            _ => line.push('%'),
        }
        rest = kind.get(1..).unwrap_or_default();
    }
    line.push_str(rest);
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_is_what_its_format_and_arguments_say() {
        let name = c"echoes".as_ptr().expose_provenance();
        let line = |format: &std::ffi::CStr, arguments: &[usize]| super::format(format.as_ptr().cast(), arguments);
        assert_eq!(line(c"kp-%.*s: %.*s\n", &[4, name, 2, name]), "kp-echo: ec");
        assert_eq!(line(c"%d%% of %#llx, %08x", &[usize::MAX, 0x10_0000_0000, 7]), "-1% of 1000000000, 7");
    }
}
