//! How a card interrupts: which register says so, and how it is acknowledged.
use crate::registers::{Access, Block, Register};
use kp_tool::Message;

/// What is done to a card that interrupts, in `int_at_irql`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// The bits that were read are written to this register.
    WriteBack(String),
    /// Ones are written to the status itself.
    OneClears,
    /// The reading of the status has cleared it.
    ReadClears,
    /// This value is written to this register.
    Value(String, u64),
    /// The interrupt is masked in this register, until the app has served the card and says so.
    Mask(String),
    /// Nothing: a message of the card's needs no answer.
    None,
}

/// A register, and what is written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The register's name.
    pub register: String,
    /// The value.
    pub value: u64,
}

/// A card's interrupt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Irq {
    /// The register that says that the card interrupts; a card that sends messages alone may have none.
    pub status: Option<String>,
    /// How it is acknowledged.
    pub recipe: Recipe,
    /// What lets the card interrupt.
    pub enable: Option<Written>,
    /// What keeps it from it.
    pub disable: Option<Written>,
    /// What has it interrupt, for trying it out.
    pub raise: Option<String>,
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
    /// `--irq-enable`.
    pub enable: Option<&'a str>,
    /// `--irq-disable`.
    pub disable: Option<&'a str>,
    /// `--irq-raise`.
    pub raise: Option<&'a str>,
}

/// The card's interrupt, of what was said and what its registers are called; `None` if it has none.
pub fn decide(said: &Said<'_>, blocks: &[Block]) -> Result<Option<Irq>, Message> {
    let find = |flag: &str, name: &str| find(blocks, flag, name);
    let raise = said.raise.map(|name| writable("--irq-raise", find("--irq-raise", name)?)).transpose()?;
    let raise = raise.map(|register| register.name.clone());
    let guess = if said.status.is_none() && said.ack.is_none() { guess(blocks) } else { None };
    let (status, recipe, guessed) = match (guess, said.status, said.ack) {
        (Some((status, recipe)), ..) => (Some(status), recipe, true),
        (None, None, None) => {
            return match (said.enable.or(said.disable).or(said.raise)).is_some() {
                true => Err(Message::NoIrqAck {}),
                false => Ok(None),
            };
        }
        (None, status, None) if status.is_some() => return Err(Message::NoIrqAck {}),
        (None, status, ack) => {
            let status = status.map(|name| find("--irq-status", name)).transpose()?;
            let recipe = recipe(ack.unwrap_or_default(), status, blocks)?;
            (status.map(|register| register.name.clone()), recipe, false)
        }
    };
    let written = |flag: &str, text: Option<&str>, all: bool| -> Result<Option<Written>, Message> {
        let Some(text) = text else { return Ok(None) };
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let register = writable(flag, find(flag, name)?)?;
        let ones = u64::MAX >> (64 - register.bits);
        let value = match value {
            None => {
                if all {
                    ones
                } else {
                    0
                }
            }
            Some(text) => number(text).filter(|&value| value <= ones).ok_or_else(|| Message::BadIrqValue {
                flag: flag.to_owned(),
                value: text.to_owned(),
                bits: register.bits.to_string(),
            })?,
        };
        Ok(Some(Written { register: register.name.clone(), value }))
    };
    let enable = written("--irq-enable", said.enable, true)?;
    // A register of its own takes the bits that it turns off; the one that turns them on takes a zero.
    let disable = match (&enable, said.disable) {
        (_, Some(text)) => written("--irq-disable", Some(text), true)?,
        (Some(enable), None) => Some(Written { register: enable.register.clone(), value: 0 }),
        (None, None) => None,
    };
    Ok(Some(Irq { status, recipe, enable, disable, raise, guessed }))
}

/// The recipe that a text names.
fn recipe(text: &str, status: Option<&Register>, blocks: &[Block]) -> Result<Recipe, Message> {
    let flag = "--irq-ack";
    let bad = || Message::BadIrqAck { text: text.to_owned() };
    let status_needed = || status.ok_or(Message::NoIrqStatus { text: text.to_owned() });
    let same_width = |register: &Register, status: &Register| match register.bits == status.bits {
        true => Ok(()),
        false => Err(Message::IrqWidth {
            register: register.name.clone(),
            bits: register.bits.to_string(),
            status: status.name.clone(),
            other: status.bits.to_string(),
        }),
    };
    match text.split_once('=') {
        None if text == "none" => Ok(Recipe::None),
        None if text == "w1c" => writable(flag, status_needed()?).map(|_| Recipe::OneClears),
        None if text == "read-clears" => status_needed().map(|_| Recipe::ReadClears),
        None => Err(bad()),
        Some((name, how)) => {
            let register = writable(flag, find(blocks, flag, name)?)?;
            let status = status_needed()?;
            match how {
                "write-back" => same_width(register, status).map(|()| Recipe::WriteBack(register.name.clone())),
                "mask" if register.access == Access::ReadWrite => {
                    same_width(register, status).map(|()| Recipe::Mask(register.name.clone()))
                }
                "mask" => Err(Message::IrqMaskUnreadable { register: register.name.clone() }),
                _ => match number(how) {
                    Some(value) if value <= u64::MAX >> (64 - register.bits) => {
                        Ok(Recipe::Value(register.name.clone(), value))
                    }
                    _ => Err(bad()),
                },
            }
        }
    }
}

/// Status and recipe by the names of registers, if only one of each comes into question.
fn guess(blocks: &[Block]) -> Option<(String, Recipe)> {
    let all = || blocks.iter().flat_map(|block| &block.registers).filter(|register| register.count.is_none());
    let irq = |register: &Register| {
        register.name.split('_').any(|word| {
            matches!(word, "IRQ" | "INT" | "INTR" | "INTERRUPT" | "INTERRUPTS" | "IRQSTATUS" | "INTSTATUS" | "ISR")
        })
    };
    let has = |register: &Register, words: &[&str]| words.iter().any(|word| register.name.contains(word));
    let mut found = all().filter(|register| {
        register.access.reads() && irq(register) && has(register, &["STATUS", "STAT", "CAUSE", "PENDING", "ISR"])
    });
    let (status, None) = (found.next()?, found.next()) else { return None };
    if status.one_clears {
        return Some((status.name.clone(), Recipe::OneClears));
    }
    let mut found = all().filter(|register| {
        register.access.writes()
            && register.name != status.name
            && register.bits == status.bits
            && irq(register)
            && has(register, &["ACK", "CLEAR", "CLR", "EOI"])
            && !has(register, &["MASK", "ENABLE", "CAUSE_SET"])
    });
    let (ack, None) = (found.next()?, found.next()) else { return None };
    Some((status.name.clone(), Recipe::WriteBack(ack.name.clone())))
}

/// The register that a flag names.
pub fn find<'a>(blocks: &'a [Block], flag: &str, name: &str) -> Result<&'a Register, Message> {
    let wanted = crate::registers::register_name(name).unwrap_or_default();
    let all = || blocks.iter().flat_map(|block| &block.registers);
    let found = all().find(|register| register.name == wanted && register.count.is_none());
    found.ok_or_else(|| {
        let names: Vec<&str> = all().filter(|found| found.count.is_none()).map(|found| found.name.as_str()).collect();
        let there = if names.is_empty() {
            "name a file with --registers".to_owned()
        } else {
            format!("there are {}", names.join(", "))
        };
        Message::NoRegister { flag: flag.to_owned(), name: name.to_owned(), there }
    })
}

/// The register, if it may be written.
fn writable<'a>(flag: &str, register: &'a Register) -> Result<&'a Register, Message> {
    match register.access.writes() {
        true => Ok(register),
        false => Err(Message::RegisterReadOnly { flag: flag.to_owned(), name: register.name.clone() }),
    }
}

/// A number as C and Rust write it.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

impl Irq {
    /// Whether a register is the interrupt handler's own: an app that wrote it, or read a status that reading clears, would take interrupts away.
    pub fn is_handlers(&self, register: &str) -> bool {
        let acknowledged = match &self.recipe {
            Recipe::WriteBack(name) | Recipe::Value(name, _) | Recipe::Mask(name) => Some(name),
            Recipe::OneClears | Recipe::ReadClears => self.status.as_ref(),
            Recipe::None => None,
        };
        let written = [&self.enable, &self.disable].into_iter().flatten().map(|written| &written.register);
        written.chain(acknowledged).any(|name| name == register)
    }

    /// What is done at an interrupt, for a person.
    pub fn said(&self) -> String {
        let status = self.status.as_deref().unwrap_or_default();
        match &self.recipe {
            Recipe::WriteBack(ack) => format!("the bits of {status} are written to {ack}"),
            Recipe::OneClears => format!("ones are written to {status}"),
            Recipe::ReadClears => format!("reading {status} clears it"),
            Recipe::Value(ack, value) => format!("{value:#x} is written to {ack} if {status} is not 0"),
            Recipe::Mask(mask) => format!("{mask} is 0 until the app has served what {status} says"),
            Recipe::None => "messages, of which each wakes the app; nothing is acknowledged".to_owned(),
        }
    }
}
