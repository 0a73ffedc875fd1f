//! Runs the story against the driver: `edu-app [NAME]`, where NAME is `edu` for the first device or `edu.1` for another.
#![forbid(unsafe_code)]

use edu_interface::edu;
use kp_user::Plugin;
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_else(|| "edu".into());
    let run = || {
        let plugin = Plugin::open_interface(&name, edu::INTERFACE, &[])?;
        edu_app::run(&plugin, &mut std::io::stdout())
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("edu-app: {error}");
            ExitCode::FAILURE
        }
    }
}
