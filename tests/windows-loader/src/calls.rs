//! Where a driver's code calls kernel functions that can fail: what each of them has to be reached by, if all are to be failed once.
use crate::{exports, image::functions};
use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind, Register};
use object::{
    LittleEndian as LE,
    pe::{IMAGE_SCN_MEM_EXECUTE, ImageNtHeaders64},
    read::pe::{ImageThunkData, PeFile64},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The calls in a .sys of kernel functions that can fail: each function, and the address behind the call, relative to the image, as in
/// a [`Site`](crate::Site). Calls through a register that was loaded from the import table are among them; those through an address that
/// was looked up are not. A jump at a function's end counts as a call that nothing ever comes back from behind.
///
/// # Errors
/// The file is no driver, or it loads such a function into a register that is not seen where it is called: in one line.
pub fn fallible_calls(path: &Path) -> Result<Vec<(&'static str, u32)>, String> {
    let text = |error: object::read::Error| format!("{}: {error}", path.display());
    let data = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let file = PeFile64::parse(&*data).map_err(text)?;
    let slots = imports(&file)?;
    let starts: BTreeSet<u64> = functions(&file, &data)?.into_iter().map(|[start, ..]| start.into()).collect();
    let mut calls = Vec::new();
    for section in file.section_table().iter() {
        if section.characteristics.get(LE) & IMAGE_SCN_MEM_EXECUTE == 0 {
            continue;
        }
        let code = section.pe_data(&*data).map_err(text)?;
        let code = code.get(..section.virtual_size.get(LE) as usize).unwrap_or(code);
        let start = section.virtual_address.get(LE).into();
        calls.extend(calls_in(code, start, &slots, &starts).map_err(|why| format!("{}: {why}", path.display()))?);
    }
    Ok(calls)
}

/// Places of the import table, relative to the image: the function, if it can fail.
type Slots = BTreeMap<u64, Option<&'static str>>;

fn imports(file: &PeFile64<'_>) -> Result<Slots, String> {
    let text = |error: object::read::Error| error.to_string();
    let mut slots = Slots::new();
    let Some(table) = file.import_table().map_err(text)? else { return Err("it imports nothing".into()) };
    let mut descriptors = table.descriptors().map_err(text)?;
    while let Some(descriptor) = descriptors.next().map_err(text)? {
        let mut thunks = table.thunks(descriptor.original_first_thunk.get(LE)).map_err(text)?;
        let mut slot = u64::from(descriptor.first_thunk.get(LE));
        while let Some(thunk) = thunks.next::<ImageNtHeaders64>().map_err(text)? {
            let (_, name) = table.hint_name(thunk.address()).map_err(text)?;
            let export = exports::all().iter().find(|export| export.name.as_bytes() == name);
            slots.insert(slot, export.filter(|export| export.failure.is_some()).map(|export| export.name));
            slot += 8;
        }
    }
    Ok(slots)
}

/// Those in one section's code, which begins at `at`; functions begin at `starts`.
fn calls_in(code: &[u8], at: u64, slots: &Slots, starts: &BTreeSet<u64>) -> Result<Vec<(&'static str, u32)>, String> {
    let mut calls = Vec::new();
    let mut decoder = Decoder::with_ip(64, code, at, DecoderOptions::NONE);
    // Compilers keep a function that is called more than once in a register, up to the function's end.
    let mut held: BTreeMap<Register, Option<&'static str>> = BTreeMap::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if starts.contains(&instruction.ip()) {
            held.clear();
        }
        let behind = instruction.next_ip() as u32;
        let loaded = (instruction.is_ip_rel_memory_operand())
            .then(|| slots.get(&instruction.ip_rel_memory_address()).copied())
            .flatten();
        match (instruction.mnemonic(), instruction.op0_kind(), loaded) {
            (Mnemonic::Call | Mnemonic::Jmp, OpKind::Memory, Some(name)) => {
                calls.extend(name.map(|name| (name, behind)));
            }
            (Mnemonic::Mov, OpKind::Register, Some(name)) => {
                held.insert(instruction.op0_register(), name);
            }
            (_, _, Some(Some(name))) => {
                return Err(format!("{name} is used in a way that is not known, at {behind:#x}"));
            }
            (Mnemonic::Mov, OpKind::Register, None) => {
                held.remove(&instruction.op0_register());
            }
            (Mnemonic::Call, OpKind::Register, None) => match held.get(&instruction.op0_register()) {
                Some(name) => calls.extend(name.map(|name| (name, behind))),
                None if held.values().all(Option::is_none) => {}
                None => return Err(format!("a call of what is not known, at {behind:#x}")),
            },
            _ => {}
        }
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 0x1000;

    /// What is found in a function of these instructions, of which a `0xEE` stands for the distance to the import table's place.
    fn found(code: &[&[u8]], more_starts: &[u64]) -> Result<Vec<u32>, String> {
        let slots = Slots::from([(0x2000, Some("IoCreateDevice"))]);
        let mut bytes = Vec::new();
        for instruction in code {
            bytes.extend_from_slice(instruction);
            if bytes.last() == Some(&0xEE) {
                bytes.pop();
                let distance = 0x2000 - (AT as i32 + bytes.len() as i32 + 4);
                bytes.extend(distance.to_le_bytes());
            }
        }
        let starts = more_starts.iter().copied().chain([AT]).collect();
        calls_in(&bytes, AT, &slots, &starts).map(|calls| calls.into_iter().map(|(_, behind)| behind).collect())
    }

    const CALL: &[u8] = &[0xFF, 0x15, 0xEE];
    const JUMP: &[u8] = &[0xFF, 0x25, 0xEE];
    const LOAD_RBX: &[u8] = &[0x48, 0x8B, 0x1D, 0xEE];
    const LOAD_R14: &[u8] = &[0x4C, 0x8B, 0x35, 0xEE];
    const CALL_RBX: &[u8] = &[0xFF, 0xD3];
    const CALL_R14: &[u8] = &[0x41, 0xFF, 0xD6];
    const MOVE_RBX_RAX: &[u8] = &[0x48, 0x89, 0xC3];
    const PUSH: &[u8] = &[0xFF, 0x35, 0xEE];
    const RET: &[u8] = &[0xC3];

    #[test]
    fn a_call_is_found_however_the_compiler_makes_it() {
        assert_eq!(found(&[CALL, RET], &[]), Ok(vec![0x1006]));
        assert_eq!(found(&[JUMP], &[]), Ok(vec![0x1006]));
        assert_eq!(found(&[LOAD_RBX, CALL_RBX, CALL_RBX, RET], &[]), Ok(vec![0x1009, 0x100B]));
        assert_eq!(found(&[LOAD_R14, CALL_R14, RET], &[]), Ok(vec![0x100A]));
        assert_eq!(found(&[CALL_RBX, RET], &[]), Ok(vec![]), "what it calls is no import that can fail");
        assert_eq!(found(&[LOAD_RBX, RET, CALL_RBX, RET], &[0x1008]), Ok(vec![]), "another function's register");
    }

    #[test]
    fn a_use_that_is_not_understood_is_not_passed_over() {
        assert!(found(&[PUSH, RET], &[]).is_err());
        assert!(found(&[LOAD_R14, CALL_RBX, RET], &[]).is_err());
        assert!(found(&[LOAD_R14, LOAD_RBX, MOVE_RBX_RAX, CALL_RBX, RET], &[]).is_err());
    }
}
