//! In which BAR the blocks of a file lie.
use super::{Block, Registers, Source, message_name, number, raw::Listed, register_name};
use kp_tool::Message;
use std::{collections::BTreeMap, fmt, str::FromStr};

/// Where a block lies: `BLOCK=N` or `BLOCK=N+OFFSET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The block's name in the file.
    pub block: String,
    /// The BAR.
    pub bar: usize,
    /// Where it begins there, in bytes.
    pub offset: u64,
}

impl FromStr for Place {
    type Err = Message;

    fn from_str(text: &str) -> Result<Self, Message> {
        let parsed = text.split_once('=').and_then(|(block, place)| {
            let (bar, offset) = place.split_once('+').unwrap_or((place, "0"));
            let bar = bar.parse().ok().filter(|bar| *bar <= 5)?;
            Some(Place { block: block.to_owned(), bar, offset: number(offset)? })
        });
        parsed.ok_or_else(|| Message::BadPlace { text: text.to_owned() })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.block, self.bar)?;
        if self.offset > 0 { write!(f, "+{:#x}", self.offset) } else { Ok(()) }
    }
}

/// The registers of each BAR.
pub fn blocks(listed: Vec<Listed>, source: &Source, file: &str) -> Result<Registers, Message> {
    let mut registers = Registers::default();
    let mut bars: BTreeMap<usize, Vec<(Listed, u64)>> = BTreeMap::new();
    for (listed, place) in placed(listed, source, file, &mut registers.left_out)? {
        bars.entry(place.bar).or_default().push((listed, place.offset));
    }
    let only = bars.len() == 1;
    for (bar, parts) in bars {
        let name = if only { "regs".to_owned() } else { format!("bar{bar}") };
        let mut block = Block { name, bar, registers: Vec::new(), file: file.to_owned() };
        let several = parts.len() > 1;
        for (listed, offset) in parts {
            // Two blocks may have registers of one name.
            let prefix = if several { format!("{}_", listed.name) } else { String::new() };
            for raw in listed.registers {
                let (said, line) = (raw.name.clone(), raw.line);
                let register = raw
                    .register(offset, &prefix)
                    .map_err(|why| Message::BadTable { place: format!("{file}:{line}"), why })?;
                if register.name != said.to_ascii_uppercase() && !several {
                    registers.renamed.push((said, register.name.clone()));
                }
                block.registers.push(register);
            }
        }
        block.registers.sort_by_key(|register| (register.offset, register.line));
        registers.blocks.push(block);
    }
    name_bar(&mut registers.blocks, source)?;
    Ok(registers)
}

/// Each block that is wanted, and where it lies.
fn placed(
    mut listed: Vec<Listed>,
    source: &Source,
    file: &str,
    left_out: &mut Vec<String>,
) -> Result<Vec<(Listed, Place)>, Message> {
    let file = || file.to_owned();
    let names = |listed: &[Listed]| listed.iter().map(|block| block.name.clone()).collect::<Vec<_>>();
    if listed.iter().any(|block| block.bar.is_some()) {
        if !source.places.is_empty() {
            return Err(Message::PlacesOfTable { file: file() });
        }
        let place = |block: &Listed| Place { block: block.name.clone(), bar: block.bar.unwrap_or(0), offset: 0 };
        return Ok(listed
            .into_iter()
            .map(|block| (place(&block), block))
            .map(|(place, block)| (block, place))
            .collect());
    }
    match (listed.as_slice(), source.places.as_slice()) {
        ([only], []) => {
            let place = Place { block: only.name.clone(), bar: 0, offset: 0 };
            return Ok(listed.into_iter().map(|block| (block, place.clone())).collect());
        }
        (several, []) => {
            let (blocks, first) = (names(several).join(", "), names(several).swap_remove(0));
            return Err(Message::WhichBar { file: file(), blocks, first });
        }
        _ => {}
    }
    let mut placed = Vec::new();
    for place in &source.places {
        let Some(at) = listed.iter().position(|block| register_name(&block.name) == register_name(&place.block)) else {
            let there = names(&listed).join(", ");
            return Err(Message::NoBlock { block: place.block.clone(), file: file(), there });
        };
        placed.push((listed.remove(at), place.clone()));
    }
    left_out.extend(names(&listed));
    Ok(placed)
}

/// Gives the BAR the name that it is to have.
fn name_bar(blocks: &mut [Block], source: &Source) -> Result<(), Message> {
    let Some(said) = &source.name else { return Ok(()) };
    let bad = |why: &str| Err(Message::BadBarName { name: said.clone(), why: why.to_owned() });
    let name = register_name(said).map(|name| message_name(&name)).unwrap_or_default();
    match blocks {
        _ if name != *said || name == "registers" => {
            bad("it is no name for a Rust module: take small letters, digits and `_`")
        }
        [block] => {
            block.name = name;
            Ok(())
        }
        _ => bad("the file has registers in several BARs: leave the name out"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_block_a_bar_and_perhaps_an_offset() {
        let place = |text: &str| {
            text.parse::<Place>().map(|place| (place.block.clone(), place.bar, place.offset, place.to_string()))
        };
        assert_eq!(place("REGS=0"), Ok(("REGS".to_owned(), 0, 0, "REGS=0".to_owned())));
        assert_eq!(place("DMA=2+0x1000"), Ok(("DMA".to_owned(), 2, 0x1000, "DMA=2+0x1000".to_owned())));
        for bad in ["REGS", "REGS=", "REGS=6", "REGS=1+", "REGS=1+x"] {
            assert_eq!(place(bad), Err(Message::BadPlace { text: bad.to_owned() }), "{bad}");
        }
    }
}
