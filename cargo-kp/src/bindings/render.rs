//! Fills a template in.
use super::{errors, mark};
use anyhow::{Context, Result};
use kp_abi::{
    limits,
    request::{RequestNr, control_code},
};
use kp_tool::schema::Schema;
use minijinja::{Environment, UndefinedBehavior, Value, context, syntax::SyntaxConfig};

/// The text that a template becomes. Beside its own `values` it has what all of them need: `schema` (`name`, `version`, `fingerprint`, `chains`,
/// `mark`), `statuses`, `limits`, `requests`.
///
/// # Errors
/// The template names what there is not.
pub fn render(name: &str, template: &str, schema: &Schema, values: Value) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_filter("hex", |number: u64, digits: usize| format!("0x{number:0digits$x}"));
    let all = context! { schema => of_schema(schema), statuses => errors::rows(), limits => of_limits(), requests => requests(), ..values };
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

/// The requests by name: `nr`, `first_size`, `control_code`, and the fields of the first version with their offsets.
fn requests() -> Value {
    let all = RequestNr::ALL.iter().map(|nr| {
        let info = nr.info();
        let fields = info.fields.iter().filter(|(at, _)| *at < info.first_size);
        let fields: Vec<Value> = fields.map(|&(at, name)| context! { at, name }).collect();
        let of = context! {
            nr => info.nr, first_size => info.first_size, control_code => control_code(info.nr).unwrap_or_default(), fields,
        };
        (info.name, of)
    });
    Value::from_iter(all)
}
