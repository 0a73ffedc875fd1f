//! A schema's types in C: as bytes they are what they are on the wire.
use super::{
    names::{self, C_AND_CPP, Names},
    types,
};
use kp_tool::schema::{Field, Schema, Type, Value as Variant};
use minijinja::{Value, context};

/// The types with names, and what they are called.
pub struct CTypes<'a> {
    /// What the names begin with.
    pub prefix: String,
    named: Vec<Named<'a>>,
}

/// A type with a name.
struct Named<'a> {
    ty: &'a Type,
    /// `card_style_t`.
    name: String,
    /// The function that looks whether bytes are a value; none is needed if all are.
    is: Option<String>,
    /// The names of fields, or the constants of values.
    members: Vec<String>,
}

/// A type without the arrays that it is in, and how many it is of them all together. A list is so many of its elements.
pub fn flat(ty: &Type) -> (&Type, u64) {
    match ty {
        Type::Array { element, length } => {
            let (base, many) = flat(element);
            (base, many * length)
        }
        Type::Slice { element } => flat(element),
        ty => (ty, 1),
    }
}

/// A field with the lengths of its arrays, the outer one first.
pub fn lengths(ty: &Type) -> Vec<u64> {
    match ty {
        Type::Array { element, length } => [vec![*length], lengths(element)].concat(),
        _ => Vec::new(),
    }
}

/// What a C compiler makes of a struct's fields without being told: whether it puts them where they are on the wire. Fields stand back to back
/// then, each at a multiple of its alignment, which is another in a program of 32 bits and puts nothing elsewhere.
pub fn is_natural(size: u64, fields: &[Field]) -> bool {
    let mut end = 0;
    for field in fields.iter().filter(|field| types::size(&field.ty) > 0) {
        if field.offset != end || field.offset % align(&field.ty) != 0 {
            return false;
        }
        end += types::size(&field.ty);
    }
    end == size && fields.iter().all(|field| size.is_multiple_of(align(&field.ty)))
}

fn align(ty: &Type) -> u64 {
    match ty {
        Type::Struct { size, fields, .. } if is_natural(*size, fields) => {
            fields.iter().map(|field| align(&field.ty)).max().unwrap_or(1)
        }
        Type::Struct { .. } => 1,
        Type::Array { element, .. } | Type::Slice { element } => {
            if types::size(element) == 0 {
                1
            } else {
                align(element)
            }
        }
        ty => types::size(ty).max(1),
    }
}

/// Parts of a struct that no field has: offset and length.
pub fn gaps(size: u64, fields: &[Field]) -> Vec<(u64, u64)> {
    let mut end = 0;
    let mut gaps = Vec::new();
    let ends = fields.iter().map(|field| (field.offset, types::size(&field.ty))).chain([(size, 0)]);
    for (offset, len) in ends {
        if offset > end {
            gaps.push((end, offset - end));
        }
        end = end.max(offset + len);
    }
    gaps
}

impl<'a> CTypes<'a> {
    /// The names. Functions and constants are those of the whole header.
    pub fn of(schema: &'a Schema, prefix: &str, functions: &mut Names, constants: &mut Names) -> Self {
        let upper = prefix.to_ascii_uppercase();
        let named = types::named(schema).into_iter().filter(|ty| types::size(ty) > 0).map(|ty| {
            let (Type::Struct { name, .. } | Type::Enum { name, .. } | Type::Flags { name, .. }) = ty else {
                return Named { ty, name: String::new(), is: None, members: Vec::new() };
            };
            let part = names::part(name);
            let its = functions.give(&format!("{prefix}_{part}_t"));
            let is = types::is_checked(ty).then(|| functions.give(&format!("kpi_{its}_is")));
            Named {
                ty,
                name: its,
                is,
                members: members(ty, &format!("{upper}_{}", names::screaming_part(name)), constants),
            }
        });
        CTypes { prefix: prefix.to_owned(), named: named.collect() }
    }

    fn find(&self, ty: &Type) -> Option<&Named<'a>> {
        self.named.iter().find(|named| named.ty == ty)
    }

    /// What a type is called that is no array and no list.
    pub fn name(&self, ty: &Type) -> String {
        match ty {
            Type::Bool => "bool".to_owned(),
            Type::Uint { size } => format!("uint{}_t", 8 * size),
            Type::Int { size } => format!("int{}_t", 8 * size),
            ty => self.find(ty).map(|named| named.name.clone()).unwrap_or_default(),
        }
    }

    /// The function that looks whether bytes are a value.
    fn is(&self, ty: &Type) -> Option<String> {
        match ty {
            Type::Bool => Some("kpi_is_bool".to_owned()),
            ty => self.find(ty)?.is.clone(),
        }
    }

    /// An expression that says whether the bytes at `at` are a value; none if all are.
    pub fn check(&self, ty: &Type, at: &str) -> Option<String> {
        if !types::is_checked(ty) {
            return None;
        }
        let (base, many) = flat(ty);
        let is = self.is(base)?;
        match ty {
            Type::Array { .. } => Some(format!("kpi_are({is}, {at}, {many}, {})", types::size(base))),
            _ => Some(format!("{is}({at})")),
        }
    }

    /// The same of so many elements at `at`.
    pub fn check_each(&self, element: &Type, at: &str, count: &str) -> Option<String> {
        if !types::is_checked(element) {
            return None;
        }
        let (base, many) = flat(element);
        let count = if many == 1 { count.to_owned() } else { format!("{count} * {many}") };
        Some(format!("kpi_are({}, {at}, {count}, {})", self.is(base)?, types::size(base)))
    }

    /// The types, as the template has them.
    pub fn declarations(&self) -> Vec<Value> {
        self.named.iter().map(|named| self.declaration(named)).collect()
    }

    fn declaration(&self, Named { ty, name, is, members }: &Named<'_>) -> Value {
        match ty {
            Type::Struct { size, fields, .. } => {
                let mut lines: Vec<(u64, Value)> = Vec::new();
                let mut checks = Vec::new();
                for (field, its) in fields.iter().zip(members).filter(|(field, _)| types::size(&field.ty) > 0) {
                    let lengths: String = lengths(&field.ty).iter().map(|length| format!("[{length}]")).collect();
                    let declaration = format!("{} {its}{lengths}", self.name(flat(&field.ty).0));
                    lines.push((field.offset, context! { declaration, name => its, offset => field.offset }));
                    checks.extend(self.check(&field.ty, &format!("value + {}", field.offset)));
                }
                for (at, len) in gaps(*size, fields) {
                    lines.push((at, context! { declaration => format!("uint8_t kpi_gap_{at}[{len}]"), name => false }));
                }
                lines.sort_by_key(|(at, _)| *at);
                let fields_of: Vec<Value> = lines.into_iter().map(|(_, line)| line).collect();
                context! { kind => "struct", name, size, packed => !is_natural(*size, fields), fields => fields_of, checks, is }
            }
            Type::Enum { size, values, .. } => {
                let all = values.iter().map(|value| format!("it == UINT{}_C({})", 8 * size, value.value));
                let mut all: Vec<String> = all.collect();
                all.sort();
                all.dedup();
                let test = if all.is_empty() { "false".to_owned() } else { all.join(" || ") };
                of_values("enum", name, *size, values, members, &test, is.as_deref())
            }
            Type::Flags { size, values, .. } => {
                let mask = values.iter().fold(0, |mask, value| mask | value.value);
                let mask = format!("UINT{}_C({mask})", 8 * size);
                let test = format!("(it | {mask}) == {mask}");
                of_values("flags", name, *size, values, members, &test, is.as_deref())
            }
            _ => context! { kind => "none", name },
        }
    }
}

fn of_values(
    kind: &str,
    name: &str,
    size: u64,
    values: &[Variant],
    constants: &[String],
    test: &str,
    is: Option<&str>,
) -> Value {
    let values = values.iter().zip(constants).map(|(value, constant)| context! { constant, value => value.value });
    context! { kind, name, bits => 8 * size, values => values.collect::<Vec<_>>(), test, is }
}

/// The names of a type's fields, or of its values' constants.
fn members(ty: &Type, upper: &str, constants: &mut Names) -> Vec<String> {
    match ty {
        Type::Struct { fields, .. } => {
            let mut taken = Names::without(C_AND_CPP.iter().copied());
            fields.iter().map(|field| taken.give(&names::snake(&field.name))).collect()
        }
        Type::Enum { values, .. } | Type::Flags { values, .. } => values
            .iter()
            .map(|value| constants.give(&format!("{upper}_{}", names::screaming_part(&value.name))))
            .collect(),
        _ => Vec::new(),
    }
}
