//! The compiler of a Windows machine: the cc crate finds Visual Studio's, or takes the one that CC names.
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::WINDOWS;
use crate::build::plugin::Plugin;

/// The variables of the cc crate.
pub(super) fn variables(
    _: &Plugin,
    _: Command,
    _: &Path,
    _: &str,
    _: Option<&Path>,
    _: &[String],
) -> Result<Vec<(&'static str, OsString)>> {
    Ok(vec![("CFLAGS", WINDOWS.join(" ").into())])
}
