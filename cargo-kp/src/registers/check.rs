//! What no card can have: registers that are misaligned, that overlap, that are called alike.
use super::{Block, Register};
use kp_tool::Message;
use std::collections::BTreeMap;

/// The longest BAR that is mapped as registers: more is a `Window`'s.
const LONGEST: u64 = 1 << 24;

/// Refuses a block of which something cannot be.
pub fn block(block: &Block) -> Result<(), Message> {
    let mut names = BTreeMap::new();
    for register in &block.registers {
        one(block, register)?;
        if let Some(line) = names.insert(&register.name, register.line) {
            let other = line.to_string();
            return Err(Message::RegisterTwice { place: place(block, register), name: register.name.clone(), other });
        }
    }
    for (index, register) in block.registers.iter().enumerate() {
        for other in &block.registers[..index] {
            let alike = |of: fn(&Register) -> bool| of(register) && of(other);
            if overlap(register, other)
                && (alike(|register| register.access.reads()) || alike(|register| register.access.writes()))
            {
                let (second, first) = if register.line > other.line { (register, other) } else { (other, register) };
                let (place, one, other) = (place(block, second), shown(second), shown(first));
                return Err(Message::RegistersOverlap { place, one, other });
            }
        }
    }
    Ok(())
}

/// Whether an item of the one lies on an item of the other.
fn overlap(one: &Register, other: &Register) -> bool {
    let (few, many) = if one.items() <= other.items() { (one, other) } else { (other, one) };
    let spans = few.offset < many.end() && many.offset < few.end();
    spans
        && (0..few.items()).any(|item| {
            let start = few.offset + item * few.step();
            // Of the other's items the last one that begins before this one's end.
            let before = (start + few.bytes()).checked_sub(many.offset + 1);
            before.is_some_and(|before| {
                let item = (before / many.step()).min(many.items() - 1);
                many.offset + item * many.step() + many.bytes() > start
            })
        })
}

/// Refuses what is wrong with a register by itself.
fn one(block: &Block, register: &Register) -> Result<(), Message> {
    let wrong = |why: String| Message::BadRegister { place: place(block, register), name: register.name.clone(), why };
    if !register.offset.is_multiple_of(register.bytes()) {
        let (offset, bytes) = (register.offset, register.bytes());
        return Err(wrong(format!("{offset:#x} is no multiple of its {bytes} bytes, and a BAR is read at such alone")));
    }
    if register.end() > LONGEST {
        let end = register.end();
        return Err(wrong(format!(
            "it ends at {end:#x}, and registers are mapped up to {LONGEST:#x}: reach what lies behind by a `Window`, in the plugin's source"
        )));
    }
    for (index, field) in register.fields.iter().enumerate() {
        if register.fields[..index].iter().any(|other| other.name == field.name) {
            return Err(wrong(format!("field {} is there twice: give one of them another name", field.name)));
        }
        if field.high < field.low || field.high >= register.bits {
            let (low, high) = (field.low, field.high);
            let last = register.bits - 1;
            return Err(wrong(format!("field {} is bits {low}..{high}: write LOW..HIGH, of 0 to {last}", field.name)));
        }
    }
    Ok(())
}

/// The register's place in the file, as `edu.csv:7`.
fn place(block: &Block, register: &Register) -> String {
    format!("{}:{}", block.file, register.line)
}

/// A register and where it lies, for a person.
fn shown(register: &Register) -> String {
    format!("{} ({:#x}, {} bytes)", register.name, register.offset, register.end() - register.offset)
}
