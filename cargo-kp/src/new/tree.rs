//! The files of a new workspace: `templates/card`, filled in.
use super::irq::{Irq, Recipe, Written};
use super::write::File;
use super::{Kp, PciId};
use crate::registers::{self, Block, Register, Registers};
use anyhow::{Context, Result};
use kp_tool::Message;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use std::{collections::BTreeMap, fs, path::Path};

/// The templates, by the path of what they become; `driver.rs` is called as the plugin is.
const TEMPLATES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../templates/card/Cargo.toml")),
    ("rustfmt.toml", include_str!("../../templates/card/rustfmt.toml")),
    (".gitignore", include_str!("../../templates/card/gitignore")),
    ("README.md", include_str!("../../templates/card/README.md")),
    ("interface/Cargo.toml", include_str!("../../templates/card/interface/Cargo.toml")),
    ("interface/src/lib.rs", include_str!("../../templates/card/interface/src/lib.rs")),
    ("plugin/Cargo.toml", include_str!("../../templates/card/plugin/Cargo.toml")),
    ("plugin/src/lib.rs", include_str!("../../templates/card/plugin/src/lib.rs")),
    ("plugin/tests/driver.rs", include_str!("../../templates/card/plugin/tests/driver.rs")),
    ("app/Cargo.toml", include_str!("../../templates/card/app/Cargo.toml")),
    ("app/src/main.rs", include_str!("../../templates/card/app/src/main.rs")),
    ("ci/run", include_str!("../../templates/card/ci/run")),
];

/// The model of a card.
const MODEL: (&str, &str) =
    ("plugin/tests/model/mod.rs", include_str!("../../templates/card/plugin/tests/model/mod.rs"));

/// As many registers get a message each if nothing is said.
const FEW: usize = 16;

/// All that the files are made of.
pub struct Facts<'a> {
    /// The plugin's name, which has been checked.
    pub name: &'a str,
    /// Its devices; none if it has none.
    pub ids: &'a [PciId],
    /// What the register file says.
    pub registers: &'a Registers,
    /// The register file.
    pub register_file: Option<&'a Path>,
    /// The interrupt.
    pub irq: Option<&'a Irq>,
    /// `--messages`.
    pub messages: Option<&'a str>,
    /// The licence.
    pub license: &'a str,
    /// The author.
    pub author: Option<&'a str>,
    /// Where kp's crates come from.
    pub kp: &'a Kp,
}

/// A message of the plugin's, and how it is answered.
#[derive(Debug)]
struct MessageOf {
    name: String,
    doc: String,
    arguments: String,
    reply: String,
    cx: &'static str,
    session: &'static str,
    handler_arguments: String,
    handler_reply: String,
    body: String,
    /// The register that it is made of, for telling two of one name apart.
    of: String,
}

/// A register, as the templates reach it.
#[derive(Debug)]
struct Reached {
    name: String,
    /// `regs::ID`.
    path: String,
    /// `bar0`.
    field: String,
    ty: String,
    bar: usize,
    offset: String,
    /// What is written there, if it is known.
    value: String,
    /// The message that writes it.
    message: String,
}

impl Reached {
    fn value(self) -> Value {
        let Reached { name, path, field, ty, bar, offset, value, message } = self;
        context! { name, path, field, ty, bar, offset, value, message }
    }
}

/// The files of a workspace.
///
/// # Errors
/// A register of `--messages` that is not there, or two messages of one name.
pub fn files(facts: &Facts<'_>) -> Result<Vec<File>> {
    let context = context(facts)?;
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    let mut files = Vec::new();
    let model = (!facts.ids.is_empty()).then_some(&MODEL);
    for (path, template) in TEMPLATES.iter().chain(model) {
        let text =
            environment.render_named_str(path, template, &context).with_context(|| format!("template {path}"))?;
        let text = text.trim_end().to_owned() + "\n";
        let path = path.replace("tests/driver.rs", &format!("tests/{}.rs", snake(facts.name)));
        files.push(File { path, text });
    }
    if let Some(file) = facts.register_file {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        files.push(File { path: format!("registers/{}", file_name(file)), text });
        files.push(File { path: "plugin/src/registers.rs".to_owned(), text: registers::source(facts.registers) });
    }
    Ok(files)
}

/// What the templates are filled in with.
fn context(facts: &Facts<'_>) -> Result<Value> {
    let blocks = &facts.registers.blocks;
    let irq = facts.irq;
    let software = facts.ids.is_empty();
    let messages = messages(facts)?;
    let kp: BTreeMap<&str, String> =
        ["kp-abi", "kp-core", "kp-sim", "kp-user"].map(|name| (name, facts.kp.dependency(name))).into();
    let ids: Vec<_> = facts
        .ids
        .iter()
        .map(|id| {
            context! { vendor => format!("{:#06x}", id.vendor), device => format!("{:#06x}", id.device) }
        })
        .collect();
    let title = match facts.ids {
        [] => "no device".to_owned(),
        ids => {
            let ids: Vec<_> = ids.iter().map(|id| format!("{:04x}:{:04x}", id.vendor, id.device)).collect();
            format!("PCI device {}", ids.join(", "))
        }
    };
    let block = |block: &Block| {
        context! {
            name => &block.name, bar => block.bar, field => format!("bar{}", block.bar),
            bar_len => format!("{:#x}", block.len().next_power_of_two().max(4096)),
        }
    };
    let interrupt = irq.map(|irq| interrupt(irq, blocks)).transpose()?;
    let causes = irq.is_some_and(|irq| irq.recipe != Recipe::None);
    let mask = irq.is_some_and(|irq| matches!(irq.recipe, Recipe::Mask(_)));
    let enables = irq.is_some_and(|irq| causes || irq.enable.is_some());
    let mut callbacks = Vec::new();
    callbacks.extend(software.then_some("Open"));
    callbacks.extend(enables.then_some("IntEnable"));
    callbacks.extend(irq.map(|_| "IntAtIrql"));
    Ok(context! {
        name => facts.name, crate => snake(facts.name), title, ids, kp, software, callbacks,
        license => facts.license, author => facts.author,
        register_file => facts.register_file.map(file_name),
        device => facts.ids.first().and_then(super::qemu_device),
        blocks => blocks.iter().map(block).collect::<Vec<_>>(),
        fields => !blocks.is_empty() || causes || mask,
        model => model(facts)?,
        test => tests(facts, &messages),
        app => app(&messages),
        messages => messages.iter().map(MessageOf::value).collect::<Vec<_>>(),
        // Where there is none, each question about it is answered by nothing.
        irq => interrupt.unwrap_or_else(|| context! {}),
    })
}

/// The messages of the interface, in the order of their numbers.
fn messages(facts: &Facts<'_>) -> Result<Vec<MessageOf>> {
    if facts.ids.is_empty() {
        return Ok(software());
    }
    let chosen = chosen(facts)?;
    let mut messages = Vec::new();
    for (block, register) in &chosen {
        register_messages(&mut messages, block, register);
    }
    if facts.irq.is_some_and(|irq| irq.recipe != Recipe::None) {
        let irq = facts.irq.into_iter().filter_map(|irq| irq.status.as_deref());
        let status =
            irq.map(|name| super::irq::find(&facts.registers.blocks, "--irq-status", name)).next().transpose()?;
        let ty = status.map(ty).unwrap_or_default();
        let doc = format!(
            "Bits of {} that interrupts have had since the last call.",
            status.map_or("", |status| &status.name)
        );
        messages.push(MessageOf::new(
            "take_causes",
            doc,
            "",
            &ty,
            "self.causes.swap(0, Relaxed)",
            "the interrupt's causes",
        ));
    }
    if let Some(Recipe::Mask(mask)) = facts.irq.map(|irq| &irq.recipe) {
        let register = super::irq::find(&facts.registers.blocks, "--irq-ack", mask)?;
        let reached = reached(&facts.registers.blocks, register, "");
        let body = format!(
            "self.armed.with(cx, |armed, _| {{ if *armed {{ self.{}.write({}, !0); }} }});\n        Ok(())",
            reached.field, reached.path
        );
        let doc = "What interrupted is served: from now on the card may interrupt again.".to_owned();
        messages.push(MessageOf {
            cx: "cx",
            body,
            ..MessageOf::new("unmask", doc, "", "", "", "the interrupt's mask")
        });
    }
    if messages.is_empty() {
        let doc = "The driver's version.".to_owned();
        messages.push(MessageOf::new("version", doc, "", "u32", "1", "the driver's version"));
    }
    let mut names = BTreeMap::new();
    for message in &messages {
        if let Some(other) = names.insert(&message.name, &message.of) {
            let (name, one, other) = (message.name.clone(), other.clone(), message.of.clone());
            return Err(Message::MessageTwice { name, one, other }.into());
        }
    }
    Ok(messages)
}

impl MessageOf {
    fn value(&self) -> Value {
        let MessageOf { name, doc, arguments, reply, cx, session, handler_arguments, handler_reply, body, .. } = self;
        context! { name, doc, arguments, reply, cx => *cx, session => *session, handler_arguments, handler_reply, body }
    }

    /// A message that answers an expression.
    fn new(name: &str, doc: String, arguments: &str, reply: &str, expression: &str, of: &str) -> Self {
        MessageOf {
            name: name.to_owned(),
            doc,
            arguments: arguments.to_owned(),
            reply: reply.to_owned(),
            cx: "_",
            session: "_",
            handler_arguments: arguments.to_owned(),
            handler_reply: if reply.is_empty() { "()".to_owned() } else { reply.to_owned() },
            body: format!("Ok({expression})"),
            of: of.to_owned(),
        }
    }
}

/// What a plugin without a device begins with: state for each session, and data of any length.
fn software() -> Vec<MessageOf> {
    let body = "session.sum.with(cx, |sum, _| {\n            *sum = sum.wrapping_add(value);\n            Ok(*sum)\n        })";
    let add =
        MessageOf::new("add", "Adds to this session's sum, and answers it.".to_owned(), "value: u64", "u64", "", "add");
    let repeat = MessageOf::new("repeat", "Answers what it was sent.".to_owned(), "text: &[u8]", "[u8]", "", "repeat");
    vec![
        MessageOf { cx: "cx", session: "session", body: body.to_owned(), ..add },
        MessageOf {
            handler_arguments: "text: &[u8], out: &mut Out<'_, '_, u8>".to_owned(),
            handler_reply: "()".to_owned(),
            body: "out.extend(text)".to_owned(),
            ..repeat
        },
    ]
}

/// The registers that get messages.
fn chosen<'a>(facts: &Facts<'a>) -> Result<Vec<(&'a Block, &'a Register)>> {
    let all = || {
        facts.registers.blocks.iter().flat_map(|block| block.registers.iter().map(move |register| (block, register)))
    };
    let raise = facts.irq.and_then(|irq| irq.raise.as_deref());
    let handlers = |register: &Register| facts.irq.is_some_and(|irq| irq.is_handlers(&register.name));
    let listed: Option<Vec<String>> = match facts.messages {
        Some("none") => Some(Vec::new()),
        None if all().count() > FEW => Some(Vec::new()),
        Some("all") | None => None,
        Some(list) => Some(list.split(',').map(|name| registers::register_name(name).unwrap_or_default()).collect()),
    };
    for name in listed.iter().flatten() {
        if !all().any(|(_, register)| register.name == *name) {
            super::irq::find(&facts.registers.blocks, "--messages", name)?;
        }
    }
    let wanted = |register: &Register| match &listed {
        None => !handlers(register),
        Some(names) => names.contains(&register.name),
    };
    Ok(all().filter(|(_, register)| wanted(register) || raise == Some(&register.name)).collect())
}

/// The messages that read and write a register.
fn register_messages(messages: &mut Vec<MessageOf>, block: &Block, register: &Register) {
    let (ty, name) = (ty(register), registers::message_name(&register.name));
    let (field, path) = (format!("bar{}", block.bar), format!("{}::{}", block.name, register.name));
    let doc = match register.doc.as_str() {
        "" => format!("{}.", register.name),
        doc => format!("{}: {}", register.name, registers::sentence(doc)),
    };
    let index = register.count.map(|_| "index: u32");
    if register.access.reads() {
        let read = match index {
            None => format!("self.{field}.read({path})"),
            Some(_) => format!("self.{field}.regs().item({path}, index as usize)?.read()"),
        };
        messages.push(MessageOf::new(&name, doc.clone(), index.unwrap_or_default(), &ty, &read, &register.name));
    }
    if register.access.writes() {
        let arguments =
            index.into_iter().map(str::to_owned).chain([format!("value: {ty}")]).collect::<Vec<_>>().join(", ");
        let write = match index {
            None => format!("self.{field}.write({path}, value);"),
            Some(_) => format!("self.{field}.regs().item({path}, index as usize)?.write(value);"),
        };
        let doc = if register.access.reads() { format!("Sets {}.", register.name) } else { doc };
        let name = format!("set_{}", name.trim_end_matches('_'));
        let message = MessageOf::new(&name, doc, &arguments, "", "", &register.name);
        messages.push(MessageOf { body: format!("{write}\n        Ok(())"), ..message });
    }
}

/// The interrupt, as the templates have it.
fn interrupt(irq: &Irq, blocks: &[Block]) -> Result<Value> {
    let find = |name: &String| super::irq::find(blocks, "", name);
    let reach = |name: &Option<String>| -> Result<Option<Reached>> {
        name.as_ref().map(|name| Ok(reached(blocks, find(name)?, ""))).transpose()
    };
    let written = |written: &Option<Written>| -> Result<Option<Reached>> {
        let written = written.as_ref();
        written.map(|at| Ok(reached(blocks, find(&at.register)?, &format!("{:#x}", at.value)))).transpose()
    };
    let status: Option<Reached> = reach(&irq.status)?;
    let (ack, value) = match &irq.recipe {
        Recipe::WriteBack(name) | Recipe::Mask(name) => (Some(name.clone()), None),
        Recipe::Value(name, value) => (Some(name.clone()), Some(*value)),
        Recipe::OneClears => (irq.status.clone(), None),
        Recipe::ReadClears | Recipe::None => (None, None),
    };
    let ack = reach(&ack)?;
    let read = status.as_ref().map(|status| format!("self.{}.read({})", status.field, status.path)).unwrap_or_default();
    let write = |what: &str| {
        ack.as_ref().map(|ack| format!("self.{}.write({}, {what});", ack.field, ack.path)).unwrap_or_default()
    };
    let (recipe, quiet, acknowledge) = match &irq.recipe {
        Recipe::WriteBack(_) => ("write-back", write(&read), write("bits")),
        Recipe::OneClears => ("w1c", write(&read), write("bits")),
        Recipe::ReadClears => ("read-clears", format!("{read};"), String::new()),
        Recipe::Value(..) => {
            let value = format!("{:#x}", value.unwrap_or_default());
            ("value", write(&value), write(&value))
        }
        Recipe::Mask(_) => ("mask", write("0"), format!("{} // until the app says `unmask`", write("0"))),
        Recipe::None => ("none", String::new(), String::new()),
    };
    // At disarming the mask is written under its lock.
    let raise = irq.raise.as_ref().map(|name| {
        let mut raise = reached(blocks, find(name)?, "");
        raise.message = format!("set_{}", registers::message_name(name).trim_end_matches('_'));
        anyhow::Ok(raise)
    });
    let bits = irq.status.as_ref().map(find).transpose()?.map_or(0, |status| status.bits);
    Ok(context! {
        recipe, quiet, acknowledge,
        status => status.map(Reached::value), ack => ack.map(Reached::value),
        atomic => format!("AtomicU{bits}"),
        causes => irq.recipe != Recipe::None,
        masks => matches!(irq.recipe, Recipe::Mask(_)),
        enables => irq.recipe != Recipe::None || irq.enable.is_some(),
        enable => written(&irq.enable)?.map(Reached::value), disable => written(&irq.disable)?.map(Reached::value),
        raise => raise.transpose()?.map(Reached::value),
    })
}

/// What the model of the card has besides.
fn model(facts: &Facts<'_>) -> Result<Value> {
    let blocks = &facts.registers.blocks;
    let mut resets = Vec::new();
    for block in blocks {
        for register in &block.registers {
            if register.reset != 0
                && register.count.is_none()
                && facts.irq.and_then(|irq| irq.status.as_ref()) != Some(&register.name)
            {
                resets.push(context! {
                    bar => block.bar, offset => format!("{:#x}", register.offset), width => register.bytes(),
                    value => hex(register.reset, register), name => &register.name,
                });
            }
        }
    }
    let (mut constants, mut writes) = (Vec::new(), Vec::new());
    let mut pending = "self.status != 0".to_owned();
    if let Some(irq) = facts.irq {
        let mut named: BTreeMap<(usize, u64), &str> = BTreeMap::new();
        let mut constant =
            |constants: &mut Vec<Value>, name: &'static str, register: &str, doc: &str| -> Result<&'static str> {
                let found = reached(blocks, super::irq::find(blocks, "", register)?, "");
                let offset = super::irq::find(blocks, "", register)?.offset;
                if let Some(there) = named.insert((found.bar, offset), name) {
                    // Two flags name one register: the first one's name is it.
                    named.insert((found.bar, offset), there);
                    return Ok(match there {
                        "STATUS" => "STATUS",
                        "ACKNOWLEDGE" => "ACKNOWLEDGE",
                        "MASK" => "MASK",
                        "ENABLE" => "ENABLE",
                        "DISABLE" => "DISABLE",
                        _ => "RAISE",
                    });
                }
                let doc = format!("{register}: {doc}, by BAR and offset.");
                constants.push(context! { name, doc, bar => found.bar, offset => found.offset });
                Ok(name)
            };
        let status_ty =
            irq.status.as_ref().map(|name| super::irq::find(blocks, "", name)).transpose()?.map(ty).unwrap_or_default();
        let status = irq
            .status
            .as_ref()
            .map(|name| constant(&mut constants, "STATUS", name, "what has interrupted"))
            .transpose()?;
        match &irq.recipe {
            Recipe::WriteBack(ack) => {
                let name = constant(&mut constants, "ACKNOWLEDGE", ack, "clears bits of the status")?;
                writes.push(format!("{name} => self.status &= !(value as {status_ty})"));
            }
            Recipe::OneClears => {
                writes.push(format!("{} => self.status &= !(value as {status_ty})", status.unwrap_or_default()))
            }
            Recipe::Value(ack, value) => {
                let name = constant(&mut constants, "ACKNOWLEDGE", ack, "clears the status")?;
                writes.push(format!("{name} if value == {value:#x} => self.status = 0"));
            }
            Recipe::Mask(mask) => {
                let found = reached(blocks, super::irq::find(blocks, "", mask)?, "");
                pending = format!(
                    "self.status & self.kept({}, {}, {}) as {status_ty} != 0",
                    found.bar,
                    found.offset,
                    super::irq::find(blocks, "", mask)?.bytes()
                );
                pending = pending.replace(&format!("kept({}, {}", found.bar, found.offset), "kept(MASK.0, MASK.1");
                constant(&mut constants, "MASK", mask, "which bits of the status interrupt")?;
            }
            Recipe::ReadClears | Recipe::None => {}
        }
        if let Some(enable) = &irq.enable {
            let name = constant(&mut constants, "ENABLE", &enable.register, "lets the card interrupt")?;
            let value = enable.value;
            let disable = irq.disable.as_ref().filter(|disable| disable.register != enable.register);
            match disable {
                None => writes.push(format!("{name} => self.enabled = value == {value:#x}")),
                Some(disable) => {
                    let other = constant(&mut constants, "DISABLE", &disable.register, "keeps it from interrupting")?;
                    writes.push(format!("{name} if value == {value:#x} => self.enabled = true"));
                    writes.push(format!("{other} => self.enabled = false"));
                }
            }
        }
        if let Some(raise) = &irq.raise {
            let name = constant(&mut constants, "RAISE", raise, "has the card interrupt")?;
            writes.push(match irq.status {
                Some(_) => format!("{name} => self.raise(value as {status_ty})"),
                None => format!("{name} => self.raise()"),
            });
        }
    }
    Ok(context! { resets, constants, writes, pending })
}

/// What the first test does, and with which bits the second one interrupts.
fn tests(facts: &Facts<'_>, messages: &[MessageOf]) -> Value {
    let irq = facts.irq;
    let involved = |name: &String| {
        irq.is_some_and(|irq| irq.is_handlers(name) || [&irq.status, &irq.raise].contains(&&Some(name.clone())))
    };
    let mut lines = Vec::new();
    let has = |name: &str| messages.iter().any(|message| message.name == name);
    for block in &facts.registers.blocks {
        // Where two registers share an offset, what is written to the one is no value of the other's.
        let shared = |register: &Register| {
            block.registers.iter().any(|other| {
                other.name != register.name && other.offset < register.end() && register.offset < other.end()
            })
        };
        for register in block.registers.iter().filter(|register| !involved(&register.name) && !shared(register)) {
            let name = registers::message_name(&register.name);
            let set = format!("set_{}", name.trim_end_matches('_'));
            let index = if register.count.is_some() { "1" } else { "" };
            let value = 0x5a_u64;
            if register.access.reads() && has(&name) && register.count.is_none() {
                lines.push(format!("assert_eq!(client.{name}(), Ok({}));", hex(register.reset, register)));
            }
            if has(&name) && has(&set) && !register.one_clears {
                let both = if index.is_empty() { format!("{value:#x}") } else { format!("{index}, {value:#x}") };
                lines.push(format!("assert_eq!(client.{set}({both}), Ok(()));"));
                lines.push(format!("assert_eq!(client.{name}({index}), Ok({value:#x}));"));
            }
        }
    }
    let first = messages.first().map_or("0", |message| if message.name == "version" { "1" } else { "0" });
    context! { registers => lines, first, bits => "0b101" }
}

/// What the app prints of the registers.
fn app(messages: &[MessageOf]) -> Value {
    let reads = messages
        .iter()
        .filter(|message| message.arguments.is_empty() && message.name != "take_causes" && !message.reply.is_empty());
    let width = reads.clone().map(|message| message.of.len()).max().unwrap_or(0).max(10);
    let line = |message: &MessageOf| {
        let digits = 2 + message.reply.trim_start_matches('u').parse::<usize>().unwrap_or(32) / 4;
        let title = if message.name == "version" { "version" } else { &message.of };
        format!("println!(\"{title:width$} {{:#0{digits}x}}\", client.{}()?);", message.name)
    };
    context! { reads => reads.map(line).collect::<Vec<_>>(), interrupt => format!("{:width$}", "interrupts") }
}

/// How the templates reach a register.
fn reached(blocks: &[Block], register: &Register, value: &str) -> Reached {
    let block = blocks.iter().find(|block| block.registers.contains(register));
    let (module, bar) = block.map_or(("regs", 0), |block| (&block.name, block.bar));
    Reached {
        name: register.name.clone(),
        path: format!("{module}::{}", register.name),
        field: format!("bar{bar}"),
        ty: ty(register),
        bar,
        offset: format!("{:#x}", register.offset),
        value: value.to_owned(),
        message: String::new(),
    }
}

/// A value with all of a register's digits; nothing where it is 0.
fn hex(value: u64, register: &Register) -> String {
    let digits = 2 + register.bits as usize / 4;
    if value == 0 { "0".to_owned() } else { format!("{value:#0digits$x}") }
}

/// The type of a register's value.
fn ty(register: &Register) -> String {
    format!("u{}", register.bits)
}

/// The name of a crate.
fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// A file's name, without its folder.
fn file_name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
