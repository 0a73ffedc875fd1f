//! The model of the card, by the registers that it treats as more than memory.
use super::irq::Recipe;
use super::tree::{Facts, Reached, hex, reached, ty};
use crate::registers::{Block, Register};
use anyhow::Result;
use minijinja::{Value, context};
use std::collections::BTreeMap;

/// The registers that a model treats as more than memory, each a constant of its source.
struct Special<'a> {
    blocks: &'a [Block],
    /// The constants, by BAR and offset.
    constants: BTreeMap<(usize, u64), (&'static str, Value)>,
}

impl Special<'_> {
    /// The constant of a register. Where two flags name one register, the first one's name is it.
    fn constant(&mut self, name: &'static str, register: &str, doc: &str) -> Result<&'static str> {
        let found = super::irq::find(self.blocks, "", register)?;
        let Reached { bar, offset, .. } = reached(self.blocks, found, "");
        let doc = format!("{register}: {doc}, by BAR and offset.");
        let new = || (name, context! { name, doc, bar, offset });
        Ok(self.constants.entry((bar, found.offset)).or_insert_with(new).0)
    }
}

/// What the model of the card has besides.
pub fn model(facts: &Facts<'_>) -> Result<Value> {
    let blocks = &facts.registers.blocks;
    let status = facts.irq.and_then(|irq| irq.status.as_ref());
    let kept = |register: &&Register| register.reset != 0 && register.count.is_none() && status != Some(&register.name);
    let reset = |block: &Block, register: &Register| {
        context! {
            bar => block.bar, offset => format!("{:#x}", register.offset), width => register.bytes(),
            value => hex(register.reset, register), name => &register.name,
        }
    };
    let resets =
        blocks.iter().flat_map(|block| block.registers.iter().filter(kept).map(|register| reset(block, register)));
    let resets: Vec<Value> = resets.collect();
    let (mut writes, mut pending) = (Vec::new(), "self.status != 0".to_owned());
    let mut special = Special { blocks, constants: BTreeMap::new() };
    if let Some(irq) = facts.irq {
        let status_ty = status.map(|name| super::irq::find(blocks, "", name)).transpose()?.map(ty).unwrap_or_default();
        if let Some(status) = status {
            special.constant("STATUS", status, "what has interrupted")?;
        }
        match &irq.recipe {
            Recipe::WriteBack(ack) => {
                let name = special.constant("ACKNOWLEDGE", ack, "clears bits of the status")?;
                writes.push(format!("{name} => self.status &= !(value as {status_ty})"));
            }
            Recipe::OneClears => writes.push(format!("STATUS => self.status &= !(value as {status_ty})")),
            Recipe::Value(ack, value) => {
                let name = special.constant("ACKNOWLEDGE", ack, "clears the status")?;
                writes.push(format!("{name} if value == {value:#x} => self.status = 0"));
            }
            Recipe::Mask(mask) => {
                let name = special.constant("MASK", mask, "which bits of the status interrupt")?;
                let width = super::irq::find(blocks, "", mask)?.bytes();
                pending = format!("self.status & self.kept({name}.0, {name}.1, {width}) as {status_ty} != 0");
            }
            Recipe::ReadClears | Recipe::None => {}
        }
        if let Some(enable) = &irq.enable {
            let name = special.constant("ENABLE", &enable.register, "lets the card interrupt")?;
            let value = enable.value;
            match irq.disable.as_ref().filter(|disable| disable.register != enable.register) {
                None => writes.push(format!("{name} => self.enabled = value == {value:#x}")),
                Some(disable) => {
                    let other = special.constant("DISABLE", &disable.register, "keeps it from interrupting")?;
                    writes.push(format!("{name} if value == {value:#x} => self.enabled = true"));
                    writes.push(format!("{other} => self.enabled = false"));
                }
            }
        }
        if let Some(raise) = &irq.raise {
            let name = special.constant("RAISE", raise, "has the card interrupt")?;
            writes.push(match status {
                Some(_) => format!("{name} => self.raise(value as {status_ty})"),
                None => format!("{name} => self.raise()"),
            });
        }
    }
    let constants: Vec<Value> = special.constants.into_values().map(|(_, constant)| constant).collect();
    Ok(context! { resets, constants, writes, pending })
}
