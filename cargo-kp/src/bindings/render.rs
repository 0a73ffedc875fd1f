//! Fills a template in.
use super::{errors, mark, names, sentences};
use anyhow::{Context, Result};
use kp_abi::{
    limits,
    request::{RequestNr, control_code, kind},
};
use kp_tool::schema::Schema;
use minijinja::{Environment, UndefinedBehavior, Value, context, syntax::SyntaxConfig};
use std::collections::BTreeMap;

/// The text that a template becomes. Beside its own `values` it has what all of them need: `schema` (`name`, `version`, `fingerprint`, `chains`,
/// `mark`), `statuses`, `sentences`, `limits`, `requests`, `kinds`.
///
/// # Errors
/// The template names what there is not.
pub fn render(name: &str, template: &str, schema: &Schema, values: Value) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_function("constant", |name: &str| names::screaming(name));
    environment.add_function("quoted", quoted);
    environment.add_function("say", sentences::say);
    // How many bytes or elements: nothing is said of one.
    environment.add_function("per", |size: u64| if size == 1 { String::new() } else { format!(" / {size}") });
    environment.add_function("times", |size: u64| if size == 1 { String::new() } else { format!(" * {size}") });
    environment.add_filter("hex", |number: u64, digits: usize| format!("0x{number:0digits$x}"));
    let all = context! { schema => of_schema(schema), statuses => errors::rows(), sentences => sentences::all(), limits => of_limits(), requests => requests(), kinds => kinds(), ..values };
    let text = environment.render_named_str(name, template, all).with_context(|| format!("template {name}"))?;
    Ok(text.trim_end().to_owned() + "\n")
}

fn of_schema(schema: &Schema) -> Value {
    context! {
        name => &schema.name, version => schema.version, fingerprint => schema.fingerprint(), mark => mark(schema),
        chains => &schema.chains, messages => schema.messages.len(),
    }
}

fn of_limits() -> Value {
    context! {
        abi_major => limits::ABI_MAJOR, abi_minor => limits::ABI_MINOR, max_args => limits::MAX_ARGS, max_data => limits::MAX_DATA,
        max_open_data => limits::MAX_OPEN_DATA, max_name => limits::MAX_NAME, max_vectors => limits::MAX_VECTORS,
    }
}

/// The kinds of interrupt.
fn kinds() -> Value {
    context! { line => kind::LINE, msi => kind::MSI, msix => kind::MSIX, any => kind::ANY }
}

/// Parameters, in lines of a bearable length.
pub fn wrapped(parameters: &[String], indent: &str, room: usize) -> String {
    let (mut out, mut width) = (String::new(), 0);
    for (at, parameter) in parameters.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        if at > 0 && width + parameter.len() + 2 > room {
            out.push_str(&format!("{comma}\n{indent}"));
            width = 0;
        } else if at > 0 {
            out.push_str(", ");
        }
        out.push_str(parameter);
        width += parameter.len() + 2;
    }
    out
}

/// A text of printable ASCII as C and Python write it.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The requests by name: `nr`, `first_size`, `control_code`, and the fields of the first version with their offsets.
fn requests() -> BTreeMap<&'static str, Value> {
    let all = RequestNr::ALL.iter().map(|nr| {
        let info = nr.info();
        let fields = info.fields.iter().filter(|(at, _)| *at < info.first_size);
        let fields: Vec<Value> = fields.map(|&(at, name)| context! { at, name }).collect();
        let of = context! {
            nr => info.nr, first_size => info.first_size, control_code => control_code(info.nr).unwrap_or_default(), fields,
        };
        (info.name, of)
    });
    all.collect()
}
