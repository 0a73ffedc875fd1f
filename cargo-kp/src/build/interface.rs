//! A plugin's interface, from its source: a program is generated that prints it, and run here.
use anyhow::{Context, Result};
use kp_tool::Message;
use std::process::{Command, Stdio};

use super::plugin::Plugin;
use super::{generated, write};

/// The plugin's interface as the bytes of `kp_abi::schema_bytes`; none, if it has no interface. Compiler messages go to standard error.
///
/// # Errors
/// The plugin does not compile.
pub fn interface(plugin: &Plugin) -> Result<Vec<u8>> {
    let _lock = super::lock(plugin)?;
    let dir = plugin.output.join(&plugin.name).join("schema");
    let name = format!("kp-schema-{}", plugin.name);
    write(&dir.join("Cargo.toml"), generated::manifest(plugin, &name, &[], "")?)?;
    // A constant: nothing of the plugin's is linked, so no kernel is needed either.
    let main = format!(
        "use std::io::Write as _;\n\n\
         const SCHEMA: &[u8] = {}::__KP_SCHEMA;\n\n\
         fn main() -> std::io::Result<()> {{\n    std::io::stdout().write_all(SCHEMA)\n}}\n",
        plugin.crate_name
    );
    write(&dir.join("src/main.rs"), main)?;
    generated::lock(plugin, &dir)?;
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["run", "--quiet"])
        .current_dir(&dir)
        .env("CARGO_TARGET_DIR", plugin.output.join("build/here"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        return Err(Message::DoesNotCompile { plugin: plugin.name.clone() }.into());
    }
    Ok(output.stdout)
}
