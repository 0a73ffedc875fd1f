//! A plugin's code is the same whichever folder the compiler is in, and no build undoes another one.
//!
//! Two are in need of Debian's compiler: `cargo test -p cargo-kp --test toolchain -- --ignored`. What is compiled stays for the next run.
#![cfg(unix)]
use cargo_kp::build;
use object::{Object as _, ObjectSection as _, SectionFlags, elf};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The clone of kp.
const CLONE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// One at a time: nothing else is started while a program is written.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("toolchain").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes a file unless it is there: nothing is to be built again for its date.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Debian's compiler in a folder of its own, laid out as Ubuntu's versions side by side: without the source of the library, which is
/// found by its version.
fn elsewhere() -> PathBuf {
    let sysroot = folder("rust-elsewhere");
    let link = |at: &str, to: &str| {
        let at = sysroot.join(at);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        if !at.exists() {
            symlink(to, at).unwrap();
        }
    };
    link("bin/cargo", "/usr/bin/cargo");
    link("lib/rustlib/x86_64-unknown-linux-gnu", "/usr/lib/rustlib/x86_64-unknown-linux-gnu");
    // A compiler looks for its sysroot where its own libraries are, whatever link it was started by.
    let rustc = sysroot.join("bin/rustc");
    write(&rustc, &format!("#!/bin/sh\nexec /usr/bin/rustc --sysroot '{}' \"$@\"\n", sysroot.display()));
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755)).unwrap();
    sysroot
}

/// A workspace of one plugin, with something more in its Cargo.toml.
fn workspace(name: &str, more: &str) -> PathBuf {
    let workspace = folder(name);
    let crates = ["kp-abi", "kp-core"].map(|name| format!("{name} = {{ path = \"{CLONE}/{name}\" }}\n")).concat();
    let package = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\nlicense = \"MIT\"\n");
    write(&workspace.join("Cargo.toml"), &format!("{package}{more}\n[workspace]\n\n[dependencies]\n{crates}"));
    let ticker = fs::read_to_string(Path::new(CLONE).join("examples/ticker/src/lib.rs")).unwrap();
    write(&workspace.join("src/lib.rs"), &ticker);
    // The versions that the clone has, so that nothing is looked up. Cargo leaves out what is not needed.
    if !workspace.join("Cargo.lock").exists() {
        fs::copy(Path::new(CLONE).join("Cargo.lock"), workspace.join("Cargo.lock")).unwrap();
    }
    workspace
}

/// The tool, asked to build a driver there.
fn in_workspace(workspace: &Path) -> Command {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_cargo-kp"));
    tool.args(["kp", "build", "--target", "windows"]).current_dir(workspace).env("CARGO_NET_OFFLINE", "true");
    tool.env_remove("KP_TOOLCHAIN");
    tool
}

#[test]
fn an_option_chooses_before_the_environment_and_that_before_the_plugins_own_toolchain() {
    let _alone = alone();
    let workspace = workspace("pinned", "\n[package.metadata.kp]\ntoolchain = \"of-the-plugin\"\n");
    let refused = |tool: &mut Command, name: &str| {
        let output = tool.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let last = said.lines().last().unwrap_or_default();
        assert!(
            !output.status.success() && last.starts_with(&format!("error: rustup has no toolchain {name} in ")),
            "{said}"
        );
    };
    refused(&mut in_workspace(&workspace), "of-the-plugin");
    refused(in_workspace(&workspace).env("KP_TOOLCHAIN", "of-the-environment"), "of-the-environment");
    let mut tool = in_workspace(&workspace);
    refused(tool.env("KP_TOOLCHAIN", "of-the-environment").args(["--toolchain", "of-the-option"]), "of-the-option");
}

#[test]
fn what_an_earlier_build_has_made_stays_where_the_toolchain_is_not_there() {
    let _alone = alone();
    let (workspace, target) = (workspace("kept", ""), folder("kept-target"));
    let driver = target.join("kp/kept/windows-x86_64/kp-kept.sys");
    write(&driver, "of before");
    let mut tool = in_workspace(&workspace);
    let output = tool.args(["--toolchain", "nosuch"]).env("CARGO_TARGET_DIR", &target).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("kp-kept.sys is of an earlier build\n"), "{said}");
    assert_eq!(fs::read_to_string(driver).unwrap(), "of before");
}

#[test]
#[ignore = "needs Debian's compiler, and compiles core; run by `cargo kp test --long`"]
fn a_compiler_outside_of_usr_makes_the_same_code_as_in_it() {
    let _alone = alone();
    let mut plugin = build::select(Some("echo"), Path::new(CLONE)).unwrap();
    let mut object = |toolchain: &str| {
        plugin.toolchain = Some(toolchain.to_owned());
        fs::read(build::object(&plugin, &build::Instrumentation::default(), &|_| {}).unwrap().path).unwrap()
    };
    let (here, there) = (object("/usr"), object(elsewhere().to_str().unwrap()));
    // The linker's names have hashes in them, which differ. The kernel gets what is compared here.
    let loaded = |bytes: &[u8]| -> Vec<(String, Vec<u8>)> {
        let file = object::File::parse(bytes).unwrap();
        let is_loaded =
            |flags| matches!(flags, SectionFlags::Elf { sh_flags } if sh_flags & u64::from(elf::SHF_ALLOC) != 0);
        let sections = file.sections().filter(|section| is_loaded(section.flags()));
        sections.map(|section| (section.name().unwrap().to_owned(), section.data().unwrap().to_vec())).collect()
    };
    assert!(loaded(&here).iter().any(|(name, data)| name == ".text" && data.len() > 10_000));
    assert!(loaded(&here) == loaded(&there), "the code differs");
    for folder in ["/usr/", env!("CARGO_MANIFEST_DIR"), "rust-elsewhere"] {
        let is_in = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(folder);
        assert!(!is_in(&here) && !is_in(&there), "{folder} is in it");
    }
}

#[test]
#[ignore = "needs Debian's compiler and lld, and compiles core; run by `cargo kp test --long`"]
fn workspaces_that_take_turns_in_one_target_folder_build_nothing_again() {
    let _alone = alone();
    let target = folder("shared-target");
    let build = |name: &str| {
        let mut build = in_workspace(&workspace(name, ""));
        let output = build.env("CARGO_TARGET_DIR", &target).env("CARGO_TERM_COLOR", "never").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        said
    };
    build("first");
    build("second");
    for again in ["first", "second"] {
        let said = build(again);
        assert!(said.contains("Finished") && !said.contains("Compiling"), "{again} is built again:\n{said}");
    }
}
