//! Stages that need no guest: cargo's tests, the lints, the modules of every kernel.
use super::{
    libtest::Libtest,
    log::Log,
    stage::{Stage, Tally},
};
use crate::{
    build::toolchain::Toolchain,
    host, kernels,
    packages::{Packages, Purpose, ThisMachine},
    programs,
    temporary::TempFolder,
};
use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use kp_tool::Message;
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    thread,
};

/// All of them, in order. Modules with `long`: what guests are booted in they are built for then.
pub fn stages(long: bool) -> Vec<Stage> {
    let mut stages = vec![
        Stage::new("cargo test, and with QEMU", move |_, log| cargo_tests(long, log)).beside_another(),
        Stage::new("cargo test, with compilers", move |setup, log| {
            if long {
                Packages::new(&ThisMachine).require(&NEEDED_LONG, setup)?;
            }
            with_compilers(long, log)
        })
        .beside_another(),
        Stage::new("what cargo install leaves out", |_, _| left_out()).beside_another(),
        Stage::new("lints", move |_, _| lints(long)).beside_another(),
        Stage::new("scenario in the simulator", scenarios).beside_another(),
    ];
    if long {
        stages.push(Stage::new("modules for every kernel", |setup, _| modules(setup)));
    }
    stages
}

/// With `--long` alone: tests that compile core for folders of their own, or a workspace for each of many cards, that need one more package, or
/// that do once more for another language or processor what is done in a plain run.
const LONG: [&str; 17] = [
    "a_compiler_outside_of_usr_makes",
    "workspaces_that_take_turns_in_one_target_folder",
    "a_driver_has_as_much_of_its_interface",
    "every_recipe_and_option_passes",
    "each_recipes_broken_acknowledge",
    "a_workspace_of_each_kind_of_card",
    "a_workspace_of_each_kind_of_file",
    "mypy_has_nothing_to_say",
    "handlers_leave_nothing_and_touch",
    "headers_compile_for_windows_of_32_bits",
    "headers_compile_as_cpp",
    "handlers_race_with_nobody",
    "the_app_of_a_new_workspace",
    "c_in_a_driver_is_refused",
    "the_guarded_copy_and_call_of_both",
    "a_plugin_with_two_pages",
    "on_every_kernel_a_sound_module",
];

/// What those need beside what a plain run does.
const NEEDED_LONG: [Purpose; 3] = [Purpose::Windows32, Purpose::Types, Purpose::Bench];

/// What the harness is told, so that it runs what needs programs beside Rust's own.
fn with_programs(long: bool) -> Vec<&'static str> {
    let skipped = if long { &[][..] } else { &LONG };
    ["--ignored"].into_iter().chain(skipped.iter().flat_map(|test| ["--skip", test])).collect()
}

/// The test program whose tests boot guests, and build next to nothing.
const BOOTS: &str = "boot";

/// All of cargo's tests, and those that boot guests. Once they are built, what waits runs beside what computes.
fn cargo_tests(long: bool, log: &Log) -> Result<Tally> {
    let build = cargo().args(["test", "--quiet", "--no-run"]).status().context("cannot start cargo")?;
    if !build.success() {
        bail!("the tests do not compile: see above");
    }
    let harness = with_programs(long);
    let parts: [(&[&str], &[&str]); 3] =
        [(&["--lib", "--bins", "--examples", "--tests"], &[]), (&["--doc"], &[]), (&["--test", BOOTS], &harness)];
    thread::scope(|scope| {
        let parts = parts.map(|(tests, harness)| scope.spawn(move || cargo_test(tests, harness, log)));
        let mut all = Tally::default();
        for part in parts {
            all.add(part.join().expect("it does not panic")?);
        }
        Ok(all)
    })
}

/// What needs programs beside Rust's own, but for those that boot guests.
fn with_compilers(long: bool, log: &Log) -> Result<Tally> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    let programs = metadata.workspace_packages().into_iter().flat_map(|package| &package.targets);
    let programs: BTreeSet<&str> = programs.filter(|target| target.is_test()).map(|target| &*target.name).collect();
    let others = programs.iter().filter(|&&name| name != BOOTS).flat_map(|name| ["--test", name]);
    let others: Vec<&str> = ["--lib", "--bins"].into_iter().chain(others).collect();
    cargo_test(&others, &with_programs(long), log)
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.stdin(Stdio::null());
    cargo
}

/// The tests of the wire and of the simulator, and with them those of the host logic, under Miri.
pub fn miri() -> Result<()> {
    let has_miri = cargo().args(["miri", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success();
    if !has_miri {
        bail!("cargo miri is not here: `rustup +nightly component add miri`, and run this with `cargo +nightly`");
    }
    // Races are looked for with seeds; a few of each are what an interpreter has time for. Files and the clock are its host's.
    let tests = ["miri", "test", "-p", "kp-abi", "-p", "kp-core", "-p", "kp-sim", "--lib", "--tests"];
    let status =
        cargo().args(tests).env("MIRIFLAGS", "-Zmiri-disable-isolation").status().context("cannot start cargo")?;
    if !status.success() {
        bail!("Miri found what it says above");
    }
    Ok(())
}

/// Runs cargo's tests and adds up what each program says of itself. Failures are shown as cargo shows them.
fn cargo_test(arguments: &[&str], harness: &[&str], log: &Log) -> Result<Tally> {
    let mut child = cargo()
        .args(["test", "--no-fail-fast", "--quiet"])
        .args(arguments)
        .arg("--")
        .args(harness)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let output = BufReader::new(child.stdout.take().context("its output is a pipe")?);
    let lines = output.lines().collect::<Result<Vec<_>, _>>()?;
    log.keep("cargo test", &lines);
    let mut libtest = Libtest::default();
    lines.iter().for_each(|line| libtest.line(line));
    Ok(libtest.end("cargo test", child.wait()?.success()))
}

/// rustdoc of what people read.
const READ: &str =
    "doc --quiet --no-deps -pkp-abi -pkp-core -pkp-sim -pkp-user -pkp-linux -pkp-windows -pkp-tool -pcargo-kp";

/// Formatting, clippy and rustdoc, each a test; with `long` rustdoc of the examples and tests too, and of what authors use as Windows has it, for
/// which the standard library is compiled, up to its types.
fn lints(long: bool) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut checks = vec![
        ("rustfmt", cargo(), "fmt --all --check"),
        ("clippy", cargo(), "clippy --quiet --workspace --all-targets -- -D warnings"),
        // Above, the tool has its features: here, as `cargo install` makes it.
        ("clippy without features", cargo(), "clippy --quiet -p cargo-kp --lib --bins -- -D warnings"),
        ("rustdoc", cargo(), if long { "doc --quiet --workspace --no-deps" } else { READ }),
    ];
    if long {
        const WINDOWS: &str = "doc --quiet --no-deps --target x86_64-pc-windows-gnu -Zbuild-std=std,panic_unwind \
                               -pkp-abi -pkp-core -pkp-sim -pkp-user -pkp-windows";
        checks.push(("rustdoc for Windows", Toolchain::find(None)?.cargo(), WINDOWS));
    }
    for (name, mut command, arguments) in checks {
        let output = command
            .args(arguments.split(' '))
            .stdin(Stdio::null())
            .env("RUSTDOCFLAGS", "-D warnings")
            .output()
            .context("cannot start cargo")?;
        match output.status.success() {
            true => tally.pass(1),
            false => {
                print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
                tally.report(name, Err("see above".into()));
            }
        }
    }
    Ok(tally)
}

/// The tool that runs this has no feature, as one that `cargo install` has made: it says by which it reads a file, and by which it asks. The tests
/// of its crate have all.
fn left_out() -> Result<Tally> {
    if cfg!(any(feature = "readers", feature = "wizard")) {
        bail!("this tool was built with features: run `cargo kp test`");
    }
    let tool = programs::this_tool().display().to_string();
    let mut tally = Tally::default();
    // No workspace is made in a clone of kp.
    let outside = TempFolder::new(&std::env::temp_dir(), "kp-new")?;
    for kind in ["svd", "hjson"] {
        let file = format!("tests/cards/lights.{kind}");
        let mut new = Command::new(&tool);
        new.args(["kp", "new", "lights", "--pci", "abcd:0001", "--dry-run", "--registers", &file]);
        new.arg("--path").arg(outside.path.join("lights"));
        tally.check(kind, refuses(&mut new, &Message::NoReader { file })?);
    }
    let mut asks = Command::new("script");
    asks.args(["--quiet", "--return", "--command", &format!("{tool} kp new"), "/dev/null"]).current_dir(&outside.path);
    tally.check("questions", refuses(&mut asks, &Message::NoWizard {})?);
    Ok(tally)
}

/// Whether a program says this, and exits with what belongs to it.
fn refuses(command: &mut Command, message: &Message) -> Result<Result<(), String>> {
    let output = command.stdin(Stdio::null()).output().context("cannot start the tool")?;
    let said = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned()).concat();
    let right = output.status.code() == Some(message.exit() as i32) && said.contains(&message.to_string());
    Ok(if right { Ok(()) } else { Err(format!("{}: {said}", output.status)) })
}

/// Every module of every kernel, from one tree: of those too that nothing is booted in.
fn modules(setup: bool) -> Result<Tally> {
    let mut tally = Tally::default();
    for kernel in kernels::all_names() {
        match host::modules(&kernel, &["echo", "edu", "bmd"], setup) {
            Ok(modules) => tally.pass(modules.files.len()),
            Err(error) => tally.report(&format!("modules for {kernel}"), Err(format!("{error:#}"))),
        }
    }
    Ok(tally)
}

/// The scenario on both kinds of simulator: the program compares the transcript itself.
fn scenarios(setup: bool, log: &Log) -> Result<Tally> {
    let mut tally = Tally::default();
    for name in ["sim", "sim:qemu"] {
        let mut transcript = Vec::new();
        let ran = host::scenario(&name.parse()?, "all", setup, &mut |line| transcript.push(line.to_owned()));
        log.keep(name, &transcript);
        tally.check(name, ran.map_err(|error| format!("{error:#}")));
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::LONG;
    use cargo_metadata::MetadataCommand;
    use std::{fs, path::Path};

    /// Names of tests of which their source says that `--long` runs them.
    fn for_long(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                for_long(&entry, found);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(&entry).expect("a text");
                let marked = source
                    .split("#[ignore = \"")
                    .skip(1)
                    .filter(|rest| rest.lines().next().is_some_and(|reason| reason.contains("`cargo kp test --long`")));
                found.extend(marked.filter_map(|rest| rest.split("fn ").nth(1)?.split('(').next().map(str::to_owned)));
            }
        }
    }

    #[test]
    fn what_is_for_long_alone_says_so_where_it_stands() {
        let mut found = Vec::new();
        for package in ["cargo-kp", "kp-tool"] {
            for_long(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(package).join("tests"), &mut found);
        }
        let unlisted: Vec<_> = found.iter().filter(|name| !LONG.iter().any(|start| name.contains(start))).collect();
        let unmarked: Vec<_> = LONG.iter().filter(|start| !found.iter().any(|name| name.contains(**start))).collect();
        assert!(
            unlisted.is_empty() && unmarked.is_empty(),
            "not in LONG: {unlisted:?}; says nothing of --long: {unmarked:?}"
        );
    }

    /// Cargo warns of two of the same name at every build.
    #[test]
    fn each_program_and_example_of_the_workspace_has_a_name_of_its_own() {
        let metadata = MetadataCommand::new().no_deps().exec().expect("a workspace");
        let targets = metadata.packages.iter().flat_map(|package| &package.targets);
        let mut names: Vec<_> = targets
            .filter(|target| target.is_bin() || target.is_example())
            .map(|target| (target.is_bin(), &target.name))
            .collect();
        names.sort();
        let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].1).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}
