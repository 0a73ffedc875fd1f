//! What Windows must not be given: each check reads a driver's file and refuses it with a [`Refusal`].
//!
//! [`image`] has what the headers say, [`imports`] what it asks of the kernel, [`guard`] Control Flow Guard's tables, [`code`] its
//! instructions. What the interrupt handlers can get to is asked of the object file that it was linked from, by [`paths`], and so is
//! how much of the stack its functions take, by [`frames`].
pub mod code;
pub mod frames;
pub mod guard;
pub mod image;
pub mod imports;
pub mod paths;

use std::fmt;

use object::read::pe::PeFile64;

use super::windows::Arch;

pub use super::callgraph::check as no_path;

/// Why a driver is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No 64-bit PE image, or one that ends too early.
    Malformed(String),
    /// For another processor, by the number in its header.
    Machine(u16),
    /// For another subsystem than the kernel, by its number.
    Subsystem(u16),
    /// One of the flags that Windows' protections ask for is not set.
    Flag(&'static str),
    /// A section that is writable and executable.
    WritableCode(String),
    /// The checksum in the header, and what it should be.
    Checksum(u32, u32),
    /// Debug information that is not in a PDB beside it.
    Debug(String),
    /// The entry point is not in `INIT`, but in this section.
    Entry(String),
    /// Something is wrong with the load configuration.
    Guard(&'static str),
    /// A function of another module than the kernel's: module, function.
    Module(String, String),
    /// A function that windows-imports.toml lacks.
    Import(String),
    /// A function, and the Windows it came with, which is too new.
    TooNew(String, String),
    /// A function, and the one processor whose kernels have it, which is not the driver's.
    Elsewhere(String, String),
    /// The name of a kernel function that is not in windows-imports.toml's list of those that are looked up.
    LookedUp(String),
    /// It creates a device, and never says who may open it.
    Unprotected(&'static str),
    /// An instruction that wants registers which the kernel has not saved: where, and what it is.
    Instruction(String, String),
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Malformed(reason) => write!(f, "not a usable driver: {reason}; build it again"),
            Refusal::Machine(found) => write!(f, "made for processor {found:#x}: name the right one with --target"),
            Refusal::Subsystem(found) => {
                write!(f, "made for subsystem {found}, not for the kernel: link with /SUBSYSTEM:NATIVE")
            }
            Refusal::Flag(link) => write!(f, "Windows cannot protect it: link with {link}"),
            Refusal::WritableCode(section) => {
                write!(f, "section {section} is both writable and executable: keep code and data apart")
            }
            Refusal::Checksum(stated, right) => {
                write!(
                    f,
                    "checksum {stated:#x} where {right:#x} is right: link with /RELEASE, and change nothing after"
                )
            }
            Refusal::Debug(what) => write!(f, "{what} in the driver: keep debug information in the PDB beside it"),
            Refusal::Entry(section) => {
                write!(f, "the entry point is in {section}: it has to be in INIT, which is given back after it has run")
            }
            Refusal::Guard(what) => {
                write!(f, "Control Flow Guard: {what}: link kp-windows' load configuration with /GUARD:CF")
            }
            Refusal::Module(module, name) => {
                write!(f, "{name} comes from {module}: a driver may use ntoskrnl.exe only")
            }
            Refusal::Import(name) => {
                write!(f, "{name} isn't in windows-imports.toml: add it there, with the Windows that it came with")
            }
            Refusal::TooNew(name, since) => write!(
                f,
                "{name} came with Windows {since}: for 10 1809 look it up with MmGetSystemRoutineAddress, and do without"
            ),
            Refusal::Elsewhere(name, only) => write!(
                f,
                "{name} is exported on {only} only: look it up with MmGetSystemRoutineAddress, and do without"
            ),
            Refusal::LookedUp(name) => {
                write!(f, "{name} is looked up, and isn't in windows-imports.toml: add it there, with its fallback")
            }
            Refusal::Unprotected(lacks) => {
                write!(
                    f,
                    "it creates a device that everybody may open: close it to all but administrators with {lacks}"
                )
            }
            Refusal::Instruction(place, what) => {
                write!(f, "{what} at {place}: Windows doesn't save those registers; build without target features")
            }
        }
    }
}

impl From<object::Error> for Refusal {
    fn from(error: object::Error) -> Refusal {
        Refusal::Malformed(error.to_string())
    }
}

/// Runs every check of a driver's file.
///
/// # Errors
/// The first check's that refuses.
pub fn driver(bytes: &[u8], arch: Arch) -> Result<(), Refusal> {
    let file = PeFile64::parse(bytes)?;
    image::machine(&file, arch)?;
    image::subsystem(&file)?;
    image::flags(&file)?;
    image::no_writable_code(&file)?;
    image::entry(&file)?;
    image::checksum(bytes)?;
    image::no_debug_information(&file, bytes)?;
    guard::tables(&file, bytes)?;
    let table = imports::Table::shipped();
    imports::known(&file, table)?;
    imports::looked_up(&file, bytes, table)?;
    imports::protected(&file)?;
    if arch == Arch::X64 {
        code::saved_registers_only(&file, bytes)?;
    }
    Ok(())
}
