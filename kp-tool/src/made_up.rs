//! A module's file for tests, of kp-tool and of whoever uses it.

use object::elf;

/// An ELF file with a section `.modinfo` and nothing else, as in `license=GPL`.
pub fn made_up(entries: &[&str]) -> Vec<u8> {
    const NAMES: &[u8] = b"\0.modinfo\0.shstrtab\0";
    let info: Vec<u8> = entries.iter().flat_map(|entry| [entry.as_bytes(), &[0]].concat()).collect();
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |value: u16| value.to_le_bytes().to_vec();
    let word = |value: u32| value.to_le_bytes().to_vec();
    let long = |value: usize| (value as u64).to_le_bytes().to_vec();
    let sections = (64 + info.len() + NAMES.len()).next_multiple_of(8);
    file.extend([half(elf::ET_REL), half(elf::EM_X86_64), word(1), long(0), long(0), long(sections), word(0)].concat());
    file.extend([half(64), half(0), half(0), half(64), half(3), half(2)].concat());
    file.extend(&info);
    file.extend(NAMES);
    file.resize(sections + 64, 0);
    for (name, kind, at, len) in
        [(1, elf::SHT_PROGBITS, 64, info.len()), (10, elf::SHT_STRTAB, 64 + info.len(), NAMES.len())]
    {
        file.extend([word(name), word(kind), long(0), long(0), long(at), long(len)].concat());
        file.extend([word(0), word(0), long(1), long(0)].concat());
    }
    file
}
