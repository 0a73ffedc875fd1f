//! One kernel's module from the plugin's object and the port's C sources, by the kernel's own build files.
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use super::compiler::{Compiler, compiler};
use super::object::Object;
use super::place;
use super::target::Target;
use crate::build::exports::Exports;
use crate::build::info::MatchId;
use crate::build::plugin::Plugin;
use crate::build::{check, lock, write};
use crate::kernels::Kernel;
use kp_tool::rules;

/// Variables with which whoever started this program would change the kernel's build.
const FOREIGN: [&str; 17] = [
    "MAKEFLAGS",
    "MFLAGS",
    "MAKEOVERRIDES",
    "MAKELEVEL",
    "ARCH",
    "CROSS_COMPILE",
    "CC",
    "LLVM",
    "KBUILD_OUTPUT",
    "KCFLAGS",
    "KCPPFLAGS",
    "KAFLAGS",
    "CFLAGS_MODULE",
    "AFLAGS_MODULE",
    "LDFLAGS_MODULE",
    "KBUILD_EXTRA_WARN",
    "KBUILD_MODPOST_WARN",
];

/// Builds the module for one kernel and returns its path, `target/kp/<plugin>/<release>/kp-<plugin>.ko`, or, for another kernel of the same
/// release, `target/kp/<plugin>/<release>+<hash>/kp-<plugin>.ko`.
///
/// # Errors
/// Anything that the compiler, objtool or modpost warns of; symbols that the kernel lacks.
pub fn module(plugin: &Plugin, object: &Object, kernel: &Kernel) -> Result<PathBuf> {
    build(plugin, object, &Target::from(kernel), &compiler(&kernel.headers, None)?)
}

/// Where the module for a kernel is, or will be. Nothing is changed there.
pub(super) fn path(plugin: &Plugin, kernel: &Target) -> Result<PathBuf> {
    let (dir, _) = place::marked(&plugin.output.join(&plugin.name), kernel)?;
    Ok(std::path::absolute(dir)?.join(format!("kp-{}.ko", plugin.name)))
}

/// [`module`], for a kernel that may be only headers, with this compiler.
pub(super) fn build(plugin: &Plugin, object: &Object, kernel: &Target, compiler: &Compiler) -> Result<PathBuf> {
    if let Some(line) = &compiler.stands_in {
        eprintln!("{}: {line}", plugin.name);
    }
    let _alone = lock(plugin)?;
    let dir = std::path::absolute(place::folder(&plugin.output.join(&plugin.name), kernel)?)?;
    let module = dir.join(format!("kp-{}.ko", plugin.name));
    copy(&object.kbuild, &dir).context("cannot copy the port's C sources")?;
    write(&dir.join("kp_plugin.h"), header(plugin, object))?;
    write(&dir.join("rust.o_shipped"), fs::read(&object.path)?)?;
    if let Some(text) = rules::text(&object.info.name, !object.info.devices.is_empty(), None) {
        write(&dir.join(rules::file_name(&plugin.name)), text)?;
    }

    let exports = Exports::of(&kernel.headers)?;
    // What make begins to write, and what a check refuses, is no module: the one of before stays until there is another.
    let earlier = fs::read(&module).ok();
    let made = make(plugin, &dir, &kernel.headers, compiler);
    let checked = made.and_then(|()| Ok(check::only_exports(&fs::read(&module)?, &exports)?));
    if let Err(refusal) = checked {
        // Warnings come only once: the next build would find everything made and succeed.
        remove_objects(&dir)?;
        if let Some(earlier) = earlier {
            fs::write(&module, earlier).with_context(|| format!("cannot write {}", module.display()))?;
        }
        return Err(refusal.context(format!("{} isn't built for {}", plugin.name, kernel.release)));
    }
    Ok(module)
}

/// Runs the kernel's build on what is in `dir`, and takes any warning for a failure. Where make cannot work there, it does so elsewhere, and the
/// module is brought.
fn make(plugin: &Plugin, dir: &Path, headers: &Path, compiler: &Compiler) -> Result<()> {
    if place::make_works_in(dir) {
        return run_make(plugin, dir, headers, compiler);
    }
    let workshop = place::workshop()?;
    copy(dir, &workshop.path).with_context(|| format!("cannot copy to {}", workshop.path.display()))?;
    let module = format!("kp-{}.ko", plugin.name);
    run_make(plugin, &workshop.path, headers, compiler).map_err(|refusal| {
        // The same sources are there, and stay.
        anyhow!(refusal.to_string().replace(&*workshop.path.to_string_lossy(), &dir.to_string_lossy()))
    })?;
    fs::copy(workshop.path.join(&module), dir.join(&module)).context("cannot bring the module")?;
    Ok(())
}

/// `make`, for the kernel's build files, on all processors.
pub(crate) fn kernels_make() -> Command {
    let mut make = Command::new("make");
    for name in FOREIGN {
        make.env_remove(name);
    }
    // Messages are compared, so they have to be in English.
    make.env("LC_ALL", "C");
    // What one compiler says stays together.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    make.arg(format!("-j{processors}")).arg("--output-sync=target");
    make
}

/// Runs the kernel's build in a folder.
fn run_make(plugin: &Plugin, dir: &Path, headers: &Path, compiler: &Compiler) -> Result<()> {
    let said = said_by_make(&plugin.name, dir, headers, compiler, &[])?;
    match warning(&said) {
        Some(line) => bail!("make warns, which counts as an error: {line}"),
        None => Ok(()),
    }
}

/// Has the kernel's build look at the C sources of a folder that a module was built in, with variables of make's, `C=2` for instance. All
/// that was said.
pub(crate) fn checked(name: &str, dir: &Path, kernel: &Kernel, variables: &[&str]) -> Result<String> {
    said_by_make(name, dir, &kernel.headers, &compiler(&kernel.headers, None)?, variables)
}

/// Runs the kernel's build in a folder, and gives all that was said. Fails if make does.
fn said_by_make(name: &str, dir: &Path, headers: &Path, compiler: &Compiler, variables: &[&str]) -> Result<String> {
    let mut make = kernels_make();
    make.arg("-s").arg("-C").arg(headers).arg(format!("M={}", dir.display())).arg(format!("KP_NAME={name}"));
    make.args(&compiler.arguments).args(variables);
    if let Some(flags) = without_folders(name, dir, headers) {
        make.arg(format!("KCFLAGS={flags}"));
    }
    let output = make.arg("modules").output().context("cannot run make: apt-get install make gcc")?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if !output.status.success() {
        let why = compiler.stands_in.as_ref().map(|line| format!("\n{line}")).unwrap_or_default();
        bail!("make failed:\n{}{why}", said.trim_end());
    }
    Ok(said.into_owned())
}

/// What keeps this machine's folders out of the C half, its debug information too: paths begin with the module's name, those of headers with the
/// name of their folder. None if make would not take the folders' names for one word.
fn without_folders(name: &str, dir: &Path, headers: &Path) -> Option<String> {
    // The last one is tried first, and the module may lie below.
    let around = headers.canonicalize().ok()?.parent()?.to_str()?.trim_end_matches('/').to_owned();
    let flags = format!("-ffile-prefix-map={around}/= -ffile-prefix-map={}=kp-{name}", dir.to_str()?);
    (place::is_plain(dir) && place::is_plain(Path::new(&around))).then_some(flags)
}

/// The first line with a warning by the compiler, the linker, objtool or modpost. What make says of its own affairs, as of clocks, is none, nor
/// that kbuild finds another program than the kernel was built with.
fn warning(said: &str) -> Option<&str> {
    let is_warning =
        |line: &&str| line.to_lowercase().contains("warning") && !is_makes(line) && !is_other_program(line);
    said.lines().map(str::trim).find(is_warning)
}

/// Whether a line is make's own: it begins with its name, and with how deep it was called.
fn is_makes(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("make") else { return false };
    let level = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let rest =
        level.filter(|(level, _)| level.bytes().all(|digit| digit.is_ascii_digit())).map_or(rest, |(_, rest)| rest);
    rest.starts_with(": ")
}

/// Whether kbuild says that the compiler, or pahole, is another than the kernel's.
fn is_other_program(line: &str) -> bool {
    line.starts_with("warning: ") && line.contains(" differs from the one used to build the kernel")
}

/// Copies a folder with its folders, and removes C sources that are gone from it: `Kbuild` takes all that it finds.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            write(&target, fs::read(entry.path())?)?;
        }
    }
    for entry in fs::read_dir(to)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        if text.ends_with(".c") && !text.ends_with(".mod.c") && !from.join(&name).exists() {
            fs::remove_file(to.join(&name))?;
        }
    }
    Ok(())
}

/// Removes what kbuild made, so that it makes it again.
fn remove_objects(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "o" || extension == "ko") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The plugin's facts as C sees them.
pub(super) fn header(plugin: &Plugin, object: &Object) -> String {
    let mut text = "/* Generated by cargo kp build. */\n#include \"kp_probes.h\"\n".to_owned();
    let mut define = |name: &str, value: &str| {
        let _ = writeln!(text, "#define {name} {value}");
    };
    define("KP_NAME", &quoted(&object.info.name));
    define("KP_VERSION", &quoted(&plugin.version));
    define("KP_LICENSE", &quoted(object.license));
    define("KP_DESCRIPTION", &quoted(&plugin.description));
    if !plugin.authors.is_empty() {
        define("KP_AUTHOR", &quoted(&plugin.authors.join(", ")));
    }
    if !object.info.devices.is_empty() {
        define("KP_DEVICES", &object.info.devices.iter().map(device_id).collect::<Vec<_>>().join(", "));
    }
    // The C glue leaves out what nobody calls.
    for name in &object.calls {
        define(&format!("KP_CALLS_{name}"), "1");
    }
    text
}

/// An entry of the module's table of devices.
fn device_id(id: &MatchId) -> String {
    match *id {
        MatchId::Pci { vendor, device, subsystem: None } => format!("{{ PCI_DEVICE({vendor:#06x}, {device:#06x}) }}"),
        MatchId::Pci { vendor, device, subsystem: Some((by, number)) } => {
            format!("{{ PCI_DEVICE_SUB({vendor:#06x}, {device:#06x}, {by:#06x}, {number:#06x}) }}")
        }
        MatchId::PciClass { class, exact } => {
            format!("{{ PCI_DEVICE_CLASS({class:#08x}, {}) }}", if exact { "0xffffff" } else { "0xffff00" })
        }
    }
}

/// A C string literal. Bytes outside printable ASCII become octal escapes, which have a fixed length.
fn quoted(text: &str) -> String {
    let mut literal = "\"".to_owned();
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' | b'?' => literal.extend(['\\', char::from(byte)]),
            b' '..=b'~' => literal.push(char::from(byte)),
            _ => {
                let _ = write!(literal, "\\{byte:03o}");
            }
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::{MatchId, device_id, quoted, warning, without_folders};
    use std::path::Path;

    #[test]
    fn the_c_half_has_no_folder_of_this_machine() {
        let flags = |dir| without_folders("edu", Path::new(dir), Path::new("/usr/include"));
        assert_eq!(flags("/w/edu").as_deref(), Some("-ffile-prefix-map=/usr/= -ffile-prefix-map=/w/edu=kp-edu"));
        assert_eq!(flags("/w/my edu"), None, "make has no such word");
    }

    #[test]
    fn each_kind_of_device_is_what_the_kernel_calls_it() {
        for (id, text) in [
            (MatchId::Pci { vendor: 0x1234, device: 0xa, subsystem: None }, "{ PCI_DEVICE(0x1234, 0x000a) }"),
            (
                MatchId::Pci { vendor: 0x10ee, device: 0x7024, subsystem: Some((0x10f0, 7)) },
                "{ PCI_DEVICE_SUB(0x10ee, 0x7024, 0x10f0, 0x0007) }",
            ),
            (MatchId::PciClass { class: 0x010800, exact: false }, "{ PCI_DEVICE_CLASS(0x010800, 0xffff00) }"),
            (MatchId::PciClass { class: 0x010802, exact: true }, "{ PCI_DEVICE_CLASS(0x010802, 0xffffff) }"),
        ] {
            assert_eq!(device_id(&id), text);
        }
    }

    #[test]
    fn a_warning_of_any_of_the_kernels_tools_is_found() {
        for line in [
            "/x/kp.c:3:5: warning: unused variable ‘a’ [-Wunused-variable]",
            "/x/rust.o: warning: objtool: kp_rs_isr+0x4: unreachable instruction",
            "WARNING: modpost: missing MODULE_DESCRIPTION() in /x/kp-edu.o",
        ] {
            assert_eq!(warning(&format!("make: Entering directory\n{line}\nmore")), Some(line));
        }
    }

    #[test]
    fn what_make_and_kbuild_say_of_their_own_affairs_is_no_warning() {
        for line in [
            "warning: the compiler differs from the one used to build the kernel",
            "warning: pahole version differs from the one used to build the kernel",
            "make[3]: Warning: File '/x/irq.c' has modification time 7199 s in the future",
            "make[2]: warning:  Clock skew detected.  Your build may be incomplete.",
            "make: warning: jobserver unavailable: using -j1.  Add '+' to parent make rule.",
        ] {
            assert_eq!(warning(&format!("{line}\n  The kernel was built by: gcc-12")), None, "{line}");
            let worse = "makefile.c:1:1: warning: unused variable";
            assert_eq!(warning(&format!("{line}\n{worse}")), Some(worse), "{line}");
        }
    }

    #[test]
    fn any_description_is_one_c_literal() {
        assert_eq!(quoted("a \"b\"\\ ??/\nü9"), r#""a \"b\"\\ \?\?/\012\303\2749""#);
    }
}
