//! Apps that know docs/abi.md alone: echo's in C and Python, beside the one in Rust.
use super::{
    log::Log,
    report::keep,
    stage::{Stage, Tally, with_lines},
};
use crate::{
    guest::plan::{Outcome, Step},
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
/// What the example imports. Prints the interpreter, and the file of each module that this needs.
const MODULES: &str = "import array, fcntl, os, struct, sys\n\
    print(os.path.realpath(sys.executable))\n\
    for m in list(sys.modules.values()):\n  f = getattr(m, '__file__', None)\n  if f: print(f)";

/// The kernel on which one guest is enough.
const KERNEL: &str = "6.12-cloud";

/// The stage. `long`: on every kernel.
pub fn stages(long: bool) -> Vec<Stage> {
    let run = move |setup, log: &Log| {
        Packages::new(&ThisMachine).require(&[Purpose::Python], setup)?;
        let mut tally = Tally::default();
        for kernel in kernels::names().iter().filter(|&kernel| long || kernel == KERNEL) {
            tally.add(apps(kernel, setup, log).with_context(|| kernel.clone())?);
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
    let apps: [&[&str]; 3] = [&[PROGRAM], &["/kp/echo-c"], &[&python, "-S", "/kp/echo.py"]];
    for app in apps {
        vm = vm.step(Step::Run {
            argv: app.iter().map(|&word| word.to_owned()).collect(),
            // Else Python looks for folders that the guest has not, and says so.
            env: [("PYTHONHOME".to_owned(), "/usr".to_owned())].into(),
            expect: Outcome::Success,
        });
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

/// Puts the machine's Python and the few modules that the example needs into a guest, and says where it is.
fn python(mut vm: Vm) -> Result<(String, Vm)> {
    let found = Command::new(PYTHON).args(["-I", "-S", "-c", MODULES]).output();
    let found = found.context("cannot start Python: apt-get install python3-minimal")?;
    let lines = String::from_utf8(found.stdout).context("Python's files have odd names")?;
    let mut lines = lines.lines();
    let python = lines.next().context("Python does not say where it is")?.to_owned();
    for module in lines {
        vm = vm.file(module, module);
    }
    Ok((python.clone(), vm.program(&python, &python)))
}
