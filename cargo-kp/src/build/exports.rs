//! What a kernel exports to modules, from its `Module.symvers`.
use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use object::{Object as _, ObjectSymbol as _};

use super::check::Refusal;

/// The names that a kernel and its own modules export.
#[derive(Debug, Clone, Default)]
pub struct Exports {
    names: HashSet<String>,
}

impl Exports {
    /// Reads the list that comes with a kernel's headers.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn of(headers: &Path) -> Result<Exports> {
        let path = headers.join("Module.symvers");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Exports::parse(&text))
    }

    /// Reads lines of checksum, name, module and kind of export, set apart by tabs.
    pub fn parse(text: &str) -> Exports {
        let fields = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let names = fields.filter(|fields| fields.len() >= 4);
        Exports { names: names.map(|fields| fields[1].to_owned()).collect() }
    }

    /// Whether modules can call `name`.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

/// The names that an object leaves undefined, in order.
///
/// # Errors
/// [`Refusal::Malformed`].
pub fn imports(object: &[u8]) -> Result<Vec<String>, Refusal> {
    let file = object::File::parse(object)?;
    let mut names = Vec::new();
    for symbol in file.symbols().filter(|symbol| symbol.is_undefined()) {
        let name = symbol.name()?;
        if !name.is_empty() {
            names.push(name.to_owned());
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}
