//! Stages under Wine: the real drivers, loaded by service control, and programs built for Windows.
use super::{
    bindings::{self, For},
    libtest::Libtest,
    log::Log,
    registered,
    report::NOTHING_LIVE,
    stage::{Stage, Tally, first_panic, with_lines},
};
use crate::{
    host,
    packages::{Packages, Purpose, ThisMachine},
    programs,
    wine::{self, Ran, Wine},
};
use anyhow::{Context, Result};
use std::{fs, path::Path, time::Duration};

/// All of them, in order. Apps of 32 bits with `long`: they are one more build of each program.
pub fn stages(long: bool) -> Vec<Stage> {
    let mut stages = vec![
        Stage::new("kp-user's own tests under Wine", client),
        Stage::new("drivers under Wine", move |setup, log| drivers(long, setup, log)),
        Stage::new("apps under Wine and in the loader", apps),
        Stage::new("INFs installed under Wine", installation),
    ];
    if long {
        stages.push(Stage::new("32-bit apps under Wine", apps_32bit));
    }
    stages
}

/// How long one program may take: a hang, not a measure.
const PATIENCE: Duration = Duration::from_secs(600);

/// The unit tests of the client library, on Windows' own calls.
fn client(setup: bool, log: &Log) -> Result<Tally> {
    unit_tests(&mut Wine::start(setup)?, &wine::build_tests("kp-user", setup)?, log)
}

/// A program of unit tests.
fn unit_tests(wine: &mut Wine, tests: &Path, log: &Log) -> Result<Tally> {
    wine.put(tests)?;
    let mut lines = Vec::new();
    let ran = wine.run(name(tests), &[], PATIENCE, &mut |line| lines.push(line.to_owned()))?;
    log.keep("kp-user's tests", lines.iter().chain(&ran.errors));
    let mut libtest = Libtest::default();
    lines.iter().for_each(|line| libtest.line(line));
    Ok(libtest.end("kp-user's tests", ran.success))
}

/// Whom a driver takes a program for; and the scenario's calls, the hostile requests, clients that are killed, starts and stops: on echo's
/// driver, in one machine.
fn drivers(long: bool, setup: bool, log: &Log) -> Result<Tally> {
    let program = wine::build_program("conformance", setup)?;
    let (echo, caller) = (host::driver("echo")?, host::driver("caller")?);
    let machine = || {
        let wine = Wine::start(setup)?;
        for file in [&program, &echo, &caller] {
            wine.put(file)?;
        }
        anyhow::Ok(wine)
    };
    let mut wine = machine()?;
    let rounds: &[&str] = if long { &["rounds", "100"] } else { &["rounds", "20"] };
    let requests = if long { "1000000" } else { "100000" };
    let runs: [Run<'_>; 6] = [
        (&["who"], "caller", 1),
        (&["--host", "windows", "--part", "calls"], "echo", 1),
        (&["bad-input"], "echo", 1),
        (&["fuzz", "1", requests], "echo", 1),
        (&["killed-in-a-call", "3"], "echo", 1),
        (rounds, "echo", if long { 100 } else { 20 }),
    ];
    let mut listed = Vec::new();
    wine.run(name(&program), &["list", "--stage", "wine"], PATIENCE, &mut |line| listed.push(line.to_owned()))?;
    let names = listed.iter().map(|line| line.split(' ').next().unwrap_or_default());
    let mut tally = all(&runs, &machine, &mut wine, log, name(&program))?;
    let here = if listed.is_empty() {
        Err("no test is registered for it".into())
    } else {
        registered::all_are_in(include_str!("wine.rs"), names)
    };
    tally.report("Wine: each registered test is run", here);
    tally.report("Wine: a program that hangs is ended", ends_what_hangs(&mut wine, name(&program)));
    Ok(tally)
}

/// A program's arguments, the driver that it loads, and how often that says that it was unloaded.
type Run<'r> = (&'r [&'r str], &'r str, usize);

/// Each is a test. After one that failed there is a new machine: it may have left its driver loaded.
fn all(
    runs: &[Run<'_>],
    machine: &dyn Fn() -> Result<Wine>,
    wine: &mut Wine,
    log: &Log,
    program: &str,
) -> Result<Tally> {
    let mut tally = Tally::default();
    for &(arguments, plugin, unloads) in runs {
        let freed = format!("kp-{plugin}: {NOTHING_LIVE}");
        let (one, _) = one(wine, log, program, arguments, &vec![freed; unloads]);
        if !one.failures().is_empty() {
            *wine = machine()?;
        }
        tally.add(one);
    }
    Ok(tally)
}

/// 32-bit programs with the 64-bit driver, which knows: the client library's unit tests, echo-app, the scenario's calls, the hostile
/// requests, a client that is killed.
fn apps_32bit(setup: bool, log: &Log) -> Result<Tally> {
    let tests = wine::build_tests_32bit("kp-user", setup)?;
    let (program, app) =
        (wine::build_program_32bit("conformance", setup)?, wine::build_program_32bit("echo-app", setup)?);
    let (echo, caller) = (host::driver("echo")?, host::driver("caller")?);
    let machine = || {
        let wine = Wine::start_32bit(setup)?;
        for file in [&program, &app, &echo, &caller] {
            wine.put(file)?;
        }
        anyhow::Ok(wine)
    };
    let mut wine = machine()?;
    let mut tally = unit_tests(&mut wine, &tests, log)?;
    let runs: [Run<'_>; 5] = [
        (&["who"], "caller", 1),
        (&["--host", "windows", "--part", "calls"], "echo", 1),
        (&["bad-input"], "echo", 1),
        (&["fuzz", "1", "100000"], "echo", 1),
        (&["killed-in-a-call", "1"], "echo", 1),
    ];
    tally.add(all(&runs, &machine, &mut wine, log, name(&program))?);
    let (told, said) =
        one(&mut wine, log, name(&program), &["with-echo", name(&app)], &[format!("kp-echo: {NOTHING_LIVE}")]);
    tally.add(told);
    tally.report("Wine: a 32-bit echo-app's story", tells(&said, ECHO_STORY));
    tally.add(bound(&mut wine, name(&program), For::Windows32, setup, log)?);
    Ok(tally)
}

/// A client that never ends by itself is ended, and one line says so.
fn ends_what_hangs(wine: &mut Wine, program: &str) -> Result<(), String> {
    let arguments = ["with-echo", program, "client-that-naps"];
    let ran = wine.run(program, &arguments, Duration::from_secs(5), &mut |_| {});
    let said = ran.map_or_else(|error| format!("{error:#}"), |_| "it ended by itself".into());
    let ended = said.contains("did not end within 5 s under Wine: ") && !said.contains('\n');
    if ended { Ok(()) } else { Err(format!("it is said that {said}")) }
}

/// Echo's app under Wine, and edu's in the loader on QEMU's device, say what they say on every system.
fn apps(setup: bool, log: &Log) -> Result<Tally> {
    let mut wine = Wine::start(setup)?;
    let program = wine::build_program("conformance", setup)?;
    let app = wine::build_program("echo-app", setup)?;
    wine.put(&program)?;
    wine.put(&app)?;
    wine.put(&host::driver("echo")?)?;
    let (mut tally, said) =
        one(&mut wine, log, name(&program), &["with-echo", name(&app)], &[format!("kp-echo: {NOTHING_LIVE}")]);
    tally.report("Wine: echo-app's story", tells(&said, ECHO_STORY));
    tally.add(bound(&mut wine, name(&program), For::Windows, setup, log)?);

    Packages::new(&ThisMachine).require(&[Purpose::Boot], setup)?;
    let drivers = host::drivers(&["edu"])?;
    let drivers = drivers.to_str().context("the target folder's path isn't UTF-8")?;
    let mut said = Vec::new();
    let told = programs::run("conformance", &["loader", "story", drivers], &mut |line| said.push(line.to_owned()));
    log.keep("loader: edu-app's story", &said);
    let told = told.map_err(|error| with_lines(format!("{error:#}"), &said));
    tally.report("loader: edu-app's story", told.and_then(|()| tells(&said, EDU_STORY)));
    Ok(tally)
}

/// Programs in C and C++ over echo's bindings tell echo's story.
fn bound(wine: &mut Wine, program: &str, target: For, setup: bool, log: &Log) -> Result<Tally> {
    let mut tally = Tally::default();
    for source in ["echo.c", "echo.cpp"] {
        let app = bindings::build(source, "echo", target, setup)?;
        wine.put(&app)?;
        let freed = [format!("kp-echo: {NOTHING_LIVE}")];
        let (told, said) = one(wine, log, program, &["with-echo", name(&app)], &freed);
        tally.add(told);
        tally.report(&format!("Wine: the story of {source} over bindings, {target:?}"), tells(&said, ECHO_STORY));
    }
    Ok(tally)
}

/// An app has to tell this story, and nothing else.
fn tells(said: &[String], story: &str) -> Result<(), String> {
    if story.lines().eq(said) { Ok(()) } else { Err(with_lines("the app says something else:".into(), said)) }
}

/// What echo's app tells.
pub(super) const ECHO_STORY: &str = "\
heard      hello, kernel
louder     HELLO, KERNEL
so far     1 text, 13 bytes
";

/// What edu's app tells in the loader: each time one of its two kinds of interrupt is what the device was given.
pub(super) const EDU_STORY: &str = "\
started    with its line as its interrupt
plugin     kp edu 1.00
device     edu 1.0, alive: !0x0f0f0f0f = 0xf0f0f0f0
factorial  5! = 120, computed by the device
factorial  12! = 479001600, computed by the device
INTx       raised 10: 10 received, 2 deferred to the DPC, app woken 2 times, 0 lost
MSI        not what the device was given here
started    with messages as its interrupt
plugin     kp edu 1.00
device     edu 1.0, alive: !0x0f0f0f0f = 0xf0f0f0f0
factorial  5! = 120, computed by the device
factorial  12! = 479001600, computed by the device
INTx       not what the device was given here
MSI        raised 10: 10 received, 2 deferred to the DPC, app woken 2 times, 0 lost
";

/// Edu's driver is installed from its INF, for a device that has no hardware: START is refused with its status, and nothing is left.
/// Echo's INF makes a service.
fn installation(setup: bool, log: &Log) -> Result<Tally> {
    let program = wine::build_program("conformance", setup)?;
    let (edu, echo) = (host::driver("edu")?, host::driver("echo")?);
    let mut wine = Wine::start(setup)?;
    for file in [&program, &edu, &echo, &echo.with_extension("inf")] {
        wine.put(file)?;
    }
    let inf = edu.with_extension("inf");
    let text = fs::read_to_string(&inf).with_context(|| format!("cannot read {}", inf.display()))?;
    // Wine 8 finds no models for a version of Windows.
    wine.write("kp-edu.inf", &text.replace("NTamd64.10.0...17763", "NTamd64"))?;
    let refused = ["start refused: WrongDevice (0xe4b50042)", NOTHING_LIVE].map(|line| format!("kp-edu: {line}"));
    let device = ["start-is-refused", "edu", r"PCI\VEN_1234&DEV_11E8"];
    let mut tally = one(&mut wine, log, name(&program), &device, &refused).0;
    tally.add(one(&mut wine, log, name(&program), &["service-is-installed"], &[format!("kp-echo: {NOTHING_LIVE}")]).0);
    Ok(tally)
}

/// One test for the program, and one for what drivers logged: these lines, and no others. The program's output too.
fn one(wine: &mut Wine, log: &Log, program: &str, arguments: &[&str], logged: &[String]) -> (Tally, Vec<String>) {
    let what = arguments.join(" ");
    let mut tally = Tally::default();
    let mut lines = Vec::new();
    let ran = wine.run(program, arguments, PATIENCE, &mut |line| lines.push(line.to_owned()));
    let ran =
        ran.unwrap_or_else(|error| Ran { success: false, driver_log: vec![], errors: vec![format!("{error:#}")] });
    let words: Vec<String> = lines.iter().chain(&ran.errors).cloned().collect();
    let why = || first_panic(words.iter().map(String::as_str)).unwrap_or("it failed".into());
    tally.report(&format!("Wine: {what}"), if ran.success { Ok(()) } else { Err(with_lines(why(), &words)) });
    let of_driver: Vec<String> = ran.driver_log.iter().map(|line| format!("driver: {line}")).collect();
    log.keep(&what, words.iter().chain(&of_driver));
    match ran.driver_log == logged {
        true => tally.pass(1),
        false => {
            let why = format!("{} lines, not {}, each {:?}:", ran.driver_log.len(), logged.len(), logged.last());
            tally.report(&format!("Wine: {what}: what the driver logs"), Err(with_lines(why, &ran.driver_log)));
        }
    }
    (tally, lines)
}

fn name(program: &Path) -> &str {
    program.file_name().and_then(|name| name.to_str()).expect("a program that cargo has named")
}
