//! How much of the stack a driver's functions take, from its object file. Compilers have each page of a large frame touched by a
//! function that is told the frame's size; smaller ones are below a page.
use object::{Architecture, Object as _, ObjectSection as _, ObjectSymbol as _};

use crate::build::callgraph;
use crate::build::check::{Refusal, Target, is_executable, target};

/// What touches the pages.
const PROBE: &str = "__chkstk";
/// What one function may take. "Using the Kernel Stack" has approximately three pages for everybody; x64 has six, "How do I keep my
/// driver from running out of kernel-mode stack?".
pub const MOST: u64 = 3 * 4096;

/// Each function that takes a page or more, with how much that is, in bytes.
///
/// # Errors
/// [`Refusal::Malformed`]: no object, or one in which a size cannot be read.
pub fn large(object: &[u8]) -> Result<Vec<(String, u64)>, Refusal> {
    let file = object::File::parse(object)?;
    let probe = file.symbol_by_name(PROBE).and_then(|symbol| symbol.section_index());
    let mut found = Vec::new();
    for section in file.sections() {
        for (at, relocation) in section.relocations() {
            let calls = match target(&file, &relocation)? {
                Some(Target::Section(section)) => Some(section) == probe,
                Some(Target::Symbol(name)) => name == PROBE,
                None => false,
            };
            if !calls || !is_executable(&section) {
                continue;
            }
            let name = callgraph::name(&file, section.index());
            let before = section.data()?.get(..at as usize).unwrap_or_default();
            let size = match file.architecture() {
                Architecture::Aarch64 => sixteens(before).map(|sixteens| sixteens * 16),
                _ => bytes(before),
            };
            let size =
                size.ok_or_else(|| Refusal::Malformed(format!("nobody can tell how much stack {name} takes")))?;
            found.push((name, size));
        }
    }
    Ok(found)
}

/// Refuses an object with a function that takes more of the stack than a kernel has.
///
/// # Errors
/// [`Refusal::Frame`], and those of [`large`].
pub fn fit(object: &[u8]) -> Result<(), Refusal> {
    match large(object)?.into_iter().max_by_key(|(_, size)| *size) {
        Some((function, size)) if size > MOST => Err(Refusal::Frame { function, size }),
        _ => Ok(()),
    }
}

/// x64: `mov eax, size`, and the first byte of the call.
fn bytes(before: &[u8]) -> Option<u64> {
    match before {
        [.., 0xB8, a, b, c, d, 0xE8] => Some(u32::from_le_bytes([*a, *b, *c, *d]).into()),
        _ => None,
    }
}

/// Arm64: `movz x15, size / 16`, and `movk x15, size / 16 >> 16, lsl #16` if it is longer.
fn sixteens(before: &[u8]) -> Option<u64> {
    let (before, last) = before.split_last_chunk::<4>()?;
    let last = u32::from_le_bytes(*last);
    let number = |word: u32| u64::from(word >> 5 & 0xFFFF);
    match last & 0xFFE0_001F {
        0xD280_000F => Some(number(last)),
        0xF2A0_000F => {
            let low = u32::from_le_bytes(*before.split_last_chunk::<4>()?.1);
            (low & 0xFFE0_001F == 0xD280_000F).then_some(number(last) << 16 | number(low))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_what_stands_before_the_call() {
        assert_eq!(bytes(&[0x53, 0xB8, 0x30, 0x20, 0, 0, 0xE8]), Some(0x2030));
        assert_eq!(bytes(&[0x48, 0xC7, 0xC0, 0x30, 0x20, 0xE8]), None);
        let code = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        assert_eq!(sixteens(&code(&[0x9100_83FD, 0xD280_402F])), Some(513)); // mov x15, #513
        assert_eq!(sixteens(&code(&[0xD280_402F, 0xF2A0_002F])), Some(0x1_0201));
        assert_eq!(sixteens(&code(&[0xF2A0_002F])), None);
        assert_eq!(sixteens(&code(&[0x9100_83FD])), None);
        assert_eq!(sixteens(&[]), None);
    }
}
