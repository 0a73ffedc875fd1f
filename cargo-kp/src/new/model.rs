//! The model of the card, by the registers that it treats as more than memory.
use super::card::Kinds;
use super::irq::{Found, Irq, Recipe};
use super::tree::{Facts, hex, kinds, ty};
use kp_tool::found::BarKind;
use minijinja::{Value, context};
use std::collections::BTreeMap;

/// The registers that a model treats as more than memory, each a constant of its source, by BAR and offset.
#[derive(Default)]
struct Special(BTreeMap<(usize, u64), (&'static str, Value)>);

impl Special {
    /// The constant of a register. Where two flags name one register, the first one's name is it.
    fn constant(&mut self, name: &'static str, Found { block, register }: Found<'_>, doc: &str) -> &'static str {
        let (bar, offset) = (block.bar, format!("{:#x}", register.offset));
        let doc = format!("{}: {doc}, by BAR and offset.", register.name);
        self.0.entry((bar, register.offset)).or_insert_with(|| (name, context! { name, doc, bar, offset })).0
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
    context! { resets, constants, writes, pending, bars => bars(facts), line, msi, msi_x, messages }
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
    if let Some(enable) = irq.enable {
        let name = special.constant("ENABLE", enable.to, "lets the card interrupt");
        // More bits may be turned on; nothing but a zero is a zero.
        let value = enable.value;
        let is_on = if value == 0 { "value == 0".to_owned() } else { format!("value & {value:#x} == {value:#x}") };
        match irq.disable.filter(|disable| disable.to != enable.to) {
            None => writes.push(format!("{name} => self.enabled = {is_on}")),
            Some(disable) => {
                let other = special.constant("DISABLE", disable.to, "keeps it from interrupting");
                writes.push(format!("{name} if {is_on} => self.enabled = true"));
                writes.push(format!("{other} => self.enabled = false"));
            }
        }
    }
    if let Some(raise) = irq.raise {
        let name = special.constant("RAISE", raise, "has the card interrupt");
        writes.push(match irq.status {
            Some(_) => format!("{name} => self.raise(value as {status_ty})"),
            None => format!("{name} => self.raise()"),
        });
    }
    pending
}
