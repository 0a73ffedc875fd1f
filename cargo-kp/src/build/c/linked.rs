//! The C code that a driver was linked from, and what is refused in it.
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::Message;
use object::read::archive::ArchiveFile;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use super::STRING_H;
use crate::build::check::{Refusal, Target, place, target};
use crate::build::exports::imports;

/// The objects of the C libraries that a build was linked from, by what Cargo has said with `--message-format=json`.
///
/// # Errors
/// A library cannot be read.
pub fn objects(messages: &[u8], triple: &str) -> Result<Vec<Vec<u8>>> {
    let mut objects = Vec::new();
    for message in Message::parse_stream(messages) {
        let Message::BuildScriptExecuted(script) = message.context("cannot read what Cargo says")? else { continue };
        // Those of macros, and of build scripts themselves, are the machine's own.
        if !script.out_dir.as_str().contains(triple) {
            continue;
        }
        for library in script.linked_libs.iter().filter_map(|library| library.as_str().strip_prefix("static=")) {
            let folders = script.linked_paths.iter().map(|path| path.as_str());
            let folders = folders.map(|path| path.split_once('=').map_or(path, |(_, path)| path));
            let names = [format!("lib{library}.a"), format!("{library}.lib")];
            let mut files = folders.flat_map(|folder| names.iter().map(move |name| Path::new(folder).join(name)));
            let file = files.find(|file| file.exists()).with_context(|| format!("there is no library {library}"))?;
            let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            for member in ArchiveFile::parse(bytes.as_slice())?.members() {
                let member = member?.data(bytes.as_slice())?;
                if object::File::parse(member).is_ok() {
                    objects.push(member.to_vec());
                }
            }
        }
    }
    Ok(objects)
}

/// Refuses C that computes with floating point. A compiler without vector registers calls functions for it, and these take their
/// arguments in them.
///
/// # Errors
/// [`Refusal::FloatingPoint`], [`Refusal::Malformed`].
pub fn no_floating_point(objects: &[Vec<u8>]) -> Result<(), Refusal> {
    for object in objects {
        let file = object::File::parse(object.as_slice())?;
        for section in file.sections() {
            for (offset, relocation) in section.relocations() {
                if matches!(target(&file, &relocation)?, Some(Target::Symbol(name)) if is_floating_point(&name)) {
                    return Err(Refusal::FloatingPoint { place: place(&file, &section, offset) });
                }
            }
        }
    }
    Ok(())
}

/// Whether a function is one of those by which compilers compute with floating point, as libgcc's manual names them: what is
/// done, the types, and how many there are.
fn is_floating_point(name: &str) -> bool {
    const VERBS: [&str; 20] = [
        "add", "sub", "mul", "div", "neg", "eq", "ne", "lt", "le", "gt", "ge", "unord", "cmp", "fix", "fixuns",
        "float", "floatun", "extend", "trunc", "powi",
    ];
    const PARTS: [&str; 10] = ["hf", "sf", "df", "tf", "xf", "si", "di", "ti", "2", "3"];
    let is_rest = |mut rest: &str| {
        let mut has_float = false;
        while let Some(part) = PARTS.iter().find(|part| rest.starts_with(**part)) {
            has_float |= part.ends_with('f');
            rest = &rest[part.len()..];
        }
        has_float && rest.is_empty()
    };
    let name = name.strip_prefix("__").unwrap_or_default();
    VERBS.iter().filter_map(|verb| name.strip_prefix(verb)).any(is_rest)
}

/// A function that the C code calls and nobody has: not the C code itself, nor the Rust half, whose object this is.
///
/// # Errors
/// [`Refusal::Unresolved`], [`Refusal::Malformed`].
pub fn nothing_is_missing(objects: &[Vec<u8>], rust: &[u8]) -> Result<(), Refusal> {
    let all = || objects.iter().map(Vec::as_slice).chain([rust]);
    let mut defined = Vec::new();
    for object in all() {
        let file = object::File::parse(object)?;
        let symbols = file.symbols().filter(|symbol| symbol.is_global() && symbol.is_definition());
        defined.extend(symbols.filter_map(|symbol| symbol.name().ok().map(str::to_owned)));
    }
    for object in objects {
        let missing = |name: &String| !defined.contains(name) && !STRING_H.contains(&format!("{name}("));
        if let Some(symbol) = imports(object)?.into_iter().find(missing) {
            return Err(Refusal::unresolved(object, &symbol));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_floating_point;

    #[test]
    fn what_computes_with_floating_point_is_known_by_its_name() {
        let names = [
            "__muldf3",
            "__addsf3",
            "__fixdfsi",
            "__fixunssfdi",
            "__floatunsidf",
            "__ltdf2",
            "__extendsfdf2",
            "__powidf2",
        ];
        assert!(names.into_iter().all(is_floating_point));
        for name in ["__divti3", "__mulodi4", "__udivdi3", "__chkstk", "memcpy", "__guard_check_icall_fptr", "add_sf"] {
            assert!(!is_floating_point(name), "{name}");
        }
    }
}
