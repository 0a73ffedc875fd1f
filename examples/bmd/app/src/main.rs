//! Runs the story against the driver: `bmd-app [NAME]`, where NAME is `bmd` for the first device or `bmd.1` for another.
#![forbid(unsafe_code)]

use bmd_interface::bmd;
use kp_user::Plugin;
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_else(|| "bmd".into());
    let run = || {
        let plugin = Plugin::open_interface(&name, bmd::INTERFACE, &[])?;
        bmd_app::run(&plugin, &mut std::io::stdout())
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bmd-app: {error}");
            ExitCode::FAILURE
        }
    }
}
