//! Stages under Wine: the real drivers, loaded by service control, and programs built for Windows.
use super::{
    local::summary,
    stage::{Stage, Tally},
    unload::NOTHING_LIVE,
};
use crate::{
    host,
    wine::{self, Ran, Wine},
};
use anyhow::{Context, Result};
use std::{fs, path::Path, time::Duration};

/// All of them, in order.
pub fn stages(long: bool) -> Vec<Stage> {
    vec![
        Stage { name: "kp-user's own tests under Wine", run: Box::new(client) },
        Stage { name: "drivers under Wine", run: Box::new(move |setup| drivers(long, setup)) },
        Stage { name: "apps under Wine", run: Box::new(apps) },
        Stage { name: "an INF installed under Wine", run: Box::new(installation) },
    ]
}

/// How long one program may take: a hang, not a measure.
const PATIENCE: Duration = Duration::from_secs(300);

/// The unit tests of the client library, on Windows' own calls.
fn client(setup: bool) -> Result<Tally> {
    let tests = wine::build_tests("kp-user", setup)?;
    let mut wine = Wine::start(setup)?;
    wine.put(&tests)?;
    let mut tally = Tally::default();
    let mut lines = Vec::new();
    let ran = wine.run(name(&tests), &[], PATIENCE, &mut |line| match summary(line) {
        Some(one) => tally.add(one),
        None => lines.push(line.to_owned()),
    })?;
    if !ran.success {
        lines.iter().for_each(|line| println!("    {line}"));
        tally.count(false);
    }
    Ok(tally)
}

/// The scenario's calls, the hostile requests, clients that are killed, starts and stops: on echo's driver, in one machine.
fn drivers(long: bool, setup: bool) -> Result<Tally> {
    let program = wine::build_program("conformance", setup)?;
    let driver = host::driver("echo")?;
    let machine = || {
        let wine = Wine::start(setup)?;
        wine.put(&program)?;
        wine.put(&driver)?;
        anyhow::Ok(wine)
    };
    let mut wine = machine()?;
    let rounds: &[&str] = if long { &["rounds", "100"] } else { &["rounds", "20"] };
    let runs: [(&[&str], usize); 5] = [
        (&["--host", "windows", "--part", "calls"], 1),
        (&["bad-input"], 1),
        (&["fuzz", "1", "100000"], 1),
        (&["killed-in-a-call", "3"], 1),
        (rounds, if long { 100 } else { 20 }),
    ];
    let mut tally = Tally::default();
    for (arguments, unloads) in runs {
        let freed = format!("kp-echo: {NOTHING_LIVE}");
        let (one, _) = one(&mut wine, name(&program), arguments, &vec![freed; unloads]);
        tally.add(one);
        if one.failed > 0 {
            // It may have left its driver loaded.
            wine = machine()?;
        }
    }
    Ok(tally)
}

/// Echo's app, as it is for every system, says what it says on every system.
fn apps(setup: bool) -> Result<Tally> {
    let mut wine = Wine::start(setup)?;
    let program = wine::build_program("conformance", setup)?;
    let app = wine::build_program("echo-app", setup)?;
    wine.put(&program)?;
    wine.put(&app)?;
    wine.put(&host::driver("echo")?)?;
    let (mut tally, said) =
        one(&mut wine, name(&program), &["with-echo", name(&app)], &[format!("kp-echo: {NOTHING_LIVE}")]);
    let story = said == ["heard      hello, kernel", "louder     HELLO, KERNEL", "so far     1 text, 13 bytes"];
    if !story {
        println!("FAILED     Wine: echo-app says something else:");
        said.iter().for_each(|line| println!("    {line}"));
    }
    tally.count(story);
    Ok(tally)
}

/// Edu's driver is installed from its INF, for a device that has no hardware: START is refused with its status, and nothing is left.
fn installation(setup: bool) -> Result<Tally> {
    let program = wine::build_program("conformance", setup)?;
    let driver = host::driver("edu")?;
    let inf = driver.with_extension("inf");
    let text = fs::read_to_string(&inf).with_context(|| format!("cannot read {}", inf.display()))?;
    let mut wine = Wine::start(setup)?;
    wine.put(&program)?;
    wine.put(&driver)?;
    // Wine 8 finds no models for a build of Windows.
    wine.write("kp-edu.inf", &text.replace("NTamd64.10.0...17763", "NTamd64"))?;
    let says = ["start refused: WrongDevice (0xe4b50042)", NOTHING_LIVE].map(|line| format!("kp-edu: {line}"));
    Ok(one(&mut wine, name(&program), &["start-is-refused", "edu", r"PCI\VEN_1234&DEV_11E8"], &says).0)
}

/// One test for the program, and one for what drivers logged: these lines, and no others. The program's output too.
fn one(wine: &mut Wine, program: &str, arguments: &[&str], log: &[String]) -> (Tally, Vec<String>) {
    let what = arguments.join(" ");
    let mut tally = Tally::default();
    let mut lines = Vec::new();
    let ran = wine.run(program, arguments, PATIENCE, &mut |line| lines.push(line.to_owned()));
    let ran =
        ran.unwrap_or_else(|error| Ran { success: false, driver_log: vec![], errors: vec![format!("{error:#}")] });
    println!("{}     Wine: {what}", if ran.success { "passed" } else { "FAILED" });
    if !ran.success {
        let last = lines.iter().chain(&ran.errors).collect::<Vec<_>>();
        last.iter().skip(last.len().saturating_sub(40)).for_each(|line| println!("    {line}"));
    }
    tally.count(ran.success);
    if ran.driver_log != log {
        println!(
            "FAILED     Wine: {what}: the driver should have logged {} lines, {:?} the last",
            log.len(),
            log.last()
        );
        ran.driver_log.iter().for_each(|line| println!("    {line}"));
    }
    tally.count(ran.driver_log == log);
    (tally, lines)
}

fn name(program: &Path) -> &str {
    program.file_name().and_then(|name| name.to_str()).expect("a program that cargo has named")
}
