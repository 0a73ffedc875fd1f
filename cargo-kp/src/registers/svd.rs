//! Registers from a CMSIS-SVD file: a peripheral is a block. What one element derives from another is looked up there, and arrays stay arrays.
use super::raw::{At, Listed, Raw};
use super::{Access, Field, number, register_name};
use kp_tool::Message;
use roxmltree::{Document, Node};
use svd_parser::expand::{BlockPath, Index, derive_cluster, derive_field, derive_peripheral, derive_register};
use svd_parser::svd::{self, DimElement, ModifiedWriteValues, Name, RegisterCluster, ValidateLevel};
use svd_parser::{Config, expand_properties, parse_with_config};

/// The width of a register of which nothing says it.
const BITS: u32 = 32;

/// The blocks of a file that is called so.
pub fn parse(name: &str, text: &str) -> Result<Vec<Listed>, Message> {
    let wrong = |line: u64, why: String| Message::BadTable { place: format!("{name}:{line}"), why };
    // Vendors' files are not always as the form wants them: what matters here is looked at here.
    let config = Config::default().validate_level(ValidateLevel::Disabled).ignore_enums(true);
    let lines = Lines::new(name, text)?;
    let mut device = parse_with_config(text, &config).map_err(|error| wrong(1, format!("{error:#}")))?;
    expand_properties(&mut device);
    let index = Index::create(&device);
    let mut blocks = Vec::new();
    for peripheral in &device.peripherals {
        let mut peripheral = peripheral.clone();
        let mut path = BlockPath::new(&peripheral.name);
        if let Some(from) = peripheral.derived_from.take() {
            let derived = derive_peripheral(&mut peripheral, &from, &index);
            path = derived.map_err(|error| wrong(1, error.to_string()))?.unwrap_or(path);
        }
        let bits = peripheral.default_register_properties.size.or(device.default_register_properties.size);
        let mut walk = Walk {
            index: &index,
            lines: &lines,
            peripheral: &path.peripheral,
            bits: bits.unwrap_or(BITS),
            found: Vec::new(),
        };
        let children = peripheral.registers.clone().unwrap_or_default();
        walk.children(&children, &path, At::default()).map_err(|why| wrong(1, why))?;
        if walk.found.is_empty() {
            continue;
        }
        let registers = walk.found;
        match &peripheral {
            svd::MaybeArray::Single(_) => blocks.push(Listed { name: peripheral.name.clone(), bar: None, registers }),
            svd::MaybeArray::Array(info, dim) => blocks.extend(svd::array::names(info, dim).map(|name| Listed {
                name,
                bar: None,
                registers: registers.clone(),
            })),
        }
    }
    match blocks.as_slice() {
        [] => Err(wrong(1, "no register: there has to be a <register> in a <peripheral>".to_owned())),
        _ => Ok(blocks),
    }
}

/// The way through a peripheral's registers.
struct Walk<'a> {
    index: &'a Index<'a>,
    lines: &'a Lines<'a>,
    peripheral: &'a str,
    bits: u32,
    found: Vec<Raw>,
}

impl Walk<'_> {
    fn children(&mut self, children: &[RegisterCluster], path: &BlockPath, at: At) -> Result<(), String> {
        for child in children {
            match child {
                RegisterCluster::Register(register) => self.register(register.clone(), path, &at)?,
                RegisterCluster::Cluster(cluster) => self.cluster(cluster.clone(), path, &at)?,
            }
        }
        Ok(())
    }

    fn cluster(&mut self, mut cluster: svd::Cluster, path: &BlockPath, at: &At) -> Result<(), String> {
        let mut inner = path.new_cluster(&cluster.name);
        if let Some(from) = cluster.derived_from.take() {
            let derived = derive_cluster(&mut cluster, &from, path, self.index).map_err(|error| error.to_string())?;
            inner = derived.unwrap_or(inner);
        }
        let children = cluster.children.clone();
        let offset = at.offset + u64::from(cluster.address_offset);
        let named = |name: &str| format!("{}{}_", at.prefix, plain(name));
        match &cluster {
            svd::MaybeArray::Array(info, dim) if at.items.is_none() && is_array(&info.name) => {
                let items = Some((dim.dim.into(), dim.dim_increment.into()));
                self.children(&children, &inner, At { prefix: named(&info.name), offset, items })
            }
            svd::MaybeArray::Array(info, dim) => {
                for (name, step) in each(info, dim) {
                    let at = At { prefix: named(&name), offset: offset + step, items: at.items };
                    self.children(&children, &inner, at)?;
                }
                Ok(())
            }
            svd::MaybeArray::Single(info) => {
                self.children(&children, &inner, At { prefix: named(&info.name), offset, items: at.items })
            }
        }
    }

    fn register(&mut self, mut register: svd::Register, path: &BlockPath, at: &At) -> Result<(), String> {
        let line = self.lines.of(self.peripheral, &register.name);
        let mut own = path.new_register(&register.name);
        if let Some(from) = register.derived_from.take() {
            let derived = derive_register(&mut register, &from, path, self.index).map_err(|error| error.to_string())?;
            own = derived.unwrap_or(own);
        }
        let mut fields = Vec::new();
        for field in register.fields.iter().flatten() {
            let mut field = field.clone();
            if let Some(from) = field.derived_from.take() {
                derive_field(&mut field, &from, &own, self.index).map_err(|error| error.to_string())?;
            }
            match field {
                svd::MaybeArray::Single(field) => fields.push(field),
                svd::MaybeArray::Array(info, dim) => fields.extend(svd::field::expand(&info, &dim)),
            }
        }
        let raw = Raw {
            name: format!("{}{}", at.prefix, plain(&register.name)),
            offset: at.offset + u64::from(register.address_offset),
            bits: register.properties.size.unwrap_or(self.bits).into(),
            access: access(register.properties.access, &fields),
            reset: register.properties.reset_value.unwrap_or(0),
            one_clears: one_clears(register.modified_write_values, &fields),
            fields: fields.iter().filter_map(bits_of).collect(),
            count: at.items.map_or(1, |(count, _)| count),
            stride: at.items.map(|(_, stride)| stride),
            doc: register.description.clone().unwrap_or_default(),
            line,
        };
        match &register {
            svd::MaybeArray::Single(_) => self.found.push(raw),
            svd::MaybeArray::Array(info, dim) if at.items.is_none() && is_array(&info.name) => {
                let (count, stride) = (dim.dim.into(), Some(dim.dim_increment.into()));
                self.found.push(Raw { count, stride, ..raw });
            }
            svd::MaybeArray::Array(info, dim) => self.found.extend(each(info, dim).map(|(name, step)| {
                let name = format!("{}{}", at.prefix, plain(&name));
                Raw { name, offset: raw.offset + step, ..raw.clone() }
            })),
        }
        Ok(())
    }
}

/// `TABLE[%s]` is an array, `PORT%s` a list, of which each has a name of its own.
fn is_array(name: &str) -> bool {
    name.contains("[%s]")
}

/// A name without the place of its number.
fn plain(name: &str) -> String {
    name.replace("[%s]", "").replace("%s", "").replace(['[', ']'], "_").trim_end_matches('_').to_owned()
}

/// Each name of a list, and how far it is from the first.
fn each<'a, T: Name>(info: &'a T, dim: &'a DimElement) -> impl Iterator<Item = (String, u64)> + 'a {
    let steps = (0..).map(|index: u64| index * u64::from(dim.dim_increment));
    svd::array::names(info, dim).zip(steps)
}

/// What software may do with a register: what is said of it, or else of all its fields alike.
fn access(said: Option<svd::Access>, fields: &[svd::FieldInfo]) -> Access {
    let of = |access: svd::Access| match access {
        svd::Access::ReadOnly => Access::ReadOnly,
        svd::Access::WriteOnly | svd::Access::WriteOnce => Access::WriteOnly,
        svd::Access::ReadWrite | svd::Access::ReadWriteOnce => Access::ReadWrite,
    };
    let all = |wanted| !fields.is_empty() && fields.iter().all(|field| field.access.map(of) == Some(wanted));
    match said {
        Some(access) => of(access),
        None if all(Access::ReadOnly) => Access::ReadOnly,
        None if all(Access::WriteOnly) => Access::WriteOnly,
        None => Access::ReadWrite,
    }
}

/// Whether ones clear: what is said of the register, or of every field that may be written.
fn one_clears(said: Option<ModifiedWriteValues>, fields: &[svd::FieldInfo]) -> bool {
    let clears = Some(ModifiedWriteValues::OneToClear);
    let mut written = fields.iter().filter(|field| field.access != Some(svd::Access::ReadOnly)).peekable();
    said == clears
        || (said.is_none() && written.peek().is_some() && written.all(|field| field.modified_write_values == clears))
}

/// A field's bits. One without a name in Rust is none.
fn bits_of(field: &svd::FieldInfo) -> Option<Field> {
    let low = field.bit_range.offset;
    let high = low.saturating_add(field.bit_range.width).saturating_sub(1);
    Some(Field { name: register_name(&field.name)?, low, high })
}

/// What svd-parser computes with is at most so much, that it can.
fn most(node: Node<'_, '_>) -> Option<u64> {
    let of_field = node.parent().is_some_and(|parent| parent.has_tag_name("field"));
    match node.tag_name().name() {
        "dim" | "dimIncrement" if of_field => Some(64),
        "dim" => Some(65_536),
        "dimIncrement" => Some(1 << 24),
        "lsb" | "msb" | "bitOffset" | "bitWidth" | "bitRange" => Some(1 << 16),
        _ => None,
    }
}

/// The largest of the numbers in an element's text.
fn largest(node: Node<'_, '_>) -> u64 {
    let words = node.text().unwrap_or_default().split(|letter: char| !letter.is_ascii_alphanumeric());
    words.filter_map(number).max().unwrap_or(0)
}

/// In which lines registers are.
struct Lines<'a>(Document<'a>);

impl<'a> Lines<'a> {
    fn new(name: &str, text: &'a str) -> Result<Self, Message> {
        let wrong = |error: roxmltree::Error| Message::BadTable {
            place: format!("{name}:{}", error.pos().row),
            why: error.to_string(),
        };
        let lines = Document::parse(text.trim_start_matches('\u{feff}')).map(Lines).map_err(wrong)?;
        let large =
            lines.0.descendants().find_map(|node| Some((node, most(node).filter(|most| largest(node) > *most)?)));
        match large {
            None => Ok(lines),
            Some((node, most)) => {
                let (line, tag) = (lines.line(node), node.tag_name().name().to_owned());
                Err(Message::BadTable { place: format!("{name}:{line}"), why: format!("<{tag}> is more than {most}") })
            }
        }
    }

    fn line(&self, node: Node<'_, '_>) -> u64 {
        self.0.text_pos_at(node.range().start).row.into()
    }

    /// A register's line: that in its peripheral, or the first.
    fn of(&self, peripheral: &str, register: &str) -> u64 {
        let named = |node: &Node<'_, '_>, tag: &str, name: &str| {
            node.has_tag_name(tag)
                && node.children().any(|child| child.has_tag_name("name") && child.text().map(str::trim) == Some(name))
        };
        let is_in = |node: &Node<'_, '_>| node.ancestors().any(|parent| named(&parent, "peripheral", peripheral));
        let mut all = self.0.descendants().filter(|node| named(node, "register", register));
        let first = all.clone().next();
        let found = all.find(is_in).or(first);
        found.map_or(1, |node| self.line(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device with what is between `<peripherals>` and its end.
    fn device(peripherals: &str) -> String {
        format!(
            "<device schemaVersion=\"1.3\"><name>D</name><version>1</version><description>d</description>\n\
             <addressUnitBits>8</addressUnitBits><width>32</width><size>32</size><access>read-write</access>\n\
             <peripherals>{peripherals}</peripherals></device>"
        )
    }

    #[test]
    fn derived_peripherals_lists_and_arrays_of_clusters_are_read() {
        let text = device(
            "<peripheral><name>A</name><description>a</description><baseAddress>0x1000</baseAddress><registers>\n\
             <register><name>R%s</name><dim>2</dim><dimIncrement>4</dimIncrement><dimIndex>X,Y</dimIndex><addressOffset>0</addressOffset></register>\n\
             <register><name>T[%s]</name><dim>4</dim><dimIncrement>8</dimIncrement><addressOffset>0x40</addressOffset><size>16</size><access>read-only</access></register>\n\
             <cluster><name>C[%s]</name><dim>3</dim><dimIncrement>0x20</dimIncrement><addressOffset>0x100</addressOffset>\n\
             <register><name>S%s</name><dim>2</dim><dimIncrement>4</dimIncrement><addressOffset>8</addressOffset></register></cluster>\n\
             <register derivedFrom=\"T[%s]\"><name>U[%s]</name><dim>2</dim><dimIncrement>2</dimIncrement><addressOffset>0x80</addressOffset></register>\n\
             </registers></peripheral>\
             <peripheral derivedFrom=\"A\"><name>B</name><baseAddress>0x2000</baseAddress></peripheral>",
        );
        let blocks = parse("d.svd", &text).unwrap();
        let names: Vec<&str> = blocks.iter().map(|block| block.name.as_str()).collect();
        assert_eq!(names, ["A", "B"]);
        let told: Vec<_> = blocks[0]
            .registers
            .iter()
            .map(|raw| (raw.name.as_str(), raw.offset, raw.bits, raw.access, raw.count, raw.stride, raw.line))
            .collect();
        let (rw, ro) = (Access::ReadWrite, Access::ReadOnly);
        assert_eq!(
            told,
            [
                ("RX", 0, 32, rw, 1, None, 4),
                ("RY", 4, 32, rw, 1, None, 4),
                ("T", 0x40, 16, ro, 4, Some(8), 5),
                ("C_S0", 0x108, 32, rw, 3, Some(0x20), 7),
                ("C_S1", 0x10c, 32, rw, 3, Some(0x20), 7),
                ("U", 0x80, 16, ro, 2, Some(2), 8),
            ]
        );
        assert_eq!(blocks[0].registers, blocks[1].registers);
    }

    #[test]
    fn what_is_no_svd_is_told_with_its_line() {
        let why = |text: &str| parse("d.svd", text).unwrap_err().to_string();
        assert!(why("<device>\n<x></device>").starts_with("d.svd:2: "), "{}", why("<device>\n<x></device>"));
        assert_eq!(why(&device("")), "d.svd:1: no register: there has to be a <register> in a <peripheral>");
        let lost = device("<peripheral derivedFrom=\"Z\"><name>B</name><baseAddress>0</baseAddress></peripheral>");
        assert_eq!(why(&lost), "d.svd:1: peripheral Z not found");
    }
}
