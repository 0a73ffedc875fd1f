//! `cargo kp regs`.
use super::{Source, read, source};
use crate::{build, command::Command};
use anyhow::{Context, Result};
use kp_tool::Message;
use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

/// Makes a plugin's `src/registers.rs` anew from its register file. Nothing else is written.
#[derive(Debug, clap::Args)]
pub struct RegsArgs {
    /// The plugin's package. Without it: the package here, or the only plugin of the workspace.
    #[arg(short, long, value_name = "PLUGIN")]
    plugin: Option<String>,
    /// Write nothing: fail if the file is not what would be written.
    #[arg(long)]
    check: bool,
}

impl Command for RegsArgs {
    fn run(self) -> Result<()> {
        let plugin = build::select(self.plugin.as_deref(), Path::new("."))?;
        let from = register_file(&plugin.dir, &plugin.name)?;
        let text = source(&read(&from)?);
        let file = plugin.dir.join("src/registers.rs");
        let there = match fs::read_to_string(&file) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        // A checkout may have its own ends of lines.
        let same = there.is_some_and(|there| there.replace("\r\n", "\n") == text);
        match (same, self.check) {
            (true, _) => println!("{}: up to date", file.display()),
            (false, true) => {
                let (file, from) = (file.display().to_string(), from.file.display().to_string());
                return Err(Message::RegistersStale { file, from, plugin: plugin.name }.into());
            }
            (false, false) => {
                replace(&file, &text)?;
                println!("{}: written", file.display());
            }
        }
        Ok(())
    }
}

/// The file that `[package.metadata.kp] registers` names, and the blocks that `bars` names.
fn register_file(dir: &Path, plugin: &str) -> Result<Source> {
    let manifest = dir.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let table: toml::Table = text.parse().with_context(|| format!("cannot read {}", manifest.display()))?;
    let named = ["package", "metadata", "kp"].iter().try_fold(&table, |table, key| table.get(*key)?.as_table());
    let said = named.and_then(|kp| kp.get("registers")?.as_str());
    let said = said.ok_or_else(|| Message::NoRegistersNamed { plugin: plugin.to_owned() })?;
    let bars = named.and_then(|kp| kp.get("bars")?.as_array()).into_iter().flatten();
    let bars: Vec<String> = bars.map(|bar| bar.as_str().unwrap_or_default().to_owned()).collect();
    let source = Source::parse(said, &bars)?;
    Ok(Source { file: plain(&dir.join(&source.file)), ..source })
}

/// A path without `..`, where that leads to the same file: behind a link `..` is another folder.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match (part, plain.components().next_back()) {
            (Component::ParentDir, Some(Component::Normal(_))) => drop(plain.pop()),
            _ => plain.push(part),
        }
    }
    if fs::canonicalize(&plain).ok() == fs::canonicalize(path).ok() { plain } else { path.to_owned() }
}

/// Puts a text in a file's place: the file has either its old one or all of the new one.
fn replace(file: &Path, text: &str) -> Result<()> {
    let new = file.with_extension("rs.new");
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, file));
    if written.is_err() {
        let _ = fs::remove_file(&new); // what the error below is about matters more
    }
    written.with_context(|| format!("cannot write {}", file.display()))
}
