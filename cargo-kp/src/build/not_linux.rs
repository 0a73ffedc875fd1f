//! What stands in for `linux` on Windows, where no module can be built: kernels' own build files need Linux.
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::plugin::Plugin;

/// There is no kernel to build for.
pub enum Wanted {}

impl Wanted {
    /// Refuses each, and to guess.
    pub fn find(name: Option<&str>, _setup: bool, _cc: Option<&str>) -> Result<Wanted> {
        match name {
            Some(name) => bail!(
                "{name} needs Linux: modules are built there; here there are --target windows and --target windows-arm64"
            ),
            None => bail!("for which processor? Name it with --target windows (x64) or --target windows-arm64"),
        }
    }

    /// There is no module.
    pub fn path(&self, _plugin: &Plugin) -> Result<PathBuf> {
        match *self {}
    }
}

/// Builds none.
pub struct Modules;

impl Modules {
    /// None of a plugin.
    pub fn of(_plugin: &Plugin) -> Self {
        Modules
    }

    /// There is nothing to build.
    pub fn build(&mut self, wanted: &Wanted) -> Result<PathBuf> {
        match *wanted {}
    }
}
