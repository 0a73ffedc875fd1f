//! Registers from an .hjson of OpenTitan's regtool: its registers are one block, or one for each of its interfaces. Offsets follow from the order.
use super::raw::{Listed, Raw};
use super::{Access, Field, number, register_name};
use kp_tool::Message;
use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// The blocks of a file that is called so.
pub fn parse(name: &str, text: &str) -> Result<Vec<Listed>, Message> {
    let wrong = |line: u64, why: String| Message::BadTable { place: format!("{name}:{line}"), why };
    let file: Object = deser_hjson::from_str(text).map_err(|error| {
        let line = match &error {
            deser_hjson::Error::Syntax { line, .. } | deser_hjson::Error::Serde { line, .. } => *line as u64,
            _ => 1,
        };
        wrong(line, error.to_string())
    })?;
    let own = string(&file, "name").unwrap_or("regs").to_uppercase();
    let mut lists: Vec<(String, &[Value])> = Vec::new();
    match file.get("registers") {
        Some(Value::Array(list)) => lists.push((own, list)),
        // serde_json keeps no order: that of the names is as good.
        Some(Value::Object(interfaces)) => {
            for (interface, list) in interfaces {
                let Some(list) = list.as_array() else { continue };
                let is_own = interfaces.len() == 1 && ["", "default"].contains(&interface.as_str());
                lists.push((if is_own { own.clone() } else { interface.to_uppercase() }, list));
            }
        }
        _ => return Err(wrong(1, "no `registers`: regtool's files have a list of them".to_owned())),
    }
    let mut blocks = Vec::new();
    for (index, (name, list)) in lists.into_iter().enumerate() {
        let mut walk =
            Walk { file: &file, lines: text.lines().collect(), line: 0, offset: 0, bits: 32, found: Vec::new() };
        let walked = walk.all(list, index == 0).map_err(|why| wrong(walk.line.max(1) as u64, why));
        walked?;
        if !walk.found.is_empty() {
            blocks.push(Listed { name, bar: None, registers: walk.found });
        }
    }
    match blocks.as_slice() {
        [] => Err(wrong(1, "no register: there has to be one in `registers`".to_owned())),
        _ => Ok(blocks),
    }
}

/// What software may do by one of regtool's accesses, and whether ones clear.
fn access(text: &str) -> Result<(bool, bool, bool), String> {
    match text {
        "ro" | "rc" => Ok((true, false, false)),
        "rw" | "rw1s" | "rw0c" => Ok((true, true, false)),
        "rw1c" => Ok((true, true, true)),
        "wo" => Ok((false, true, false)),
        "r0w1c" => Ok((false, true, true)),
        "none" => Ok((false, false, false)),
        other => Err(format!("swaccess `{other}`: ro, rc, rw, rw1c, rw1s, rw0c, wo, r0w1c or none")),
    }
}

/// The way through a list of registers.
struct Walk<'a> {
    file: &'a Object,
    lines: Vec<&'a str>,
    /// The line of the last register that was met, counted from 1.
    line: usize,
    offset: u64,
    bits: u64,
    found: Vec<Raw>,
}

impl Walk<'_> {
    fn all(&mut self, list: &[Value], is_first: bool) -> Result<(), String> {
        self.bits = match self.number(self.file, "regwidth")?.unwrap_or(32) {
            bits @ (8 | 16 | 32 | 64) => bits,
            bits => return Err(format!("regwidth is {bits}: 8, 16, 32 or 64")),
        };
        if is_first {
            self.automatic();
        }
        list.iter().try_for_each(|entry| self.entry(entry))
    }

    /// One entry of the list: a register, or what moves those that follow.
    fn entry(&mut self, entry: &Value) -> Result<(), String> {
        let Some(entry) = entry.as_object() else { return Err(format!("`{entry}` is no register")) };
        let bytes = self.bits / 8;
        let inner = |key: &str| entry.get(key).and_then(Value::as_object);
        if let Some(to) = self.number(entry, "skipto")? {
            self.offset = to;
        } else if let Some(count) = self.number(entry, "reserved")? {
            self.offset = self.offset.saturating_add(count.saturating_mul(bytes));
        } else if let Some(window) = inner("window") {
            self.window(window)?;
        } else if let Some(several) = inner("multireg") {
            let raw = self.several(several)?;
            self.push(raw);
        } else if let Some(list) = entry.get("sameaddr").and_then(Value::as_array) {
            let offset = self.offset;
            for register in list.iter().filter_map(Value::as_object) {
                self.offset = offset;
                let raw = self.register(register)?;
                self.push(raw);
            }
        } else {
            let raw = self.register(entry)?;
            self.push(raw);
        }
        Ok(())
    }

    /// Adds a register where the next one is, and goes on behind it.
    fn push(&mut self, raw: Raw) {
        let len = raw.count.saturating_mul(self.bits / 8);
        self.found.push(Raw { offset: self.offset, ..raw });
        self.offset = self.offset.saturating_add(len);
    }

    fn register(&mut self, entry: &Object) -> Result<Raw, String> {
        let name = self.named(entry)?;
        let (mut reads, mut writes, mut clears, mut others) = (false, false, false, false);
        let mut take = |said: &str| -> Result<(), String> {
            let (read, write, one_clears) = access(said).map_err(|why| format!("{name}: {why}"))?;
            (reads, writes) = (reads | read, writes | write);
            (clears, others) = (clears | one_clears, others | (write && !one_clears));
            Ok(())
        };
        let default = string(entry, "swaccess");
        // What a field does not say, the register does.
        let (mut fields, mut reset) = (Vec::new(), self.reset(entry)?.unwrap_or(0));
        let list: Vec<&Object> =
            entry.get("fields").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object).collect();
        for field in &list {
            take(string(field, "swaccess").or(default).unwrap_or("ro"))?;
            let text = field.get("bits").map(shown).unwrap_or_default();
            let (high, low) = text.split_once(':').unwrap_or((&text, &text));
            let bit = |text: &str| number(text.trim()).and_then(|bit| u32::try_from(bit).ok());
            let (Some(high), Some(low)) = (bit(high), bit(low)) else {
                return Err(format!("{name}: bits `{text}`: write \"7:0\" or \"3\""));
            };
            if let Some(value) = self.reset(field)?.filter(|_| low < 64) {
                reset |= value << low;
            }
            let own = string(field, "name").and_then(register_name);
            fields.extend(own.map(|name| Field { name, low, high }));
        }
        if list.is_empty() {
            take(default.unwrap_or("ro"))?;
        }
        let access = match (reads, writes) {
            (true, true) => Access::ReadWrite,
            (false, true) => Access::WriteOnly,
            _ => Access::ReadOnly,
        };
        let doc = string(entry, "desc").unwrap_or_default().to_owned();
        let (bits, line) = (self.bits, self.line as u64);
        Ok(Raw {
            name,
            offset: 0,
            bits,
            access,
            fields,
            reset,
            one_clears: clears && !others,
            count: 1,
            stride: None,
            doc,
            line,
        })
    }

    /// Several registers of one form. Fields that are alone in theirs are put together, as many as there is room for.
    fn several(&mut self, entry: &Object) -> Result<Raw, String> {
        let raw = self.register(entry)?;
        let name = &raw.name;
        let count = self.number(entry, "count")?.ok_or_else(|| format!("{name} has no count"))?;
        let [field] = raw.fields.as_slice() else { return Ok(Raw { count, ..raw }) };
        let width = u64::from(field.high) + 1;
        let packs = string(entry, "compact") != Some("false") && entry.get("compact") != Some(&Value::Bool(false));
        if !packs || width > self.bits / 2 {
            return Ok(Raw { count, ..raw });
        }
        let room = self.bits / width;
        let each = |index: u64| Field {
            name: format!("{}_{index}", field.name),
            low: field.low.saturating_add((index * width) as u32),
            high: field.high + (index * width) as u32,
        };
        let fields = (0..room.min(count)).map(each).collect();
        let reset = (0..room.min(count)).fold(0, |all, index| all | raw.reset << (index * width));
        Ok(Raw { count: count.div_ceil(room).max(1), fields, reset, ..raw.clone() })
    }

    /// A window of words, at a multiple of its length.
    fn window(&mut self, entry: &Object) -> Result<(), String> {
        let name = self.named(entry)?;
        let count = self.number(entry, "items")?.ok_or_else(|| format!("{name} has no items"))?;
        let len = count.saturating_mul(self.bits / 8).checked_next_power_of_two().unwrap_or(1);
        self.offset = self.offset.checked_next_multiple_of(len).ok_or_else(|| format!("{name} lies too far"))?;
        let whole = Object::from_iter(
            entry.iter().filter(|(key, _)| *key != "fields").map(|(key, value)| (key.clone(), value.clone())),
        );
        let line = self.line;
        let raw = self.register(&whole)?;
        self.line = line;
        self.push(Raw { count, line: line as u64, ..raw });
        Ok(())
    }

    /// The registers that regtool makes of the lists of interrupts and of alerts.
    fn automatic(&mut self) {
        let file = self.file;
        let names = |list: &str, off: &str| -> Vec<(String, bool)> {
            let is_off = file.get(off).is_some_and(|value| shown(value) == "true");
            let list = file.get(list).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
            let named = list
                .filter_map(|one| Some((register_name(string(one, "name")?)?, string(one, "type") == Some("status"))));
            if is_off { Vec::new() } else { named.collect() }
        };
        let fields = |names: &[(String, bool)]| -> Vec<Field> {
            names.iter().zip(0..).map(|((name, _), bit)| Field { name: name.clone(), low: bit, high: bit }).collect()
        };
        let (bits, offset, reset, count, stride, line) = (self.bits, 0, 0, 1, None, 1);
        let raw = |name: &str, access, one_clears, names: &[(String, bool)], doc: &str| {
            let (name, fields, doc) = (name.to_owned(), fields(names), doc.to_owned());
            Raw { name, offset, bits, access, fields, reset, one_clears, count, stride, doc, line }
        };
        let interrupts = names("interrupt_list", "no_auto_intr_regs");
        if !interrupts.is_empty() {
            let clears = interrupts.iter().all(|(_, is_status)| !is_status);
            self.push(raw("INTR_STATE", Access::ReadWrite, clears, &interrupts, "What interrupts"));
            self.push(raw("INTR_ENABLE", Access::ReadWrite, false, &interrupts, "What may interrupt"));
            self.push(raw("INTR_TEST", Access::WriteOnly, false, &interrupts, "Has it interrupt"));
        }
        let alerts = names("alert_list", "no_auto_alert_regs");
        if !alerts.is_empty() {
            self.push(raw("ALERT_TEST", Access::WriteOnly, false, &alerts, "Sends alerts"));
        }
    }

    /// An entry's name; its line is from now on the one that is told.
    fn named(&mut self, entry: &Object) -> Result<String, String> {
        let name = string(entry, "name").ok_or("a register without a name")?.to_owned();
        let is_it = |line: &str| {
            line.match_indices("name").any(|(at, key)| {
                let begins = !line[..at].ends_with(|before: char| before.is_ascii_alphanumeric() || before == '_');
                let rest = line[at + key.len()..].trim_start_matches('"').trim_start();
                let rest = rest.strip_prefix(':').map(|rest| rest.trim_start().trim_start_matches(['"', '\'']));
                let rest = rest.and_then(|rest| rest.strip_prefix(name.as_str()));
                begins
                    && rest
                        .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_'))
            })
        };
        if let Some(further) = self.lines.iter().skip(self.line).position(|line| is_it(line)) {
            self.line += further + 1;
        }
        Ok(name)
    }

    /// A number, which may be the name of a parameter.
    fn number(&self, entry: &Object, key: &str) -> Result<Option<u64>, String> {
        let Some(value) = entry.get(key) else { return Ok(None) };
        let text = shown(value);
        let parameter = || {
            let list = self.file.get("param_list").and_then(Value::as_array)?;
            let of = list.iter().filter_map(Value::as_object).find(|of| string(of, "name") == Some(text.as_str()))?;
            number(&shown(of.get("default")?))
        };
        let found = number(&text).or_else(parameter);
        found
            .map(Some)
            .ok_or_else(|| format!("{key} is `{text}`: neither a number nor a parameter of param_list with one"))
    }

    /// What a register or a field is after power-on. `x` is: anything.
    fn reset(&self, entry: &Object) -> Result<Option<u64>, String> {
        match entry.get("resval").map(shown).as_deref() {
            Some("x") => Ok(Some(0)),
            Some("true") => Ok(Some(1)),
            Some("false") => Ok(Some(0)),
            _ => self.number(entry, "resval"),
        }
    }
}

/// The text of a value that is a text.
fn string<'a>(entry: &'a Object, key: &str) -> Option<&'a str> {
    entry.get(key)?.as_str()
}

/// A value's text: numbers may be written with quotes or without.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Registers as regtool counts their offsets: name, offset, count, access, whether ones clear, line.
    fn told(text: &str) -> Vec<(String, u64, u64, &'static str, bool, u64)> {
        let blocks = parse("d.hjson", text).unwrap();
        let of = |raw: Raw| (raw.name, raw.offset, raw.count, raw.access.text(), raw.one_clears, raw.line);
        blocks.into_iter().flat_map(|block| block.registers).map(of).collect()
    }

    #[test]
    fn offsets_follow_from_the_order_and_from_what_moves_them() {
        let text = "{ name: \"timer\", // a comment\n  regwidth: \"32\",\n  interrupt_list: [ { name: \"expired\", desc: \"d\" } ],\n\
                    param_list: [ { name: \"N\", type: \"int\", default: \"40\" } ],\n  registers: [\n\
                    { name: \"CTRL\", desc: '''\n    Two\n    lines.''', swaccess: \"rw\", fields: [ { bits: \"0\", name: \"EN\", resval: \"1\" }, { bits: \"7:4\", name: \"CTRL\" } ] },\n\
                    { reserved: \"2\" },\n\
                    { name: \"STATUS\", desc: \"s\", swaccess: \"rw1c\", fields: [ { bits: \"0\" } ] }\n\
                    { multireg: { name: \"PIN\", desc: \"p\", count: \"N\", cname: \"P\", swaccess: \"ro\", fields: [ { bits: \"0\", name: \"V\" } ] } },\n\
                    { multireg: { name: \"LIMIT\", desc: \"l\", count: \"3\", cname: \"L\", swaccess: \"rw\", compact: \"false\", fields: [ { bits: \"7:0\", name: \"V\" } ] } },\n\
                    { skipto: \"0x90\" },\n\
                    { window: { name: \"BUF\", items: \"16\", validbits: \"32\", desc: \"w\", swaccess: \"wo\" } },\n\
                    { name: \"LAST\", desc: \"x\", swaccess: \"r0w1c\", fields: [ { bits: \"31:0\" } ] } ] }";
        let row =
            |name: &str, offset, count, access, clears, line| (name.to_owned(), offset, count, access, clears, line);
        assert_eq!(
            told(text),
            [
                row("INTR_STATE", 0, 1, "RW", true, 1),
                row("INTR_ENABLE", 4, 1, "RW", false, 1),
                row("INTR_TEST", 8, 1, "WO", false, 1),
                row("CTRL", 0xc, 1, "RW", false, 6),
                row("STATUS", 0x18, 1, "RW", true, 10),
                row("PIN", 0x1c, 2, "RO", false, 11),
                row("LIMIT", 0x24, 3, "RW", false, 12),
                row("BUF", 0xc0, 16, "WO", false, 14),
                row("LAST", 0x100, 1, "WO", true, 15),
            ]
        );
    }

    #[test]
    fn what_is_no_register_is_told_with_its_line() {
        let why = |text: &str| parse("d.hjson", text).unwrap_err().to_string();
        assert!(
            why("{ name: \"a\"\n registers: [ }").starts_with("d.hjson:2: "),
            "{}",
            why("{ name: \"a\"\n registers: [ }")
        );
        assert_eq!(why("{ name: \"a\" }"), "d.hjson:1: no `registers`: regtool's files have a list of them");
        assert_eq!(why("{ registers: [] }"), "d.hjson:1: no register: there has to be one in `registers`");
        let bad = "{ registers: [\n { name: \"A\", swaccess: \"xx\" }\n ] }";
        assert_eq!(why(bad), "d.hjson:2: A: swaccess `xx`: ro, rc, rw, rw1c, rw1s, rw0c, wo, r0w1c or none");
        let many = "{ registers: [\n { multireg: { name: \"A\", count: \"N\", fields: [] } }\n ] }";
        assert_eq!(why(many), "d.hjson:2: count is `N`: neither a number nor a parameter of param_list with one");
    }
}
