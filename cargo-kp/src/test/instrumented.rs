//! Objects for kernels that check each access to memory: a plugin's own code, core's, and the C that a plugin brings ask the kernel; objects for
//! other kernels do not. No such kernel is needed: a made-up one says by its configuration what it wants.
use super::{
    log::Log,
    stage::{Stage, Tally},
};
use crate::{
    build::{self, Instrumentation},
    kernels::Kernel,
};
use anyhow::{Context, Result, bail};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A plugin that brings C code.
const PLUGIN: &str = "selftest";

/// What the kernel has in its configuration. A read is a call then.
const KASAN: &str = "CONFIG_KASAN_SHADOW_OFFSET=0xdffffc0000000000\nCONFIG_KASAN_GENERIC=y\nCONFIG_KASAN_OUTLINE=y\n";

/// What it exports, as far as it is looked at.
const EXPORTS: &str = "0x0\t__asan_memcpy\tvmlinux\tEXPORT_SYMBOL\t\n";

/// The stage, with `--long`: core is compiled anew.
pub fn stages(long: bool) -> Vec<Stage> {
    let stage = Stage { name: "instrumented objects", run: Box::new(|_, _: &Log| run()) };
    if long { vec![stage] } else { Vec::new() }
}

fn run() -> Result<Tally> {
    let mut tally = Tally::default();
    let mut check = |name, right, why: String| tally.report(name, if right { Ok(()) } else { Err(why) });
    let plugin = build::select(Some(PLUGIN), Path::new("."))?;
    let plain = build::object(&plugin, &Instrumentation::default(), &|_| {})?.path;
    let before = fs::read(&plain)?;
    let asking = callers(&plain, "__asan_")?;
    check("for other kernels nothing is checked", asking.is_empty(), format!("{asking:?} ask KASAN"));

    let kernel = kernel(&plugin.output.join("instrumented"))?;
    let checked = build::object(&plugin, &Instrumentation::of(&kernel)?, &|_| {})?.path;
    let asking = callers(&checked, "__asan_load")?;
    // What is C's has no path in its name.
    for (name, part) in [
        ("reads of the plugin are checked", "selftest::"),
        ("reads of core are checked", "core::"),
        ("reads of the plugin's C are checked", "selftest_run"),
    ] {
        check(
            name,
            asking.iter().any(|name| name.contains(part)),
            format!("none of {} functions that ask", asking.len()),
        );
    }
    let unchecked = callers(&checked, "memcpy")?;
    check("copies are checked", unchecked.is_empty(), format!("{unchecked:?} copy unchecked"));
    let is_same = checked != plain && fs::read(&plain)? == before;
    check("the other kernels' object stays as it is", is_same, format!("{} took its place", checked.display()));
    Ok(tally)
}

/// The made-up kernel, as far as an object needs it.
fn kernel(headers: &Path) -> Result<Kernel> {
    fs::create_dir_all(headers.join("include/config"))?;
    fs::write(headers.join("include/config/auto.conf"), KASAN)?;
    fs::write(headers.join("Module.symvers"), EXPORTS)?;
    let [name, release, series] = ["", "", ""].map(str::to_owned);
    Ok(Kernel { name, release, series, vmlinuz: PathBuf::new(), headers: headers.to_owned() })
}

/// The functions of an object that call one whose name begins so.
fn callers(object: &Path, called: &str) -> Result<BTreeSet<String>> {
    let output = Command::new("objdump").args(["-drC", "--no-show-raw-insn"]).arg(object).output();
    let output = output.context("cannot run objdump: apt-get install binutils")?;
    if !output.status.success() {
        bail!("objdump {}: {}", object.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    let (mut function, mut callers) = (String::new(), BTreeSet::new());
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some((_, name)) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
            function = name.to_owned();
        } else if line.rsplit('\t').next().is_some_and(|to| line.contains("R_X86_64_") && to.trim().starts_with(called))
        {
            callers.insert(function.clone());
        }
    }
    Ok(callers)
}
