//! One relocatable object for a plugin: what its entry points need, and nothing else global.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use object::LittleEndian;
use object::elf;
use object::read::archive::ArchiveFile;
use object::read::elf::{FileHeader as _, SectionHeader as _, Sym as _};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget};

use super::sanitizer::Instrumentation;
use super::{glue, got};
use crate::build::exports::imports;
use crate::build::info::Info;
use crate::build::plugin::Plugin;
use crate::build::{callgraph, check, lock, write};

/// How the names of the port's entry points begin. They are all that stays global.
const ENTRY_POINTS: &str = "kp_rs_";
/// How the names of the C glue's functions begin.
const GLUE: &str = "kp_c_";
/// The port's interrupt handler.
const ISR: &str = "kp_rs_isr";
/// The port's deferred handler.
const DPC: &str = "kp_rs_dpc";
/// What the C glue of a plugin without devices never calls.
const DEVICES_ONLY: [&str; 4] = ["kp_rs_suspend", "kp_rs_resume", "kp_rs_reset_prepare", "kp_rs_reset_done"];
/// The C function without which the glue has no interrupts, and calls neither [`ISR`] nor [`DPC`].
const PREPARE: &str = "kp_c_irq_prepare";
/// The C function that only the panic handler calls.
const PANIC: &str = "kp_c_panic";
/// The C function behind `free`.
const FREE: &str = "kp_c_free";
/// compiler_builtins brings its own of these. The kernel's are better: chosen at boot for the processor, and known to KASAN.
const KERNELS_OWN: [&str; 6] = ["memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen"];

/// A plugin's Rust half, ready to be linked into modules.
#[derive(Debug, Clone)]
pub struct Object {
    /// The checked, relocatable object.
    pub path: PathBuf,
    /// What the plugin says of itself.
    pub info: Info,
    /// What its modules declare to the kernel.
    pub license: &'static str,
    /// The functions of the C glue that it calls.
    pub calls: Vec<String>,
    /// The port's folder of C sources and its `Kbuild`.
    pub kbuild: PathBuf,
}

/// Compiles a plugin and makes its object, which every kernel of the architecture takes that asks for this instrumentation. `progress` is
/// told each step.
///
/// # Errors
/// Its licence gives no module. What the compiler, the linker or a check of [`check`] refuses.
pub fn object(plugin: &Plugin, instrumentation: &Instrumentation, progress: &dyn Fn(&str)) -> Result<Object> {
    let license = plugin.license.for_module(&plugin.name)?;
    let _alone = lock(plugin)?;
    let checked = if instrumentation.flags.is_empty() { "" } else { ", with a check of each access to memory" };
    progress(&format!("{}: compiling for the kernel{checked}", plugin.name));
    let built = glue::build(plugin, instrumentation)?;
    progress(&format!("{}: linking and checking the object", plugin.name));
    let members = members(&built.archive)?;
    let info = Info::from_members(&members)?;
    if info.name.is_empty() {
        bail!("{} gives itself no name", plugin.name);
    }
    let dir = plugin.output.join(&plugin.name).join(instrumentation.folder("linux-x86_64"));
    let path = dir.join("rust.o");
    let linked = link(&members, &info, &dir.join("link"))?;
    for entry in [ISR, DPC] {
        callgraph::check(&linked.apart, entry, PANIC)?;
        if plugin.no_free {
            callgraph::check(&linked.apart, entry, FREE)?;
        }
    }
    check::object(&linked.merged, instrumentation.imports)?;
    write(&path, &linked.merged)?;
    let calls = imports(&linked.merged)?.into_iter().filter(|name| name.starts_with(GLUE)).collect();
    Ok(Object { path, info, license, calls, kbuild: built.kbuild })
}

/// The linked object in two forms.
struct Linked {
    /// Each function and constant in its own section, as the call graph wants them.
    apart: Vec<u8>,
    /// One section of each kind, as the kernel wants them.
    merged: Vec<u8>,
}

/// Reads the library's objects, and turns each definition of one of [`KERNELS_OWN`] into a reference.
fn members(archive: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = fs::read(archive).with_context(|| format!("cannot read {}", archive.display()))?;
    let archive = ArchiveFile::parse(bytes.as_slice())?;
    let mut members = Vec::new();
    for member in archive.members() {
        let mut member = member?.data(bytes.as_slice())?.to_vec();
        if elf::FileHeader64::<LittleEndian>::parse(member.as_slice()).is_ok() {
            use_kernels_own(&mut member)?;
            members.push(member);
        }
    }
    Ok(members)
}

/// Makes the symbols of [`KERNELS_OWN`] undefined. The linker then drops the bodies, which nothing needs any more.
fn use_kernels_own(member: &mut [u8]) -> Result<()> {
    let mut undefined = Vec::new();
    {
        let header = elf::FileHeader64::<LittleEndian>::parse(&*member)?;
        let sections = header.sections(LittleEndian, &*member)?;
        let symbols = sections.symbols(LittleEndian, &*member, elf::SHT_SYMTAB)?;
        let table = usize::try_from(sections.section(symbols.section())?.sh_offset(LittleEndian))?;
        for (index, symbol) in symbols.iter().enumerate() {
            let name = symbol.name(LittleEndian, symbols.strings())?;
            if symbol.st_bind() != elf::STB_LOCAL && KERNELS_OWN.iter().any(|own| own.as_bytes() == name) {
                undefined.push(table + index * size_of::<elf::Sym64<LittleEndian>>());
            }
        }
    }
    for at in undefined {
        // After the name: info, visibility, section, value, size.
        member[at + 4] = elf::STB_GLOBAL << 4 | elf::STT_NOTYPE;
        member[at + 5..at + 24].fill(0);
    }
    Ok(())
}

/// Links the members, and strips what the kernel's tools stumble over and what the C glue won't call. `dir` holds the steps' files.
fn link(members: &[Vec<u8>], info: &Info, dir: &Path) -> Result<Linked> {
    let mut roots = entry_points(members)?;
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for (index, member) in members.iter().enumerate() {
        fs::write(dir.join(format!("{index}.o")), member)?;
    }
    let collect = |roots: &[String], output: &str| {
        let mut collect = Command::new("ld");
        collect.current_dir(dir).args(["-r", "--gc-sections", "-o", output]);
        collect.args(roots.iter().flat_map(|root| ["-u", root]));
        run(collect.args((0..members.len()).map(|index| format!("{index}.o"))))
    };
    collect(&roots, "apart.o")?;
    let apart = fs::read(dir.join("apart.o"))?;

    let has_interrupts = refers_to(&apart, PREPARE)?;
    roots.retain(|root| match root.as_str() {
        ISR | DPC => has_interrupts,
        root => !info.devices.is_empty() || !DEVICES_ONLY.contains(&root),
    });
    collect(&roots, "needed.o")?;
    fs::write(dir.join("merge.ld"), include_str!("merge.ld"))?;
    run(Command::new("ld").current_dir(dir).args(["-r", "-T", "merge.ld", "-o", "merged.o", "needed.o"]))?;
    let mut keep = Command::new("objcopy");
    keep.current_dir(dir).arg("--discard-locals").args(roots.iter().map(|root| format!("--keep-global-symbol={root}")));
    // Two symbols of this type make the objtool of 6.1 take the object for a whole kernel.
    for name in file_symbols(&apart)? {
        keep.arg(format!("--strip-symbol={name}"));
    }
    run(keep.args(["merged.o", "final.o"]))?;
    let mut merged = fs::read(dir.join("final.o"))?;
    got::make_direct(&mut merged)?;
    Ok(Linked { apart, merged })
}

/// Does any of an object's code or constants use the symbol? A list of its symbols has those of dropped functions too.
fn refers_to(object: &[u8], symbol: &str) -> Result<bool> {
    let file = object::File::parse(object)?;
    let Some(symbol) = file.symbol_by_name(symbol) else { return Ok(false) };
    let mut targets = file.sections().flat_map(|section| section.relocations()).map(|(_, to)| to.target());
    Ok(targets.any(|target| target == RelocationTarget::Symbol(symbol.index())))
}

/// The names of all entry points that the members define.
fn entry_points(members: &[Vec<u8>]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for member in members {
        let file = object::File::parse(member.as_slice())?;
        let defined = file.symbols().filter(|symbol| symbol.is_global() && symbol.is_definition());
        let defined = defined.filter_map(|symbol| symbol.name().ok().map(str::to_owned));
        names.extend(defined.filter(|name| name.starts_with(ENTRY_POINTS)));
    }
    if names.is_empty() {
        bail!("the library defines no {ENTRY_POINTS}*: kp-linux and cargo-kp aren't of one version");
    }
    Ok(names)
}

/// The names of symbols that stand for source files.
fn file_symbols(object: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(object)?;
    let files = file.symbols().filter(|symbol| symbol.kind() == object::SymbolKind::File);
    Ok(files.filter_map(|symbol| symbol.name().ok().map(str::to_owned)).collect())
}

/// Runs one of binutils' programs, which have to be silent.
fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {program}: apt-get install binutils"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !said.is_empty() {
        bail!("{program}: {}", said.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::{Info, entry_points, link};
    use crate::build::info::MatchId;

    /// The entry points of a module of these C functions. `devices`: what the plugin drives.
    fn linked(name: &str, source: &str, devices: &[MatchId]) -> Vec<String> {
        let dir = tempfile::TempDir::with_prefix("kp-").unwrap();
        let dir = dir.path();
        fs::write(dir.join("a.c"), source).unwrap();
        let compiled =
            Command::new("gcc").current_dir(dir).args(["-c", "-ffunction-sections", "a.c"]).status().unwrap();
        assert!(compiled.success());
        let member = fs::read(dir.join("a.o")).unwrap();
        let info = Info { name: name.to_owned(), devices: devices.to_vec(), max_vectors: 32 };
        let merged = link(&[member], &info, &dir.join("link")).unwrap().merged;
        let mut names = entry_points(&[merged]).unwrap();
        names.sort();
        names
    }

    #[test]
    fn a_module_has_the_entry_points_that_its_glue_calls_and_no_others() {
        let source = "int kp_rs_isr(void) { return 1; } void kp_rs_dpc(void) {} void kp_rs_suspend(void) {}
            void kp_rs_resume(void) {} void kp_rs_reset_prepare(void) {} void kp_rs_reset_done(void) {} extern void kp_c_irq_prepare(void); void kp_rs_call(void) { CALLED; }";
        let (without, with) = (source.replace("CALLED", ""), source.replace("CALLED", "kp_c_irq_prepare()"));
        let device = [MatchId::Pci { vendor: 0x1234, device: 0x11e8, subsystem: None }];
        assert_eq!(linked("none", &without, &[]), ["kp_rs_call"]);
        assert_eq!(
            linked("device", &without, &device),
            ["kp_rs_call", "kp_rs_reset_done", "kp_rs_reset_prepare", "kp_rs_resume", "kp_rs_suspend"]
        );
        assert_eq!(linked("interrupts", &with, &device).len(), 7);
        assert_eq!(linked("only-interrupts", &with, &[]), ["kp_rs_call", "kp_rs_dpc", "kp_rs_isr"]);
    }
}
