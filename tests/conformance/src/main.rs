//! Runs the scenario on one host and prints its transcript, and nothing else.
#[cfg(all(target_pointer_width = "64", not(windows)))]
use conformance::simulated;
use conformance::{Part, Subject, World, interrupts};
use std::{process::ExitCode, time::Duration};

const USAGE: &str = "usage: conformance --host sim|sim:qemu|guest|windows [--part calls|interrupts|all]
       conformance --host windows:loader|windows:loader-qemu --part calls|interrupts|all --drivers FOLDER";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Elsewhere a panic may be what a test is about.
    if !matches!(arguments[..], ["loader", ..] | ["--host", "sim" | "sim:qemu", ..] | ["--host", .., "--drivers", _]) {
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
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        ["loader", ..] => conformance::loader::command(&arguments[1..]),
        ["client-that-waits", kinds] => client_that_waits(kinds),
        #[cfg(windows)]
        ["client-that-naps"] => conformance::windows::life::client_that_naps(),
        #[cfg(windows)]
        ["killed-in-a-call", times] => {
            number(times).map(|times| conformance::windows::life::killed_in_a_call(times as u32))
        }
        #[cfg(windows)]
        ["with-echo", program, ref arguments @ ..] => conformance::windows::life::with_echo(program, arguments),
        #[cfg(windows)]
        ["who"] => {
            conformance::windows::life::who();
            Ok(())
        }
        #[cfg(windows)]
        ["service-is-installed"] => {
            conformance::windows::pnp::service_is_installed();
            Ok(())
        }
        #[cfg(windows)]
        ["start-is-refused", plugin, hardware] => {
            conformance::windows::pnp::start_is_refused(plugin, hardware);
            Ok(())
        }
        #[cfg(windows)]
        ["rounds", times] => number(times).map(|times| conformance::windows::life::rounds(times as u32)),
        #[cfg(any(target_os = "linux", windows))]
        ["bad-input"] => bad_input(),
        #[cfg(any(target_os = "linux", windows))]
        ["fuzz", seed, requests] => fuzz(seed, requests),
        #[cfg(target_os = "linux")]
        ["msix"] => conformance::linux::msix::run(),
        #[cfg(target_os = "linux")]
        ["nodes"] => {
            conformance::linux::nodes::run();
            Ok(())
        }
        #[cfg(target_os = "linux")]
        ["nodes", "race"] => {
            conformance::linux::nodes::race();
            Ok(())
        }
        #[cfg(target_os = "linux")]
        ["nodes", "links"] => {
            conformance::linux::nodes::links();
            Ok(())
        }
        #[cfg(target_os = "linux")]
        ["nodes", "many"] => {
            conformance::linux::nodes::many();
            Ok(())
        }
        #[cfg(target_os = "linux")]
        ["compat"] => conformance::linux::compat::run(),
        #[cfg(target_os = "linux")]
        ["interrupted"] => conformance::linux::interrupted::run(),
        #[cfg(target_os = "linux")]
        ["stress", ..] => conformance::linux::stress::command(&arguments[1..]),
        #[cfg(target_os = "linux")]
        ["planted", ref trouble @ ..] => conformance::linux::planted::run(trouble),
        _ => Err(USAGE.into()),
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
        KERNEL => Ok(Box::new(kernel())),
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

/// Its world.
#[cfg(target_os = "linux")]
fn kernel() -> conformance::linux::Guest {
    conformance::linux::Guest
}

/// Its world.
#[cfg(windows)]
fn kernel() -> conformance::windows::Machine {
    conformance::windows::Machine::default()
}

/// Opens edu, enables its interrupt, waits, says so when the driver's own counters show it, and never ends by itself.
#[cfg(any(target_os = "linux", windows))]
fn client_that_waits(kinds: &str) -> Result<(), String> {
    let kinds = kinds.parse().map_err(|_| format!("{kinds} is no mask of kinds"))?;
    let plugin = kernel().connect(Subject::Edu);
    plugin.connection().int_enable(kinds, 1, 1, &[]).map_err(|error| format!("enable: {error}"))?;
    std::thread::scope(|scope| {
        scope.spawn(|| plugin.connection().int_wait(u64::MAX, u32::MAX, 1));
        interrupts::until("the wait is pending", || plugin.connection().query(0).is_ok_and(|query| query.waits == 1));
        println!("ready");
    });
    Err("the wait ended".into())
}

/// The bad-input list, against the modules of this guest.
#[cfg(target_os = "linux")]
fn bad_input() -> Result<(), String> {
    let loaded = conformance::linux::Loaded::all();
    let process = conformance::linux::raw::ThisProcess::default();
    let seen = conformance::bad_input::run(&process) + conformance::linux::codes::run(&process);
    println!("{seen} bad requests, each with its status");
    drop(loaded);
    Ok(())
}

/// The bad-input list, as far as it needs no device and no addresses, and what only Windows has.
#[cfg(windows)]
fn bad_input() -> Result<(), String> {
    let loaded = conformance::windows::Loaded::all();
    let process = conformance::windows::raw::ThisProcess::default();
    let seen = conformance::bad_input::run(&process) + conformance::codes::run(&process);
    println!("{seen} bad requests, each with its status");
    drop(loaded);
    Ok(())
}

#[cfg(any(target_os = "linux", windows))]
fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

/// Random requests, against the modules of this guest, or the driver of this machine.
#[cfg(any(target_os = "linux", windows))]
fn fuzz(seed: &str, requests: &str) -> Result<(), String> {
    #[cfg(target_os = "linux")]
    use conformance::linux::{Loaded, raw::ThisProcess};
    #[cfg(windows)]
    use conformance::windows::{Loaded, raw::ThisProcess};
    let (seed, requests) = (number(seed)?, number(requests)?);
    println!("seed {seed}, {requests} requests");
    let loaded = Loaded::all();
    print!("{}", conformance::fuzz::run(&ThisProcess::default(), seed, requests));
    drop(loaded);
    Ok(())
}

#[cfg(not(any(target_os = "linux", windows)))]
fn client_that_waits(_: &str) -> Result<(), String> {
    Err(USAGE.into())
}
