//! Apps that know docs/abi.md alone: echo's in C and Python, beside the one in Rust; and echo's and edu's over bindings.
use super::{
    bindings::{self, For},
    log::Log,
    report::keep,
    stage::{Stage, Tally, with_lines},
};
use crate::{
    bindings::Language,
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
    time::Duration,
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
            tally.add(bound_in_python(kernel, setup, log).with_context(|| kernel.clone())?);
            tally.add(bound(kernel, setup, log).with_context(|| kernel.clone())?);
        }
        Ok(tally)
    };
    vec![Stage::new("apps in C and Python", run).beside_another()]
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

/// Runs the apps by the bindings of Python in one guest, beside those in Rust. What they print has to be the same. Then the device goes while handlers
/// come and go.
fn bound_in_python(kernel: &str, setup: bool, log: &Log) -> Result<Tally> {
    /// Where the guest has the packages and the apps.
    const HERE: &str = "/kp/python";
    let interrupts = [
        "asyncio    3 taken",
        "descriptor 1 taken",
        "threads    1000 handlers, one after the other",
        "remove it",
        "a handler  DeviceGone",
        "a call     DeviceGone",
    ];
    let modules = host::modules(kernel, &["echo", "edu"], setup)?;
    let packages = bindings::write("echo", Language::Python, "python")?;
    bindings::write("edu", Language::Python, "python")?;
    let vm = modules.guest(&programs::build("echo-app")?).program(programs::build("edu-app")?, "/kp/edu-app");
    let (python, vm) = python(vm.file("tests/bindings/python", "/kp/apps").file(packages, HERE))?;
    let of_edu = Step::load_until("/kp/kp-edu.ko", "", "/dev/kp/edu.0");
    let mut vm = vm.step(Step::load("/kp/kp-echo.ko")).step(of_edu).timeout(Duration::from_secs(180));
    let apps: [(&str, &[&str]); 3] =
        [("echo_story.py", &[]), ("edu_story.py", &[]), ("edu_interrupts.py", &["--unbind"])];
    vm = vm.step(Step::run(&[PROGRAM])).step(Step::run(&["/kp/edu-app"]));
    for (app, arguments) in apps {
        let app = format!("/kp/apps/{app}");
        let words = [&*python, "-W", "error", &app];
        let argv = words.iter().chain(arguments).map(|&word| word.into());
        let env =
            [("PYTHONPATH", HERE), ("PYTHONDONTWRITEBYTECODE", "1")].map(|(name, value)| (name.into(), value.into()));
        vm = vm.step(Step::Run { argv: argv.collect(), env: env.into(), expect: Outcome::Success });
    }
    let report = vm.step(Step::unload("kp_edu")).step(Step::unload("kp_echo")).run(&mut |_| {})?;
    keep(log, &format!("{kernel} by Python's bindings"), &report);
    if let Verdict::Failed(why) = &report.verdict {
        bail!("{}", with_lines(why.clone(), &report.output));
    }
    let mut tally = Tally::default();
    let said = &report.output;
    let (rust, rest) = said.split_at(said.len().min(9));
    let (stories, rest) = rest.split_at(rest.len().min(9));
    for (name, is_so) in [
        ("the apps by Python's bindings print what those in Rust print", rust == stories && rust.len() == 9),
        ("handlers come and go, and the device too", rest == interrupts),
    ] {
        let came_out = if is_so { Ok(()) } else { Err(with_lines("they say".into(), said)) };
        tally.report(&format!("{kernel}: {name}"), came_out);
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
    let found = found.context("cannot start Python: apt-get install python3")?;
    let lines = String::from_utf8(found.stdout).context("Python's folders have odd names")?;
    let (python, modules) = lines.trim_end().split_once('\n').context("Python does not say where it is")?;
    Ok((python.to_owned(), vm.file(modules, modules).program(python, python)))
}
