//! What the generated crates of both systems have in common.
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::plugin::Plugin;

/// What the generated crates have in common. A workspace of their own: the author's profiles and features stay out of it.
const MANIFEST: &str = r#"version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[profile.release]
panic = "abort"
lto = "fat"
codegen-units = 1
opt-level = 2
debug = 0
"#;

/// A generated crate's `Cargo.toml`: `name`, which depends on the plugin and on `port`, with `more` sections.
pub fn manifest(plugin: &Plugin, name: &str, (port, from): (&str, &toml::Table), more: &str) -> Result<String> {
    let dir = plugin.dir.to_str().with_context(|| format!("{} isn't UTF-8", plugin.dir.display()))?;
    let plugin_at = toml::Table::from_iter([("path".to_owned(), dir.into())]);
    let dependencies = [(plugin.name.clone(), plugin_at.into()), (port.to_owned(), from.clone().into())];
    let table = toml::Table::from_iter([("dependencies".to_owned(), toml::Table::from_iter(dependencies).into())]);
    Ok(format!("[package]\nname = \"{name}\"\n{MANIFEST}\n{more}{}", toml::to_string(&table)?))
}

/// Builds with the versions that the author's lock file names. Cargo drops from the crate's own what it doesn't need, so a
/// second copy says whether the author's has changed since.
pub fn lock(plugin: &Plugin, dir: &Path) -> Result<()> {
    let Ok(author) = fs::read_to_string(plugin.workspace.join("Cargo.lock")) else { return Ok(()) };
    if super::write(&dir.join("Cargo.lock.author"), &author)? {
        super::write(&dir.join("Cargo.lock"), &author)?;
    }
    Ok(())
}
