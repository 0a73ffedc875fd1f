//! What stands in for `linux` on Windows, where no module can be built: kernels' own build files need Linux.
use std::convert::Infallible;

use anyhow::{Result, bail};

use super::plugin::Plugin;

/// There is no kernel to build for.
pub type Target = Infallible;

/// Refuses each.
pub fn find(name: &str, _setup: bool) -> Result<Target> {
    bail!("{name} needs Linux: modules are built there; here there are --target windows and --target windows-arm64")
}

/// Refuses to guess.
pub fn default(_setup: bool) -> Result<Target> {
    bail!("for which processor? Name it with --target windows (x64) or --target windows-arm64")
}

/// Builds none.
pub fn modules(_plugin: &Plugin, _targets: &[Target], _cc: Option<&str>) -> Result<()> {
    Ok(())
}
