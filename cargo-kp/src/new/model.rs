//! The model of the card, by the registers that it treats as more than memory.
use super::card::Kinds;
use super::irq::{Found, Irq, Recipe, Written};
use super::tree::{Facts, hex, kinds, ty};
use kp_tool::found::BarKind;
use minijinja::{Value, context};
use std::collections::BTreeMap;

/// The registers that a model treats as more than memory, each a constant of its source, by BAR and offset.
#[derive(Default)]
struct Special(BTreeMap<(usize, u64), (String, Value)>);

impl Special {
    /// The constant of a register. Where two flags name one register, the first one's name is it.
    fn constant(&mut self, name: &str, Found { block, register }: Found<'_>, doc: &str) -> String {
        let (bar, offset) = (block.bar, format!("{:#x}", register.offset));
        let doc = format!("{}: {doc}, by BAR and offset.", register.name);
        let entry = self.0.entry((bar, register.offset));
        entry.or_insert_with(|| (name.to_owned(), context! { name, doc, bar, offset })).0.clone()
    }
}

/// What the model of the card has besides.
pub fn model(facts: &Facts<'_>) -> Value {
    let status = facts.irq.and_then(|irq| irq.status);
    let mut resets = Vec::new();
    for block in &facts.registers.blocks {
        for register in &block.registers {
            if register.reset != 0 && register.count.is_none() && status != Some(Found { block, register }) {
                resets.push(context! {
                    bar => block.bar, offset => format!("{:#x}", register.offset), width => register.bytes(),
                    value => hex(register.reset, register), name => &register.name,
                });
            }
        }
    }
    let (mut special, mut writes, mut pending) = (Special::default(), Vec::new(), String::new());
    if let Some(irq) = facts.irq {
        pending = interrupts(irq, &mut special, &mut writes);
    }
    let constants: Vec<Value> = special.0.into_values().map(|(_, constant)| constant).collect();
    let Kinds { line, msi, msi_x } = kinds(facts);
    let messages = match (msi > 0, msi_x > 0) {
        (_, false) => "== Some(IrqKind::Msi)",
        (false, true) => "== Some(IrqKind::MsiX)",
        (true, true) => "",
    };
    let enabled = facts.irq.map(enabled);
    context! { resets, constants, writes, pending, enabled, bars => bars(facts), line, msi, msi_x, messages }
}

/// Whether the card may interrupt: what the model keeps of that, what it is at first, when it may, and when all is undone that lets it.
fn enabled(irq: &Irq<'_>) -> Value {
    match irq.enable.len() {
        0 => context! { ty => "bool", first => "true", all => "self.enabled", none => "!self.enabled" },
        1 => context! { ty => "bool", first => "false", all => "self.enabled", none => "!self.enabled" },
        many => {
            let first = format!("[false; {many}]");
            let is_undone = others(irq).next().is_some() || irq.enable.iter().all(|enable| is_disabled(irq, enable));
            let none = if is_undone { format!("self.enabled == {first}") } else { "!self.may_interrupt()".to_owned() };
            context! { ty => format!("[bool; {many}]"), first, all => format!("self.enabled == [true; {many}]"), none }
        }
    }
}

/// Whether the register that lets the card interrupt is one of those that keep it from it.
fn is_disabled(irq: &Irq<'_>, enable: &Written<'_>) -> bool {
    irq.disable.iter().any(|disable| disable.to == enable.to)
}

/// What keeps the card from interrupting by a register of its own.
fn others<'i, 'a>(irq: &'i Irq<'a>) -> impl Iterator<Item = &'i Written<'a>> {
    irq.disable.iter().filter(|disable| irq.enable.iter().all(|enable| enable.to != disable.to))
}

/// Each BAR's length, 0 if there is none, and what it is if it is not plain memory. Of a card of which nothing is known a BAR has as many pages as
/// its registers need.
fn bars(facts: &Facts<'_>) -> Value {
    let mut lens = [0; 6];
    let mut kinds = Vec::new();
    for block in &facts.registers.blocks {
        lens[block.bar] = block.len().next_power_of_two().max(4096);
    }
    for bar in facts.card.iter().flat_map(|card| &card.found.bars).filter(|bar| bar.number < 6) {
        lens[bar.number] = bar.len;
        kinds.extend(match (bar.kind, bar.prefetchable) {
            (BarKind::Ports, _) => Some(format!("{} => BarKind::Ports", bar.number)),
            (BarKind::Memory, true) => Some(format!("{} => BarKind::Prefetchable", bar.number)),
            (BarKind::Memory, false) => None,
        });
    }
    context! { lens => lens.map(|len| if len == 0 { "0".to_owned() } else { format!("{len:#x}") }), kinds }
}

/// What writing to the registers does that let the card interrupt, and keep it from it.
fn enables(irq: &Irq<'_>, special: &mut Special, writes: &mut Vec<String>) {
    let many = irq.enable.len();
    let numbered =
        |name: &str, at: usize, of: usize| if of == 1 { name.to_owned() } else { format!("{name}_{}", at + 1) };
    for (at, enable) in irq.enable.iter().enumerate() {
        let name = special.constant(&numbered("ENABLE", at, many), enable.to, "lets the card interrupt");
        let kept = if many == 1 { "self.enabled".to_owned() } else { format!("self.enabled[{at}]") };
        // More bits may be turned on; nothing but a zero is a zero.
        let value = enable.value;
        let is_on = if value == 0 { "value == 0".to_owned() } else { format!("value & {value:#x} == {value:#x}") };
        writes.push(match is_disabled(irq, enable) {
            true => format!("{name} => {kept} = {is_on}"),
            false => format!("{name} if {is_on} => {kept} = true"),
        });
    }
    // Such a register undoes what no other does.
    let undone: Vec<String> =
        (0..many).filter(|at| !is_disabled(irq, &irq.enable[*at])).map(|at| at.to_string()).collect();
    let undo = match undone.as_slice() {
        _ if many == 1 => "self.enabled = false".to_owned(),
        [one] => format!("self.enabled[{one}] = false"),
        some if (1..many).contains(&some.len()) => {
            format!("[{}].into_iter().for_each(|at| self.enabled[at] = false)", some.join(", "))
        }
        _ => format!("self.enabled = [false; {many}]"),
    };
    for (at, disable) in others(irq).enumerate() {
        let name = numbered("DISABLE", at, others(irq).count());
        let name = special.constant(&name, disable.to, "keeps it from interrupting");
        writes.push(format!("{name} => {undo}"));
    }
}

/// What writing to the interrupt's registers does; the answer is when an interrupt is pending.
fn interrupts(irq: &Irq<'_>, special: &mut Special, writes: &mut Vec<String>) -> String {
    let mut pending = "self.status != 0".to_owned();
    let status_ty = irq.status.map(|status| ty(status.register)).unwrap_or_default();
    if let Some(status) = irq.status {
        special.constant("STATUS", status, "what has interrupted");
    }
    match irq.recipe {
        Recipe::WriteBack(ack) => {
            let name = special.constant("ACKNOWLEDGE", ack, "clears bits of the status");
            writes.push(format!("{name} => self.status &= !(value as {status_ty})"));
        }
        Recipe::OneClears => writes.push(format!("STATUS => self.status &= !(value as {status_ty})")),
        Recipe::Value(ack, value) => {
            let name = special.constant("ACKNOWLEDGE", ack, "clears the status");
            writes.push(format!("{name} if value == {value:#x} => self.status = 0"));
        }
        Recipe::Mask(mask) => {
            let name = special.constant("MASK", mask, "which bits of the status interrupt");
            let width = mask.register.bytes();
            pending = format!("self.status & self.kept({name}.0, {name}.1, {width}) as {status_ty} != 0");
        }
        Recipe::ReadClears | Recipe::None => {}
    }
    enables(irq, special, writes);
    if let Some(raise) = irq.raise {
        let name = special.constant("RAISE", raise, "has the card interrupt");
        writes.push(match irq.status {
            Some(_) => format!("{name} => self.raise(value as {status_ty})"),
            None => format!("{name} => self.raise()"),
        });
    }
    pending
}
