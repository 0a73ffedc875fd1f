//! C++: a header over C's.
use super::{
    File,
    c::{self, Interface, comment},
    c_types::{flat, gaps, is_natural},
    names::{self, C_AND_CPP, Names},
    render::{render, wrapped},
    taken, types,
};
use anyhow::Result;
use kp_tool::schema::{Method, Schema, Type, Value as Variant};
use minijinja::{Value, context};

/// The header.
const HEADER: &str = include_str!("../../templates/bindings/cpp/plugin.hpp.jinja");

/// What every header has in it once.
const RUNTIME: &str = include_str!("../../templates/bindings/cpp/runtime.hpp.jinja");

/// What every device has.
const METHODS: &[&str] = &[
    "device",
    "close",
    "has",
    "int_enable",
    "wait",
    "wait_many",
    "int_counters",
    "int_disable",
    "on_interrupt",
    "fd",
    "state",
    "state_",
    "check",
    "end",
    "message",
];

/// The header, and C's.
pub fn files(schema: &Schema) -> Result<Vec<File>> {
    let path = format!("{}pp", c::file_name(schema));
    let mut files = c::files(schema)?;
    files.push(File { path, text: header(schema)? });
    Ok(files)
}

fn header(schema: &Schema) -> Result<String> {
    let interface = Interface::of(schema);
    let runtime = render("runtime.hpp", RUNTIME, schema, context! {})?;
    let types = CppTypes::of(schema);
    let methods = methods(schema);
    let mut enumerators = Names::without(C_AND_CPP.iter().copied());
    let messages = types::called(schema).zip(&interface.messages).zip(methods).map(|((method, its), name)| {
        let enumerator = enumerators.give(&names::snake(&method.name));
        let body = message(method, &interface, &types);
        context! { id => method.id, name, enumerator, function => &its.function, doc => comment(method), ..body }
    });
    let messages: Vec<Value> = messages.collect();
    let prefix = interface.prefix.as_str();
    let values = context! {
        prefix, PREFIX => prefix.to_ascii_uppercase(), plugin => schema.name.replace('_', "-"), namespace => namespace(schema), header => c::file_name(schema),
        runtime_number => format!("{:#010x}u", c::hash(&runtime)), runtime => runtime.trim_end(),
        types => types.declarations(), messages,
    };
    render("plugin.hpp", HEADER, schema, values)
}

/// The namespace.
pub fn namespace(schema: &Schema) -> String {
    Names::without(C_AND_CPP.iter().copied().chain(taken::cpp())).give(&names::snake(&schema.name))
}

/// The messages' methods, as [`types::called`] has them.
pub fn methods(schema: &Schema) -> Vec<String> {
    let mut taken = Names::without(METHODS.iter().chain(C_AND_CPP).copied());
    types::called(schema).map(|method| taken.give(&names::snake(&method.name))).collect()
}

/// The types with names, and what they are called.
struct CppTypes<'a>(Vec<(&'a Type, String)>);

impl<'a> CppTypes<'a> {
    fn of(schema: &'a Schema) -> Self {
        let mut taken = Names::without(C_AND_CPP.iter().copied());
        let named = types::named(schema).into_iter().filter(|ty| types::size(ty) > 0);
        let called = |ty: &Type| match ty {
            Type::Struct { name, .. } | Type::Enum { name, .. } | Type::Flags { name, .. } => names::pascal(name),
            _ => String::new(),
        };
        CppTypes(named.map(|ty| (ty, taken.give(&called(ty)))).collect())
    }

    /// What a type is called.
    fn name(&self, ty: &Type) -> String {
        match ty {
            Type::Unit => "void".to_owned(),
            Type::Bool => "bool".to_owned(),
            Type::Uint { size } => format!("std::uint{}_t", 8 * size),
            Type::Int { size } => format!("std::int{}_t", 8 * size),
            Type::Array { element, length } => format!("std::array<{}, {length}>", self.name(element)),
            Type::Slice { element } => self.name(element),
            ty => self.0.iter().find(|(named, _)| *named == ty).map(|(_, name)| name.clone()).unwrap_or_default(),
        }
    }

    /// The types, as the template has them.
    fn declarations(&self) -> Vec<Value> {
        self.0.iter().map(|(ty, name)| self.declaration(ty, name)).collect()
    }

    fn declaration(&self, ty: &Type, name: &str) -> Value {
        match ty {
            Type::Struct { size, fields, .. } => {
                let mut taken = Names::without(C_AND_CPP.iter().copied());
                let mut lines: Vec<(u64, Value)> = Vec::new();
                for field in fields {
                    let its = taken.give(&names::snake(&field.name));
                    if types::size(&field.ty) > 0 {
                        let declaration = format!("{} {its}", self.name(&field.ty));
                        lines.push((field.offset, context! { declaration, name => its, offset => field.offset }));
                    }
                }
                for (at, len) in gaps(*size, fields) {
                    let declaration = format!("std::array<std::uint8_t, {len}> kpi_gap_{at}");
                    lines.push((at, context! { declaration, name => false }));
                }
                lines.sort_by_key(|(at, _)| *at);
                let lines: Vec<Value> = lines.into_iter().map(|(_, line)| line).collect();
                context! { kind => "struct", name, size, packed => !is_natural(*size, fields), fields => lines }
            }
            Type::Enum { size, values, .. } => {
                context! { kind => "enum", name, bits => 8 * size, values => enumerators(values) }
            }
            Type::Flags { size, values, .. } => {
                context! { kind => "flags", name, bits => 8 * size, values => enumerators(values) }
            }
            _ => context! { kind => "none", name },
        }
    }
}

/// Values, as they are spelt in the interface.
fn enumerators(values: &[Variant]) -> Vec<Value> {
    let mut taken = Names::without(C_AND_CPP.iter().copied());
    values
        .iter()
        .map(|value| context! { name => taken.give(&names::ascii(&value.name)), value => value.value })
        .collect()
}

/// A message's parameters, the arguments of C's function, and the reply.
fn message(method: &Method, interface: &Interface<'_>, types: &CppTypes<'_>) -> Value {
    let mut taken = Names::without(C_AND_CPP.iter().copied().chain(METHODS.iter().copied()));
    let (mut parameters, mut arguments) = (Vec::new(), vec!["state()".to_owned()]);
    for arg in &method.args {
        let name = taken.give(&names::snake(&arg.name));
        if types::size(&arg.ty) == 0 {
            continue;
        }
        let (cpp, c) = (types.name(&arg.ty), interface.types.name(flat(&arg.ty).0));
        match &arg.ty {
            Type::Slice { element } => {
                let is_bytes = matches!(**element, Type::Uint { size: 1 });
                let list = if is_bytes { "kp::bytes".to_owned() } else { format!("kp::span<{cpp}>") };
                parameters.push(format!("{list} {name}"));
                arguments.push(cast(&c, element, &format!("{name}.data()"), "const "));
                arguments.push(format!("{name}.size()"));
            }
            Type::Array { element, .. } => {
                parameters.push(format!("const {cpp} &{name}"));
                arguments.push(cast(&c, element, &format!("{name}.data()"), "const "));
            }
            Type::Struct { .. } => {
                parameters.push(format!("const {cpp} &{name}"));
                arguments.push(cast(&c, &arg.ty, &format!("&{name}"), "const "));
            }
            Type::Enum { .. } | Type::Flags { .. } => {
                parameters.push(format!("{cpp} {name}"));
                arguments.push(format!("static_cast<{c}>({name})"));
            }
            _ => {
                parameters.push(format!("{cpp} {name}"));
                arguments.push(name);
            }
        }
    }
    let reply = reply(method, interface, types, &mut taken, &mut parameters, &mut arguments);
    let parameters = wrapped(&parameters, "\t\t", 100);
    context! { parameters, arguments, reply }
}

fn reply(
    method: &Method,
    interface: &Interface<'_>,
    types: &CppTypes<'_>,
    taken: &mut Names,
    parameters: &mut Vec<String>,
    arguments: &mut Vec<String>,
) -> Value {
    let (ty, size) = (&method.reply, types::size(&method.reply));
    if size == 0 {
        return context! { kind => "none", type => "void" };
    }
    let (cpp, c) = (types.name(ty), interface.types.name(flat(ty).0));
    let (name, room, count) = (taken.give("reply"), taken.give("room"), taken.give("count"));
    if let Type::Slice { element } = ty {
        // A vector of bool has its elements nowhere.
        let cpp = if matches!(**element, Type::Bool) { "unsigned char".to_owned() } else { cpp };
        parameters.push(format!("std::size_t {room} = KP_MAX_DATA / {size}"));
        let of = if matches!(**element, Type::Bool) { ty } else { element };
        arguments.push(cast(&c, of, &format!("{name}.data()"), ""));
        arguments.extend([format!("{name}.size()"), format!("&{count}")]);
        return context! { kind => "list", type => format!("std::vector<{cpp}>"), name, room, count };
    }
    arguments.push(match ty {
        Type::Array { element, .. } => cast(&c, element, &format!("{name}.data()"), ""),
        ty => cast(&c, ty, &format!("&{name}"), ""),
    });
    context! { kind => "value", type => cpp, name }
}

/// A pointer to values of a type as C's function takes it, which looks at the bytes alone: one to integers is the same there.
fn cast(c: &str, to: &Type, pointer: &str, constant: &str) -> String {
    if matches!(to, Type::Uint { .. } | Type::Int { .. } | Type::Bool) {
        pointer.to_owned()
    } else {
        format!("reinterpret_cast<{constant}{c} *>({pointer})")
    }
}
