//! Direct references in place of those through a global offset table, which modules don't have.
//!
//! core built by `-Zbuild-std` has none. A library that was compiled for a position-independent program has, and the kernel's
//! loader would answer "Unknown rela relocation: 9".
use anyhow::{Context, Result, bail};
use object::LittleEndian;
use object::elf;
use object::read::elf::{ElfFile64, FileHeader as _, SectionHeader as _};

/// The bytes of one entry of a relocation table.
const ENTRY: usize = 24;
/// `op r64, r/m64` and the number that the same operation has in `op r/m64, imm32`.
const OPERATIONS: [(u8, u8); 8] =
    [(0x03, 0), (0x0b, 1), (0x13, 2), (0x1b, 3), (0x23, 4), (0x2b, 5), (0x33, 6), (0x3b, 7)];

/// One relocation to rewrite, by positions in the file.
struct Indirect {
    entry: usize,
    field: usize,
    symbol: u32,
}

/// Rewrites each reference through a global offset table and returns how many there were.
///
/// # Errors
/// Not an ELF object, or an instruction for which there is no direct form; then the message names its offset in the file.
pub fn make_direct(object: &mut [u8]) -> Result<usize> {
    let indirect = find(object)?;
    for reference in &indirect {
        rewrite(object, reference)?;
    }
    Ok(indirect.len())
}

/// Lists the references.
fn find(object: &[u8]) -> Result<Vec<Indirect>> {
    let file = ElfFile64::<LittleEndian>::parse(object)?;
    let sections = file.elf_header().section_headers(LittleEndian, object)?;
    let mut found = Vec::new();
    for table in sections {
        let Some((entries, _)) = table.rela(LittleEndian, object)? else { continue };
        let patched = sections.get(table.sh_info(LittleEndian) as usize).context("relocations for no section")?;
        for (index, entry) in entries.iter().enumerate() {
            let kind = entry.r_type(LittleEndian, false);
            if !matches!(kind, elf::R_X86_64_GOTPCREL | elf::R_X86_64_GOTPCRELX | elf::R_X86_64_REX_GOTPCRELX) {
                continue;
            }
            let field = usize::try_from(patched.sh_offset(LittleEndian) + entry.r_offset.get(LittleEndian))?;
            let entry_at = usize::try_from(table.sh_offset(LittleEndian))? + index * ENTRY;
            if entry.r_addend.get(LittleEndian) != -4 {
                bail!("a reference into the middle of a global offset table entry, at {field:#x}");
            }
            found.push(Indirect { entry: entry_at, field, symbol: entry.r_sym(LittleEndian, false) });
        }
    }
    Ok(found)
}

/// Rewrites the instruction around one reference, and the relocation with it.
fn rewrite(object: &mut [u8], reference: &Indirect) -> Result<()> {
    let at = reference.field;
    let Some(&[rex, opcode, operand]) = object.get(at.wrapping_sub(3)..at) else {
        bail!("a reference without an instruction")
    };
    let wide = rex & 0xf8 == 0x48 && operand & 0xc7 == 0x05;
    let operation = OPERATIONS.iter().find(|(indirect, _)| *indirect == opcode);
    let (moved, kind, addend): (usize, u32, i64) = match (opcode, operand, operation) {
        // call *symbol@GOTPCREL(%rip) → addr32 call symbol
        (0xff, 0x15, _) => {
            object[at - 2..at].copy_from_slice(&[0x67, 0xe8]);
            (0, elf::R_X86_64_PLT32, -4)
        }
        // jmp *symbol@GOTPCREL(%rip) → jmp symbol; int3
        (0xff, 0x25, _) => {
            object[at - 2..at + 4].copy_from_slice(&[0xe9, 0, 0, 0, 0, 0xcc]);
            (1, elf::R_X86_64_PLT32, -4)
        }
        // mov symbol@GOTPCREL(%rip), reg → lea symbol(%rip), reg
        (0x8b, _, _) if wide => {
            object[at - 2] = 0x8d;
            (0, elf::R_X86_64_PC32, -4)
        }
        // op symbol@GOTPCREL(%rip), reg → op $symbol, reg; the register's high bit moves from REX.R to REX.B
        (_, _, Some((_, number))) if wide => {
            object[at - 3] = rex & !0x05 | (rex >> 2 & 1);
            object[at - 2] = 0x81;
            object[at - 1] = 0xc0 | number << 3 | (operand >> 3 & 7);
            (0, elf::R_X86_64_32S, 0)
        }
        _ => bail!("no direct form for the instruction {rex:02x} {opcode:02x} {operand:02x} at {at:#x} in the object"),
    };
    let info = u64::from(reference.symbol) << 32 | u64::from(kind);
    let entry = &mut object[reference.entry..reference.entry + ENTRY];
    let offset = u64::from_le_bytes(entry[..8].try_into()?) - moved as u64;
    entry[..8].copy_from_slice(&offset.to_le_bytes());
    entry[8..16].copy_from_slice(&info.to_le_bytes());
    entry[16..].copy_from_slice(&addend.to_le_bytes());
    Ok(())
}
