//! The files of a new workspace: `templates/card`, filled in.
use super::apps::{self, App};
use super::card::{Card, Kinds};
use super::irq::{Found, Irq, Recipe, Written};
use super::messages::{self, MessageOf, app};
use super::model::model;
use super::write::File;
use super::{Kp, PciId};
use crate::registers::{self, Block, Place, Register, Registers, Source};
use anyhow::{Context, Result};
use minijinja::{Environment, UndefinedBehavior, Value, context};
use std::collections::BTreeMap;

/// The templates, by the path of what they become; `driver.rs` is called as the plugin is. A `Cargo.toml` there would be a package of its own,
/// which `cargo package` leaves out.
const TEMPLATES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../templates/card/Cargo.toml.jinja")),
    ("rustfmt.toml", include_str!("../../templates/card/rustfmt.toml.jinja")),
    (".gitignore", include_str!("../../templates/card/gitignore.jinja")),
    ("README.md", include_str!("../../templates/card/README.md.jinja")),
    ("interface/Cargo.toml", include_str!("../../templates/card/interface/Cargo.toml.jinja")),
    ("interface/src/lib.rs", include_str!("../../templates/card/interface/src/lib.rs.jinja")),
    ("plugin/Cargo.toml", include_str!("../../templates/card/plugin/Cargo.toml.jinja")),
    ("plugin/src/lib.rs", include_str!("../../templates/card/plugin/src/lib.rs.jinja")),
    ("plugin/tests/driver.rs", include_str!("../../templates/card/plugin/tests/driver.rs.jinja")),
    ("app/Cargo.toml", include_str!("../../templates/card/app/Cargo.toml.jinja")),
    ("app/src/main.rs", include_str!("../../templates/card/app/src/main.rs.jinja")),
    ("ci/run", include_str!("../../templates/card/ci/run.jinja")),
];

/// The model of a card.
const MODEL: (&str, &str) =
    ("plugin/tests/model/mod.rs", include_str!("../../templates/card/plugin/tests/model/mod.rs.jinja"));

/// All that the files are made of.
pub struct Facts<'a> {
    /// The plugin's name, which has been checked.
    pub name: &'a str,
    /// Its devices; none if it has none.
    pub ids: &'a [PciId],
    /// What is known of the card.
    pub card: Option<&'a Card>,
    /// The device of QEMU's that it is tried on.
    pub device: Option<&'a str>,
    /// The register file, as it was named.
    pub source: Option<&'a Source>,
    /// What the register file says.
    pub registers: &'a Registers,
    /// The interrupt.
    pub irq: Option<&'a Irq<'a>>,
    /// `--messages`.
    pub messages: Option<&'a str>,
    /// Languages that there are apps in.
    pub apps: &'a [App],
    /// The licence.
    pub license: &'a str,
    /// The author.
    pub author: Option<&'a str>,
    /// Where kp's crates come from.
    pub kp: &'a Kp,
}

/// A register, as the templates reach it.
#[derive(Debug)]
pub(super) struct Reached {
    pub name: String,
    /// `regs::ID`.
    pub path: String,
    /// `bar0`.
    pub field: String,
    pub ty: String,
    /// What is written there, if it is known.
    pub value: String,
    /// The message that writes it.
    pub message: String,
}

impl Reached {
    fn value(self) -> Value {
        let Reached { name, path, field, ty, value, message } = self;
        context! { name, path, field, ty, value, message }
    }
}

/// The files of a workspace.
///
/// # Errors
/// A register of `--messages` that is not there, or two messages of one name.
pub fn files(facts: &Facts<'_>) -> Result<Vec<File>> {
    let messages = messages::messages(facts)?;
    let context = context(facts, &messages);
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
    let Registers { file, text, .. } = facts.registers;
    if !file.is_empty() {
        files.push(File { path: format!("registers/{file}"), text: text.clone() });
        files.push(File { path: "plugin/src/registers.rs".to_owned(), text: registers::source(facts.registers) });
    }
    let schema = apps::schema(&snake(facts.name), &messages)?;
    for app in facts.apps {
        let more = apps::files(*app, &schema, &context)?;
        files.extend(
            more.into_iter().filter(|file| !files.iter().any(|other| other.path == file.path)).collect::<Vec<_>>(),
        );
    }
    Ok(files)
}

/// What the templates are filled in with.
fn context(facts: &Facts<'_>, messages: &[MessageOf]) -> Value {
    let blocks = &facts.registers.blocks;
    let irq = facts.irq;
    let software = facts.ids.is_empty();
    let kp: BTreeMap<&str, String> =
        ["kp-abi", "kp-core", "kp-sim", "kp-user"].map(|name| (name, facts.kp.dependency(name))).into();
    let ids: Vec<_> = facts
        .ids
        .iter()
        .map(|id| {
            context! { vendor => format!("{:#06x}", id.vendor), device => format!("{:#06x}", id.device) }
        })
        .collect();
    let numbers: Vec<_> = facts.ids.iter().map(|id| format!("{:04x}:{:04x}", id.vendor, id.device)).collect();
    let (title, driver) = match facts.ids {
        [] => ("A software driver".to_owned(), "software driver without a device".to_owned()),
        _ => {
            let device = format!("PCI device {}", numbers.join(", "));
            (device.clone(), format!("driver of {device}"))
        }
    };
    let driver_first = driver[..1].to_uppercase() + &driver[1..];
    let block = |block: &Block| {
        context! {
            name => &block.name, bar => block.bar, field => format!("bar{}", block.bar), len => format!("{:#x}", block.len()),
            ports => facts.card.is_some_and(|card| card.is_of_ports(block.bar)),
        }
    };
    let causes = irq.is_some_and(|irq| irq.causes().is_some());
    let mask = irq.is_some_and(|irq| matches!(irq.recipe, Recipe::Mask(_)));
    let enables = irq.is_some_and(|irq| causes || !irq.enable.is_empty());
    let mut callbacks = Vec::new();
    callbacks.extend(software.then_some("Open"));
    callbacks.extend(enables.then_some("IntEnable"));
    callbacks.extend(irq.map(|_| "IntAtIrql"));
    let mut languages: Vec<&str> = Vec::new();
    for language in facts.apps.iter().filter_map(|app| app.language()) {
        if !languages.contains(&language.name()) {
            languages.push(language.name());
        }
    }
    context! {
        name => facts.name, languages, crate => snake(facts.name), title, driver, driver_first, ids, kp, software, callbacks,
        license => facts.license, author => facts.author,
        register_file => &facts.registers.file,
        needs_readers => !facts.registers.file.is_empty() && !facts.registers.file.to_lowercase().ends_with(".csv"),
        registers_name => facts.source.and_then(|source| source.name.as_deref()).map(|name| format!("{name}=")),
        bars => facts.source.iter().flat_map(|source| &source.places).map(Place::to_string).collect::<Vec<_>>(),
        device => facts.device,
        card => facts.card.map(Card::lines).unwrap_or_default(),
        vectors => irq.and(facts.card).and_then(vectors),
        blocks => blocks.iter().map(block).collect::<Vec<_>>(),
        fields => !blocks.is_empty() || causes || mask,
        model => model(facts),
        test => tests(facts, messages),
        app => app(messages, irq),
        messages => messages.iter().map(MessageOf::value).collect::<Vec<_>>(),
        // Where there is none, each question about it is answered by nothing.
        irq => irq.map_or_else(|| context! {}, interrupt),
    }
}

/// The kinds of interrupt that the model has. A card of which nothing is known has both that one vector is enough for.
pub(super) fn kinds(facts: &Facts<'_>) -> Kinds {
    match (facts.card, facts.irq) {
        (Some(card), _) => card.kinds(),
        (None, Some(Irq { recipe: Recipe::None, .. })) => Kinds { line: 0, msi: 1, msi_x: 0 },
        (None, _) => Kinds { line: 1, msi: 1, msi_x: 0 },
    }
}

/// As many vectors as the card sends messages by, if that is known.
fn vectors(card: &Card) -> Option<u32> {
    let Kinds { msi, msi_x, .. } = card.kinds();
    Some(msi.max(msi_x)).filter(|&count| count > 0 && !card.found.hides_messages())
}

/// The interrupt, as the templates have it.
fn interrupt(irq: &Irq<'_>) -> Value {
    let written = |at: &Written<'_>| Reached { value: format!("{:#x}", at.value), ..reached(at.to) }.value();
    let (status, ack) = (irq.status.map(reached), irq.acknowledged().map(reached));
    let read = status.as_ref().map(|status| format!("self.{}.read({})", status.field, status.path)).unwrap_or_default();
    let write = |what: &str| {
        ack.as_ref().map(|ack| format!("self.{}.write({}, {what});", ack.field, ack.path)).unwrap_or_default()
    };
    let (recipe, quiet, acknowledge) = match irq.recipe {
        Recipe::WriteBack(_) => ("write-back", write(&read), write("bits")),
        Recipe::OneClears => ("w1c", write(&read), write("bits")),
        Recipe::ReadClears => ("read-clears", format!("{read};"), String::new()),
        Recipe::Value(_, value) => {
            let value = format!("{value:#x}");
            ("value", write(&value), write(&value))
        }
        Recipe::Mask(_) => ("mask", write("0"), format!("{} // until the app says `unmask`", write("0"))),
        Recipe::None => ("none", String::new(), String::new()),
    };
    let causes = irq.causes().is_some();
    context! {
        recipe, quiet, acknowledge, causes,
        atomic => format!("AtomicU{}", irq.status.map_or(0, |status| status.register.bits)),
        masks => matches!(irq.recipe, Recipe::Mask(_)),
        enables => causes || !irq.enable.is_empty(),
        enable => irq.enable.iter().map(written).collect::<Vec<_>>(),
        disable => irq.disable.iter().map(written).collect::<Vec<_>>(), raise => irq.raise.map(reached).map(Reached::value),
        status => status.map(Reached::value), ack => ack.map(Reached::value),
    }
}

/// What the first test does, and with which bits the second one interrupts.
fn tests(facts: &Facts<'_>, messages: &[MessageOf]) -> Value {
    let irq = facts.irq;
    let involved =
        |found| irq.is_some_and(|irq| irq.is_handlers(found) || [irq.status, irq.raise].contains(&Some(found)));
    let mut lines = Vec::new();
    let has = |name: &str| messages.iter().any(|message| message.name == name);
    for block in &facts.registers.blocks {
        // Where two registers share an offset, what is written to the one is no value of the other's.
        let shared = |register: &Register| {
            block.registers.iter().any(|other| {
                other.name != register.name && other.offset < register.end() && register.offset < other.end()
            })
        };
        for register in
            block.registers.iter().filter(|register| !involved(Found { block, register }) && !shared(register))
        {
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
    let reads_none = lines.is_empty();
    if reads_none {
        lines.push(first_call(messages));
    }
    let Kinds { line, msi, msi_x } = kinds(facts);
    // A line is no interrupt of a card's that says nothing of how it is acknowledged.
    let line = line > 0 && irq.is_some_and(|irq| irq.recipe != Recipe::None);
    let enables = [(line, "Enable::line()"), (msi > 0, "Enable::msi()"), (msi_x > 0, "Enable::msix(1..=1)")];
    let enables: Vec<&str> = enables.iter().filter(|(has, _)| *has).map(|(_, enable)| *enable).collect();
    context! { lines, registers => !reads_none, bits => "0b101", enables }
}

/// What the first test calls where no register has a value to look at: whatever there is holds for the card at power-on.
fn first_call(messages: &[MessageOf]) -> String {
    match messages.iter().find(|message| message.only_answers()) {
        Some(message) if message.is_of_driver() => format!("assert_eq!(client.{}(), Ok(1));", message.name),
        Some(message) => format!("assert!(client.{}().is_ok());", message.name),
        None => "assert!(client.has(1));".to_owned(),
    }
}

/// How the templates reach a register.
pub(super) fn reached(Found { block, register }: Found<'_>) -> Reached {
    Reached {
        name: register.name.clone(),
        path: format!("{}::{}", block.name, register.name),
        field: format!("bar{}", block.bar),
        ty: ty(register),
        value: String::new(),
        message: format!("set_{}", registers::message_name(&register.name).trim_end_matches('_')),
    }
}

/// A value with all of a register's digits; nothing where it is 0.
pub(super) fn hex(value: u64, register: &Register) -> String {
    let digits = 2 + register.bits as usize / 4;
    if value == 0 { "0".to_owned() } else { format!("{value:#0digits$x}") }
}

/// The type of a register's value.
pub(super) fn ty(register: &Register) -> String {
    format!("u{}", register.bits)
}

/// The name of a crate.
pub(super) fn snake(name: &str) -> String {
    name.replace('-', "_")
}
