//! The stage that has the C glue looked at by the kernel's own checkers: sparse, Coccinelle with the kernel's scripts, checkpatch.
//!
//! `tests/tools/checkers.toml` lists what they may say, and why. All else fails, and so does what they say no more. Beside the glue each is
//! shown a file with faults: one that sees nothing there proves nothing.
use super::{
    log::Log,
    stage::{Stage, Tally},
};
use crate::{
    build::{checked, copy},
    host,
    packages::{Packages, Purpose, ThisMachine},
};
use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// What is looked at, in the workspace.
const GLUE: &str = "kp-linux/kbuild";
/// What may be said, and the file with the faults.
const LIST: &str = "tests/tools/checkers.toml";
const PLANTED: &str = "tests/tools/planted.c";
/// Where the package has the kernel's source, and what is needed of it.
const SOURCE: &str = "/usr/src/linux-source-6.12.tar.xz";
const SCRIPTS: &str = "linux-source-6.12/scripts";
const NEEDED: [&str; 4] = ["checkpatch.pl", "spelling.txt", "const_structs.checkpatch", "coccinelle"];
/// The kernels whose headers sparse sees the glue with, an old one and a new one.
const KERNELS: [&str; 2] = ["6.1-cloud", "6.12-cloud"];

/// The stage, with `--long`: each of the kernel's scripts parses all files.
pub fn stages(long: bool) -> Vec<Stage> {
    let stage = Stage::new("sparse, Coccinelle and checkpatch", run);
    if long { vec![stage] } else { Vec::new() }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    finding: Vec<Finding>,
}

/// Something that a checker may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Finding {
    tool: String,
    /// File and text, without line and column.
    says: String,
    #[expect(dead_code, reason = "people read it")]
    why: String,
}

/// A checker, and a part of what it has to say of the file with the faults.
const TOOLS: [(&str, &str); 3] = [
    ("sparse", "different address spaces"),
    ("Coccinelle", "NULL check before some freeing functions is not needed"),
    ("checkpatch", "space required before the open parenthesis"),
];

fn run(setup: bool, log: &Log) -> Result<Tally> {
    Packages::new(&ThisMachine).require(&[Purpose::Checkers], setup)?;
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    let root = metadata.workspace_root.as_std_path();
    let folder = metadata.target_directory.join("kp/checkers").into_std_path_buf();
    let list: List =
        toml::from_str(&fs::read_to_string(root.join(LIST)).with_context(|| format!("cannot read {LIST}"))?)
            .with_context(|| format!("cannot understand {LIST}"))?;
    let scripts = scripts(&folder)?;
    // The glue, and beside it the file with the faults.
    let files = folder.join("files");
    fs::create_dir_all(&files).with_context(|| format!("cannot make {}", files.display()))?;
    copy(&root.join(GLUE), &files)?;
    fs::copy(root.join(PLANTED), files.join("planted.c")).with_context(|| format!("cannot copy {PLANTED}"))?;
    let mut tally = Tally::default();
    for (tool, sees) in TOOLS {
        let said = match tool {
            "sparse" => sparse(&folder, &files.join("planted.c"), setup)?,
            "Coccinelle" => coccinelle(&scripts.join("coccinelle"), &files)?,
            _ => checkpatch(&scripts.join("checkpatch.pl"), &files)?,
        };
        log.keep(tool, &said);
        let (planted, said): (BTreeSet<_>, BTreeSet<_>) =
            said.into_iter().partition(|line| line.starts_with("planted.c: "));
        let seen = planted.iter().any(|line| line.contains(sees));
        tally.report(&format!("{tool} sees a fault"), if seen { Ok(()) } else { Err(format!("it says {planted:?}")) });
        let may: BTreeSet<&str> =
            list.finding.iter().filter(|finding| finding.tool == tool).map(|finding| finding.says.as_str()).collect();
        tally.report(&format!("{tool} over {GLUE}"), compared(&said, &may));
    }
    Ok(tally)
}

/// What is said has to be what may be.
fn compared(said: &BTreeSet<String>, may: &BTreeSet<&str>) -> Result<(), String> {
    let new: Vec<&str> = said.iter().map(String::as_str).filter(|line| !may.contains(line)).collect();
    if !new.is_empty() {
        return Err(format!("mend it, or list it in {LIST} with why it is right:\n    {}", new.join("\n    ")));
    }
    match may.iter().find(|line| !said.contains(**line)) {
        Some(gone) => Err(format!("it does not say `{gone}` any more: take that out of {LIST}")),
        None => Ok(()),
    }
}

/// Unpacks what is needed of the kernel's source, once for each version of the package. The folder of the scripts.
fn scripts(folder: &Path) -> Result<PathBuf> {
    let (stamp, scripts) = (folder.join("source"), folder.join(SCRIPTS));
    let source = fs::metadata(SOURCE).with_context(|| format!("cannot read {SOURCE}"))?;
    let version = format!("{} {:?}", source.len(), source.modified()?);
    if fs::read_to_string(&stamp).is_ok_and(|unpacked| unpacked == version) {
        return Ok(scripts);
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let parts = NEEDED.map(|part| format!("{SCRIPTS}/{part}"));
    let unpacked = Command::new("tar").args(["-xf", SOURCE, "-C"]).arg(folder).args(parts).status();
    if !unpacked.context("cannot start tar")?.success() {
        bail!("tar does not unpack {SOURCE} into {}: is there space?", folder.display());
    }
    fs::write(&stamp, version)?;
    Ok(scripts)
}

/// What sparse says of the glue of a plugin with a device and of one without, as each kernel has it, and with the code that only some
/// plugins call; and of the file `more` beside it.
fn sparse(folder: &Path, more: &Path, setup: bool) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for kernel in KERNELS {
        let modules = host::modules(kernel, &["echo", "edu"], setup)?;
        for (plugin, file) in ["echo", "edu"].into_iter().zip(&modules.files) {
            let dir = folder.join(format!("{plugin}-{kernel}"));
            let _ = fs::remove_dir_all(&dir); // what was compiled before would not be looked at
            copy(file.parent().context("a module is in a folder")?, &dir)?;
            let calls = fs::read_to_string(dir.join("kp_calls.h"))?;
            let mut plugin_header = fs::read_to_string(dir.join("kp_plugin.h"))?;
            for name in functions(&calls) {
                plugin_header.push_str(&format!("#undef KP_CALLS_{name}\n#define KP_CALLS_{name} 1\n"));
            }
            fs::write(dir.join("kp_plugin.h"), plugin_header)?;
            fs::copy(more, dir.join("planted.c"))?;
            // Some of the code calls what this plugin's Rust half lacks.
            let said = checked(plugin, &dir, &modules.kernel, &["C=2", "CHECK=sparse", "KBUILD_MODPOST_WARN=1"])?;
            all.extend(said.lines().filter_map(|line| without_place(line, &dir)));
        }
    }
    Ok(all)
}

/// The functions that the Rust side may call, of `kp_calls.h`.
fn functions(calls: &str) -> impl Iterator<Item = &str> {
    calls.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("kp_c_"))
}

/// What the kernel's scripts in a folder, and in the folders there, report of the files in another. Those that are written in OCaml need its compiler, and are left out.
fn coccinelle(scripts: &Path, files: &Path) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for script in entries(scripts)? {
        if script.is_dir() {
            all.extend(coccinelle(&script, files)?);
            continue;
        }
        let text = fs::read_to_string(&script)?;
        if !text.contains("virtual report") || text.contains(":ocaml") {
            continue;
        }
        let options = text.lines().filter_map(|line| line.strip_prefix("// Options:")).flat_map(str::split_whitespace);
        let mut spatch = Command::new("spatch");
        spatch.args(["-D", "report", "--very-quiet", "--no-show-diff", "--cocci-file"]).arg(&script).args(options);
        let output = spatch.arg("--dir").arg(files).output().context("cannot start spatch")?;
        if !output.status.success() {
            bail!("spatch cannot use {}: {}", script.display(), String::from_utf8_lossy(&output.stderr).trim());
        }
        all.extend(lines(&output, files));
    }
    Ok(all)
}

/// What checkpatch says of the files in a folder. Lines may be as long as this repository's.
fn checkpatch(script: &Path, files: &Path) -> Result<BTreeSet<String>> {
    let mut perl = Command::new("perl");
    perl.arg(script).args(["--no-tree", "--terse", "--no-summary", "--max-line-length=140", "--file"]);
    for file in entries(files)? {
        match file.is_dir() {
            true => perl.args(entries(&file)?),
            false if file.extension().is_some_and(|extension| extension == "c" || extension == "h") => perl.arg(file),
            false => &mut perl,
        };
    }
    let output = perl.output().context("cannot start perl")?;
    let said = lines(&output, files);
    if !output.status.success() && said.is_empty() {
        bail!("checkpatch stopped: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(said)
}

/// What is in a folder, in order.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = read.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn lines(output: &Output, files: &Path) -> BTreeSet<String> {
    String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| without_place(line, files)).collect()
}

/// A finding without folder, line and column, `lock.c: warning: …`. None: the line is about no file of this folder.
fn without_place(line: &str, folder: &Path) -> Option<String> {
    let rest = line.strip_prefix(folder.to_str()?)?.strip_prefix('/')?;
    let (place, text) = rest.split_once(": ")?;
    Some(format!("{}: {}", place.split(':').next()?, text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_has_its_file_and_neither_its_folder_nor_its_line() {
        let folder = Path::new("/a/b");
        let found = |line| without_place(line, folder);
        assert_eq!(found("/a/b/lock.c:162:9: warning: x: y").as_deref(), Some("lock.c: warning: x: y"));
        assert_eq!(found("/a/b/probe/x.c:1: ERROR: z").as_deref(), Some("probe/x.c: ERROR: z"));
        assert_eq!(found("/a/c/lock.c:1:1: warning: x"), None);
        assert_eq!(found("make: nothing"), None);
    }

    #[test]
    fn what_is_new_fails_and_so_does_what_is_gone() {
        let said = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(compared(&said(&["a.c: x"]), &BTreeSet::from(["a.c: x"])), Ok(()));
        let new = compared(&said(&["a.c: x", "a.c: y"]), &BTreeSet::from(["a.c: x"])).expect_err("new");
        assert!(new.ends_with("\n    a.c: y"), "{new}");
        let gone = compared(&said(&[]), &BTreeSet::from(["a.c: x"])).expect_err("gone");
        assert_eq!(gone, format!("it does not say `a.c: x` any more: take that out of {LIST}"));
    }

    #[test]
    fn the_functions_are_those_that_rust_calls() {
        let calls = "/* x */\nvoid *kp_c_alloc(size_t size);\nint kp_rs_bind(void);\nbool kp_c_cond_resched(void);\n";
        assert_eq!(functions(calls).collect::<Vec<_>>(), ["kp_c_alloc", "kp_c_cond_resched"]);
    }
}
