//! What a driver asks of the kernel, held against `windows-imports.toml`.
use std::collections::BTreeMap;
use std::sync::LazyLock;

use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{Import, PeFile64};
use serde::Deserialize;

use super::Refusal;
use super::image::has;

/// The only module that a driver may import from.
const KERNEL: &str = "ntoskrnl.exe";
/// Windows, as Microsoft's pages name the versions that a function came with, oldest first; up to the oldest that drivers load on.
const OLD_ENOUGH: [&str; 10] = ["2000", "XP", "XP SP2", "Vista", "7", "8", "8.1", "10", "10 1709", "10 1809"];
/// How the names of functions begin that the kernel exports to drivers.
const PREFIXES: [&str; 15] =
    ["Ke", "Kf", "Ki", "Ex", "Io", "Iof", "Mm", "Ob", "Ps", "Po", "Rtl", "Se", "Zw", "Nt", "Hal"];
/// What makes a device.
const CREATES: &str = "IoCreateDevice";
/// What puts it on top of another, whose INF says who may open it.
const ATTACHES: &str = "IoAttachDeviceToDeviceStack";
/// What says who may open it.
const PROTECTS: [&str; 2] = ["ObOpenObjectByPointer", "ZwSetSecurityObject"];

/// The functions that drivers may use.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Table {
    /// Where the pages are.
    pub source: String,
    /// Those that are imported.
    pub imports: BTreeMap<String, Imported>,
    /// Those that are looked up by name.
    pub looked_up: BTreeMap<String, LookedUp>,
}

/// A function that drivers import.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// The Windows that it came with.
    pub since: String,
    /// The page that says so, below the table's source.
    pub page: String,
    /// The one processor whose kernels have it, as Rust names it; else those of all have.
    pub only: Option<String>,
}

/// A function that drivers look up, because not every kernel has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookedUp {
    /// The Windows that it came with.
    pub since: String,
    /// The page that says so, below the table's source.
    pub page: String,
    /// What the port does where it is missing.
    pub fallback: String,
    /// As of an import.
    pub only: Option<String>,
}

impl Table {
    /// The one that is part of this program.
    pub fn shipped() -> &'static Table {
        static SHIPPED: LazyLock<Table> = LazyLock::new(|| {
            let text = include_str!("../../../windows-imports.toml");
            Table::parse(text).expect("windows-imports.toml is part of this program")
        });
        &SHIPPED
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is not a table of this form.
    pub fn parse(text: &str) -> Result<Table, toml::de::Error> {
        toml::from_str(text)
    }
}

/// All imports of a driver: module and name. A function imported by number has its number for a name.
fn list(file: &PeFile64<'_>) -> Result<Vec<(String, String)>, Refusal> {
    let mut found = Vec::new();
    let Some(table) = file.import_table()? else { return Ok(found) };
    let mut descriptors = table.descriptors()?;
    while let Some(descriptor) = descriptors.next()? {
        let module = String::from_utf8_lossy(table.name(descriptor.name.get(LE))?).into_owned();
        let mut thunks = table.thunks(descriptor.original_first_thunk.get(LE))?;
        while let Some(thunk) = thunks.next::<pe::ImageNtHeaders64>()? {
            let name = match table.import::<pe::ImageNtHeaders64>(thunk)? {
                Import::Ordinal(number) => format!("#{number}"),
                Import::Name(_, name) => String::from_utf8_lossy(name).into_owned(),
            };
            found.push((module.clone(), name));
        }
    }
    Ok(found)
}

/// The processor that a driver is for, as Rust names it.
fn processor(file: &PeFile64<'_>) -> &'static str {
    match file.nt_headers().file_header.machine.get(LE) {
        pe::IMAGE_FILE_MACHINE_ARM64 => "aarch64",
        _ => "x86_64",
    }
}

/// Refuses imports of other modules than the kernel, and those that `table` lacks, that are newer than Windows 10 1809, or that the
/// kernels of the driver's processor have not got.
///
/// # Errors
/// [`Refusal::Module`], [`Refusal::Import`], [`Refusal::TooNew`], [`Refusal::Elsewhere`], [`Refusal::Malformed`].
pub fn known(file: &PeFile64<'_>, table: &Table) -> Result<(), Refusal> {
    for (module, name) in list(file)? {
        if !module.eq_ignore_ascii_case(KERNEL) {
            return Err(Refusal::Module(module, name));
        }
        let Some(entry) = table.imports.get(&name) else { return Err(Refusal::Import(name)) };
        if !OLD_ENOUGH.contains(&entry.since.as_str()) {
            return Err(Refusal::TooNew(name, entry.since.clone()));
        }
        if let Some(only) = entry.only.as_ref().filter(|only| *only != processor(file)) {
            return Err(Refusal::Elsewhere(name, only.clone()));
        }
    }
    Ok(())
}

/// Refuses names of kernel functions in the driver's data that are neither imported nor in `table`'s list of those that are looked
/// up.
///
/// # Errors
/// [`Refusal::LookedUp`], [`Refusal::Malformed`].
pub fn looked_up(file: &PeFile64<'_>, bytes: &[u8], table: &Table) -> Result<(), Refusal> {
    let imported: Vec<String> = list(file)?.into_iter().map(|(_, name)| name).collect();
    let is_known = |name: &str| table.looked_up.contains_key(name) || imported.iter().any(|import| import == name);
    for section in file.section_table().iter().filter(|section| !has(section, pe::IMAGE_SCN_MEM_EXECUTE)) {
        // Each run of letters and digits that a zero ends: a C string, or the end of one.
        for text in section.pe_data(bytes)?.split(|&byte| byte == 0) {
            let start = text.iter().rposition(|byte| !byte.is_ascii_alphanumeric()).map_or(0, |at| at + 1);
            let Ok(text) = std::str::from_utf8(&text[start..]) else { continue };
            let names: Vec<&str> = (0..text.len()).map(|at| &text[at..]).filter(|text| is_name(text)).collect();
            if let (Some(name), false) = (names.first(), names.iter().any(|name| is_known(name))) {
                return Err(Refusal::LookedUp((*name).to_owned()));
            }
        }
    }
    Ok(())
}

/// Whether a text looks like the name of a kernel function: a prefix, and then a word that begins with a capital letter.
fn is_name(text: &str) -> bool {
    PREFIXES.iter().filter_map(|prefix| text.strip_prefix(prefix)).any(|rest| {
        let mut letters = rest.chars();
        rest.len() >= 5
            && letters.next().is_some_and(|first| first.is_ascii_uppercase())
            && letters.next().is_some_and(|second| second.is_ascii_lowercase() || second.is_ascii_digit())
    })
}

/// Refuses a driver that creates a device of its own and has no means to say who may open it. Everybody may open such a device.
/// One that is put on top of another, as of a PCI card, is opened by that one's name, and the INF says by whom.
///
/// # Errors
/// [`Refusal::Unprotected`], [`Refusal::Malformed`].
pub fn protected(file: &PeFile64<'_>) -> Result<(), Refusal> {
    let names: Vec<String> = list(file)?.into_iter().map(|(_, name)| name).collect();
    let imports = |name: &str| names.iter().any(|import| import == name);
    if !imports(CREATES) || imports(ATTACHES) {
        return Ok(());
    }
    match PROTECTS.into_iter().find(|name| !imports(name)) {
        Some(lacks) => Err(Refusal::Unprotected(lacks)),
        None => Ok(()),
    }
}
