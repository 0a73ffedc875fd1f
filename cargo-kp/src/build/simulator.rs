//! A program with a plugin and a model of its device in the simulator: it is generated, and built for this machine.
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use kp_tool::Message;

use super::plugin::{Model, Plugin};
use super::{generated, write};

/// What the program, and a model, may use.
const CRATES: [&str; 4] = ["kp-abi", "kp-core", "kp-sim", "kp-user"];

/// The program's path. Compiler messages go to standard error.
///
/// # Errors
/// [`Message::NoModelFile`], [`Message::DoesNotCompile`].
pub fn simulator(plugin: &Plugin) -> Result<PathBuf> {
    let _lock = super::lock(plugin)?;
    let dir = plugin.output.join(&plugin.name).join("sim");
    let name = format!("kp-sim-{}", plugin.name);
    let crates = CRATES.map(|name| plugin.companion(name).map(|from| (name, from)));
    let crates = crates.into_iter().collect::<Result<Vec<_>>>()?;
    let crates: Vec<_> = crates.iter().map(|(name, from)| (*name, from)).collect();
    write(&dir.join("Cargo.toml"), generated::manifest(plugin, &name, &crates, "")?)?;
    write(&dir.join("src/main.rs"), main(plugin)?)?;
    generated::lock(plugin, &dir)?;
    // With what `cargo kp schema` has built of the same crates.
    let target = plugin.output.join("build/here");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet"])
        .current_dir(&dir)
        .env("CARGO_TARGET_DIR", &target)
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        return Err(Message::DoesNotCompile { plugin: plugin.name.clone() }.into());
    }
    Ok(target.join("debug").join(name))
}

/// The program's source.
fn main(plugin: &Plugin) -> Result<String> {
    let (module, device) = match &plugin.model {
        None => (String::new(), String::new()),
        Some(Model::Type(path)) => (String::new(), format!(".device({path}::new())")),
        Some(Model::File(file)) => {
            let path = plugin.dir.join(file);
            if !path.is_file() {
                let file = path.display().to_string();
                return Err(Message::NoModelFile { file, plugin: plugin.name.clone() }.into());
            }
            let path = path.to_str().with_context(|| format!("{} isn't UTF-8", path.display()))?;
            let module = format!(
                "#[allow(dead_code, reason = \"the plugin's tests use more of it\")]\n#[path = {path:?}]\nmod model;\n\n"
            );
            (module, ".device(model::Model::new())".to_owned())
        }
    };
    Ok(format!(
        "{module}fn main() -> std::process::ExitCode {{\n    \
             kp_sim::socket::program(kp_sim::Sim::<{}::__KpPlugin>::builder(){device})\n}}\n",
        plugin.crate_name
    ))
}
