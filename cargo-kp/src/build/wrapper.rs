//! Symbols that do not depend on the folder. Cargo tells the compiler crates apart by a number that comes from the path of their package, and the
//! number is in each symbol's name. Between the two goes this program, and gives a number that comes from the package's name and version.
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::windows::fnv;

/// Set for the processes below a build's Cargo: the program is to stand between Cargo and the compiler.
const ASKED: &str = "KP_STABLE_SYMBOLS";
/// What stood there before, if something did.
const BEFORE: &str = "KP_STABLE_SYMBOLS_BEFORE";
/// How the number begins in the compiler's arguments.
const NUMBER: &str = "metadata=";

/// Has a Cargo start its compiler by way of this program. Does nothing if this is another program, which only uses the library.
pub fn wrap(cargo: &mut Command) {
    let Some(tool) = this_tool() else { return };
    if let Some(before) = env::var_os("RUSTC_WRAPPER").filter(|before| !before.is_empty()) {
        cargo.env(BEFORE, before);
    }
    cargo.env("RUSTC_WRAPPER", tool).env(ASKED, "1");
}

/// This program, by a name under which it stays if another one is put in its place meanwhile.
fn this_tool() -> Option<PathBuf> {
    let tool = env::current_exe().ok()?;
    let is_tool = tool.file_name()?.to_str()?.starts_with("cargo-kp");
    let name = if cfg!(unix) { format!("/proc/{}/exe", std::process::id()).into() } else { tool };
    is_tool.then_some(name)
}

/// Becomes the compiler, and never returns, if Cargo has started this program in its place.
pub fn enter_if_asked() {
    let mut arguments = env::args_os().skip(1);
    let Some(compiler) = arguments.next().filter(|first| is_compiler(first) && env::var_os(ASKED).is_some()) else {
        return;
    };
    let arguments = arguments.map(|argument| stable(argument, &number));
    let mut command = match env::var_os(BEFORE) {
        Some(before) => {
            let mut command = Command::new(before);
            command.arg(compiler);
            command
        }
        None => Command::new(compiler),
    };
    let status = command.args(arguments).status();
    std::process::exit(match status {
        Ok(status) => status.code().unwrap_or(1),
        Err(error) => {
            eprintln!("error: cannot start {}: {error}", command.get_program().display());
            1
        }
    });
}

/// Whether the first argument is a compiler's file, and no subcommand of this program.
fn is_compiler(first: &OsString) -> bool {
    Path::new(first).file_stem().is_some_and(|name| name.to_string_lossy().starts_with("rustc"))
}

/// An argument, with another number if it is the one that has it.
fn stable(argument: OsString, number: &dyn Fn() -> Option<String>) -> OsString {
    let is_number = argument.to_str().is_some_and(|text| text.starts_with(NUMBER));
    match number().filter(|_| is_number) {
        Some(number) => format!("{NUMBER}{number}").into(),
        None => argument,
    }
}

/// The number of the package that Cargo compiles now. None for one of a registry, whose number has no path in it.
fn number() -> Option<String> {
    let dir = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
    let is_downloaded = dir.components().any(|part| part.as_os_str() == "registry" || part.as_os_str() == "checkouts");
    let [name, version] = ["CARGO_PKG_NAME", "CARGO_PKG_VERSION"].map(|name| env::var(name).unwrap_or_default());
    (!is_downloaded).then(|| of_package(&name, &version))
}

fn of_package(name: &str, version: &str) -> String {
    format!("{:016x}", fnv(format!("{name} {version}").as_bytes(), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_alone_is_replaced_and_two_packages_have_two() {
        let number = || Some(of_package("edu", "0.1.0"));
        let replaced = |text: &str| stable(text.into(), &number).into_string().expect("text");
        assert_eq!(replaced("metadata=0123456789abcdef"), format!("metadata={}", of_package("edu", "0.1.0")));
        for other in ["extra-filename=-0123456789abcdef", "--emit=dep-info,metadata,link", "-C"] {
            assert_eq!(replaced(other), other);
        }
        assert_eq!(stable("metadata=1".into(), &|| None), "metadata=1");
        assert_ne!(of_package("edu", "0.1.0"), of_package("edu", "0.1.1"));
        assert_ne!(of_package("edu", "0.1.0"), of_package("echo", "0.1.0"));
    }

    #[test]
    fn only_a_compiler_is_one() {
        for (name, is) in [("/usr/bin/rustc", true), ("C:/rust/rustc.exe", true), ("kp", false), ("build", false)] {
            assert_eq!(is_compiler(&name.into()), is, "{name}");
        }
    }
}
