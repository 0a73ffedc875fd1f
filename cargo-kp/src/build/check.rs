//! What a kernel must not be given: each check reads an object and refuses it with a [`Refusal`].
//!
//! The call graph's check, [`no_path`], lies in a file of its own.
use std::collections::BTreeMap;
use std::fmt;

use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Instruction, OpKind};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, RelocationTarget, SectionFlags};
use object::{elf, pe};

pub use super::callgraph::check as no_path;
pub use super::exports::{Exports, imports};

/// What an object may leave to the kernel or to the port's C glue. A name that ends in `*` stands for all that begin so.
const IMPORTS: [&str; 9] = [
    "kp_c_*",
    "memcpy",
    "memmove",
    "memset",
    "memcmp",
    "bcmp",
    "strlen",
    "__x86_return_thunk",
    "__x86_indirect_thunk_*",
];

/// Why an object is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not an ELF object for x86-64, or one that ends too early.
    Malformed(String),
    /// A relocation that the kernel's loader or its module area has no place for.
    Relocation {
        /// The section and the offset in it.
        place: String,
        /// The relocation's number in the x86-64 ELF supplement.
        kind: u32,
    },
    /// A symbol that neither the kernel nor the port's C glue has.
    Unresolved {
        /// The symbol.
        symbol: String,
        /// What refers to it, if anything does.
        by: String,
    },
    /// An instruction on registers that the kernel doesn't save.
    FloatingPoint {
        /// The function and the offset in it.
        place: String,
    },
    /// A section that is writable and executable.
    WritableCode {
        /// The section.
        section: String,
    },
    /// An entry point that the call graph should start from isn't there.
    NoEntry {
        /// The entry point.
        entry: String,
    },
    /// A handler can get to what it must never call.
    Reaches {
        /// The functions from the handler to the one it must not call.
        path: Vec<String>,
    },
    /// A handler calls through a pointer, so that nobody can say where it gets to.
    IndirectCall {
        /// The functions from the handler to the one with the call.
        path: Vec<String>,
    },
    /// A function takes more of the stack than a kernel has.
    Frame {
        /// The function.
        function: String,
        /// How much it takes, in bytes.
        size: u64,
    },
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// [`Refusal::Unresolved`], with what refers to the symbol in the object.
    pub(super) fn unresolved(object: &[u8], symbol: &str) -> Refusal {
        let by = user(object, symbol).ok().flatten().unwrap_or_default();
        Refusal::Unresolved { symbol: demangled(symbol), by }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Malformed(reason) => write!(f, "not a usable object file: {reason}"),
            Refusal::Relocation { place, kind } => {
                write!(f, "relocation type {kind} at {place}: modules may have only R_X86_64_64, 32S, PC32 and PLT32")
            }
            Refusal::Unresolved { symbol, by } if by.is_empty() => {
                write!(f, "{symbol} isn't in the kernel: remove what calls it")
            }
            Refusal::Unresolved { symbol, by } => write!(
                f,
                "{symbol} isn't in the kernel: remove what calls it, {by}; of C's library there are memcpy, memmove, memset, memcmp and strlen"
            ),
            Refusal::FloatingPoint { place } => {
                write!(f, "floating-point or vector instruction at {place}: use integers in kernel code")
            }
            Refusal::WritableCode { section } => write!(f, "section {section} is both writable and executable"),
            Refusal::NoEntry { entry } => {
                write!(f, "the object has no {entry}: kp-linux and cargo-kp aren't of one version")
            }
            Refusal::Reaches { path } => {
                write!(f, "{} can reach {}: {}", first(path), last(path), path.join(" → "))?;
                write!(f, "; take the call off this path")
            }
            Refusal::IndirectCall { path } => {
                write!(
                    f,
                    "{} can reach a call through a pointer in {}: {}",
                    first(path),
                    last(path),
                    path.join(" → ")
                )?;
                write!(f, "; call a known function there")
            }
            Refusal::Frame { function, size } => write!(
                f,
                "{function} takes {size} bytes of the stack, and a kernel may have no more than {} for all that is called: \
                 keep large values in a KBox",
                super::pe::frames::MOST
            ),
        }
    }
}

/// A path's beginning.
fn first(path: &[String]) -> &str {
    path.first().map_or("", String::as_str)
}

/// A path's end.
fn last(path: &[String]) -> &str {
    path.last().map_or("", String::as_str)
}

impl From<object::Error> for Refusal {
    fn from(error: object::Error) -> Refusal {
        Refusal::Malformed(error.to_string())
    }
}

/// Runs every check of this file that an object has to pass before it is linked into a module. `more`: what its kernel has besides, for what
/// the compiler puts in.
///
/// # Errors
/// The first check's that refuses.
pub fn object(object: &[u8], more: &[&str]) -> Result<(), Refusal> {
    relocations(object)?;
    only_known_imports(object, more)?;
    no_floating_point(object)?;
    no_writable_code(object)
}

/// Refuses relocations other than `R_X86_64_64`, `32S`, `PC32` and `PLT32` in what gets loaded.
///
/// # Errors
/// [`Refusal::Relocation`], [`Refusal::Malformed`].
pub fn relocations(object: &[u8]) -> Result<(), Refusal> {
    let file = object::File::parse(object)?;
    for section in file.sections().filter(is_loaded) {
        for (offset, relocation) in section.relocations() {
            let RelocationFlags::Elf { r_type: kind } = relocation.flags() else {
                return Err(Refusal::Malformed("not ELF".to_owned()));
            };
            if !matches!(kind, elf::R_X86_64_64 | elf::R_X86_64_32S | elf::R_X86_64_PC32 | elf::R_X86_64_PLT32) {
                return Err(Refusal::Relocation { place: place(&file, &section, offset), kind });
            }
        }
    }
    Ok(())
}

/// Refuses undefined symbols that a module's Rust half has no business with, and that are not among `more`.
///
/// # Errors
/// [`Refusal::Unresolved`], [`Refusal::Malformed`].
pub fn only_known_imports(object: &[u8], more: &[&str]) -> Result<(), Refusal> {
    let known = |name: &str| {
        IMPORTS.iter().chain(more).any(|import| match import.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *import,
        })
    };
    match imports(object)?.into_iter().find(|name| !known(name)) {
        Some(symbol) => Err(Refusal::unresolved(object, &symbol)),
        None => Ok(()),
    }
}

/// Refuses undefined symbols of a finished module that its kernel doesn't export.
///
/// # Errors
/// [`Refusal::Unresolved`], [`Refusal::Malformed`].
pub fn only_exports(module: &[u8], exports: &Exports) -> Result<(), Refusal> {
    match imports(module)?.into_iter().find(|name| !exports.has(name)) {
        Some(symbol) => Err(Refusal::unresolved(module, &symbol)),
        None => Ok(()),
    }
}

/// Refuses instructions on x87, MMX, SSE, AVX and AVX-512 registers. The kernel doesn't save them for its own code.
///
/// # Errors
/// [`Refusal::FloatingPoint`], [`Refusal::Malformed`].
pub fn no_floating_point(object: &[u8]) -> Result<(), Refusal> {
    let file = object::File::parse(object)?;
    for section in file.sections().filter(is_executable) {
        let mut decoder = Decoder::with_ip(64, section.data()?, section.address(), DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            if uses_floating_point(&instruction) {
                return Err(Refusal::FloatingPoint { place: place(&file, &section, instruction.ip()) });
            }
        }
    }
    Ok(())
}

/// Whether an instruction works on a register outside the general ones. x87 loads name none, so their group counts too.
fn uses_floating_point(instruction: &Instruction) -> bool {
    let in_operand = (0..instruction.op_count())
        .filter(|&index| instruction.op_kind(index) == OpKind::Register)
        .map(|index| instruction.op_register(index))
        .any(|register| register.is_vector_register() || register.is_mm() || register.is_st() || register.is_k());
    let group = |feature: &CpuidFeature| {
        matches!(feature, CpuidFeature::FPU | CpuidFeature::FPU287 | CpuidFeature::FPU387 | CpuidFeature::MMX)
    };
    in_operand || instruction.cpuid_features().iter().any(group)
}

/// Refuses sections that are both writable and executable.
///
/// # Errors
/// [`Refusal::WritableCode`], [`Refusal::Malformed`].
pub fn no_writable_code(object: &[u8]) -> Result<(), Refusal> {
    let file = object::File::parse(object)?;
    let both = u64::from(elf::SHF_WRITE | elf::SHF_EXECINSTR);
    match file.sections().find(|section| flags(section) & both == both) {
        Some(section) => Err(Refusal::WritableCode { section: section.name()?.to_owned() }),
        None => Ok(()),
    }
}

/// The ELF flags of a section.
fn flags<'data>(section: &impl object::ObjectSection<'data>) -> u64 {
    match section.flags() {
        SectionFlags::Elf { sh_flags } => sh_flags,
        _ => 0,
    }
}

/// Whether a section gets into memory.
fn is_loaded<'data>(section: &impl object::ObjectSection<'data>) -> bool {
    flags(section) & u64::from(elf::SHF_ALLOC) != 0
}

/// Whether a section holds code.
pub(super) fn is_executable<'data>(section: &impl object::ObjectSection<'data>) -> bool {
    match section.flags() {
        SectionFlags::Elf { sh_flags } => sh_flags & u64::from(elf::SHF_EXECINSTR) != 0,
        SectionFlags::Coff { characteristics } => characteristics & pe::IMAGE_SCN_MEM_EXECUTE != 0,
        _ => false,
    }
}

/// A symbol's name as Rust source has it, without the hash.
pub(super) fn demangled(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol))
}

/// The function or constant of an object that refers to an undefined symbol.
fn user(object: &[u8], symbol: &str) -> Result<Option<String>, Refusal> {
    let file = object::File::parse(object)?;
    for section in file.sections() {
        for (offset, relocation) in section.relocations() {
            if matches!(target(&file, &relocation)?, Some(Target::Symbol(name)) if name == symbol) {
                let place = place(&file, &section, offset);
                return Ok(place.rsplit_once('+').map(|(name, _)| name.to_owned()));
            }
        }
    }
    Ok(None)
}

/// Names an offset in a section: the function around it and the distance, or the section.
pub(super) fn place(file: &object::File<'_>, section: &object::Section<'_, '_>, offset: u64) -> String {
    let here = file.symbols().filter(|symbol| symbol.section_index() == Some(section.index()));
    let functions = here.filter(|symbol| symbol.kind() == object::SymbolKind::Text);
    let starts: BTreeMap<u64, &str> =
        functions.filter_map(|symbol| Some((symbol.address(), symbol.name().ok()?))).collect();
    match starts.range(..=offset).next_back() {
        Some((start, name)) => format!("{}+{:#x}", demangled(name), offset - start),
        None => format!("{}+{offset:#x}", section.name().unwrap_or("?")),
    }
}

/// The name of what a relocation refers to, if it is an undefined symbol, and its section otherwise.
pub(super) enum Target {
    /// Somewhere in this object.
    Section(object::SectionIndex),
    /// Elsewhere.
    Symbol(String),
}

/// Resolves a relocation as far as the object itself can.
pub(super) fn target(file: &object::File<'_>, relocation: &object::Relocation) -> Result<Option<Target>, Refusal> {
    Ok(match relocation.target() {
        RelocationTarget::Symbol(index) => {
            let symbol = file.symbol_by_index(index)?;
            match symbol.section_index() {
                Some(section) => Some(Target::Section(section)),
                None => Some(Target::Symbol(symbol.name()?.to_owned())),
            }
        }
        RelocationTarget::Section(section) => Some(Target::Section(section)),
        _ => None,
    })
}
