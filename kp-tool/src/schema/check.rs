//! What has to hold of a schema, whichever form it came in: whoever works with one relies on it.
use super::{Bad, Field, Method, Schema, Type, Value};
use kp_abi::{limits::MAX_ARGS, schema_bytes::MAX_DEPTH};

impl Schema {
    /// The schema, if it is one that `interface!` can have written.
    pub(super) fn checked(self) -> Result<Self, Bad> {
        named(&self.name)?;
        for (index, message) in self.messages.iter().enumerate() {
            if u64::from(message.id) != index as u64 + 1 {
                return Err(Bad::new(format!("message {} is not number {}", message.id, index + 1)));
            }
            check_message(message).map_err(|bad| Bad::new(format!("message {}: {bad}", message.id)))?;
        }
        if self.chains != self.computed_chains() {
            return Err(Bad::new("its chain is not that of its messages"));
        }
        Ok(self)
    }
}

/// A name is one of Rust's, or one that kp has made. None has what a terminal would obey.
fn named(name: &str) -> Result<(), Bad> {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '#');
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(Bad::new(format!("{name:?} is no name")));
    }
    Ok(())
}

fn check_message(message: &Method) -> Result<(), Bad> {
    named(&message.name)?;
    let mut end = 0;
    for (index, arg) in message.args.iter().enumerate() {
        named(&arg.name)?;
        if arg.offset != end {
            return Err(Bad::new(format!("{} is not behind what is before it", arg.name)));
        }
        match &arg.ty {
            Type::Slice { element } if index + 1 == message.args.len() => check_element(element)?,
            ty => end += check_sized(ty, 0)?,
        }
    }
    if end > MAX_ARGS as u64 {
        return Err(Bad::new(format!("its arguments have {end} bytes, and {MAX_ARGS} is the most")));
    }
    match &message.reply {
        Type::Slice { element } => check_element(element),
        ty => check_sized(ty, 0).map(|_| ()),
    }
}

fn check_element(ty: &Type) -> Result<(), Bad> {
    if check_sized(ty, 1)? == 0 { Err(Bad::new("the elements of a list have no bytes")) } else { Ok(()) }
}

/// The size of a type that has one. `depth`: how many types it is in.
fn check_sized(ty: &Type, depth: usize) -> Result<u64, Bad> {
    if depth >= MAX_DEPTH {
        return Err(Bad::new(format!("its types are more than {MAX_DEPTH} deep")));
    }
    match ty {
        Type::Unit => Ok(0),
        Type::Bool => Ok(1),
        Type::Uint { size } | Type::Int { size } => check_integer(*size),
        Type::Array { element, length } => {
            let size = check_sized(element, depth + 1)?.checked_mul(*length).filter(|size| *size <= u32::MAX.into());
            size.ok_or_else(|| Bad::new("an array is too long"))
        }
        Type::Slice { .. } => Err(Bad::new("a list stands where none can be")),
        Type::Struct { name, size, fields } => {
            named(name)?;
            if *size > u32::MAX.into() {
                return Err(Bad::new(format!("{name} is too long")));
            }
            check_fields(name, *size, fields, depth + 1)?;
            Ok(*size)
        }
        Type::Enum { name, size, values } | Type::Flags { name, size, values } => {
            named(name)?;
            check_integer(*size)?;
            check_values(name, *size, values)?;
            Ok(*size)
        }
    }
}

fn check_integer(size: u64) -> Result<u64, Bad> {
    if matches!(size, 1 | 2 | 4 | 8) { Ok(size) } else { Err(Bad::new(format!("an integer has {size} bytes"))) }
}

/// Fields are inside of their struct, and none begins in another.
fn check_fields(of: &str, size: u64, fields: &[Field], depth: usize) -> Result<(), Bad> {
    let mut end = 0;
    for field in fields {
        named(&field.name)?;
        let len = check_sized(&field.ty, depth)?;
        let next = field.offset.checked_add(len).filter(|next| field.offset >= end && *next <= size);
        end = next.ok_or_else(|| Bad::new(format!("{}.{} is not inside of {of}", of, field.name)))?;
    }
    Ok(())
}

fn check_values(of: &str, size: u64, values: &[Value]) -> Result<(), Bad> {
    for value in values {
        named(&value.name)?;
        if size < 8 && value.value >> (8 * size) != 0 {
            return Err(Bad::new(format!("{of}::{} does not fit", value.name)));
        }
    }
    Ok(())
}
