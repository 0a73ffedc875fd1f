//! `cargo kp build` as a program for Windows. It is compiled, and runs under Wine with a stand-in for the compiler, which hands out
//! what the build on Linux has made. What it makes of that has to be the same.
use super::{
    log::Log,
    stage::{Stage, Tally, with_lines},
};
use crate::{
    build::{self, Arch, Plugin, Signer},
    wine::{self, Wine},
};
use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use serde_json::Value;
use std::{fs, path::Path, time::Duration};

/// The stage, with `--long`: all of the tool is compiled once more for it.
pub fn stages(long: bool) -> Vec<Stage> {
    let stage = Stage::new("cargo kp build for Windows, under Wine", run);
    if long { vec![stage] } else { Vec::new() }
}

/// How long one run of it may take: a hang, not a measure.
const PATIENCE: Duration = Duration::from_secs(120);
/// The plugin, which has a device and interrupts.
const PLUGIN: &str = "edu";

fn run(setup: bool, log: &Log) -> Result<Tally> {
    let tool = wine::build_program("cargo-kp", setup)?;
    let stand_in = wine::build_example("cargo-kp", "stand_in", setup)?;
    let plugin = build::select(Some(PLUGIN), Path::new("."))?;
    let mut wine = Wine::start(setup)?;
    wine.put(&tool)?;
    for place in ["rustc.exe", "cargo.exe", "rust/bin/rustc.exe", "rust/bin/cargo.exe"] {
        wine.put_as(&stand_in, place)?;
    }
    wine.put_as(&wine::random_library()?, "rust/bin/bcryptprimitives.dll")?;
    wine.write("rust/lib/rustlib/x86_64-pc-windows-msvc/bin/rust-lld.exe", "")?;
    wine.write("metadata.json", &metadata(&plugin)?)?;

    let mut tally = Tally::default();
    let build = ["build", "-p", PLUGIN, "--target", "windows"];
    for (arguments, answer) in [
        (
            &build[..],
            r"error: C:\kp\rust has rustc 1.95.0 without the source of its library (C:\kp\rust\lib/rustlib/src/rust/library): rustup component add rust-src --toolchain rust",
        ),
        (
            &["build", "-p", PLUGIN],
            "error: for which processor? Name it with --target windows (x64) or --target windows-arm64",
        ),
        (
            &["build", "-p", PLUGIN, "--target", "6.12"],
            "error: 6.12 needs Linux: modules are built there; here there are --target windows and --target windows-arm64",
        ),
        (
            &["vm"],
            "error: `cargo kp vm` needs Linux: on Windows there are `cargo kp build`, `cargo kp schema`, `cargo kp bindings` and `cargo kp doctor`",
        ),
    ] {
        let ran = wine.run("cargo-kp.exe", &[&["kp"], arguments].concat(), PATIENCE, &mut |_| {})?;
        log.keep(&arguments.join(" "), &ran.errors);
        let refused = !ran.success && ran.errors.last().is_some_and(|line| line == answer);
        tally.report(&format!("cargo-kp.exe {}", arguments.join(" ")), says(refused, &ran.errors));
    }
    wine.write("rust/lib/rustlib/src/rust/library/core/Cargo.toml", "")?;
    let mut found = Vec::new();
    let ran = wine.run("cargo-kp.exe", &["kp", "doctor"], PATIENCE, &mut |line| found.push(line.to_owned()))?;
    log.keep("doctor", &found);
    let (needed, signing) = found.split_at(found.len().saturating_sub(1));
    let healthy = needed.len() == 2 && needed.iter().all(|line| line.starts_with("ok    "));
    let unsigned = signing.iter().all(|line| line.starts_with("note  osslsigncode, for --certificate — "));
    tally.report("cargo-kp.exe doctor", says(ran.success && healthy && unsigned, &found));
    for arch in Arch::ALL {
        let built = same(&mut wine, &plugin, arch).map_err(|error| format!("{error:#}"));
        tally.report(&format!("cargo-kp.exe makes the same driver, {}", arch.name()), built);
    }
    Ok(tally)
}

/// Whether a program says what it has to; if not, what it says.
fn says(right: bool, said: &[String]) -> Result<(), String> {
    if right { Ok(()) } else { Err(with_lines("it says something else:".into(), said)) }
}

/// Builds the driver on both systems. Driver, symbols, INF and the generated crate have to be the same, but for how paths are written.
fn same(wine: &mut Wine, plugin: &Plugin, arch: Arch) -> Result<()> {
    let driver = build::driver(plugin, arch, &Signer::default(), &|_| {})?;
    let built = build::built_in(plugin, arch)?;
    let [program, symbols, object] = ["exe", "pdb", "o"].map(|extension| match extension {
        "exe" => format!("kp-{PLUGIN}.exe"),
        "pdb" => format!("kp_{PLUGIN}.pdb"),
        _ => format!("deps/kp_{PLUGIN}.o"),
    });
    for file in [&program, &symbols, &object] {
        wine.put_as(&built.join(file), &format!("built/{}/{file}", arch.triple()))?;
    }
    let mut said = Vec::new();
    let arguments = ["kp", "build", "-p", PLUGIN, "--target", arch.name()];
    let ran = wine.run("cargo-kp.exe", &arguments, PATIENCE, &mut |line| said.push(line.to_owned()))?;
    let here = driver.parent().context("a driver has a folder")?;
    let there = format!("target/kp/{PLUGIN}/{}", here.file_name().context("a name")?.to_string_lossy());
    if !ran.success || said != [format!(r"C:\kp\{}\kp-{PLUGIN}.sys", there.replace('/', r"\"))] {
        bail!("it says {said:?} {:?}", ran.errors);
    }

    // The linker gives each run's symbols another name: these are of one run.
    for file in [format!("kp-{PLUGIN}.sys"), symbols, "glue/src/main.rs".to_owned()] {
        if fs::read(here.join(&file))? != wine.read(&format!("{there}/{file}"))? {
            bail!("{file} is another one");
        }
    }
    // Git, which knows the date, is not there.
    let undated = |inf: Vec<u8>| -> Result<Vec<String>> {
        let inf = String::from_utf8(inf)?;
        Ok(inf.split('\n').filter(|line| !line.starts_with("DriverVer = ")).map(str::to_owned).collect())
    };
    let inf = format!("kp-{PLUGIN}.inf");
    if undated(fs::read(here.join(&inf))?)? != undated(wine.read(&format!("{there}/{inf}"))?)? {
        bail!("{inf} is another one");
    }
    let manifest = |text: Vec<u8>| -> Result<Value> { Ok(toml::from_str(&String::from_utf8(text)?)?) };
    let mut expected = manifest(fs::read(here.join("glue/Cargo.toml"))?)?;
    translate(&mut expected, plugin);
    let found = manifest(wine.read(&format!("{there}/glue/Cargo.toml"))?)?;
    if found != expected {
        bail!("the generated Cargo.toml says {found}, not {expected}");
    }
    let asked = String::from_utf8(wine.read("asked")?)?;
    // Its name tells what is in it.
    let resource = asked.lines().find_map(|line| line.strip_prefix("-Clink-arg=")?.strip_suffix(".res"));
    let resource = format!("glue/{}.res", resource.context("no resource was linked")?);
    if fs::read(here.join(&resource))? != wine.read(&format!("{there}/{resource}"))? {
        bail!("{resource} is another one");
    }
    let workspace = on_windows(&plugin.workspace.to_string_lossy(), plugin);
    for line in [
        r"C:\kp\rust\bin\rustc.exe",
        "1",
        &format!("--remap-path-prefix={workspace}="),
        r"-Clinker=C:\kp\rust\lib/rustlib\x86_64-pc-windows-msvc\bin\rust-lld.exe",
    ] {
        if !asked.lines().any(|asked| asked == line) {
            bail!("the compiler was asked without {line}:\n{asked}");
        }
    }
    Ok(())
}

/// What cargo says of this workspace, as it would on Windows. What is built goes to `C:\kp\target`.
fn metadata(plugin: &Plugin) -> Result<String> {
    let output = MetadataCommand::new().cargo_command().output().context("cannot start cargo")?;
    let mut metadata: Value = serde_json::from_slice(&output.stdout).context("cargo says nothing of this workspace")?;
    translate(&mut metadata, plugin);
    Ok(metadata.to_string())
}

/// Has all paths in a value be as on Windows.
fn translate(value: &mut Value, plugin: &Plugin) {
    match value {
        Value::String(text) if text.starts_with('/') => *text = on_windows(text, plugin),
        Value::Array(values) => values.iter_mut().for_each(|value| translate(value, plugin)),
        Value::Object(values) => values.values_mut().for_each(|value| translate(value, plugin)),
        _ => {}
    }
}

/// A path as Wine has it, but for those of the target folder.
fn on_windows(path: &str, plugin: &Plugin) -> String {
    let target = plugin.output.parent().unwrap_or(&plugin.output).to_string_lossy();
    let (drive, rest) = path.strip_prefix(&*target).map_or(("Z:", path), |rest| (r"C:\kp\target", rest));
    format!("{drive}{}", rest.replace('/', r"\"))
}
