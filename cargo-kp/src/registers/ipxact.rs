//! Registers from an IP-XACT component (IEEE 1685-2009, 2014, 2022): an address block is a block. The three differ in their namespace, and in
//! where the reset value, the access and the size of an array stand.
use super::raw::{At, Listed, Raw};
use super::{Access, Field, number, register_name};
use kp_tool::Message;
use roxmltree::{Document, Node};

/// How the one clears is called.
const ONE_CLEARS: &str = "oneToClear";
/// What stands in another place of the file, by reference. Only its own text is read here.
const ELSEWHERE: &[&str] =
    &["addressBlockDefinitionRef", "registerDefinitionRef", "registerFileDefinitionRef", "fieldDefinitionRef"];

/// The blocks of a file that is called so.
pub fn parse(name: &str, text: &str) -> Result<Vec<Listed>, Message> {
    let wrong = |line: u64, why: String| Message::BadTable { place: format!("{name}:{line}"), why };
    let document = Document::parse(text.trim_start_matches('\u{feff}'))
        .map_err(|error| wrong(error.pos().row.into(), error.to_string()))?;
    let line = |node: Node<'_, '_>| u64::from(document.text_pos_at(node.range().start).row);
    if document.root_element().tag_name().name() != "component" {
        return Err(wrong(1, "it is no IP-XACT: its first element is a <component>".to_owned()));
    }
    if let Some(node) = document.descendants().find(|node| ELSEWHERE.contains(&node.tag_name().name())) {
        let tag = node.tag_name().name();
        return Err(wrong(line(node), format!("<{tag}> is not followed: write what it names in its place")));
    }
    let mut blocks = Vec::new();
    for block in document.descendants().filter(|node| node.tag_name().name() == "addressBlock") {
        let units = block.parent().and_then(|map| text_of(map, "addressUnitBits")).unwrap_or("8");
        let mut walk =
            Walk { unit: (value(units).unwrap_or(8) / 8).max(1), access: own_access(block), found: Vec::new() };
        walk.children(block, &At::default()).map_err(|(node, why)| wrong(line(node), why))?;
        let registers = walk.found.into_iter().map(|(node, raw)| Raw { line: line(node), ..raw }).collect::<Vec<_>>();
        if !registers.is_empty() {
            let name = text_of(block, "name").unwrap_or("REGS").to_owned();
            blocks.push(Listed { name, bar: None, registers });
        }
    }
    match blocks.as_slice() {
        [] => Err(wrong(1, "no register: there has to be a <register> in an <addressBlock>".to_owned())),
        _ => Ok(blocks),
    }
}

/// What is wrong with an element.
type Wrong<'a, 'i> = (Node<'a, 'i>, String);

/// The way through a block's registers.
struct Walk<'a, 'i> {
    /// Bytes of an address unit.
    unit: u64,
    /// The block's access.
    access: Option<&'a str>,
    found: Vec<(Node<'a, 'i>, Raw)>,
}

impl<'a, 'i: 'a> Walk<'a, 'i> {
    fn children(&mut self, parent: Node<'a, 'i>, at: &At) -> Result<(), Wrong<'a, 'i>> {
        for node in parent.children() {
            match node.tag_name().name() {
                "register" => self.register(node, at)?,
                "registerFile" => self.file(node, at)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// A register file: registers in a group, which may be an array.
    fn file(&mut self, node: Node<'a, 'i>, at: &At) -> Result<(), Wrong<'a, 'i>> {
        let name = text_of(node, "name").unwrap_or_default();
        let offset = self.offset(node, at)?;
        let range = optional(node, "range")?.unwrap_or(0).saturating_mul(self.unit);
        let (count, stride) = self.array(node, range)?;
        let prefix = |number: String| format!("{}{name}{number}_", at.prefix);
        match (count, at.items) {
            (1, items) => self.children(node, &At { prefix: prefix(String::new()), offset, items }),
            (count, None) => {
                self.children(node, &At { prefix: prefix(String::new()), offset, items: Some((count, stride)) })
            }
            (count, items) => (0..count.min(MOST)).try_for_each(|item| {
                self.children(
                    node,
                    &At {
                        prefix: prefix(item.to_string()),
                        offset: offset.saturating_add(item.saturating_mul(stride)),
                        items,
                    },
                )
            }),
        }
    }

    fn register(&mut self, node: Node<'a, 'i>, at: &At) -> Result<(), Wrong<'a, 'i>> {
        let name = text_of(node, "name").unwrap_or_default();
        let bits = needed(node, "size")?;
        let fields: Vec<Node<'a, 'i>> = node.children().filter(|node| node.tag_name().name() == "field").collect();
        let (mut reset, mut read) = (reset(node)?, Vec::new());
        for field in &fields {
            let (low, width) = (needed(*field, "bitOffset")?, needed(*field, "bitWidth")?);
            let own = text_of(*field, "name").and_then(register_name);
            // A field that nothing says the bits of is refused by the checks that all files have.
            let bit = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
            let (low_bit, high) = (bit(low), bit(low.saturating_add(width).saturating_sub(1)));
            read.extend(own.filter(|name| !name.starts_with("RESERVED")).map(|name| Field {
                name,
                low: low_bit,
                high,
            }));
            // In 2009 the register's own value; since 2014 its fields'.
            if low < 64 {
                reset |= self::reset(*field)? << low;
            }
        }
        let (count, stride) = self.array(node, bits / 8)?;
        let raw = Raw {
            name: format!("{}{name}", at.prefix),
            offset: self.offset(node, at)?,
            bits,
            access: access(own_access(node).or(self.access), &fields),
            reset,
            one_clears: one_clears(node, &fields),
            fields: read,
            count: at.items.map_or(count, |(count, _)| count),
            stride: at.items.map(|(_, stride)| stride).or(Some(stride).filter(|_| count > 1)),
            doc: text_of(node, "description").unwrap_or_default().to_owned(),
            line: 0,
        };
        match at.items {
            Some(_) if count > 1 => self.found.extend((0..count.min(MOST)).map(|item| {
                let name = format!("{}{name}{item}", at.prefix);
                (node, Raw { name, offset: raw.offset.saturating_add(item.saturating_mul(stride)), ..raw.clone() })
            })),
            _ => self.found.push((node, raw)),
        }
        Ok(())
    }

    /// Where an element is.
    fn offset(&self, node: Node<'a, 'i>, at: &At) -> Result<u64, Wrong<'a, 'i>> {
        Ok(at.offset.saturating_add(needed(node, "addressOffset")?.saturating_mul(self.unit)))
    }

    /// How many there are of an element, and from one to the next: `<dim>`s beside, or since 2022 in an `<array>`.
    fn array(&self, node: Node<'a, 'i>, len: u64) -> Result<(u64, u64), Wrong<'a, 'i>> {
        let array = child(node, "array");
        let of = array.unwrap_or(node);
        let mut count = 1_u64;
        for dim in of.children().filter(|node| node.tag_name().name() == "dim") {
            count = count.saturating_mul(number_in(dim)?);
        }
        let stride = array.map(|array| optional(array, "stride")).transpose()?.flatten();
        Ok((count, stride.map_or(len, |stride| stride.saturating_mul(self.unit))))
    }
}

/// The most items of a list, more than any file has.
const MOST: u64 = 1024;

fn child<'a, 'i>(node: Node<'a, 'i>, tag: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|node| node.tag_name().name() == tag)
}

fn text_of<'a>(node: Node<'a, '_>, tag: &str) -> Option<&'a str> {
    child(node, tag)?.text().map(str::trim)
}

/// The number in an element's child; refused if it is not there.
fn needed<'a, 'i>(node: Node<'a, 'i>, tag: &str) -> Result<u64, Wrong<'a, 'i>> {
    optional(node, tag)?.ok_or_else(|| {
        let name = text_of(node, "name").unwrap_or("a register");
        (node, format!("{name} has no <{tag}>"))
    })
}

fn optional<'a, 'i>(node: Node<'a, 'i>, tag: &str) -> Result<Option<u64>, Wrong<'a, 'i>> {
    child(node, tag).map(number_in).transpose()
}

/// The number that is an element's text.
fn number_in<'a, 'i>(node: Node<'a, 'i>) -> Result<u64, Wrong<'a, 'i>> {
    let text = node.text().unwrap_or_default().trim();
    value(text).ok_or_else(|| {
        (node, format!("<{}> is `{text}`: write a number, not what it is computed of", node.tag_name().name()))
    })
}

/// A number as Verilog writes it, `'h20`, `32'h0000_0020`, or as C does.
fn value(text: &str) -> Option<u64> {
    let Some((_, digits)) = text.split_once('\'') else { return number(text) };
    let digits = digits.trim_start_matches(['s', 'S']).replace('_', "");
    let (base, digits) = digits.split_at_checked(1)?;
    let radix = match base.to_ascii_lowercase().as_str() {
        "h" => 16,
        "d" => 10,
        "o" => 8,
        "b" => 2,
        _ => return None,
    };
    u64::from_str_radix(digits.trim(), radix).ok()
}

/// What a register or a field is after power-on: `<reset><value>`, since 2014 in `<resets>`.
fn reset<'a, 'i>(node: Node<'a, 'i>) -> Result<u64, Wrong<'a, 'i>> {
    let reset = child(child(node, "resets").unwrap_or(node), "reset");
    Ok(reset.map(|reset| optional(reset, "value")).transpose()?.flatten().unwrap_or(0))
}

/// `<access>`, since 2022 in an `<accessPolicy>`.
fn own_access<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    let inner = |outer: &str, inner: &str| text_of(child(child(node, outer)?, inner)?, "access");
    text_of(node, "access")
        .or_else(|| inner("accessPolicies", "accessPolicy"))
        .or_else(|| inner("fieldAccessPolicies", "fieldAccessPolicy"))
}

/// What is said of a register, or else of all its fields alike.
fn access(said: Option<&str>, fields: &[Node<'_, '_>]) -> Access {
    let of = |said: &str| match said {
        "read-only" => Access::ReadOnly,
        "write-only" | "writeOnce" => Access::WriteOnly,
        _ => Access::ReadWrite,
    };
    let all = |wanted| !fields.is_empty() && fields.iter().all(|field| own_access(*field).map(of) == Some(wanted));
    match said {
        Some(said) => of(said),
        None if all(Access::ReadOnly) => Access::ReadOnly,
        None if all(Access::WriteOnly) => Access::WriteOnly,
        None => Access::ReadWrite,
    }
}

/// Whether ones clear every field that may be written.
fn one_clears(register: Node<'_, '_>, fields: &[Node<'_, '_>]) -> bool {
    let clears = |node: Node<'_, '_>| {
        node.descendants().any(|node| {
            node.tag_name().name() == "modifiedWriteValue" && node.text().map(str::trim) == Some(ONE_CLEARS)
        })
    };
    let mut written = fields.iter().filter(|field| own_access(**field) != Some("read-only")).peekable();
    text_of(register, "modifiedWriteValue") == Some(ONE_CLEARS)
        || (written.peek().is_some() && written.all(|field| clears(*field)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_verilogs_or_cs() {
        for (text, number) in
            [("'h20", 0x20), ("32'hffff_0000", 0xffff_0000), ("8'd16", 16), ("4'b1010", 10), ("0x1F", 31), ("12", 12)]
        {
            assert_eq!(value(text), Some(number), "{text}");
        }
        for text in ["", "'", "'x1", "WIDTH-1", "'hxyz"] {
            assert_eq!(value(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_missing_or_computed_is_told_with_its_line() {
        let file = |inside: &str| {
            format!(
                "<c:component xmlns:c=\"x\">\n<c:memoryMap><c:addressBlock><c:name>A</c:name>\n{inside}</c:addressBlock></c:memoryMap></c:component>"
            )
        };
        let why = |text: &str| parse("c.xml", text).unwrap_err().to_string();
        let register =
            "<c:register><c:name>R</c:name>\n<c:addressOffset>W*4</c:addressOffset><c:size>32</c:size></c:register>";
        assert_eq!(
            why(&file(register)),
            "c.xml:4: <addressOffset> is `W*4`: write a number, not what it is computed of"
        );
        assert_eq!(why(&file("<c:register><c:name>R</c:name></c:register>")), "c.xml:3: R has no <size>");
        assert_eq!(why(&file("")), "c.xml:1: no register: there has to be a <register> in an <addressBlock>");
        assert_eq!(why("<device/>"), "c.xml:1: it is no IP-XACT: its first element is a <component>");
        let there = file("<c:register>\n<c:registerDefinitionRef/></c:register>");
        assert_eq!(why(&there), "c.xml:4: <registerDefinitionRef> is not followed: write what it names in its place");
    }
}
