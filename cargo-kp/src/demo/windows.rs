//! `cargo kp demo --windows`: the same plugins as Windows drivers, on what stands in for Windows here.
use crate::{
    host,
    packages::{Packages, Purpose, ThisMachine},
    programs,
    wine::{self, Wine},
};
use anyhow::{Context, Result};
use std::time::{Duration, Instant};

/// How long the app may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Tells each story, and says what its driver is loaded by: no Windows is here.
pub fn command(setup: bool) -> Result<()> {
    let start = Instant::now();
    Packages::new(&ThisMachine).require(&[Purpose::Build, Purpose::Boot, Purpose::Windows], setup)?;
    echo_under_wine(setup)?;
    edu_in_the_loader()?;
    println!("that took {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Edu, on QEMU's own device, in a kernel that this repository plays: it checks what Windows' would only suffer.
fn edu_in_the_loader() -> Result<()> {
    println!("building   the edu plugin as kp-edu.sys");
    let drivers = host::drivers(&["edu"])?;
    let drivers = drivers.to_str().context("the target folder's path isn't UTF-8")?;
    println!(
        "LOADER     runs kp-edu.sys in a Linux process and plays Windows' kernel for it; the device is QEMU's own model"
    );
    programs::run("conformance", &["loader", "story", drivers], &mut |line| println!("{line}"))?;
    println!("unloaded   the loader counted: nothing is left behind");
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
