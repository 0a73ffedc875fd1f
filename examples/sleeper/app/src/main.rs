//! Runs the story against the driver: `sleeper-app [NAME]`, where NAME is `sleeper` for the first device or `sleeper.1` for another.
#![forbid(unsafe_code)]

use kp_user::Plugin;
use sleeper_interface::sleeper;
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_else(|| "sleeper".into());
    let run = || {
        let plugin = Plugin::open_interface(&name, sleeper::INTERFACE, &[])?;
        sleeper_app::run(&plugin, &mut wait_for_enter, &mut std::io::stdout())
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sleeper-app: {error}");
            ExitCode::FAILURE
        }
    }
}

fn wait_for_enter() {
    eprintln!("let the machine sleep and wake, or reset the device; then press Enter");
    let _ = std::io::stdin().read_line(&mut String::new());
}
