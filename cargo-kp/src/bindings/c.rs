//! C: one header.
use super::{
    File,
    c_types::{self, CTypes},
    names::{self, C_AND_CPP, Names},
    render::{render, wrapped},
    taken, types,
};
use anyhow::Result;
use kp_tool::schema::{Method, Schema, Type};
use minijinja::{Value, context};

/// The header.
const HEADER: &str = include_str!("../../templates/bindings/c/plugin.h.jinja");

/// What every header has in it once, in this order.
const RUNTIME: &[&str] = &[
    include_str!("../../templates/bindings/c/base.h.jinja"),
    include_str!("../../templates/bindings/c/linux.h.jinja"),
    include_str!("../../templates/bindings/c/socket.h.jinja"),
    include_str!("../../templates/bindings/c/windows.h.jinja"),
    include_str!("../../templates/bindings/c/session.h.jinja"),
    include_str!("../../templates/bindings/c/interrupts.h.jinja"),
];

/// Functions that every plugin has, behind its prefix.
const FUNCTIONS: &[&str] = &[
    "open",
    "close",
    "has",
    "error",
    "int_enable",
    "wait",
    "wait_many",
    "int_counters",
    "int_disable",
    "on_interrupt",
    "off_interrupt",
    "fd",
    "t",
];

/// The header's name.
pub fn file_name(schema: &Schema) -> String {
    format!("{}.h", names::snake(&schema.name))
}

/// What all names of an interface begin with.
pub fn prefix(schema: &Schema) -> String {
    Names::without(taken::c().chain(["kp", "kpi"])).give(&names::snake(&schema.name))
}

/// The header.
pub fn files(schema: &Schema) -> Result<Vec<File>> {
    Ok(vec![File { path: file_name(schema), text: header(schema)? }])
}

fn header(schema: &Schema) -> Result<String> {
    let interface = Interface::of(schema);
    let runtime = render("runtime.h", &RUNTIME.concat(), schema, context! {})?;
    let prefix = interface.prefix.as_str();
    let values = context! {
        prefix, PREFIX => prefix.to_ascii_uppercase(), plugin => schema.name.replace('_', "-"),
        runtime_number => format!("{:#010x}u", hash(&runtime)), runtime => runtime.trim_end(),
        types => interface.types.declarations(),
        messages => types::called(schema).zip(&interface.messages).map(|(method, names)| message(method, names, &interface.types)).collect::<Vec<_>>(),
    };
    render("plugin.h", HEADER, schema, values)
}

/// A number that tells one text from another: FNV-1a.
pub fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// What an interface's things are called in C.
pub struct Interface<'a> {
    /// What they begin with.
    pub prefix: String,
    /// Its types.
    pub types: CTypes<'a>,
    /// Its messages, as [`types::called`] has them.
    pub messages: Vec<MessageNames>,
}

/// What a message is called in C.
pub struct MessageNames {
    /// Its function.
    pub function: String,
    /// Its number.
    pub constant: String,
    /// Its parameters; a list's has its count too, and a reply's list the room and what was written.
    parameters: Vec<Parameter>,
    reply: Parameter,
}

/// A parameter's names; those that it does not need are empty.
struct Parameter {
    name: String,
    room: String,
    count: String,
}

impl<'a> Interface<'a> {
    /// The names. The same schema has the same ones.
    pub fn of(schema: &'a Schema) -> Self {
        let prefix = prefix(schema);
        let reserved: Vec<String> = FUNCTIONS.iter().map(|name| format!("{prefix}_{name}")).collect();
        let mut functions = Names::without(reserved.iter().map(String::as_str));
        let mut constants = Names::default();
        let messages = types::called(schema).map(|method| MessageNames {
            function: functions.give(&format!("{prefix}_{}", names::part(&method.name))),
            constant: constants.give(&format!(
                "{}_MESSAGE_{}",
                prefix.to_ascii_uppercase(),
                names::screaming_part(&method.name)
            )),
            ..parameters(method)
        });
        let messages = messages.collect();
        let types = CTypes::of(schema, &prefix, &mut functions, &mut constants);
        Interface { prefix, types, messages }
    }
}

/// The names of a message's parameters.
fn parameters(method: &Method) -> MessageNames {
    let mut taken = Names::without(C_AND_CPP.iter().copied().chain(["c", "args", "got", "status", "memcpy", "bool"]));
    let parameters = method.args.iter().map(|arg| {
        let name = taken.give(&names::snake(&arg.name));
        let is_list = matches!(arg.ty, Type::Slice { .. });
        let count = if is_list { taken.give(&format!("{name}_count")) } else { String::new() };
        Parameter { name, room: String::new(), count }
    });
    let parameters = parameters.collect();
    let reply = Parameter { name: taken.give("reply"), room: taken.give("room"), count: taken.give("count") };
    MessageNames { function: String::new(), constant: String::new(), parameters, reply }
}

/// A message, as the template has it.
fn message(method: &Method, names: &MessageNames, types: &CTypes<'_>) -> Value {
    let mut parameters = vec![format!("{}_t *c", types.prefix)];
    let (mut packs, mut checks, mut data) = (Vec::new(), Vec::new(), Value::from(false));
    for (arg, Parameter { name, count, .. }) in method.args.iter().zip(&names.parameters) {
        let (offset, size) = (arg.offset, types::size(&arg.ty));
        if size == 0 {
            continue;
        }
        let at = format!("args + {offset}");
        let (base, length) = c_types::flat(&arg.ty);
        let c = types.name(base);
        match &arg.ty {
            Type::Slice { element } => {
                parameters.push(format!("const {c} *{name}"));
                parameters.push(format!("size_t {count}"));
                let check = types.check_each(element, name, count);
                data = context! { name, count, size, check };
                continue;
            }
            Type::Array { .. } => parameters.push(format!("const {c} {name}[{length}]")),
            Type::Struct { .. } => parameters.push(format!("const {c} *{name}")),
            _ => parameters.push(format!("{c} {name}")),
        }
        let by_address = matches!(arg.ty, Type::Array { .. } | Type::Struct { .. });
        packs
            .push(context! { offset, len => size, from => if by_address { name.clone() } else { format!("&{name}") } });
        if !matches!(arg.ty, Type::Bool) {
            checks.extend(types.check(&arg.ty, &at));
        }
    }
    let reply = reply(method, &names.reply, types, &mut parameters);
    let parameters = wrapped(&parameters, "\t\t", 90);
    context! {
        id => method.id, name => &names.function, constant => &names.constant, doc => comment(method), parameters, packs, checks, data, reply,
        args_len => types::args_len(method),
    }
}

/// A message's reply, as the template has it; its parameters go behind the others.
fn reply(method: &Method, names: &Parameter, types: &CTypes<'_>, parameters: &mut Vec<String>) -> Value {
    let size = types::size(&method.reply);
    if size == 0 {
        return context! { kind => "none" };
    }
    let Parameter { name, room, count } = names;
    let (base, length) = c_types::flat(&method.reply);
    let c = types.name(base);
    if let Type::Slice { element } = &method.reply {
        parameters.extend([format!("{c} *{name}"), format!("size_t {room}"), format!("size_t *{count}")]);
        let check = types.check_each(element, name, &format!("got / {size}"));
        return context! { kind => "list", name, room, count, size, check };
    }
    match &method.reply {
        Type::Array { .. } => parameters.push(format!("{c} {name}[{length}]")),
        _ => parameters.push(format!("{c} *{name}")),
    }
    let check = types.check(&method.reply, &format!("(const unsigned char *){name}"));
    context! { kind => "value", name, size, check }
}

/// A message's documentation, as lines of a comment: with nothing in it that would end one, or that a compiler warns of.
pub fn comment(method: &Method) -> Vec<String> {
    let line = |line: &String| line.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?").replace('\\', "/");
    types::doc(method).iter().map(line).collect()
}
