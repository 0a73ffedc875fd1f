//! Mapped registers: pages that cannot be touched, so that each access faults, is decoded, and goes to the device's model.
use crate::{
    kernel::{Kernel, lock},
    rule::{Broken, Rule},
    slot::Slot,
    space::Protection,
};
use std::{
    ptr,
    sync::{Arc, Mutex},
};

/// What drivers have mapped.
#[derive(Default)]
pub(crate) struct Mappings {
    windows: Mutex<Vec<Window>>,
}

struct Window {
    start: usize,
    len: usize,
    slot: Arc<Slot>,
    bar: usize,
    offset: u64,
}

/// One access that faulted.
#[derive(Debug, PartialEq, Eq)]
struct Access {
    /// In bytes.
    width: u8,
    /// Bytes of the instruction.
    len: usize,
    operand: Operand,
}

#[derive(Debug, PartialEq, Eq)]
enum Operand {
    /// Loads into this register.
    Load(Register),
    /// Stores this register.
    Store(Register),
    /// Stores this number.
    StoreNumber(u64),
}

/// A register's number, and the bits below the operand in it: 8 for `ah`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Register {
    number: usize,
    shift: u32,
}

impl Mappings {
    /// Maps a range of a device's BAR.
    pub(crate) fn map(&self, kernel: &Kernel, slot: &Arc<Slot>, bar: usize, offset: u64, len: usize) -> usize {
        let start = kernel.space.take(len, Protection::None);
        lock(&self.windows).push(Window { start, len, slot: slot.clone(), bar, offset });
        start
    }

    /// Unmaps what was mapped. False: nothing was, or not as long.
    pub(crate) fn unmap(&self, start: usize, len: usize) -> bool {
        let mut windows = lock(&self.windows);
        let before = windows.len();
        windows.retain(|window| (window.start, window.len) != (start, len));
        windows.len() != before
    }

    /// Carries an access out, if it is one to registers: gives the instruction's length. `registers` are the general ones by number.
    ///
    /// # Errors
    /// It is one, but not of a kind that a device sees as one access.
    pub(crate) fn access(
        &self,
        kernel: &Kernel,
        rip: usize,
        at: usize,
        registers: &mut [usize; 16],
    ) -> Result<Option<usize>, Broken> {
        let found = {
            let windows = lock(&self.windows);
            let window = windows.iter().find(|window| (window.start..window.start + window.len).contains(&at));
            window.map(|w| (w.slot.clone(), w.bar, w.offset + (at - w.start) as u64, w.start + w.len - at))
        };
        let Some((slot, bar, offset, room)) = found else { return Ok(None) };
        if slot.power.is_asleep() {
            let what = format!("the register at {offset:#x} of BAR {bar} was touched while the device was not in D0");
            return Err(Rule::AsleepUntouched.broken(what));
        }
        // SAFETY: the instruction that has just been executed is there, and no instruction is longer; the image does not end with it.
        let code = unsafe { std::slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(rip), 15) };
        let Some(access) = decode(code) else {
            let what = format!("registers are touched by an instruction that is no plain mov: {:02x?}", &code[..8]);
            return Err(Rule::RegisterAccess.broken(what));
        };
        if usize::from(access.width) > room || !at.is_multiple_of(access.width.into()) {
            let what =
                format!("registers are touched across the mapping's end, or not aligned: {} bytes", access.width);
            return Err(Rule::RegisterAligned.broken(what));
        }
        let bits = 8 * u32::from(access.width);
        let mask = if bits == 64 { usize::MAX } else { (1 << bits) - 1 };
        match access.operand {
            Operand::Store(register) => {
                let value = registers[register.number] >> register.shift & mask;
                slot.write(kernel, bar, offset, access.width, value as u64);
            }
            Operand::StoreNumber(value) => slot.write(kernel, bar, offset, access.width, value & mask as u64),
            Operand::Load(Register { number, shift }) => {
                let value = slot.read(kernel, bar, offset, access.width) as usize & mask;
                // A 32-bit load clears the upper half; narrower ones keep what is around them.
                let kept = if bits >= 32 { 0 } else { registers[number] & !(mask << shift) };
                registers[number] = kept | value << shift;
            }
        }
        Ok(Some(access.len))
    }

    /// Does a driver have registers of a device mapped?
    pub(crate) fn has(&self, slot: &Arc<Slot>) -> bool {
        lock(&self.windows).iter().any(|window| Arc::ptr_eq(&window.slot, slot))
    }

    pub(crate) fn left(&self) -> Vec<String> {
        lock(&self.windows)
            .iter()
            .map(|window| format!("{} bytes of registers mapped at {:#x}", window.len, window.start))
            .collect()
    }
}

/// Reads a `mov` between memory and a register, or of a number to memory. None: it is something else.
///
/// Source: Intel's manual, volume 2, "MOV" and the encoding of memory operands.
fn decode(code: &[u8]) -> Option<Access> {
    let mut at = 0;
    let is_short = code[at] == 0x66;
    at += usize::from(is_short);
    let rex = if code[at] & 0xF0 == 0x40 { code[at] } else { 0 };
    at += usize::from(rex != 0);
    let opcode = code[at];
    let modrm = code[at + 1];
    at += 2;
    let (mode, low) = (modrm >> 6, modrm & 7);
    if mode == 3 {
        return None;
    }
    let mut displacement = [0, 1, 4][usize::from(mode)];
    if low == 4 {
        let base = code[at] & 7;
        at += 1;
        if mode == 0 && base == 5 {
            displacement = 4;
        }
    } else if mode == 0 && low == 5 {
        displacement = 4;
    }
    at += displacement;
    let wide = match (rex & 8 != 0, is_short) {
        (true, _) => 8,
        (false, true) => 2,
        (false, false) => 4,
    };
    let width = if opcode & 1 == 0 { 1 } else { wide };
    let number = usize::from(modrm >> 3 & 7 | (rex & 4) << 1);
    // Without REX the upper four byte registers are the second bytes of the lower four.
    let register = match width == 1 && rex == 0 && number >= 4 {
        true => Register { number: number - 4, shift: 8 },
        false => Register { number, shift: 0 },
    };
    let operand = match opcode {
        0x88 | 0x89 => Operand::Store(register),
        0x8A | 0x8B => Operand::Load(register),
        0xC6 | 0xC7 if modrm & 0x38 == 0 => {
            let len = usize::from(width.min(4));
            let mut bytes = [0; 8];
            bytes[..len].copy_from_slice(&code[at..at + len]);
            at += len;
            let value = i64::from_le_bytes(bytes);
            let sign = if width == 8 { i64::from(value as i32) } else { value };
            Operand::StoreNumber(sign as u64)
        }
        _ => return None,
    };
    Some(Access { width, len: at, operand })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(code: &[u8], width: u8, operand: Operand) {
        let mut padded = code.to_vec();
        padded.resize(15, 0xCC);
        assert_eq!(decode(&padded), Some(Access { width, len: code.len(), operand }), "{code:02x?}");
    }

    #[test]
    fn every_form_of_mov_is_read() {
        let whole = |number| Register { number, shift: 0 };
        is(&[0x8B, 0x01], 4, Operand::Load(whole(0))); // mov eax, [rcx]
        is(&[0x66, 0x89, 0x01], 2, Operand::Store(whole(0))); // mov [rcx], ax
        is(&[0x48, 0x8B, 0x51, 0x08], 8, Operand::Load(whole(2))); // mov rdx, [rcx + 8]
        is(&[0x44, 0x89, 0x81, 0x64, 0, 0, 0], 4, Operand::Store(whole(8))); // mov [rcx + 0x64], r8d
        is(&[0x8A, 0x21], 1, Operand::Load(Register { number: 0, shift: 8 })); // mov ah, [rcx]
        is(&[0x40, 0x8A, 0x21], 1, Operand::Load(whole(4))); // mov spl, [rcx]
        is(&[0x43, 0x89, 0x04, 0x01], 4, Operand::Store(whole(0))); // mov [r9 + r8], eax
        is(&[0xC7, 0x41, 0x20, 1, 2, 3, 4], 4, Operand::StoreNumber(0x0403_0201)); // mov dword [rcx + 0x20], …
        is(&[0x48, 0xC7, 0x01, 0xFF, 0xFF, 0xFF, 0xFF], 8, Operand::StoreNumber(u64::MAX)); // mov qword [rcx], -1
        let mut other = [0xCC; 15];
        other[..2].copy_from_slice(&[0xF3, 0xA4]); // rep movsb
        assert_eq!(decode(&other), None);
    }
}
