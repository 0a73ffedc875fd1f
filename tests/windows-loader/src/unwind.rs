//! Walking a driver's stack by its unwind information, and finding the block that handles an exception.
//!
//! Source: Microsoft, "x64 exception handling", version 1 of the unwind information, and the scope table of `__C_specific_handler`.
use crate::image::Image;
use std::ptr;

/// A scope's filter that always says: handle it.
const EXECUTE_HANDLER: u32 = 1;
/// The function has a handler for exceptions.
const HAS_HANDLER: u8 = 1;
/// The information goes on with another function's.
const CHAINED: u8 = 4;
/// Saved registers in a driver's stack are read back; one that points elsewhere ends the walk.
const DEPTH: usize = 64;

/// The registers that matter to a caller: general ones by their number in machine code, instruction pointer, and xmm6 to xmm15.
#[derive(Clone)]
pub(crate) struct Registers {
    pub(crate) rip: usize,
    pub(crate) general: [usize; 16],
    pub(crate) xmm: [u128; 16],
}

pub(crate) const RSP: usize = 4;

struct Info<'i> {
    image: &'i Image,
    flags: u8,
    prolog: u8,
    frame_register: usize,
    frame_offset: usize,
    codes: &'i [u8],
    /// Offset of what stands behind the codes.
    behind: u32,
}

fn info(image: &Image, at: u32) -> Info<'_> {
    let head = image.bytes(at, 4);
    let count = head[2] as usize;
    let behind = at + 4 + 2 * count.next_multiple_of(2) as u32;
    Info {
        image,
        flags: head[0] >> 3,
        prolog: head[1],
        frame_register: (head[3] & 15) as usize,
        frame_offset: 16 * (head[3] >> 4) as usize,
        codes: image.bytes(at + 4, 2 * count),
        behind,
    }
}

fn word(image: &Image, at: u32) -> u32 {
    u32::from_le_bytes(image.bytes(at, 4).try_into().expect("four bytes"))
}

fn stack<T: Copy>(address: usize) -> T {
    // SAFETY: the unwind information says that the function has saved it there; the stack below is the driver's, and is mapped.
    unsafe { ptr::with_exposed_provenance::<T>(address).read_unaligned() }
}

/// Goes from a function to its caller.
pub(crate) fn step(image: &Image, registers: &mut Registers) {
    if let Some((start, at)) = image.function(registers.rip) {
        let offset = registers.rip - image.base - start as usize;
        let mut info = info(image, at);
        undo(&info, offset, registers);
        while info.flags & CHAINED != 0 {
            info = self::info(image, word(image, info.behind + 8));
            undo(&info, usize::MAX, registers);
        }
    }
    registers.rip = stack(registers.general[RSP]);
    registers.general[RSP] += 8;
}

/// Undoes what a function's prologue has done, up to `offset` bytes into it.
fn undo(info: &Info<'_>, offset: usize, registers: &mut Registers) {
    let half = |at: usize| u16::from_le_bytes([info.codes[at], info.codes[at + 1]]) as usize;
    let whole = |at: usize| half(at) | half(at + 2) << 16;
    let mut at = 0;
    // The frame register holds the stack pointer of the prologue's end; saves are relative to it.
    let in_prolog = offset < info.prolog as usize;
    let frame = match info.frame_register {
        0 => None,
        register => Some(registers.general[register].wrapping_sub(info.frame_offset)),
    };
    let fixed = if in_prolog { registers.general[RSP] } else { frame.unwrap_or(registers.general[RSP]) };
    while at < info.codes.len() {
        let (when, code, argument) =
            (info.codes[at] as usize, info.codes[at + 1] & 15, (info.codes[at + 1] >> 4) as usize);
        let done = when <= offset;
        let more = match code {
            1 if argument == 0 => 1,
            1 => 2,
            4 | 8 => 1,
            5 | 9 => 2,
            _ => 0,
        };
        if done {
            let rsp = registers.general[RSP];
            match code {
                0 => {
                    registers.general[argument] = stack(rsp);
                    registers.general[RSP] = rsp + 8;
                }
                1 if argument == 0 => registers.general[RSP] = rsp + 8 * half(at + 2),
                1 => registers.general[RSP] = rsp + whole(at + 2),
                2 => registers.general[RSP] = rsp + 8 * argument + 8,
                3 => registers.general[RSP] = frame.unwrap_or(rsp),
                4 => registers.general[argument] = stack(fixed + 8 * half(at + 2)),
                5 => registers.general[argument] = stack(fixed + whole(at + 2)),
                8 => registers.xmm[argument] = stack(fixed + 16 * half(at + 2)),
                9 => registers.xmm[argument] = stack(fixed + whole(at + 2)),
                _ => panic!("{}: an unwind code {code} that no driver has", info.image.name),
            }
        }
        at += 2 + 2 * more;
    }
}

/// Finds the block that handles an exception at `registers.rip`, an instruction that faulted or else a return address; gives the
/// registers to go on with. None: nobody handles it before the driver's caller.
pub(crate) fn handler(image: &Image, mut registers: Registers, mut is_fault: bool) -> Option<Registers> {
    for _ in 0..DEPTH {
        if !image.contains(registers.rip) {
            return None;
        }
        // A return address lies behind its call, which may be the last instruction of a scope.
        let at = registers.rip - usize::from(!is_fault);
        if let Some((_, information)) = image.function(at)
            && let Some(target) = scope(&info(image, information), (at - image.base) as u32)
        {
            registers.rip = image.base + target as usize;
            return Some(registers);
        }
        step(image, &mut registers);
        is_fault = false;
    }
    None
}

/// The block of a function's scope table that handles what happens at `at`.
fn scope(info: &Info<'_>, at: u32) -> Option<u32> {
    if info.flags & HAS_HANDLER == 0 {
        return None;
    }
    let table = info.behind + 4;
    (0..word(info.image, table)).find_map(|index| {
        let entry = table + 4 + 16 * index;
        let [start, end, filter, target] = [0, 4, 8, 12].map(|field| word(info.image, entry + field));
        ((start..end).contains(&at) && filter == EXECUTE_HANDLER).then_some(target)
    })
}

/// The return addresses in the driver, from the innermost, relative to the image; at most `most`.
pub(crate) fn callers(image: &Image, return_address: usize, rsp: usize, rbp: usize, most: usize) -> Vec<u32> {
    let mut general = [0; 16];
    (general[RSP], general[5]) = (rsp, rbp);
    let mut registers = Registers { rip: return_address, general, xmm: [0; 16] };
    let mut callers = Vec::new();
    while callers.len() < most && image.contains(registers.rip) {
        callers.push((registers.rip - image.base) as u32);
        step(image, &mut registers);
    }
    callers
}
