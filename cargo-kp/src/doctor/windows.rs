//! What a Windows machine needs.
use super::{Finding, rust};
use crate::build::toolchain::Toolchain;
use crate::build::windows::sign::SIGNING_TOOL;
use std::process::Command;

/// Looks at this machine.
pub fn this(toolchain: anyhow::Result<Toolchain>) -> Vec<Finding> {
    let linker = toolchain.as_ref().map(Toolchain::linker);
    vec![
        rust(&toolchain),
        Finding {
            ok: matches!(linker, Ok(Ok(_))),
            needed: true,
            what: "rust-lld, to link drivers".into(),
            remedy: match linker {
                Ok(found) => found.err().map(|error| error.to_string()).unwrap_or_default(),
                Err(_) => "it comes with that Rust".into(),
            },
        },
        Finding {
            ok: Command::new("osslsigncode").arg("--version").output().is_ok(),
            needed: false,
            what: "osslsigncode, for --certificate".to_owned(),
            remedy: SIGNING_TOOL.to_owned(),
        },
    ]
}
