//! A schema's types: those with names, each once, and how long each is.
use kp_tool::schema::{Method, Schema, Type};

/// The messages that are called: all but those that are retired.
pub fn called(schema: &Schema) -> impl Iterator<Item = &Method> {
    schema.messages.iter().filter(|message| !message.retired)
}

/// The types with names that messages use, those of fields first. Two of one name may differ; they are both here.
pub fn named(schema: &Schema) -> Vec<&Type> {
    let mut types = Vec::new();
    for message in called(schema) {
        message.args.iter().map(|arg| &arg.ty).chain([&message.reply]).for_each(|ty| gather(ty, &mut types));
    }
    types
}

fn gather<'a>(ty: &'a Type, types: &mut Vec<&'a Type>) {
    match ty {
        Type::Array { element, .. } | Type::Slice { element } => gather(element, types),
        Type::Struct { fields, .. } => fields.iter().for_each(|field| gather(&field.ty, types)),
        _ => {}
    }
    let has_name = matches!(ty, Type::Struct { .. } | Type::Enum { .. } | Type::Flags { .. });
    if has_name && !types.contains(&ty) {
        types.push(ty);
    }
}

/// How many bytes a value has on the wire; of a list, each element.
pub fn size(ty: &Type) -> u64 {
    match ty {
        Type::Unit => 0,
        Type::Bool => 1,
        Type::Uint { size } | Type::Int { size } => *size,
        Type::Array { element, length } => size(element) * length,
        Type::Slice { element } => size(element),
        Type::Struct { size, .. } | Type::Enum { size, .. } | Type::Flags { size, .. } => *size,
    }
}

/// Whether there are bytes that are no value of the type.
pub fn is_checked(ty: &Type) -> bool {
    match ty {
        Type::Unit | Type::Uint { .. } | Type::Int { .. } => false,
        Type::Bool | Type::Enum { .. } | Type::Flags { .. } => true,
        Type::Array { element, length } => *length > 0 && is_checked(element),
        Type::Slice { element } => is_checked(element),
        Type::Struct { fields, .. } => fields.iter().any(|field| is_checked(&field.ty)),
    }
}

/// How long the fixed arguments of a message are together.
pub fn args_len(message: &Method) -> u64 {
    message.args.iter().filter(|arg| !matches!(arg.ty, Type::Slice { .. })).map(|arg| size(&arg.ty)).sum()
}

/// A message's documentation, line by line as it was written, without what a terminal or a compiler would obey.
pub fn doc(message: &Method) -> Vec<String> {
    let clean = |line: &str| line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let lines = message.doc.iter().flatten().flat_map(|text| text.lines());
    lines.map(|line| clean(line).trim_end().to_owned()).collect()
}
