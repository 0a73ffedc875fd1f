//! C code that a plugin brings, in a crate whose build script compiles it by the `cc` crate.
//!
//! [`Kit`] has that crate take the compiler and the options that a kernel needs; it reads them from its environment. What comes of
//! it is in the archive that a module is made of, and is checked with it. A driver is linked from it and from an object file of the
//! Rust half, so `linked` finds it for the checks.
mod linked;
#[cfg_attr(unix, path = "on_linux.rs")]
#[cfg_attr(not(unix), path = "on_windows.rs")]
mod machine;

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::plugin::Plugin;

pub use self::linked::{no_floating_point, nothing_is_missing, objects};

/// The only header of the C library. Others are the compiler's own: stdint.h, stddef.h, stdbool.h, stdarg.h, limits.h.
const STRING_H: &str = include_str!("string.h");
/// What drivers are compiled with, in Microsoft's words. That calls through pointers are checked they learn from Rust's flags.
const WINDOWS: &[&str] = &["/kernel", "/GS-", "/Gy", "/Gw"];
/// The variables of the person who builds, which would change the code.
const FOREIGN: [&str; 7] =
    ["CFLAGS", "TARGET_CFLAGS", "CRATE_CC_NO_DEFAULTS", "CPATH", "C_INCLUDE_PATH", "ARFLAGS", "TARGET_ARFLAGS"];

/// A compiler of C for one target.
pub struct Kit {
    variables: Vec<(String, OsString)>,
}

impl Kit {
    /// The one for `triple`, for the crate that was generated in `dir`. `cargo` can be asked about that; `linker`: lld, where
    /// it is a driver's; `more`: what one kernel's modules are compiled with besides.
    ///
    /// # Errors
    /// It is missing, and a crate that the plugin depends on has C code. The message says what to do.
    pub fn find(
        plugin: &Plugin,
        cargo: Command,
        dir: &Path,
        triple: &str,
        linker: Option<&Path>,
        more: &[String],
    ) -> Result<Kit> {
        let target = triple.replace('-', "_");
        let variables = machine::variables(plugin, cargo, dir, triple, linker, more)?;
        Ok(Kit { variables: variables.into_iter().map(|(name, value)| (format!("{name}_{target}"), value)).collect() })
    }

    /// Gives it to a Cargo.
    pub fn give<'command>(&self, cargo: &'command mut Command) -> &'command mut Command {
        for name in FOREIGN {
            cargo.env_remove(name);
        }
        // Folders may have blanks in their names.
        cargo.env("CC_SHELL_ESCAPED_FLAGS", "1").envs(self.variables.iter().map(|(name, value)| (name, value)))
    }
}
