//! C: one header.
use super::{File, render::render};
use anyhow::Result;
use kp_tool::schema::Schema;
use minijinja::context;

/// The header.
pub fn files(schema: &Schema) -> Result<Vec<File>> {
    let text = render("plugin.h", include_str!("../../templates/bindings/plugin.h.jinja"), schema, context! {})?;
    Ok(vec![File { path: format!("{}.h", schema.name), text }])
}
