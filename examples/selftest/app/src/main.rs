//! Runs the story against the driver: `selftest-app [NAME]`, where NAME is `selftest` for the first card or `selftest.1` for another.
#![forbid(unsafe_code)]

use kp_user::Plugin;
use selftest_interface::selftest;
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_else(|| "selftest".into());
    let run = || {
        let plugin = Plugin::open_interface(&name, selftest::INTERFACE, &[])?;
        selftest_app::run(&plugin, &mut std::io::stdout())
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("selftest-app: {error}");
            ExitCode::FAILURE
        }
    }
}
