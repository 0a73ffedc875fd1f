//! The messages of the interface, and what the plugin answers to each.
use super::apps;
use super::irq::{Found, Irq, Recipe};
use super::tree::{Facts, Reached, reached, ty};
use crate::registers::{self, Register};
use anyhow::Result;
use kp_tool::{
    Message,
    schema::{Field, Type},
};
use minijinja::{Value, context};
use std::collections::BTreeMap;

/// What the one message is of that a driver has which has no other.
const OF_DRIVER: &str = "the driver's version";

/// As many registers get a message each if nothing is said.
const FEW: usize = 16;

/// A message of the plugin's, and how it is answered.
#[derive(Debug)]
pub struct MessageOf {
    pub(super) name: String,
    pub(super) doc: String,
    arguments: String,
    reply: String,
    cx: &'static str,
    session: &'static str,
    handler_arguments: String,
    handler_reply: String,
    body: String,
    /// What stands before its answer where an app prints that.
    title: String,
    /// The register that it is made of, for telling two of one name apart.
    of: String,
}

/// The messages of the interface, in the order of their numbers.
pub fn messages(facts: &Facts<'_>) -> Result<Vec<MessageOf>> {
    if facts.ids.is_empty() {
        return Ok(software());
    }
    let mut messages = Vec::new();
    for found in chosen(facts)? {
        register_messages(&mut messages, found);
    }
    if let Some(status) = facts.irq.and_then(|irq| irq.causes()) {
        let doc = format!("Bits of {} that interrupts have had since the last call.", status.register.name);
        let expression = "self.causes.swap(0, Relaxed)";
        messages.push(MessageOf::new(
            "take_causes",
            doc,
            "",
            &ty(status.register),
            expression,
            "the interrupt's causes",
        ));
    }
    if let Some(Recipe::Mask(mask)) = facts.irq.map(|irq| irq.recipe) {
        let Reached { field, path, .. } = reached(mask);
        let body = format!(
            "self.armed.with(cx, |armed, _| {{ if *armed {{ self.{field}.write({path}, !0); }} }});\n        Ok(())"
        );
        let doc = "What interrupted is served: from now on the card may interrupt again.".to_owned();
        let unmask = MessageOf::new("unmask", doc, "", "", "", "the interrupt's mask");
        messages.push(MessageOf { cx: "cx", body, ..unmask });
    }
    if messages.is_empty() {
        let doc = "The driver's version.".to_owned();
        messages.push(MessageOf::new("version", doc, "", "u32", "1", OF_DRIVER));
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
    /// Whether it is the one that a driver has which has no other.
    pub fn is_of_driver(&self) -> bool {
        self.of == OF_DRIVER
    }

    /// Whether it takes nothing, and answers something.
    pub fn only_answers(&self) -> bool {
        self.arguments.is_empty() && !self.reply.is_empty()
    }

    /// As the templates have it.
    pub fn value(&self) -> Value {
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
            title: name.to_owned(),
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
fn chosen<'a>(facts: &Facts<'a>) -> Result<Vec<Found<'a>>> {
    let of = |block| move |register| Found { block, register };
    let all = || facts.registers.blocks.iter().flat_map(|block| block.registers.iter().map(of(block)));
    let listed: Option<Vec<String>> = match facts.messages {
        Some("none") => Some(Vec::new()),
        None if all().count() > FEW => Some(Vec::new()),
        Some("all") | None => None,
        Some(list) => Some(list.split(',').map(|name| registers::register_name(name).unwrap_or_default()).collect()),
    };
    for name in listed.iter().flatten() {
        if !all().any(|found| found.register.name == *name) {
            super::irq::find(&facts.registers.blocks, "--messages", name)?;
        }
    }
    let wanted = |found: &Found<'a>| match &listed {
        None => !facts.irq.is_some_and(|irq| irq.is_handlers(*found)),
        Some(names) => names.contains(&found.register.name),
    };
    let raises = |found: &Found<'a>| facts.irq.is_some_and(|irq| irq.raise == Some(*found));
    Ok(all().filter(|found| wanted(found) || raises(found)).collect())
}

/// A register's name as the file has it; where that is more than a plain word, which some language would not print as it is, the one in Rust.
fn title(register: &Register) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-. ".contains(letter);
    if register.listed.chars().all(is_plain) { register.listed.clone() } else { register.name.clone() }
}

/// The messages that read and write a register.
fn register_messages(messages: &mut Vec<MessageOf>, found: Found<'_>) {
    let (register, name) = (found.register, registers::message_name(&found.register.name));
    let Reached { field, path, ty, message: set, .. } = reached(found);
    let doc = match register.doc.as_str() {
        "" => format!("{}.", register.name),
        doc => format!("{}: {}", register.name, registers::sentence(doc)),
    };
    let index = register.count.map(|_| "index: u32");
    // Of an array with gaps each item is a block of one register.
    let item = match register.stride {
        None => (format!("self.{field}.regs().item({path}, index as usize)?"), String::new()),
        Some(_) => {
            let each = format!("registers::{}::{}", found.block.each(register), register.name);
            (format!("self.{field}.regs().block({path}, index as usize)?"), each)
        }
    };
    if register.access.reads() {
        let read = match index {
            None => format!("self.{field}.read({path})"),
            Some(_) => format!("{}.read({})", item.0, item.1),
        };
        let message = MessageOf::new(&name, doc.clone(), index.unwrap_or_default(), &ty, &read, &register.name);
        messages.push(MessageOf { title: title(register), ..message });
    }
    if register.access.writes() {
        let arguments =
            index.into_iter().map(str::to_owned).chain([format!("value: {ty}")]).collect::<Vec<_>>().join(", ");
        let write = match index {
            None => format!("self.{field}.write({path}, value);"),
            Some(_) if item.1.is_empty() => format!("{}.write(value);", item.0),
            Some(_) => format!("{}.write({}, value);", item.0, item.1),
        };
        let doc = if register.access.reads() { format!("Sets {}.", register.name) } else { doc };
        let message = MessageOf::new(&set, doc, &arguments, "", "", &register.name);
        messages.push(MessageOf { body: format!("{write}\n        Ok(())"), ..message });
    }
}

/// A message's parameters and its reply, as a schema has them: numbers without a sign, and bytes.
pub fn types(message: &MessageOf) -> (Vec<Field>, Type) {
    let mut offset = 0;
    let args = message.arguments.split(", ").filter_map(|argument| argument.split_once(": ")).map(|(name, text)| {
        let field = Field { name: name.to_owned(), offset, ty: ty_of(text) };
        offset += bits(text) / 8;
        field
    });
    (args.collect(), ty_of(&message.reply))
}

/// A type as it is written here.
fn ty_of(text: &str) -> Type {
    match text {
        "" => Type::Unit,
        "[u8]" | "&[u8]" => Type::Slice { element: Box::new(Type::Uint { size: 1 }) },
        text => Type::Uint { size: bits(text) / 8 },
    }
}

/// How many bits a number has.
fn bits(text: &str) -> u64 {
    text.strip_prefix('u').and_then(|bits| bits.parse().ok()).unwrap_or(0)
}

/// What the app prints of the registers.
pub fn app(messages: &[MessageOf], irq: Option<&Irq<'_>>) -> Value {
    let reads = messages.iter().filter(|message| message.only_answers() && message.name != "take_causes");
    let width = reads.clone().map(|message| message.title.len()).max().unwrap_or(0).max(10);
    let title = |message: &MessageOf| format!("{:width$}", message.title);
    let line = |message: &MessageOf| {
        let digits = 2 + bits(&message.reply) / 4;
        format!("println!(\"{} {{:#0{digits}x}}\", client.{}()?);", title(message), message.name)
    };
    let register = |message: &MessageOf| {
        let bits = bits(&message.reply);
        context! { title => title(message), bits, digits => bits / 4, message => &message.name }
    };
    let causes = irq.and_then(|irq| irq.causes()).map(|status| status.register.bits);
    let raise = irq.and_then(|irq| irq.raise).map(|raise| {
        context! { type => format!("uint{}_t", raise.register.bits), most => apps::most(raise.register) }
    });
    let needed = reads.clone().map(|message| bits(&message.reply)).chain(causes.map(u64::from));
    context! {
        reads => reads.clone().map(line).collect::<Vec<_>>(), interrupt => format!("{:width$}", "interrupts"),
        registers => reads.clone().map(register).collect::<Vec<_>>(),
        variables => apps::variables(needed), causes, raise,
    }
}
