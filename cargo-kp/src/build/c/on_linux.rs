//! The compilers of a Linux machine: gcc for modules, and Clang in the part of Microsoft's for drivers.
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;

use super::{STRING_H, WINDOWS};
use crate::build::pe::frames;
use crate::build::plugin::Plugin;
use crate::build::write;

/// The crate that build scripts compile C with.
const CC: &str = "cc";
/// Compilers for modules, the first that there is. The kernel's own build needs one of them too.
const GCC: [&str; 2] = ["gcc", "gcc-12"];
/// The compiler for drivers.
const CLANG: &str = "clang-cl";
/// Where Debian has it.
const DEBIANS_CLANG: &str = "/usr/lib/llvm-22/bin";

/// What the kernel's own C code is compiled with, and what Rust is in `linux/glue.rs`, as gcc calls it. One object serves kernels
/// with and without each mitigation.
const MODULES: &[&str] = &[
    "-ffreestanding",
    "-mgeneral-regs-only",
    "-mno-red-zone",
    // Modules lie in the top 2 GiB and have no global offset table.
    "-mcmodel=kernel",
    "-fno-pic",
    "-fno-pie",
    // Each mitigation that Rust has.
    "-mfunction-return=thunk-extern",
    "-fcf-protection=branch",
    "-fno-jump-tables",
    "-mindirect-branch=thunk-extern",
    "-mindirect-branch-register",
    "-mindirect-branch-cs-prefix",
    "-fpatchable-function-entry=16,16",
    // What distributions have turned on for programs.
    "-fno-stack-protector",
    "-fno-stack-clash-protection",
    // objtool writes what a kernel unwinds by.
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
    "-fno-ident",
    "-nostdinc",
];
/// What drivers are compiled with, besides [`WINDOWS`].
const DRIVERS: &[&str] = &["/X", "/Brepro", "-mgeneral-regs-only", "/clang:-ffreestanding", "/clang:-fno-jump-tables"];
/// What both are compiled with. Clang in the part of another has these behind `/clang:`.
const BOTH: &[&str] = &[
    // As kernels are compiled, and as Microsoft's compiler does it: old code relies on it.
    "-fno-strict-aliasing",
    "-fwrapv",
    "-fno-delete-null-pointer-checks",
    "-Wall",
    "-Wextra",
    // A function that nobody has declared, and a frame whose size nobody knows.
    "-Werror=implicit-function-declaration",
    "-Werror=vla",
    "-Werror=alloca",
];

/// The variables of the cc crate for one target, `linker` being lld where it is a driver's, and `more` what a module is compiled with besides.
///
/// # Errors
/// The compiler is missing, and a crate that the plugin depends on has C code. The message says what to do.
pub(super) fn variables(
    plugin: &Plugin,
    cargo: Command,
    dir: &Path,
    triple: &str,
    linker: Option<&Path>,
    more: &[String],
) -> Result<Vec<(&'static str, OsString)>> {
    let compiler = match linker {
        None => GCC.into_iter().find_map(in_path),
        Some(linker) => {
            let folders = [linker.parent().unwrap_or(linker), Path::new(DEBIANS_CLANG)];
            let found = folders.into_iter().map(|folder| folder.join(CLANG)).find(|path| path.is_file());
            found.or_else(|| in_path(CLANG))
        }
    };
    let Some(compiler) = compiler else {
        let package = if linker.is_none() { "gcc" } else { "clang-22" };
        return match with_c(cargo, dir)? {
            Some(of) => bail!("{of} has C code, and there is no compiler of C for {triple}: apt-get install {package}"),
            None => Ok(Vec::new()),
        };
    };
    let folder = plugin.output.join("build/c");
    let headers = folder.join("include");
    write(&headers.join("string.h"), STRING_H)?;
    let paths = format!("-ffile-prefix-map={}=", plugin.workspace.display());
    let both = BOTH.iter().copied().chain([paths.as_str()]);
    let Some(linker) = linker else {
        // In a driver `pe::frames` finds it.
        let frame = format!("-Werror=frame-larger-than={}", frames::MOST);
        let own = said_by(&compiler, "-print-file-name=include")?;
        let mut flags: Vec<String> =
            MODULES.iter().copied().chain(both).chain([frame.as_str()]).map(str::to_owned).collect();
        flags.extend_from_slice(more);
        flags.extend(["-isystem".to_owned(), own, "-isystem".to_owned(), headers.display().to_string()]);
        return Ok(vec![("CC", compiler.into()), ("CFLAGS", words(&flags).into())]);
    };
    let own = format!("{}/include", said_by(&compiler, "-print-resource-dir")?);
    let mut flags: Vec<String> = WINDOWS.iter().chain(DRIVERS).map(|&flag| flag.to_owned()).collect();
    flags.extend(both.map(|flag| format!("/clang:{flag}")));
    flags.extend([own, headers.display().to_string()].map(|folder| format!("-imsvc{folder}")));
    let as_lib = if linker.file_stem().is_some_and(|name| name == "rust-lld") { "-flavor link -lib" } else { "-lib" };
    Ok(vec![
        ("CC", started_by(&compiler, &folder.join(CLANG))?.into()),
        ("CFLAGS", words(&flags).into()),
        ("AR", linker.into()),
        ("ARFLAGS", as_lib.into()),
    ])
}

/// Writes a script that starts Clang. The cc crate asks it what it is with `-E FILE`, and a file in /work is `/w` to it, an option.
fn started_by(clang: &Path, script: &Path) -> Result<PathBuf> {
    let clang = quoted(&clang.display().to_string());
    let text = format!(
        "#!/bin/sh\nif [ $# = 2 ] && [ \"$1\" = -E ]; then exec {clang} -E -- \"$2\"; fi\nexec {clang} \"$@\"\n"
    );
    write(script, text)?;
    fs::set_permissions(script, Permissions::from_mode(0o755))?;
    Ok(script.to_owned())
}

/// Where the search path has a program.
fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// What a compiler says when it is asked.
fn said_by(compiler: &Path, question: &str) -> Result<String> {
    let output = Command::new(compiler).arg(question).output();
    let output = output.with_context(|| format!("cannot start {}", compiler.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Words as a shell takes them.
fn words(flags: &[String]) -> String {
    flags.iter().map(|flag| quoted(flag)).collect::<Vec<_>>().join(" ")
}

/// As a shell takes it for one word.
fn quoted(flag: &str) -> String {
    format!("'{}'", flag.replace('\'', r"'\''"))
}

/// A crate among those that the one in `dir` depends on whose build script compiles C.
fn with_c(mut cargo: Command, dir: &Path) -> Result<Option<String>> {
    let output = cargo.current_dir(dir).args(["metadata", "--format-version=1"]).output()?;
    if !output.status.success() {
        return Ok(None); // the build says why
    }
    let metadata = MetadataCommand::parse(String::from_utf8(output.stdout)?)?;
    let mut packages = metadata.packages.iter();
    let found = packages.find(|package| package.dependencies.iter().any(|dependency| dependency.name == CC));
    Ok(found.map(|package| package.name.to_string()))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_flag_with_a_blank_or_a_quote_stays_one_word() {
        assert_eq!(quoted("-I/my cards/a'b"), r"'-I/my cards/a'\''b'");
    }
}
