//! Runs the scenario on one host and prints its transcript, and nothing else; or one of the tests that are for a single kind of host.
#[cfg(all(target_pointer_width = "64", not(windows)))]
use conformance::simulated;
use conformance::{Part, World, registry};
use std::{process::ExitCode, time::Duration};

const USAGE: &str = "usage: conformance --host sim|sim:qemu|guest|windows [--part calls|interrupts|transfers|all]
       conformance --host windows:loader|windows:loader-qemu --part calls|interrupts|transfers|all --drivers FOLDER
       conformance list [WORDS]
       conformance TEST [ARGUMENTS]
       conformance loader-qemu TEST [ARGUMENTS], a test of `loader` with QEMU's device in the place of the model";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Elsewhere a panic may be what a test is about.
    if !matches!(
        arguments[..],
        ["loader" | "loader-qemu", ..] | ["--host", "sim" | "sim:qemu", ..] | ["--host", .., "--drivers", _]
    ) {
        end_what_hangs_in_a_panic();
    }
    let result = match arguments[..] {
        ["--host", host] => world(host).and_then(|world| transcript(world, Part::All)),
        ["--host", host, "--part", part] => {
            part.parse().and_then(|part| world(host).and_then(|world| transcript(world, part)))
        }
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        ["--host", host, "--part", part, "--drivers", drivers] => {
            part.parse().and_then(|part| loader(host, drivers).and_then(|world| transcript(world, part)))
        }
        ["list", ref words @ ..] => registry::list(words).map(|list| print!("{list}")),
        #[cfg(windows)]
        ["with-echo", program, ref arguments @ ..] => conformance::windows::life::with_echo(program, arguments),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        [] | ["--host", ..] => Err(USAGE.into()),
        ["loader", ..] => {
            #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
            conformance::loader::end_what_hangs();
            registry::run(&arguments)
        }
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        ["loader-qemu", ref words @ ..] => {
            conformance::loader::end_what_hangs();
            conformance::loader::use_qemu();
            registry::run(&[&["loader"], words].concat())
        }
        _ => registry::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How long the way out of a panic may take.
const WAY_OUT: Duration = Duration::from_secs(30);

/// A test that fails waits for its other threads on its way out, and one of them may wait for what the test does not do any more.
fn end_what_hangs_in_a_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::thread::spawn(|| {
            std::thread::sleep(WAY_OUT);
            eprintln!("error: another thread never ended after the panic above");
            std::process::exit(1);
        });
    }));
}

fn transcript(mut world: Box<dyn World>, part: Part) -> Result<(), String> {
    let text = conformance::scenario(&mut *world, part);
    print!("{text}");
    if text == part.snapshot() { Ok(()) } else { Err("the transcript is not the one in transcript.txt".into()) }
}

fn world(host: &str) -> Result<Box<dyn World>, String> {
    match host {
        #[cfg(all(target_pointer_width = "64", not(windows)))]
        "sim" => Ok(Box::new(simulated::Simulated::new())),
        #[cfg(all(target_pointer_width = "64", not(windows)))]
        "sim:qemu" => Ok(Box::new(simulated::Simulated::with_qemu())),
        #[cfg(any(target_os = "linux", windows))]
        KERNEL => Ok(Box::new(conformance::kernel::world())),
        _ => Err(format!("no such host: {host}\n{USAGE}")),
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn loader(host: &str, drivers: &str) -> Result<Box<dyn World>, String> {
    conformance::loader::end_what_hangs();
    match host {
        "windows:loader" => Ok(Box::new(conformance::loader::Loader::new(drivers))),
        "windows:loader-qemu" => Ok(Box::new(conformance::loader::Loader::with_qemu(drivers))),
        _ => Err(format!("no such host: {host}\n{USAGE}")),
    }
}

/// The name of the kernel that this program runs on.
#[cfg(any(target_os = "linux", windows))]
const KERNEL: &str = if cfg!(windows) { "windows" } else { "guest" };
