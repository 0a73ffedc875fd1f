//! Programs over the bindings that `cargo kp bindings` makes; those in C and C++ are built for guests, and for Windows.
use crate::{
    bindings::Language,
    build,
    packages::{Packages, Purpose, ThisMachine},
};
use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use kp_tool::schema::Schema;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where the programs are.
const SOURCES: &str = "tests/bindings";

/// For what a program is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// This machine, and a guest.
    Linux,
    /// The same, as a 32-bit program.
    Linux32,
    /// Windows.
    Windows,
    /// Windows, as a 32-bit program.
    Windows32,
}

impl For {
    /// The compilers of C and of C++, and what they are told.
    fn compilers(self) -> (&'static str, &'static str, &'static [&'static str]) {
        const WIDE: &[&str] = &["-m32", "-static", "-idirafter", "/usr/include/x86_64-linux-gnu"];
        match self {
            For::Linux => ("gcc", "g++", &["-pthread"]),
            For::Linux32 => ("gcc", "g++", WIDE),
            For::Windows => ("x86_64-w64-mingw32-gcc", "x86_64-w64-mingw32-g++", &["-static"]),
            For::Windows32 => ("i686-w64-mingw32-gcc", "i686-w64-mingw32-g++", &["-static"]),
        }
    }

    /// What a program's name ends with.
    fn ending(self) -> &'static str {
        match self {
            For::Linux => "",
            For::Linux32 => "-32",
            For::Windows => ".exe",
            For::Windows32 => "-32.exe",
        }
    }
}

/// Builds a program of one file, such as `echo.c`, over the bindings of a plugin, and says where it is.
pub fn build(source: &str, plugin: &str, target: For, setup: bool) -> Result<PathBuf> {
    Packages::new(&ThisMachine).require(&[Purpose::Bindings], setup)?;
    let folder = write(plugin, Language::Cpp, plugin)?;
    let (c, cpp, flags) = target.compilers();
    let is_c = source.ends_with(".c");
    let (compiler, standard) = if is_c { (c, "-std=c99") } else { (cpp, "-std=c++17") };
    let program = folder.join(format!("{}{}", source.replace('.', "-"), target.ending()));
    let mut command = Command::new(compiler);
    command.args([standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-g", "-I"]).arg(&folder);
    command.arg("-o").arg(&program).arg(Path::new(SOURCES).join(source)).args(flags);
    if !command.status().with_context(|| format!("cannot start {compiler}"))?.success() {
        bail!("{source} does not compile: see above");
    }
    Ok(program)
}

/// Writes the bindings of a plugin into a folder of this name, and says where that is.
pub fn write(plugin: &str, language: Language, name: &str) -> Result<PathBuf> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    let folder = metadata.target_directory.join("kp/bindings").join(name).into_std_path_buf();
    let plugin = build::select(Some(plugin), Path::new("."))?;
    let schema = Schema::decode(&build::interface(&plugin)?).context("its interface is no schema")?;
    for file in language.files(&schema)? {
        let path = folder.join(file.path);
        let parent = path.parent().context("a file is in a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::write(&path, file.text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(folder)
}
