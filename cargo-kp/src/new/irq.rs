//! How a card interrupts: which register says so, and how it is acknowledged.
use crate::registers::{Access, Block, Register, number};
use kp_tool::Message;

/// A register, and the BAR that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The BAR's registers.
    pub block: &'a Block,
    /// It, of them.
    pub register: &'a Register,
}

/// What is done to a card that interrupts, in `int_at_irql`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe<'a> {
    /// The bits that were read are written to this register.
    WriteBack(Found<'a>),
    /// Ones are written to the status itself.
    OneClears,
    /// The reading of the status has cleared it.
    ReadClears,
    /// This value is written to this register.
    Value(Found<'a>, u64),
    /// The interrupt is masked in this register, until the app has served the card and says so.
    Mask(Found<'a>),
    /// Nothing: a message of the card's needs no answer.
    None,
}

/// A register, and what is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written<'a> {
    /// The register.
    pub to: Found<'a>,
    /// The value.
    pub value: u64,
}

/// A card's interrupt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Irq<'a> {
    /// The register that says that the card interrupts; a card that sends messages alone may have none.
    pub status: Option<Found<'a>>,
    /// How it is acknowledged.
    pub recipe: Recipe<'a>,
    /// What lets the card interrupt, in this order.
    pub enable: Vec<Written<'a>>,
    /// What keeps it from it, in this order.
    pub disable: Vec<Written<'a>>,
    /// What has it interrupt, for trying it out.
    pub raise: Option<Found<'a>>,
    /// Whether status and recipe were not named, but found by the names of the registers.
    pub guessed: bool,
}

/// What was said of the interrupt on the command line.
#[derive(Clone, Debug, Default)]
pub struct Said<'a> {
    /// `--irq-status`.
    pub status: Option<&'a str>,
    /// `--irq-ack`.
    pub ack: Option<&'a str>,
    /// Each `--irq-enable`.
    pub enable: &'a [String],
    /// Each `--irq-disable`.
    pub disable: &'a [String],
    /// `--irq-raise`.
    pub raise: Option<&'a str>,
}

impl<'a> Said<'a> {
    /// The first flag that was given.
    pub fn flag(&self) -> Option<&'static str> {
        let flags = [
            ("--irq-status", self.status.is_some()),
            ("--irq-ack", self.ack.is_some()),
            ("--irq-enable", !self.enable.is_empty()),
            ("--irq-disable", !self.disable.is_empty()),
            ("--irq-raise", self.raise.is_some()),
        ];
        flags.into_iter().find_map(|(flag, is_said)| is_said.then_some(flag))
    }
}

/// The card's interrupt, of what was said and what its registers are called; `None` if it has none.
pub fn decide<'a>(said: &Said<'_>, blocks: &'a [Block]) -> Result<Option<Irq<'a>>, Message> {
    let guess = if said.status.is_none() && said.ack.is_none() { guess(blocks) } else { None };
    let (status, recipe, guessed) = match (guess, said.ack) {
        (Some((status, recipe)), _) => (Some(status), recipe, true),
        (None, Some(ack)) => {
            let named = said.status.map(|name| find(blocks, "--irq-status", name)).transpose()?;
            let alone =
                if ack == "w1c" { only(singles(blocks).filter(|found| found.register.one_clears)) } else { None };
            let status = named.or(alone);
            (status, recipe(ack, status, blocks)?, named.is_none() && alone.is_some())
        }
        (None, None) if said.flag().is_some() => return Err(Message::NoIrqAck {}),
        (None, None) => return Ok(None),
    };
    let raise = said.raise.map(|name| writable("--irq-raise", find(blocks, "--irq-raise", name)?)).transpose()?;
    let enable = all_written(blocks, "--irq-enable", said.enable)?;
    // A register of its own takes the bits that it turns off; the one that turns them on takes a zero.
    let disable = match said.disable {
        [] => enable.iter().rev().map(|enable| Written { value: 0, ..*enable }).collect(),
        said => all_written(blocks, "--irq-disable", said)?,
    };
    Ok(Some(Irq { status, recipe, enable, disable, raise, guessed }))
}

/// Each `REG[=BITS]` of a flag that may be repeated, of registers that differ.
fn all_written<'a>(blocks: &'a [Block], flag: &str, said: &[String]) -> Result<Vec<Written<'a>>, Message> {
    let mut all: Vec<Written<'a>> = Vec::new();
    for text in said {
        let one = written(blocks, flag, text)?;
        if all.iter().any(|other| other.to == one.to) {
            return Err(Message::WrittenTwice { flag: flag.to_owned(), name: one.to.register.name.clone() });
        }
        all.push(one);
    }
    Ok(all)
}

/// `REG=BITS`; all ones without the bits.
fn written<'a>(blocks: &'a [Block], flag: &str, text: &str) -> Result<Written<'a>, Message> {
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    let to = writable(flag, find(blocks, flag, name)?)?;
    let ones = to.register.ones();
    let value = match value {
        None => ones,
        Some(text) => {
            number(text).or_else(|| fields(to.register, text)).filter(|&value| value <= ones).ok_or_else(|| {
                Message::BadIrqValue {
                    flag: flag.to_owned(),
                    value: text.to_owned(),
                    bits: to.register.bits.to_string(),
                    fields: field_names(to.register),
                }
            })?
        }
    };
    Ok(Written { to, value })
}

/// All bits of the fields that `A|B` names.
fn fields(register: &Register, text: &str) -> Option<u64> {
    text.split('|').try_fold(0, |bits, name| {
        let name = crate::registers::register_name(name)?;
        let field = register.fields.iter().find(|field| field.name == name)?;
        Some(bits | (u64::MAX >> (63 - (field.high - field.low))) << field.low)
    })
}

/// The fields to choose from, behind a sentence.
fn field_names(register: &Register) -> String {
    let names: Vec<&str> = register.fields.iter().map(|field| field.name.as_str()).collect();
    if names.is_empty() { String::new() } else { format!(", or name a field: {}", names.join(", ")) }
}

/// The recipe that a text names.
fn recipe<'a>(text: &str, status: Option<Found<'a>>, blocks: &'a [Block]) -> Result<Recipe<'a>, Message> {
    let flag = "--irq-ack";
    let bad = || Message::BadIrqAck { text: text.to_owned() };
    let status_needed = || status.ok_or(Message::NoIrqStatus { text: text.to_owned() });
    let (name, how) = match text.split_once('=') {
        None if text == "none" => return Ok(Recipe::None),
        None if text == "w1c" => return writable(flag, status_needed()?).map(|_| Recipe::OneClears),
        None if text == "read-clears" => return status_needed().map(|_| Recipe::ReadClears),
        None => return Err(bad()),
        Some(parts) => parts,
    };
    let found = writable(flag, find(blocks, flag, name)?)?;
    let (register, status) = (found.register, status_needed()?.register);
    let recipe = match how {
        "write-back" => Recipe::WriteBack(found),
        "mask" if register.access == Access::ReadWrite => Recipe::Mask(found),
        "mask" => return Err(Message::IrqMaskUnreadable { register: register.name.clone() }),
        _ => {
            let value = number(how).filter(|&value| value <= register.ones());
            return value.map(|value| Recipe::Value(found, value)).ok_or_else(bad);
        }
    };
    if register.bits != status.bits {
        return Err(Message::IrqWidth {
            register: register.name.clone(),
            bits: register.bits.to_string(),
            status: status.name.clone(),
            other: status.bits.to_string(),
        });
    }
    Ok(recipe)
}

/// Every register of a card that is no array.
pub fn singles(blocks: &[Block]) -> impl Iterator<Item = Found<'_>> {
    let of = |block| move |register| Found { block, register };
    let all = blocks.iter().flat_map(move |block: &Block| block.registers.iter().map(of(block)));
    all.filter(|found: &Found<'_>| found.register.count.is_none())
}

/// The one that there is, if there is one alone.
fn only<'a>(mut found: impl Iterator<Item = Found<'a>>) -> Option<Found<'a>> {
    found.next().filter(|_| found.next().is_none())
}

/// Status and recipe by the names of registers, if only one of each comes into question.
fn guess(blocks: &[Block]) -> Option<(Found<'_>, Recipe<'_>)> {
    let irq = |register: &Register| {
        register.name.split('_').any(|word| {
            matches!(word, "IRQ" | "INT" | "INTR" | "INTERRUPT" | "INTERRUPTS" | "IRQSTATUS" | "INTSTATUS" | "ISR")
        })
    };
    let has = |register: &Register, words: &[&str]| words.iter().any(|word| register.name.contains(word));
    let status = only(singles(blocks).filter(|Found { register, .. }| {
        register.access.reads() && irq(register) && has(register, &["STATUS", "STAT", "CAUSE", "PENDING", "ISR"])
    }))?;
    if status.register.one_clears {
        return Some((status, Recipe::OneClears));
    }
    let ack = only(singles(blocks).filter(|found| {
        let register = found.register;
        register.access.writes()
            && *found != status
            && register.bits == status.register.bits
            && irq(register)
            && has(register, &["ACK", "CLEAR", "CLR", "EOI"])
            && !has(register, &["MASK", "ENABLE", "CAUSE_SET"])
    }))?;
    Some((status, Recipe::WriteBack(ack)))
}

/// The register that a flag names: `NAME`, or `BAR2.NAME` where two BARs have it.
pub fn find<'a>(blocks: &'a [Block], flag: &str, text: &str) -> Result<Found<'a>, Message> {
    let (module, name) = text.split_once('.').map_or((None, text), |(module, name)| (Some(module), name));
    let name = crate::registers::register_name(name).unwrap_or_default();
    let is_in =
        |found: &Found<'_>| module.is_none_or(|module| module.to_lowercase() == format!("bar{}", found.block.bar));
    let mut all = singles(blocks).filter(|found| found.register.name == name && is_in(found));
    match (all.next(), all.next()) {
        (Some(found), None) => Ok(found),
        (Some(one), Some(other)) => Err(Message::RegisterInTwoBars {
            flag: flag.to_owned(),
            name,
            bars: format!("BAR{} and BAR{}", one.block.bar, other.block.bar),
        }),
        (None, _) => {
            let names: Vec<&str> = singles(blocks).map(|found| found.register.name.as_str()).collect();
            let there = match names.as_slice() {
                [] => "name a file with --registers".to_owned(),
                names => format!("there are {}", names.join(", ")),
            };
            Err(Message::NoRegister { flag: flag.to_owned(), name: text.to_owned(), there })
        }
    }
}

/// The register, if it may be written.
fn writable<'a>(flag: &str, found: Found<'a>) -> Result<Found<'a>, Message> {
    match found.register.access.writes() {
        true => Ok(found),
        false => Err(Message::RegisterReadOnly { flag: flag.to_owned(), name: found.register.name.clone() }),
    }
}

impl<'a> Irq<'a> {
    /// The register that the acknowledge writes.
    pub fn acknowledged(&self) -> Option<Found<'a>> {
        match self.recipe {
            Recipe::WriteBack(found) | Recipe::Value(found, _) | Recipe::Mask(found) => Some(found),
            Recipe::OneClears => self.status,
            Recipe::ReadClears | Recipe::None => None,
        }
    }

    /// The status, if what it says is kept for apps.
    pub fn causes(&self) -> Option<Found<'a>> {
        self.status.filter(|_| self.recipe != Recipe::None)
    }

    /// Whether a register is the interrupt handler's own: an app that wrote it, or read a status that reading clears, would take interrupts away.
    pub fn is_handlers(&self, found: Found<'_>) -> bool {
        let read = if self.recipe == Recipe::ReadClears { self.status } else { None };
        let written = self.enable.iter().chain(&self.disable).map(|written| written.to);
        written.chain(self.acknowledged()).chain(read).any(|own| own == found)
    }

    /// What is done at an interrupt, for a person.
    pub fn said(&self) -> String {
        let status = self.status.map_or("", |status| &status.register.name);
        match self.recipe {
            Recipe::WriteBack(ack) => format!("the bits of {status} are written to {}", ack.register.name),
            Recipe::OneClears => format!("ones are written to {status}"),
            Recipe::ReadClears => format!("reading {status} clears it"),
            Recipe::Value(ack, value) => format!("{value:#x} is written to {} if {status} is not 0", ack.register.name),
            Recipe::Mask(mask) => format!("{} is 0 until the app has served what {status} says", mask.register.name),
            Recipe::None => "messages, of which each wakes the app; nothing is acknowledged".to_owned(),
        }
    }
}
