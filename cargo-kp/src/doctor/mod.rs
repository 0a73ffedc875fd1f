//! Says what this machine has and lacks.
#[cfg_attr(unix, path = "linux.rs")]
#[cfg_attr(not(unix), path = "windows.rs")]
mod system;

use crate::build::toolchain::{self, Toolchain};
use crate::command::Command;
use anyhow::{Result, bail};
use clap::Args;

/// One line of the doctor's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is as it should be.
    pub ok: bool,
    /// Whether building or booting fails without it.
    pub needed: bool,
    /// What was looked at, and found.
    pub what: String,
    /// What to do if it is lacking.
    pub remedy: String,
}

/// Whether there is a Rust to build kernel code with, and which.
fn rust(found: &Result<Toolchain>) -> Finding {
    Finding {
        ok: found.is_ok(),
        needed: true,
        what: match found {
            Ok(toolchain) => format!("{}, with the source of its library", toolchain.name()),
            Err(_) => "Rust with the source of its library".into(),
        },
        remedy: found.as_ref().err().map(|error| format!("{error:#}")).unwrap_or_default(),
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match (self.ok, self.needed) {
            (true, _) => "ok",
            (false, true) => "lack",
            (false, false) => "note",
        };
        write!(f, "{word:4}  {}", self.what)?;
        if self.ok { Ok(()) } else { write!(f, " — {}", self.remedy) }
    }
}

#[cfg_attr(unix, doc = "Lists what this machine has and lacks for building and booting.")]
#[cfg_attr(not(unix), doc = "Lists what this machine has and lacks for building drivers.")]
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Look at this Rust, as for `cargo kp build`.
    #[arg(long, value_name = "DIR|NAME")]
    pub toolchain: Option<String>,
}

impl Command for DoctorArgs {
    /// The list goes to stdout. Fails if something is lacking that building or booting needs.
    fn run(self) -> Result<()> {
        let choice = self.toolchain.or_else(toolchain::from_environment);
        let findings = system::this(Toolchain::find(choice.as_deref()));
        findings.iter().for_each(|finding| println!("{finding}"));
        match findings.iter().filter(|finding| finding.needed && !finding.ok).count() {
            0 => Ok(()),
            count => bail!("{count} needed here and lacking: do what the lines say, then run `cargo kp doctor` again"),
        }
    }
}
