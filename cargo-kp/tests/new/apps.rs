//! Apps in other languages: their bindings are those of the workspace's own interface, they build without a warning, and print what the app in Rust
//! prints.
use crate::{
    folder::{EDU, Folder, tool},
    generated::{ALL, RECIPES},
};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Where other tests have built kp's crates.
fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")
}

/// A workspace's plugin behind a socket. Killed at the end.
struct Simulated(Child);

impl Simulated {
    fn start(workspace: &Path) -> Self {
        let mut sim = tool(workspace);
        sim.args(["sim", "--listen", "card.sock"]).env("CARGO_TARGET_DIR", target()).stdout(Stdio::piped());
        let mut child = sim.spawn().expect("the tool can be started");
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        said.read_line(&mut line).expect("it speaks UTF-8");
        assert!(line.ends_with(" listens: KP_NODE=card.sock\n"), "{line}");
        Simulated(child)
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program in a workspace, which has to go well: what it prints.
fn said(command: &mut Command, workspace: &Path) -> String {
    let output = command.current_dir(workspace).output().expect("it can be started");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !error.contains("warning"), "{command:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Checks, builds and runs the apps of a workspace, with several lists of arguments.
fn apps_are_those_of_rust(folder: &Folder, name: &str, arguments: &[&[&str]]) {
    let workspace = folder.path().join(name);
    let (built, words) = folder.cargo(name, "build --offline --quiet");
    assert!(built && !words.contains("warning"), "{name}: {words}");
    for language in ["c", "cpp"] {
        let mut check = tool(&workspace);
        check.args(["bindings", "--lang", language, "--check"]).env("CARGO_TARGET_DIR", target());
        said(&mut check, &workspace);
        said(Command::new("make").args(["-C", &format!("apps/{language}")]), &workspace);
    }
    let _simulated = Simulated::start(&workspace);
    for arguments in arguments {
        let run =
            |program: PathBuf| said(Command::new(program).args(*arguments).env("KP_NODE", "card.sock"), &workspace);
        let rust = run(target().join(format!("debug/{name}-app")));
        assert!(rust.lines().count() > 1, "{name}: {rust}");
        for language in ["c", "cpp"] {
            assert_eq!(
                run(workspace.join(format!("apps/{language}/{name}-{language}"))),
                rust,
                "{name}: {arguments:?}"
            );
        }
    }
}

#[test]
fn files_of_apps_are_those_that_were_asked_for() {
    let folder = Folder::new();
    folder.write("edu.csv", EDU);
    let listed = folder.new_card("card --pci 1234:11e8 --registers edu.csv --apps rust,c,cpp --dry-run");
    let apps: Vec<&str> = listed.lines().filter_map(|line| line.strip_prefix("card/apps/")).collect();
    let of_c = ["c/main.c", "c/Makefile", "c/CMakeLists.txt", "c/card.h"];
    let of_cpp = ["cpp/main.cpp", "cpp/Makefile", "cpp/CMakeLists.txt", "cpp/card.h", "cpp/card.hpp"];
    assert_eq!(apps, [&of_c[..], &of_cpp].concat());
}

/// Makes the apps of a card for each recipe, and of plugins without a card or without registers. What looks at each has to have nothing to say.
fn apps_of_all(language: &str, mut look: impl FnMut() -> Command) {
    let folder = Folder::new();
    folder.write("all.csv", ALL);
    let cards = RECIPES.iter().map(|(name, flags)| (*name, format!("--pci abcd:0001 --registers all.csv {flags}")));
    let bare = ["--pci abcd:0001", "--software"].map(|flags| (&flags[2..5], flags.to_owned()));
    for (name, flags) in cards.chain(bare) {
        folder.new_card(&format!("{name}-card {flags} --no-git --apps {language}"));
        let app = folder.path().join(format!("{name}-card/apps/{language}"));
        assert_eq!(said(&mut look(), &app), "", "{name}");
    }
}

/// Compiles them.
fn apps_of_all_compile(language: &str, compiler: &str, standard: &str) {
    apps_of_all(language, || {
        let mut compile = Command::new(compiler);
        compile.args([standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"]);
        compile.arg(format!("main.{language}"));
        compile
    });
}

#[test]
#[ignore = "needs python3; run by `cargo kp test`"]
fn apps_in_python_name_what_there_is_for_every_recipe() {
    apps_of_all("python", || {
        let mut python = Command::new("/usr/bin/python3");
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/bindings/python/app_names.py");
        python.args(["-W", "error", program]).env("PYTHONDONTWRITEBYTECODE", "1");
        python
    });
}

#[test]
fn apps_in_c_compile_for_every_recipe() {
    apps_of_all_compile("c", "gcc", "-std=c99");
}

#[test]
#[ignore = "needs g++; run by `cargo kp test`"]
fn apps_in_cpp_compile_for_every_recipe() {
    apps_of_all_compile("cpp", "g++", "-std=c++17");
}

#[test]
#[ignore = "needs g++ and make, and compiles workspaces; run by `cargo kp test`"]
fn apps_in_c_and_cpp_print_what_the_app_in_rust_prints() {
    let folder = Folder::new();
    folder.write("edu.csv", EDU);
    folder.new_card("c-card --pci 1234:11e8 --registers edu.csv --irq-raise IRQ_RAISE --apps c,cpp");
    apps_are_those_of_rust(
        &folder,
        "c-card",
        &[&[], &["c-card.1"], &["--raise", "5"], &["--raise", "0x10", "--wait", "3"]],
    );
    folder.new_card("plain-card --software --apps cpp,c");
    apps_are_those_of_rust(&folder, "plain-card", &[&[]]);
}
