//! Python: a package, of which `__init__.py` is made of the schema, and the folder `_kp` is the same for all.
use super::{
    File,
    names::{self, Names, PYTHON},
    render::render,
    taken, types,
};
use anyhow::{Context, Result};
use kp_tool::schema::{Field, Method, Schema, Type};
use minijinja::{Value, context};
use std::collections::BTreeSet;

/// The package's files that have something of the schema in them, or of kp's tables.
const TEMPLATES: &[(&str, &str)] = &[
    ("__init__.py", include_str!("../../templates/bindings/python/__init__.py.jinja")),
    ("__init__.pyi", include_str!("../../templates/bindings/python/__init__.pyi.jinja")),
    ("_kp/errors.py", include_str!("../../templates/bindings/python/_kp/errors.py.jinja")),
    ("_kp/sentences.py", include_str!("../../templates/bindings/python/_kp/sentences.py.jinja")),
];

/// The others.
const RUNTIME: &[(&str, &str)] = &[
    ("py.typed", ""),
    ("_kp/__init__.py", include_str!("../../templates/bindings/python/_kp/__init__.py")),
    ("_kp/interrupts.py", include_str!("../../templates/bindings/python/_kp/interrupts.py")),
    ("_kp/linux.py", include_str!("../../templates/bindings/python/_kp/linux.py")),
    ("_kp/names.py", include_str!("../../templates/bindings/python/_kp/names.py")),
    ("_kp/node.py", include_str!("../../templates/bindings/python/_kp/node.py")),
    ("_kp/session.py", include_str!("../../templates/bindings/python/_kp/session.py")),
    ("_kp/simulator.py", include_str!("../../templates/bindings/python/_kp/simulator.py")),
    ("_kp/windows.py", include_str!("../../templates/bindings/python/_kp/windows.py")),
    ("_kp/wire.py", include_str!("../../templates/bindings/python/_kp/wire.py")),
];

/// What a device has beside its messages: the methods of `Device` in `session.py`.
const OF_DEVICE: [&str; 8] =
    ["close", "has", "interrupts", "interrupts_async", "on_interrupt", "open", "query", "session"];

/// What a struct has beside its fields.
const OF_STRUCT: [&str; 2] = ["pack", "unpack"];

/// What the package exports beside the interface's own.
const EXPORTS: [&str; 11] = [
    "AsyncNotifications",
    "Counters",
    "Handler",
    "Interrupts",
    "Kind",
    "KpError",
    "KpTimeout",
    "Notification",
    "Query",
    "Status",
    "Struct",
];

/// What its module needs, and exports to nobody.
const NEEDED: [&str; 20] = [
    "ArrayType",
    "BytesLike",
    "BytesType",
    "Device",
    "EnumType",
    "FlagsType",
    "I16",
    "I32",
    "I64",
    "I8",
    "Interface",
    "List",
    "Message",
    "Optional",
    "Sequence",
    "StructType",
    "U16",
    "U32",
    "U64",
    "U8",
];

/// The package.
pub fn files(schema: &Schema) -> Result<Vec<File>> {
    let package = Names::without(PYTHON.iter().copied().chain(taken::python())).give(&names::snake(&schema.name));
    let values = values(schema, &package)?;
    let made = TEMPLATES.iter().map(|(path, template)| Ok((*path, render(path, template, schema, values.clone())?)));
    let all = made.chain(RUNTIME.iter().map(|(path, text)| Ok((*path, (*text).to_owned()))));
    all.map(|file: Result<_>| file.map(|(path, text)| File { path: format!("{package}/{path}"), text })).collect()
}

/// What the methods of the messages that are called are called.
pub fn methods(schema: &Schema) -> Vec<String> {
    let mut methods = Names::without(PYTHON.iter().copied().chain(OF_DEVICE));
    types::called(schema).map(|method| methods.give(&names::snake(&method.name))).collect()
}

/// What a device's class is called.
pub fn class(schema: &Schema) -> String {
    Module::new(schema).class
}

fn values(schema: &Schema, package: &str) -> Result<Value> {
    let mut module = Module::new(schema);
    let types = module.types.clone().into_iter().map(|ty| module.named(ty)).collect::<Result<Vec<_>>>()?;
    let called: Vec<(&Method, String)> = types::called(schema).zip(methods(schema)).collect();
    let hidden: BTreeSet<String> = called.iter().map(|(_, name)| name.clone()).collect();
    let messages = called.iter().map(|(method, name)| module.message(method, name, &hidden));
    let messages = messages.collect::<Result<Vec<_>>>()?;
    let own = module.names.iter().chain([&module.class]).cloned();
    let exports: BTreeSet<String> = EXPORTS.iter().map(|name| (*name).to_owned()).chain(own).collect();
    let class = &module.class;
    Ok(
        context! { package, class, device => &schema.name, exports => Value::from_iter(exports), types, messages, uses => module.uses() },
    )
}

/// What the interface's module has in it.
struct Module<'a> {
    /// The types with names.
    types: Vec<&'a Type>,
    /// Their classes, in the same order.
    names: Vec<String>,
    /// The device's class.
    class: String,
    /// Names that are used, and come from elsewhere.
    used: BTreeSet<&'static str>,
}

impl<'a> Module<'a> {
    fn new(schema: &'a Schema) -> Self {
        let types = types::named(schema);
        let mut classes = Names::without(PYTHON.iter().copied().chain(EXPORTS).chain(NEEDED));
        let class = classes.give(&names::pascal(&schema.name));
        let names = types.iter().map(|ty| classes.give(&names::pascal(name_of(ty)))).collect();
        Module { types, names, class, used: BTreeSet::from(["Message", "Struct"]) }
    }

    /// The class of a type with a name.
    fn class_of(&self, ty: &Type) -> Result<&str> {
        let at = self.types.iter().position(|other| *other == ty).context("a type is not among those of its schema")?;
        Ok(&self.names[at])
    }

    /// A type with a name, as the templates have it.
    fn named(&mut self, ty: &Type) -> Result<Value> {
        let name = self.class_of(ty)?.to_owned();
        let size = types::size(ty);
        Ok(match ty {
            Type::Struct { fields, .. } => {
                self.used.extend(["dataclass", "StructType"]);
                let mut given = Names::without(PYTHON.iter().copied().chain(OF_STRUCT));
                let named: Vec<_> =
                    fields.iter().map(|field| (field, given.give(&names::snake(&field.name)))).collect();
                let hidden = named.iter().map(|(_, name)| name.clone()).collect();
                let fields = named.iter().map(|(field, name)| {
                    let (hint, wire) = (self.hint(&field.ty, &hidden)?, self.wire(&field.ty)?);
                    Ok(context! { name, hint, wire, offset => field.offset })
                });
                context! { kind => "struct", name, size, fields => fields.collect::<Result<Vec<_>>>()? }
            }
            Type::Enum { values, .. } | Type::Flags { values, .. } => {
                let is_enum = matches!(ty, Type::Enum { .. });
                self.used.extend(["enum", if is_enum { "EnumType" } else { "FlagsType" }]);
                let mask = values.iter().fold(0, |mask, value| mask | value.value);
                let mut given = Names::without(PYTHON.iter().copied());
                let values = values.iter().map(|value| {
                    context! { name => given.give(&names::screaming(&value.name)), value => value.value }
                });
                let kind = if is_enum { "enum" } else { "flags" };
                context! { kind, name, size, mask, variants => values.collect::<Vec<_>>() }
            }
            _ => Value::UNDEFINED,
        })
    }

    /// A message, as the templates have it. `hidden`: the methods' names, which hide others in their class.
    fn message(&mut self, method: &Method, name: &str, hidden: &BTreeSet<String>) -> Result<Value> {
        let mut given = Names::without(PYTHON.iter().copied().chain(["self", "room"]));
        let named: Vec<(&Field, String)> =
            method.args.iter().map(|arg| (arg, given.give(&names::snake(&arg.name)))).collect();
        let mut params = vec!["self".to_owned()];
        let (mut args, mut passed, mut data) = (Vec::new(), Vec::new(), None);
        for (arg, name) in &named {
            let (hint, wire) = (self.param(&arg.ty, hidden)?, self.wire(&arg.ty)?);
            params.push(format!("{name}: {hint}"));
            let entry = format!("(\"{name}\", {wire})");
            if matches!(arg.ty, Type::Slice { .. }) {
                data = Some((entry, name.clone()));
            } else {
                args.push(entry);
                passed.push(name.clone());
            }
        }
        let is_list = matches!(method.reply, Type::Slice { .. });
        let mut call = format!("{}, {}", method.id, tuple(&passed));
        match (&data, is_list) {
            (Some((_, name)), _) => call += &format!(", {name}"),
            (None, true) => call += ", None",
            (None, false) => {}
        }
        if is_list {
            self.used.insert("Optional");
            params.push("*".to_owned());
            params.push(format!("room: Optional[{}] = None", self.builtin("int", hidden)));
            call += ", room";
        }
        let reply = context! {
            hint => self.reply(&method.reply, hidden)?, wire => self.wire(&method.reply)?,
            is_list => if is_list { "True" } else { "False" }, is_nothing => method.reply == Type::Unit,
        };
        Ok(context! {
            id => method.id, name, reply, call, params => params.join(", "), args => tuple(&args),
            data => data.map_or_else(|| "None".to_owned(), |(entry, _)| entry), doc => doc(method),
        })
    }

    /// What is said of a value's type. `hidden`: names that mean something else where this is said.
    fn hint(&mut self, ty: &Type, hidden: &BTreeSet<String>) -> Result<String> {
        Ok(match ty {
            Type::Unit => "None".to_owned(),
            Type::Bool => self.builtin("bool", hidden),
            Type::Uint { .. } | Type::Int { .. } => self.builtin("int", hidden),
            Type::Array { element, .. } if is_byte(element) => self.builtin("bytes", hidden),
            Type::Array { element, .. } | Type::Slice { element } => {
                self.used.insert("Sequence");
                format!("Sequence[{}]", self.hint(element, hidden)?)
            }
            Type::Struct { .. } | Type::Enum { .. } | Type::Flags { .. } => self.class_of(ty)?.to_owned(),
        })
    }

    /// What is said of a parameter.
    fn param(&mut self, ty: &Type, hidden: &BTreeSet<String>) -> Result<String> {
        match ty {
            Type::Array { element, .. } | Type::Slice { element } if is_byte(element) => {
                self.used.insert("BytesLike");
                Ok("BytesLike".to_owned())
            }
            _ => self.hint(ty, hidden),
        }
    }

    /// What is said of a reply.
    fn reply(&mut self, ty: &Type, hidden: &BTreeSet<String>) -> Result<String> {
        match ty {
            Type::Slice { element } if is_byte(element) => Ok(self.builtin("bytes", hidden)),
            Type::Slice { element } => {
                self.used.insert("List");
                Ok(format!("List[{}]", self.hint(element, hidden)?))
            }
            _ => self.hint(ty, hidden),
        }
    }

    fn builtin(&mut self, name: &str, hidden: &BTreeSet<String>) -> String {
        if !hidden.contains(name) {
            return name.to_owned();
        }
        self.used.insert("builtins");
        format!("builtins.{name}")
    }

    /// What packs a value, as `wire.py` has it; of a list, one of its elements.
    fn wire(&mut self, ty: &Type) -> Result<String> {
        let name = match ty {
            Type::Unit => "UNIT",
            Type::Bool => "BOOL",
            Type::Uint { size } => ["U8", "U16", "U32", "U64"][size.ilog2().min(3) as usize],
            Type::Int { size } => ["I8", "I16", "I32", "I64"][size.ilog2().min(3) as usize],
            Type::Array { element, length } if is_byte(element) => {
                self.used.insert("BytesType");
                return Ok(format!("BytesType({length})"));
            }
            Type::Array { element, length } => {
                self.used.insert("ArrayType");
                return Ok(format!("ArrayType({}, {length})", self.wire(element)?));
            }
            Type::Slice { element } => return self.wire(element),
            Type::Struct { .. } | Type::Enum { .. } | Type::Flags { .. } => {
                return Ok(format!("_t_{}", self.class_of(ty)?));
            }
        };
        self.used.insert(name);
        Ok(name.to_owned())
    }

    /// What the module imports, by where it is from.
    fn uses(&self) -> Value {
        const TYPING: [&str; 3] = ["List", "Optional", "Sequence"];
        const MODULES: [&str; 3] = ["builtins", "dataclass", "enum"];
        let of =
            |names: &[&str]| -> Vec<&str> { self.used.iter().copied().filter(|name| names.contains(name)).collect() };
        let is_wire = |name: &&&str| !TYPING.contains(*name) && !MODULES.contains(*name);
        let wire: Vec<&str> = self.used.iter().filter(is_wire).copied().collect();
        let stub = wire.iter().filter(|name| ["BytesLike", "Struct"].contains(*name));
        let stub: Vec<String> = stub
            .map(|name| if *name == "Struct" { "Struct as Struct".to_owned() } else { (*name).to_owned() })
            .collect();
        let [builtins, dataclass, has_enum] = MODULES.map(|name| self.used.contains(name));
        context! {
            builtins, dataclass, enum => has_enum,
            typing => of(&TYPING).join(", "), wire => wire.join(", "), stub_wire => stub.join(", "),
        }
    }
}

/// A tuple.
fn tuple(items: &[String]) -> String {
    match items {
        [one] => format!("({one},)"),
        items => format!("({})", items.join(", ")),
    }
}

fn is_byte(ty: &Type) -> bool {
    *ty == Type::Uint { size: 1 }
}

fn name_of(ty: &Type) -> &str {
    match ty {
        Type::Struct { name, .. } | Type::Enum { name, .. } | Type::Flags { name, .. } => name,
        _ => "",
    }
}

/// A message's documentation, as what stands between the quotes of a method's.
fn doc(method: &Method) -> String {
    let lines = types::doc(method);
    let text = lines.join("\n");
    let text = match text.trim() {
        "" => format!("Message {}, `{}`.", method.id, method.name),
        text => quoted(text),
    };
    let lines = text.lines().map(|line| if line.is_empty() { String::new() } else { format!("        {line}") });
    let several = lines.clone().count() > 1;
    let text = lines.collect::<Vec<_>>().join("\n").trim_start().to_owned();
    if several { text + "\n        " } else { text }
}

/// A text between three quotes.
fn quoted(text: &str) -> String {
    let rest = text.trim_end_matches('"');
    let end = "\\\"".repeat(text.len() - rest.len());
    rest.replace('\\', "\\\\").replace("\"\"\"", "\\\"\\\"\\\"") + &end
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_text_ends_where_it_ends() {
        for (text, due) in [
            ("a \"b\" c", "a \"b\" c"),
            ("of \"b\"", "of \"b\\\""),
            ("\"\"\"", "\\\"\\\"\\\""),
            ("\"\"\"\"", "\\\"\\\"\\\"\\\""),
            ("a\\", "a\\\\"),
            ("a\\\"", "a\\\\\\\""),
        ] {
            assert_eq!(quoted(text), due, "{text}");
        }
    }
}
