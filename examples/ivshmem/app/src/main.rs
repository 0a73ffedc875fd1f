//! Runs the story against the driver: `ivshmem-app [NAME]`, where NAME is `ivshmem` for the first device or `ivshmem.1` for another.
#![forbid(unsafe_code)]

use ivshmem_interface::ivshmem;
use kp_user::Plugin;
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_else(|| "ivshmem".into());
    let run = || {
        let plugin = Plugin::open_interface(&name, ivshmem::INTERFACE, &[])?;
        ivshmem_app::run(&plugin, &mut std::io::stdout())
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ivshmem-app: {error}");
            ExitCode::FAILURE
        }
    }
}
