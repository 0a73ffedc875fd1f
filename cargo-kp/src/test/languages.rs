//! Apps that know docs/abi.md alone: echo's in C and Python, beside the one in Rust; and those that have bindings.
use super::{
    bindings::{self, For},
    log::Log,
    report::keep,
    stage::{Stage, Tally, with_lines},
};
use crate::{
    guest::plan::Step,
    host::{self, PROGRAM},
    kernels,
    packages::{Packages, Purpose, ThisMachine},
    programs,
    vm::{Verdict, Vm},
};
use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where Debian has it. A person's own Python may be a script.
const PYTHON: &str = "/usr/bin/python3";
/// Prints the interpreter, and the folder of its modules.
const PLACES: &str = "import os, sys\nprint(os.path.realpath(sys.executable))\nprint(os.path.dirname(os.__file__))";

/// The kernel on which one guest is enough.
const KERNEL: &str = "6.12-cloud";

/// The stage. `long`: on every kernel.
pub fn stages(long: bool) -> Vec<Stage> {
    let run = move |setup, log: &Log| {
        Packages::new(&ThisMachine).require(&[Purpose::Python], setup)?;
        let mut tally = Tally::default();
        for kernel in kernels::names().iter().filter(|&kernel| long || kernel == KERNEL) {
            tally.add(apps(kernel, setup, log).with_context(|| kernel.clone())?);
            tally.add(bound(kernel, setup, log).with_context(|| kernel.clone())?);
        }
        Ok(tally)
    };
    vec![Stage { name: "apps in C and Python", run: Box::new(run) }]
}

/// Runs the three in one guest. What they print has to be the same.
fn apps(kernel: &str, setup: bool, log: &Log) -> Result<Tally> {
    let modules = host::modules(kernel, &["echo"], setup)?;
    let examples = Path::new("examples/echo");
    let mut vm =
        modules.guest(&programs::build("echo-app")?).program(compile(&examples.join("c/echo.c"))?, "/kp/echo-c");
    let (python, with_python) = python(vm)?;
    vm = with_python.file(examples.join("python/echo.py"), "/kp/echo.py").step(Step::load("/kp/kp-echo.ko"));
    let apps: [&[&str]; 3] = [&[PROGRAM], &["/kp/echo-c"], &[&python, "/kp/echo.py"]];
    for app in apps {
        vm = vm.step(Step::run(app));
    }
    let report = vm.step(Step::unload("kp_echo")).run(&mut |_| {})?;
    keep(log, kernel, &report);
    if let Verdict::Failed(why) = &report.verdict {
        bail!("{}", with_lines(why.clone(), &report.output));
    }
    let mut tally = Tally::default();
    let said: Vec<&[String]> = report.output.chunks(3).collect();
    for (name, lines) in ["Rust", "C", "Python"].iter().zip(&said) {
        let same = lines == &said[0] && lines[0] == "heard      hello, kernel";
        let came_out = if same { Ok(()) } else { Err(format!("it says {}", lines.join("; "))) };
        tally.report(&format!("{kernel}: the app in {name}"), came_out);
    }
    if said.len() != apps.len() {
        tally.report(
            &format!("{kernel}: every app says three lines"),
            Err(with_lines("they say".into(), &report.output)),
        );
    }
    Ok(tally)
}

/// Programs in C and C++ over the bindings: echo's and edu's stories have to be those that the apps in Rust tell.
fn bound(kernel: &str, setup: bool, log: &Log) -> Result<Tally> {
    Packages::new(&ThisMachine).require(&[Purpose::App32], setup)?;
    let modules = host::modules(kernel, &["echo", "edu"], setup)?;
    let mut tally = Tally::default();
    for (plugin, app) in [("echo", "echo-app"), ("edu", "edu-app")] {
        let mut vm = modules.guest(&programs::build(app)?).step(Step::load(&format!("/kp/kp-{plugin}.ko")));
        vm = vm.step(Step::run(&[PROGRAM]));
        let programs = [("c", For::Linux), ("c", For::Linux32), ("cpp", For::Linux)];
        for (language, target) in programs {
            let source = format!("{plugin}.{language}");
            let program = bindings::build(&source, plugin, target, setup)?;
            let guest = format!("/kp/{}", program.file_name().context("a name")?.to_string_lossy());
            vm = vm.program(program, &guest).step(Step::run(&[&guest]));
        }
        let report = vm.step(Step::unload(&format!("kp_{plugin}"))).run(&mut |_| {})?;
        keep(log, &format!("{kernel}: {plugin} by bindings"), &report);
        if let Verdict::Failed(why) = &report.verdict {
            bail!("{}", with_lines(why.clone(), &report.output));
        }
        let lines = report.output.len() / (1 + programs.len());
        let said: Vec<&[String]> = report.output.chunks(lines.max(1)).collect();
        for (at, (language, target)) in programs.iter().enumerate() {
            let same = lines > 2 && said.len() == 1 + programs.len() && said[at + 1] == said[0];
            let came_out = if same { Ok(()) } else { Err(with_lines("they say".into(), &report.output)) };
            tally.report(&format!("{kernel}: {plugin}'s app in {language} over bindings, {target:?}"), came_out);
        }
    }
    Ok(tally)
}

/// Compiles a program of one file.
fn compile(source: &Path) -> Result<PathBuf> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    let program = metadata.target_directory.join("kp/echo-c").into_std_path_buf();
    fs::create_dir_all(program.parent().context("a folder")?)?;
    let status =
        Command::new("gcc-12").args(["-Wall", "-Wextra", "-Werror", "-O2", "-o"]).arg(&program).arg(source).status();
    if !status.context("cannot start gcc-12: apt-get install gcc-12")?.success() {
        bail!("{} does not compile: see above", source.display());
    }
    Ok(program)
}

/// Puts the machine's Python and its modules into a guest, as a person does with `--file`, and says where it is.
fn python(vm: Vm) -> Result<(String, Vm)> {
    let found = Command::new(PYTHON).args(["-I", "-S", "-c", PLACES]).output();
    let found = found.context("cannot start Python: apt-get install python3-minimal")?;
    let lines = String::from_utf8(found.stdout).context("Python's folders have odd names")?;
    let (python, modules) = lines.trim_end().split_once('\n').context("Python does not say where it is")?;
    Ok((python.to_owned(), vm.file(modules, modules).program(python, python)))
}
