//! Ports: `in` and `out` fault in a program, are decoded, and go to the device's model.
use crate::{
    kernel::{Kernel, lock},
    rule::{Broken, Rule},
};
use std::ptr;

/// `in` or `out`, by the port in `dx`.
#[derive(Debug, PartialEq, Eq)]
struct Access {
    is_read: bool,
    /// In bytes.
    width: u8,
    /// Bytes of the instruction.
    len: usize,
}

const RAX: usize = 0;
const RDX: usize = 2;

/// Carries out the instruction at `rip` of a driver, if it accesses ports: gives its length. `registers` are the general ones by number.
///
/// # Errors
/// The ports are no device's, or its driver must not touch it now.
pub(crate) fn access(kernel: &Kernel, rip: usize, registers: &mut [usize; 16]) -> Result<Option<usize>, Broken> {
    // SAFETY: the instruction that has just been executed is there, and no instruction is longer; the image does not end with it.
    let code = unsafe { std::slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(rip), 2) };
    let Some(Access { is_read, width, len }) = decode(code) else { return Ok(None) };
    let port = u64::from(registers[RDX] as u16);
    let found = lock(&kernel.slots).values().find_map(|slot| {
        let bars = slot.bars();
        let bar = bars.iter().position(|bar| bar.is_some_and(|bar| bar.has_ports(port, width)))?;
        Some((slot.clone(), bar, port - bars[bar]?.bus))
    });
    let Some((slot, bar, offset)) = found.filter(|_| port.is_multiple_of(width.into())) else {
        return Err(Rule::PortsOwned.broken(format!("port {port:#x} is accessed, {width} bytes wide")));
    };
    if slot.power.is_asleep() {
        let what = format!("port {offset:#x} of BAR {bar} was touched while the device was not in D0");
        return Err(Rule::AsleepUntouched.broken(what));
    }
    let mask = usize::MAX >> (64 - 8 * u32::from(width));
    if is_read {
        let value = slot.read(kernel, bar, offset, width) as usize & mask;
        // 32 bits clear the upper half; fewer keep what is around them.
        let kept = if width == 4 { 0 } else { registers[RAX] & !mask };
        registers[RAX] = kept | value;
    } else {
        slot.write(kernel, bar, offset, width, (registers[RAX] & mask) as u64);
    }
    Ok(Some(len))
}

/// Source: Intel's manual, volume 2, "IN" and "OUT".
fn decode(code: &[u8]) -> Option<Access> {
    let (is_short, opcode) = match *code {
        [0x66, opcode, ..] => (true, opcode),
        [opcode, ..] => (false, opcode),
        [] => return None,
    };
    let (is_read, is_byte) = match opcode {
        0xEC => (true, true),
        0xED => (true, false),
        0xEE => (false, true),
        0xEF => (false, false),
        _ => return None,
    };
    let width = match (is_byte, is_short) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 4,
    };
    Some(Access { is_read, width, len: 1 + usize::from(is_short) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_access_by_a_port_in_dx_is_read() {
        let is = |code: &[u8], is_read, width, len| assert_eq!(decode(code), Some(Access { is_read, width, len }));
        is(&[0xEC, 0x90], true, 1, 1); // in al, dx
        is(&[0x66, 0xED], true, 2, 2); // in ax, dx
        is(&[0xED, 0x90], true, 4, 1); // in eax, dx
        is(&[0xEE, 0x90], false, 1, 1); // out dx, al
        is(&[0x66, 0xEF], false, 2, 2); // out dx, ax
        is(&[0xEF, 0x90], false, 4, 1); // out dx, eax
        assert_eq!(decode(&[0x6C, 0x90]), None); // insb
        assert_eq!(decode(&[0x66, 0x90]), None); // xchg ax, ax
    }
}
