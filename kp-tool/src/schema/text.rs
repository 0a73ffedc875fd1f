//! For people: the messages as `interface!` has them, then the types that they name.
use super::{Field, Method, Schema, Type, Value};
use std::fmt;

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = match self.messages.len() {
            1 => "1 message".to_owned(),
            count => format!("{count} messages"),
        };
        writeln!(f, "{}, version {}, {count}, fingerprint {:016x}", self.name, self.version, self.fingerprint())?;
        for message in &self.messages {
            write_message(f, message)?;
        }
        let mut types = Vec::new();
        for message in &self.messages {
            message.args.iter().map(|arg| &arg.ty).chain([&message.reply]).for_each(|ty| named(ty, &mut types));
        }
        if !types.is_empty() {
            writeln!(f, "\ntypes")?;
        }
        types.iter().try_for_each(|ty| write_type(f, ty))
    }
}

fn write_message(f: &mut fmt::Formatter<'_>, message: &Method) -> fmt::Result {
    let args: Vec<String> = message.args.iter().map(|arg| format!("{}: {}", arg.name, Short(&arg.ty))).collect();
    write!(f, "\n{:>4}  {}({})", message.id, message.name, args.join(", "))?;
    match &message.reply {
        Type::Unit => {}
        Type::Slice { element } => write!(f, " -> [{}]", Short(element))?,
        reply => write!(f, " -> {}", Short(reply))?,
    }
    writeln!(f, "{}", if message.retired { "    retired" } else { "" })?;
    for line in message.doc.iter().flatten().flat_map(|text| text.lines()) {
        // What a terminal would obey is not sent to it.
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        writeln!(f, "{}", format!("      {line}").trim_end())?;
    }
    Ok(())
}

/// A type as a message names it.
struct Short<'a>(&'a Type);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Type::Unit => f.write_str("()"),
            Type::Bool => f.write_str("bool"),
            Type::Uint { size } => write!(f, "u{}", 8 * size),
            Type::Int { size } => write!(f, "i{}", 8 * size),
            Type::Array { element, length } => write!(f, "[{}; {length}]", Short(element)),
            Type::Slice { element } => write!(f, "&[{}]", Short(element)),
            Type::Struct { name, .. } | Type::Enum { name, .. } | Type::Flags { name, .. } => f.write_str(name),
        }
    }
}

/// Gathers the types with names, those of fields first, each once.
fn named<'a>(ty: &'a Type, types: &mut Vec<&'a Type>) {
    match ty {
        Type::Array { element, .. } | Type::Slice { element } => named(element, types),
        Type::Struct { fields, .. } => fields.iter().for_each(|field| named(&field.ty, types)),
        _ => {}
    }
    let has_name = matches!(ty, Type::Struct { .. } | Type::Enum { .. } | Type::Flags { .. });
    if has_name && !types.contains(&ty) {
        types.push(ty);
    }
}

fn write_type(f: &mut fmt::Formatter<'_>, ty: &Type) -> fmt::Result {
    let fields = |fields: &[Field]| -> String {
        fields.iter().map(|field| format!("      {}: {}\n", field.name, Short(&field.ty))).collect()
    };
    let values = |values: &[Value], as_bits: bool| -> String {
        let line = |value: &Value| match as_bits {
            true => format!("      {} = {:#x}\n", value.name, value.value),
            false => format!("      {} = {}\n", value.name, value.value),
        };
        values.iter().map(line).collect()
    };
    match ty {
        Type::Struct { name, size, fields: its, .. } => write!(f, "\n  struct {name}, {size} bytes\n{}", fields(its)),
        Type::Enum { name, size, values: its } => write!(f, "\n  enum {name}: u{}\n{}", 8 * size, values(its, false)),
        Type::Flags { name, size, values: its } => write!(f, "\n  flags {name}: u{}\n{}", 8 * size, values(its, true)),
        _ => Ok(()),
    }
}
