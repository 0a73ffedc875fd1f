//! `cargo kp demo --windows`: the same plugins as Windows drivers, on what stands in for Windows here.
use crate::{
    host,
    packages::{Packages, Purpose, ThisMachine},
    wine::{self, Wine},
};
use anyhow::Result;
use std::time::{Duration, Instant};

/// How long the app may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Tells each story, and says what its driver is loaded by: no Windows is here.
pub fn command(setup: bool) -> Result<()> {
    let start = Instant::now();
    Packages::new(&ThisMachine).require(Purpose::Build, setup)?;
    echo_under_wine(setup)?;
    println!("that took {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Echo, which drives no device, in Wine's kernel; app and driver are the files that Windows would run.
fn echo_under_wine(setup: bool) -> Result<()> {
    println!("building   the echo plugin as kp-echo.sys, and its app as echo-app.exe");
    let driver = host::driver("echo")?;
    let app = wine::build_program("echo-app", setup)?;
    let conformance = wine::build_program("conformance", setup)?;
    println!("WINE       loads kp-echo.sys as a service: Wine's kernel, not Windows', and without any hardware");
    let mut wine = Wine::start(setup)?;
    for file in [&driver, &app, &conformance] {
        wine.put(file)?;
    }
    println!(r"loaded     kp-echo.sys: the app opens \\.\kp-echo");
    let ran = wine.run("conformance.exe", &["with-echo", "echo-app.exe"], PATIENCE, &mut |line| println!("{line}"))?;
    if let Some((_, live)) = ran.driver_log.iter().find_map(|line| line.split_once("unloaded; live: ")) {
        println!("unloaded   kp-echo left {live} behind");
    }
    ran.into_result()
}
