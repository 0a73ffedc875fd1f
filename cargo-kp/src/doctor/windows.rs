//! What a Windows machine needs.
use super::Finding;
use crate::build::toolchain::Toolchain;
use crate::build::windows::sign::SIGNING_TOOL;
use std::process::Command;

/// Looks at this machine.
pub fn this() -> Vec<Finding> {
    let needed = |what: &str, looked_for: anyhow::Result<()>| Finding {
        ok: looked_for.is_ok(),
        needed: true,
        what: what.to_owned(),
        remedy: looked_for.err().map(|error| error.to_string()).unwrap_or_default(),
    };
    vec![
        needed("Rust, with its core library as source", Toolchain::find().map(|_| ())),
        needed("rust-lld, to link drivers", Toolchain::here().and_then(|here| here.linker()).map(|_| ())),
        Finding {
            ok: Command::new("osslsigncode").arg("--version").output().is_ok(),
            needed: false,
            what: "osslsigncode, for --certificate".to_owned(),
            remedy: SIGNING_TOOL.to_owned(),
        },
    ]
}
