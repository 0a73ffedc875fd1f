//! What a driver's headers say: for which machine, with which protections, whole, and with nothing that belongs elsewhere.
use object::LittleEndian as LE;
use object::pe;
use object::pod::slice_from_bytes;
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader, PeFile64};

use super::Refusal;
use crate::build::windows::Arch;

/// Where the checksum stands, from the beginning of the PE header, in 32-bit and 64-bit images alike.
const CHECKSUM: usize = 88;
/// Kinds of debug directory entry: a reference to a PDB, and the mark of a reproducible image, which object has no name for.
const ALLOWED: [u32; 2] = [pe::IMAGE_DEBUG_TYPE_CODEVIEW, IMAGE_DEBUG_TYPE_REPRO];
const IMAGE_DEBUG_TYPE_REPRO: u32 = 16;

/// A section's name, as far as the image has it.
pub(super) fn name(section: &pe::ImageSectionHeader) -> String {
    let end = section.name.iter().position(|&byte| byte == 0).unwrap_or(section.name.len());
    String::from_utf8_lossy(&section.name[..end]).into_owned()
}

/// Whether a section has all of these characteristics.
pub(super) fn has(section: &pe::ImageSectionHeader, characteristics: u32) -> bool {
    section.characteristics.get(LE) & characteristics == characteristics
}

/// Refuses a driver for another processor than `arch`.
///
/// # Errors
/// [`Refusal::Machine`].
pub fn machine(file: &PeFile64<'_>, arch: Arch) -> Result<(), Refusal> {
    let wanted = match arch {
        Arch::X64 => pe::IMAGE_FILE_MACHINE_AMD64,
        Arch::Arm64 => pe::IMAGE_FILE_MACHINE_ARM64,
    };
    match file.nt_headers().file_header().machine.get(LE) {
        found if found == wanted => Ok(()),
        found => Err(Refusal::Machine(found)),
    }
}

/// Refuses a program or a library for anything but the kernel.
///
/// # Errors
/// [`Refusal::Subsystem`].
pub fn subsystem(file: &PeFile64<'_>) -> Result<(), Refusal> {
    match file.nt_headers().optional_header().subsystem() {
        pe::IMAGE_SUBSYSTEM_NATIVE => Ok(()),
        found => Err(Refusal::Subsystem(found)),
    }
}

/// Refuses a driver that cannot be put anywhere, or whose data can be executed, or that calls pointers unguarded.
///
/// # Errors
/// [`Refusal::Flag`], with what the linker needs for it.
pub fn flags(file: &PeFile64<'_>) -> Result<(), Refusal> {
    let flags = file.nt_headers().optional_header().dll_characteristics();
    let wanted = [
        (pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "/NXCOMPAT"),
        (pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, "/DYNAMICBASE"),
        (pe::IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA, "/HIGHENTROPYVA"),
        (pe::IMAGE_DLLCHARACTERISTICS_GUARD_CF, "/GUARD:CF"),
    ];
    match wanted.into_iter().find(|(flag, _)| flags & flag == 0) {
        Some((_, link)) => Err(Refusal::Flag(link)),
        None => Ok(()),
    }
}

/// Refuses sections that are both writable and executable: memory integrity loads none.
///
/// # Errors
/// [`Refusal::WritableCode`].
pub fn no_writable_code(file: &PeFile64<'_>) -> Result<(), Refusal> {
    let both = pe::IMAGE_SCN_MEM_WRITE | pe::IMAGE_SCN_MEM_EXECUTE;
    match file.section_table().iter().find(|section| has(section, both)) {
        Some(section) => Err(Refusal::WritableCode(name(section))),
        None => Ok(()),
    }
}

/// Refuses an entry point outside a discardable, executable `INIT`.
///
/// # Errors
/// [`Refusal::Entry`].
pub fn entry(file: &PeFile64<'_>) -> Result<(), Refusal> {
    let entry = file.nt_headers().optional_header().address_of_entry_point();
    let code = pe::IMAGE_SCN_MEM_EXECUTE | pe::IMAGE_SCN_MEM_DISCARDABLE;
    match file.section_table().section_containing(entry) {
        Some(section) if name(section) == "INIT" && has(section, code) => Ok(()),
        Some(section) if name(section) == "INIT" => Err(Refusal::Entry("an INIT that stays".to_owned())),
        Some(section) => Err(Refusal::Entry(name(section))),
        None => Err(Refusal::Entry("no section".to_owned())),
    }
}

/// Refuses a wrong checksum: Windows loads no driver with one.
///
/// # Errors
/// [`Refusal::Checksum`], [`Refusal::Malformed`].
pub fn checksum(bytes: &[u8]) -> Result<(), Refusal> {
    let (at, right) = checksum_of(bytes)?;
    let stated = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if stated == right { Ok(()) } else { Err(Refusal::Checksum(stated, right)) }
}

/// Where the checksum stands, and what it should be: the sum of all other 16-bit words, with the carries added back, and the
/// length. As Microsoft documents ImageHlp's CheckSumMappedFile, and as every linker does it.
///
/// # Errors
/// [`Refusal::Malformed`]: the header ends before it.
pub fn checksum_of(bytes: &[u8]) -> Result<(usize, u32), Refusal> {
    let header = pe::ImageDosHeader::parse(bytes)?.nt_headers_offset() as usize;
    let at = header.saturating_add(CHECKSUM);
    let field = bytes.get(at..at.saturating_add(4)).filter(|_| at.is_multiple_of(2));
    let field = field.ok_or_else(|| Refusal::Malformed("its checksum has no place".to_owned()))?;
    let sum = |bytes: &[u8]| {
        let words = bytes.chunks(2).map(|word| u64::from(word[0]) | u64::from(*word.get(1).unwrap_or(&0)) << 8);
        words.sum::<u64>()
    };
    let mut rest = sum(bytes) - sum(field);
    while rest > 0xFFFF {
        rest = (rest & 0xFFFF) + (rest >> 16);
    }
    Ok((at, rest as u32 + bytes.len() as u32))
}

/// Refuses symbols and debug sections in the image, and a PDB by another name than one beside the driver.
///
/// # Errors
/// [`Refusal::Debug`], [`Refusal::Malformed`].
pub fn no_debug_information(file: &PeFile64<'_>, bytes: &[u8]) -> Result<(), Refusal> {
    if file.nt_headers().file_header().pointer_to_symbol_table.get(LE) != 0 {
        return Err(Refusal::Debug("a symbol table".to_owned()));
    }
    // A name of more than eight bytes is a number there, and only debug sections have such names.
    let is_debug = |section: &&pe::ImageSectionHeader| section.name.starts_with(b".debug") || section.name[0] == b'/';
    if let Some(section) = file.section_table().iter().find(is_debug) {
        return Err(Refusal::Debug(format!("section {}", name(section))));
    }
    let Some(directory) = file.data_directory(pe::IMAGE_DIRECTORY_ENTRY_DEBUG) else { return Ok(()) };
    let data = directory.data(bytes, &file.section_table())?;
    let count = data.len() / size_of::<pe::ImageDebugDirectory>();
    let (entries, _) = slice_from_bytes::<pe::ImageDebugDirectory>(data, count)
        .map_err(|()| Refusal::Malformed("its debug directory is cut".to_owned()))?;
    for entry in entries {
        let kind = entry.typ.get(LE);
        if !ALLOWED.contains(&kind) {
            return Err(Refusal::Debug(format!("debug information of type {kind}")));
        }
        let (start, len) = (entry.pointer_to_raw_data.get(LE) as usize, entry.size_of_data.get(LE) as usize);
        let record = start.checked_add(len).and_then(|end| bytes.get(start..end));
        let record = record.ok_or_else(|| Refusal::Malformed("its debug directory points outside".to_owned()))?;
        // RSDS, a GUID, an age; then the PDB's path, up to a zero.
        if kind == pe::IMAGE_DEBUG_TYPE_CODEVIEW {
            let path = record.strip_prefix(b"RSDS").and_then(|record| record.get(20..)).unwrap_or(b"?/");
            if path.iter().any(|byte| matches!(byte, b'/' | b'\\')) {
                return Err(Refusal::Debug("the path of a PDB on the machine that built it".to_owned()));
            }
        }
    }
    Ok(())
}
