//! A card's registers, as a file lists them: what `cargo kp new` makes a plugin of, and `cargo kp regs` its `registers.rs`.
//!
//! `csv` reads a file, `check` refuses what no card can have, `rust` writes the source text.
mod check;
pub mod command;
mod csv;
mod names;
mod rust;

pub use self::names::{message_name, number, register_name};
pub(crate) use self::rust::sentence;
pub use self::rust::source;

use anyhow::Result;
use kp_tool::Message;
use std::{fs, path::Path};

/// What software may do with a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Write.
    WriteOnly,
    /// Both.
    ReadWrite,
}

impl Access {
    /// As `registers!` writes it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Access::ReadOnly => "RO",
            Access::WriteOnly => "WO",
            Access::ReadWrite => "RW",
        }
    }

    /// Whether it may be read.
    #[must_use]
    pub fn reads(self) -> bool {
        self != Access::WriteOnly
    }

    /// Whether it may be written.
    #[must_use]
    pub fn writes(self) -> bool {
        self != Access::ReadOnly
    }
}

/// A group of a register's bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in Rust.
    pub name: String,
    /// Its lowest bit.
    pub low: u32,
    /// Its highest bit.
    pub high: u32,
}

/// A register, or an array of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// Its name in Rust.
    pub name: String,
    /// Where it is in its BAR, in bytes.
    pub offset: u64,
    /// Its width: 8, 16, 32 or 64.
    pub bits: u32,
    /// What software may do with it.
    pub access: Access,
    /// Groups of its bits.
    pub fields: Vec<Field>,
    /// What it reads after power-on.
    pub reset: u64,
    /// Whether writing a one clears that bit, and a zero leaves it.
    pub one_clears: bool,
    /// How many there are, one behind the other, if it is an array.
    pub count: Option<u64>,
    /// What the file says of it, in one line; may be empty.
    pub doc: String,
    /// Its line in the file.
    pub line: u64,
}

impl Register {
    /// Its width in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.bits / 8)
    }

    /// Ones in all of its bits.
    #[must_use]
    pub fn ones(&self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// The first offset behind it.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes().saturating_mul(self.count.unwrap_or(1)))
    }
}

/// The registers of one BAR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The Rust module's name.
    pub name: String,
    /// The BAR that they are in.
    pub bar: usize,
    /// The registers, by offset.
    pub registers: Vec<Register>,
    /// The file that they were read from, by its name alone.
    pub file: String,
}

impl Block {
    /// How many bytes of the BAR they take.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.registers.iter().map(Register::end).max().unwrap_or(0).next_multiple_of(8)
    }

    /// Whether there is no register.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.registers.is_empty()
    }
}

/// What a file says, and what was changed in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// The BARs' registers, by BAR.
    pub blocks: Vec<Block>,
    /// The file's name, without its folder; empty if there is none.
    pub file: String,
    /// What is in it.
    pub text: String,
    /// Names that are not the file's own: its, and the one in Rust.
    pub renamed: Vec<(String, String)>,
}

/// Reads a file that lists registers.
///
/// # Errors
/// No such file, no such kind of file, or what is wrong in which of its lines.
pub fn read(file: &Path) -> Result<Registers> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let extension = file.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if extension != "csv" {
        return Err(Message::RegisterFileKind { file: file.display().to_string() }.into());
    }
    let text = fs::read_to_string(file)
        .map_err(|error| Message::NoRegisterFile { file: file.display().to_string(), why: error.to_string() })?;
    let registers = csv::parse(&name, &text)?;
    registers.blocks.iter().try_for_each(check::block)?;
    Ok(Registers { file: name, text, ..registers })
}
