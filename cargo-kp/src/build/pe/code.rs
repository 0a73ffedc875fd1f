//! A driver's x86-64 instructions.
use iced_x86::{CpuidFeature, Decoder, DecoderOptions, EncodingKind, Instruction};
use object::LittleEndian as LE;
use object::pe;
use object::read::pe::PeFile64;

use super::Refusal;
use super::image::{has, name};

/// Refuses instructions on x87 and MMX registers, and all that AVX or a later extension has brought. Windows saves XMM registers
/// for kernel code, and no more of them unless it is asked to (KeSaveExtendedProcessorState).
///
/// # Errors
/// [`Refusal::Instruction`], [`Refusal::Malformed`].
pub fn saved_registers_only(file: &PeFile64<'_>, bytes: &[u8]) -> Result<(), Refusal> {
    for section in file.section_table().iter().filter(|section| has(section, pe::IMAGE_SCN_MEM_EXECUTE)) {
        let data = section.pe_data(bytes)?;
        // The file has each section padded.
        let code = data.get(..section.virtual_size.get(LE) as usize).unwrap_or(data);
        let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            if !is_saved(&instruction) {
                let mnemonic = format!("{:?}", instruction.mnemonic()).to_lowercase();
                return Err(Refusal::Instruction(format!("{}+{:#x}", name(section), instruction.ip()), mnemonic));
            }
        }
    }
    Ok(())
}

/// Whether the kernel has saved what an instruction works on.
fn is_saved(instruction: &Instruction) -> bool {
    let old = |feature: &CpuidFeature| {
        matches!(feature, CpuidFeature::FPU | CpuidFeature::FPU287 | CpuidFeature::FPU387 | CpuidFeature::MMX)
    };
    instruction.encoding() == EncodingKind::Legacy && !instruction.cpuid_features().iter().any(old)
}
