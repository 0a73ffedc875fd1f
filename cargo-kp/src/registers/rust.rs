//! `registers.rs`: the source text that a register file becomes.
use super::{Block, Register, Registers};
use std::fmt::Write;

/// The text of `registers.rs`. The same file gives the same text.
#[must_use]
pub fn source(registers: &Registers) -> String {
    let mut out = String::from(
        "//! The card's registers. `cargo kp regs` makes this file of the one that is named below: what is changed here is lost.\n",
    );
    if registers.blocks.is_empty() {
        return out;
    }
    out.push_str("\nkp_core::registers! {\n");
    for (index, block) in registers.blocks.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        one_block(&mut out, block);
    }
    out.push_str("}\n");
    out
}

/// One module of `registers!`. Writing to a string cannot fail.
fn one_block(out: &mut String, block: &Block) {
    for register in block.registers.iter().filter(|register| register.stride.is_some()) {
        let (name, bits, access, fields) = (&register.name, register.bits, register.access.text(), fields(register));
        let _ = writeln!(out, "    /// Each {name}.");
        let _ = writeln!(out, "    pub mod {}[{:#x}] {{", block.each(register), register.bytes());
        let _ = writeln!(out, "        0x00 {name}: u{bits}, {access}{fields};\n    }}\n");
    }
    let _ = writeln!(out, "    /// BAR {}, from {}.", block.bar, block.file);
    let _ = writeln!(out, "    pub mod {}[{:#x}] {{", block.name, block.len());
    let width = hex_width(block.len());
    for register in &block.registers {
        if !register.doc.is_empty() {
            let _ = writeln!(out, "        /// {}", sentence(&register.doc));
        }
        let (fields, access) = (fields(register), register.access.text());
        let kind = match (register.count, register.stride) {
            (None, _) => format!("u{}, {access}{fields}", register.bits),
            (Some(count), None) => format!("[u{}; {count}], {access}{fields}", register.bits),
            (Some(count), Some(stride)) => format!("[{}; {count} stride {stride:#x}]", block.each(register)),
        };
        let _ = writeln!(out, "        0x{:0width$x} {}: {kind};", register.offset, register.name);
    }
    out.push_str("    }\n");
}

/// A register's fields, as `registers!` has them.
fn fields(register: &Register) -> String {
    if register.fields.is_empty() {
        return String::new();
    }
    let fields = register.fields.iter().map(|field| match (field.low, field.high) {
        (low, high) if low == high => format!("{} = {low}", field.name),
        (low, high) => format!("{} = {low}..={high}", field.name),
    });
    format!(" {{ {} }}", fields.collect::<Vec<_>>().join(", "))
}

/// How many hexadecimal digits every offset below `len` has room in.
fn hex_width(len: u64) -> usize {
    format!("{:x}", len.saturating_sub(1)).len().max(2)
}

/// A description as documentation has it: with its stop, and without what Markdown would take for something else.
pub(crate) fn sentence(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if matches!(letter, '[' | ']' | '<' | '>' | '`' | '*' | '_' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    if !out.ends_with(['.', '!', '?', ':']) {
        out.push('.');
    }
    out
}
