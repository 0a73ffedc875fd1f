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
use anyhow::Result;
use std::{path::Path, time::Duration};

/// All of them, in order.
pub fn stages(long: bool) -> Vec<Stage> {
    vec![
        Stage { name: "kp-user's own tests under Wine", run: Box::new(client) },
        Stage { name: "drivers under Wine", run: Box::new(move |setup| drivers(long, setup)) },
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
    let mut wine = Wine::start(setup)?;
    wine.put(&program)?;
    wine.put(&host::driver("echo")?)?;
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
        tally.add(one(&mut wine, name(&program), arguments, unloads));
    }
    Ok(tally)
}

/// One test for the program, and one for what the driver said at its unloads.
fn one(wine: &mut Wine, program: &str, arguments: &[&str], unloads: usize) -> Tally {
    let what = arguments.join(" ");
    let mut tally = Tally::default();
    let mut lines = Vec::new();
    let ran = wine.run(program, arguments, PATIENCE, &mut |line| lines.push(line.to_owned()));
    let ran =
        ran.unwrap_or_else(|error| Ran { success: false, driver_log: vec![], errors: vec![format!("{error:#}")] });
    println!("{}     Wine: {what}", if ran.success { "passed" } else { "FAILED" });
    if !ran.success {
        lines.extend(ran.errors);
        lines.iter().skip(lines.len().saturating_sub(40)).for_each(|line| println!("    {line}"));
    }
    tally.count(ran.success);
    let freed = ran.driver_log.iter().filter(|line| line.contains(NOTHING_LIVE)).count();
    let is_clean = freed == unloads && ran.driver_log.len() == freed;
    if !is_clean {
        println!("FAILED     Wine: {what}: {unloads} unloads, of which {freed} left nothing behind");
        ran.driver_log.iter().for_each(|line| println!("    {line}"));
    }
    tally.count(is_clean);
    tally
}

fn name(program: &Path) -> &str {
    program.file_name().and_then(|name| name.to_str()).expect("a program that cargo has named")
}
