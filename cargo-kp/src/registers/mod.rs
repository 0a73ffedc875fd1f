//! A card's registers, as a file lists them: what `cargo kp new` makes a plugin of, and `cargo kp regs` its `registers.rs`.
//!
//! `csv`, `svd`, `ipxact` and `hjson` read a file, each into `raw` registers, of which `place` makes those of BARs; `check` refuses what no card can
//! have, `rust` writes the source text.
mod check;
pub mod command;
mod csv;
#[cfg(feature = "readers")]
mod hjson;
#[cfg(feature = "readers")]
mod ipxact;
mod names;
mod place;
mod raw;
mod rust;
#[cfg(feature = "readers")]
mod svd;

pub use self::names::{message_name, number, register_name};
pub use self::place::Place;
pub(crate) use self::rust::sentence;
pub use self::rust::source;

use anyhow::Result;
use kp_tool::Message;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A register file, and what is said of it beside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// What its BAR is called.
    pub name: Option<String>,
    /// Where its blocks lie.
    pub places: Vec<Place>,
}

impl Source {
    /// `FILE` or `NAME=FILE`, and each `BLOCK=N`.
    ///
    /// # Errors
    /// What is no such thing.
    pub fn parse(said: &str, places: &[String]) -> Result<Self, Message> {
        let (name, file) = match said.split_once('=') {
            Some((name, file)) if !Path::new(said).exists() => (Some(name.to_owned()), file),
            _ => (None, said),
        };
        let places = places.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        Ok(Source { file: file.into(), name, places })
    }
}

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
    /// Its name in the file.
    pub listed: String,
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
    /// How many there are, if it is an array.
    pub count: Option<u64>,
    /// From one to the next, in bytes, if they are not one behind the other.
    pub stride: Option<u64>,
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
        self.offset.saturating_add(self.step().saturating_mul(self.items() - 1)).saturating_add(self.bytes())
    }

    /// How many there are.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.count.unwrap_or(1)
    }

    /// From one to the next, in bytes.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.stride.unwrap_or(self.bytes())
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

    /// The Rust module that describes each item of an array with gaps.
    #[must_use]
    pub fn each(&self, register: &Register) -> String {
        format!("{}_{}", self.name, register.name.to_ascii_lowercase())
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
    /// Blocks of the file that are in no BAR.
    pub left_out: Vec<String>,
}

/// Reads a file that lists registers.
///
/// # Errors
/// No such file, no such kind of file, or what is wrong in which of its lines.
pub fn read(source: &Source) -> Result<Registers> {
    let file = &source.file;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let extension = file.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let parse = match extension.as_str() {
        "csv" => csv::parse,
        #[cfg(feature = "readers")]
        "hjson" => hjson::parse,
        #[cfg(feature = "readers")]
        "svd" => svd::parse,
        #[cfg(feature = "readers")]
        "xml" => ipxact::parse,
        #[cfg(not(feature = "readers"))]
        "hjson" | "svd" | "xml" => return Err(Message::NoReader { file: file.display().to_string() }.into()),
        _ => return Err(Message::RegisterFileKind { file: file.display().to_string() }.into()),
    };
    let text = fs::read_to_string(file)
        .map_err(|error| Message::NoRegisterFile { file: file.display().to_string(), why: error.to_string() })?;
    let registers = place::blocks(parse(&name, &text)?, source, &name)?;
    registers.blocks.iter().try_for_each(check::block)?;
    Ok(Registers { file: name, text, ..registers })
}

#[cfg(all(test, feature = "readers"))]
mod tests {
    use super::*;

    const FILES: [(&str, &str); 4] = [
        ("lights.csv", include_str!("../../../tests/cards/lights.csv")),
        ("lights.svd", include_str!("../../../tests/cards/lights.svd")),
        ("lights.xml", include_str!("../../../tests/cards/lights-2022.xml")),
        ("lights.hjson", include_str!("../../../tests/cards/lights.hjson")),
    ];

    /// What stands in the place of a number.
    const NUMBERS: [&str; 8] =
        ["0", "1", "-1", "63", "65", "4294967295", "18446744073709551615", "99999999999999999999999"];

    /// One change of a file: a piece of it taken out or put in twice, or a number replaced.
    fn changed(text: &str, mut random: impl FnMut(usize) -> usize) -> String {
        let letters: Vec<char> = text.chars().collect();
        let digits: Vec<usize> = (0..letters.len()).filter(|&at| letters[at].is_ascii_digit()).collect();
        let (from, to) = match random(4) {
            0 | 1 => {
                let at = digits[random(digits.len())];
                let len = letters[at..].iter().take_while(|letter| letter.is_ascii_alphanumeric()).count();
                (at, at + len)
            }
            _ => {
                let at = random(letters.len());
                (at, (at + random(40)).min(letters.len()))
            }
        };
        let put = match random(3) {
            0 => String::new(),
            1 => NUMBERS[random(NUMBERS.len())].to_owned(),
            _ => letters[from..to].iter().chain(&letters[from..to]).collect(),
        };
        [letters[..from].iter().collect(), put, letters[to..].iter().collect()].concat()
    }

    #[test]
    fn no_file_is_more_than_refused() {
        // Knuth's numbers: the same files in each run.
        let mut state = 1_u64;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below.max(1)
        };
        let folder = tempfile::TempDir::with_prefix("kp-").unwrap();
        let (mut read_well, mut refused) = (0, 0);
        for (name, text) in FILES {
            let source = Source { file: folder.path().join(name), ..Source::default() };
            for _ in 0..400 {
                let mut text = changed(text, &mut random);
                if random(2) == 0 {
                    text = changed(&text, &mut random);
                }
                fs::write(&source.file, &text).unwrap();
                match read(&source) {
                    Ok(registers) => {
                        assert!(self::source(&registers).contains("registers!"));
                        read_well += 1;
                    }
                    Err(error) => {
                        assert!(error.downcast_ref::<Message>().is_some(), "{error:#}");
                        refused += 1;
                    }
                }
            }
        }
        assert!(read_well > 250 && refused > 250, "{read_well} read, {refused} refused");
    }
}
