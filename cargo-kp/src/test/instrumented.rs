//! Objects for kernels that check each access to memory: a plugin's own code, core's, and the C that a plugin brings ask the kernel; objects for
//! other kernels do not. No such kernels are needed: made-up ones say by their configuration what they want.
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

/// A kernel that checks accesses.
struct Checking {
    name: &'static str,
    /// What it has in its configuration.
    config: &'static str,
    /// What it exports, as far as it is looked at.
    exports: &'static str,
    /// How the functions begin that a read calls.
    read: &'static str,
}

const KERNELS: [Checking; 2] = [
    Checking {
        name: "KASAN",
        config: "CONFIG_KASAN_SHADOW_OFFSET=0xdffffc0000000000\nCONFIG_KASAN_GENERIC=y\nCONFIG_KASAN_OUTLINE=y\n",
        exports: "0x0\t__asan_memcpy\tvmlinux\tEXPORT_SYMBOL\t\n",
        read: "__asan_load",
    },
    Checking {
        name: "KCSAN",
        config: "CONFIG_KCSAN=y\nCONFIG_KCSAN_WEAK_MEMORY=y\n",
        exports: "0x0\t__tsan_memcpy\tvmlinux\tEXPORT_SYMBOL\t\n",
        read: "__tsan_read",
    },
];

/// The stage, with `--long`: core is compiled anew.
pub fn stages(long: bool) -> Vec<Stage> {
    let stage = Stage::new("instrumented objects", |_, _: &Log| run());
    if long { vec![stage] } else { Vec::new() }
}

fn run() -> Result<Tally> {
    let mut tally = Tally::default();
    let mut check = |name: &str, right, why: String| tally.report(name, if right { Ok(()) } else { Err(why) });
    let plugin = build::select(Some(PLUGIN), Path::new("."))?;
    let plain = build::object(&plugin, &Instrumentation::default(), &|_| {})?.path;
    let before = fs::read(&plain)?;
    for checking in KERNELS {
        let Checking { name, read, .. } = checking;
        let asking = callers(&plain, read)?;
        check(&format!("{name}: no other kernel is asked"), asking.is_empty(), format!("{asking:?} ask"));
        let kernel = kernel(&checking, &plugin.output.join("instrumented").join(name))?;
        let checked = build::object(&plugin, &Instrumentation::of(&kernel)?, &|_| {})?.path;
        let asking = callers(&checked, read)?;
        // What is C's has no path in its name.
        for (reads, part) in [("the plugin's", "selftest::"), ("core's", "core::"), ("its C's", "selftest_run")] {
            let found = asking.iter().any(|name| name.contains(part));
            check(&format!("{name}: {reads} reads"), found, format!("none of {} functions that ask", asking.len()));
        }
        let mut unchecked = callers(&checked, "memcpy")?;
        if name == "KCSAN" {
            // gcc has the kernel asked about copies for KASAN only.
            unchecked.remove("selftest_run");
        }
        check(&format!("{name}: copies"), unchecked.is_empty(), format!("{unchecked:?} copy unchecked"));
        let is_same = checked != plain && fs::read(&plain)? == before;
        check(&format!("{name}: other kernels' object"), is_same, format!("{} took its place", checked.display()));
    }
    Ok(tally)
}

/// A made-up kernel, as far as an object needs it.
fn kernel(checking: &Checking, headers: &Path) -> Result<Kernel> {
    fs::create_dir_all(headers.join("include/config"))?;
    fs::write(headers.join("include/config/auto.conf"), checking.config)?;
    fs::write(headers.join("Module.symvers"), checking.exports)?;
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
