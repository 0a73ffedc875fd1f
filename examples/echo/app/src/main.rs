//! `echo-app [TEXT]`: says it to the driver.
#![forbid(unsafe_code)]

use echo_interface::echo;
use kp_user::Plugin;
use std::process::ExitCode;

fn main() -> ExitCode {
    let text = std::env::args().nth(1).unwrap_or_else(|| "hello, kernel".into());
    let run = || {
        let plugin = Plugin::open_interface("echo", echo::INTERFACE, &[])?;
        echo_app::run(&plugin, &text, &mut std::io::stdout())
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo-app: {error}");
            ExitCode::FAILURE
        }
    }
}
