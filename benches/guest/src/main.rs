//! Counts the instructions of calls and interrupts in a guest whose clock is the count of its instructions, and prints a line for
//! each measure: `name count minimum median`.
//!
//! Ours and the baselines are called by the same loops. Modules are loaded and unloaded here, so that one boot has them all.
mod bystander;
mod call;
mod clock;
mod edu;
mod interrupt;
mod module;
mod ring;
mod transfer;
mod vfio;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["calls"] => call::run(),
        ["interrupts"] => interrupt::run(),
        ["vfio"] => interrupt::beside_vfio(),
        ["transfers"] => transfer::run(),
        ["transfers-vfio"] => transfer::beside_vfio(),
        ["call", who, size, count] => call::only(who, size, count),
        ["wake", who, count] => interrupt::only(who, count),
        _ => {
            Err("usage: bench-guest calls|interrupts|vfio|transfers|transfers-vfio|call ours|struct|plain|ring SIZE COUNT|wake ours|plain COUNT"
                .into())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
