//! Writes an initramfs: a cpio archive in the "newc" form, as the kernel's `Documentation/driver-api/early-userspace/
//! buffer-format.rst` describes it.

mod tree;

use crate::temporary::TempFile;
use anyhow::{Context, Result, anyhow, bail};
use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, FileKind, StringTable};
use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian's dynamic loader looks, in its order.
const LIBRARY_DIRS: &[&str] =
    &["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];

const DIRECTORY: u32 = 0o040755;
const REGULAR: u32 = 0o100000;

/// How many bytes a guest's files may have together, in MiB. They are in its memory, packed and unpacked.
pub const LIMIT_MIB: usize = 512;

/// An initramfs in the making.
#[derive(Debug, Default)]
pub struct Initramfs {
    bytes: Vec<u8>,
    entries: u32,
    paths: BTreeSet<String>,
    /// The system whose files it has.
    root: Option<PathBuf>,
}

impl Initramfs {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file with these permission bits, and the directories above it. A path that is there already stays as it is.
    pub fn file(&mut self, path: &str, permissions: u32, content: impl AsRef<[u8]>) {
        self.regular(path, permissions, 0, content.as_ref());
    }

    fn regular(&mut self, path: &str, permissions: u32, changed: u32, content: &[u8]) {
        let path = path.trim_start_matches('/');
        if self.paths.contains(path) || self.has(path) {
            return;
        }
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.directory(folder);
        }
        self.entry(path, REGULAR | permissions, changed, content);
    }

    /// Adds a folder, and those above it.
    fn directory(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            self.entry(&path[..at], DIRECTORY, 0, &[]);
        }
        self.entry(path, DIRECTORY, 0, &[]);
    }

    /// Adds a copy of a host's file, or of a folder with all that is in it. What links lead to is copied, not the links, and those that lead
    /// nowhere are left out. Who may read, write and execute a file stays so, and so does when it was changed. The shared libraries and the dynamic loader that a file needs
    /// come along, as far as the host has them.
    pub fn copy(&mut self, host: &Path, guest: &str) -> Result<()> {
        self.copy_below(host, guest, &mut Vec::new())
    }

    /// `above`: the folders that it is in.
    fn copy_below(&mut self, host: &Path, guest: &str, above: &mut Vec<PathBuf>) -> Result<()> {
        let place = || format!("cannot read {}", host.display());
        let found = fs::metadata(host).with_context(place)?;
        if found.is_file() {
            return self.copy_file(host, guest, &found);
        }
        if !found.is_dir() {
            bail!("{} cannot be put into a guest: it is neither a file nor a folder", host.display());
        }
        let real = host.canonicalize().with_context(place)?;
        if above.contains(&real) {
            return Ok(());
        }
        self.directory(guest.trim_matches('/'));
        above.push(real);
        let mut entries = fs::read_dir(host).and_then(Iterator::collect::<Result<Vec<_>, _>>).with_context(place)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries.iter().filter(|entry| entry.path().exists()) {
            self.copy_below(&entry.path(), &format!("{guest}/{}", entry.file_name().to_string_lossy()), above)?;
        }
        above.pop();
        Ok(())
    }

    fn copy_file(&mut self, host: &Path, guest: &str, found: &Metadata) -> Result<()> {
        let content = self.read(host)?;
        let needs = Needs::of(&content).unwrap_or_default();
        // Python takes compiled modules for outdated by it.
        let changed = u32::try_from(found.mtime()).unwrap_or(0);
        self.regular(guest, found.permissions().mode() & 0o777, changed, &content);
        if let Some(loader) = needs.interpreter.filter(|loader| Path::new(loader).is_file()) {
            self.file(&loader, 0o755, self.read(Path::new(&loader))?);
        }
        let libraries = needs.libraries.iter().filter_map(|name| find_library(name));
        libraries.into_iter().try_for_each(|path| self.program(&path, &path.to_string_lossy()))
    }

    /// Adds a program, and with it the dynamic loader and the shared libraries that it needs, at the places where the host has
    /// them. Debug information stays behind if the host has `strip`.
    ///
    /// Fails if it is no ELF file for x86, if a library can't be found, or if it is for 32 bits and not statically linked.
    pub fn program(&mut self, host: &Path, guest: &str) -> Result<()> {
        if self.paths.contains(guest.trim_start_matches('/')) || self.has(guest) {
            return Ok(());
        }
        let content = self.read(host)?;
        let needs = Needs::of(&content).with_context(|| {
            let why = "is no ELF program for x86; a script goes in with --file, and its interpreter is the program, as in -- /bin/sh /x.sh";
            format!("{} {why}", host.display())
        })?;
        self.file(guest, 0o755, stripped(host).unwrap_or(content));
        if let Some(loader) = needs.interpreter {
            self.file(&loader, 0o755, self.read(Path::new(&loader))?);
        }
        for library in needs.libraries {
            self.library(&library, host)?;
        }
        Ok(())
    }

    fn library(&mut self, name: &str, user: &Path) -> Result<()> {
        let has = |path: String| self.paths.contains(&path[1..]) || self.has(&path);
        if LIBRARY_DIRS.iter().any(|dir| has(format!("{dir}/{name}"))) {
            return Ok(());
        }
        let path = find_library(name).ok_or_else(|| {
            let (user, dirs) = (user.display(), LIBRARY_DIRS.join(":"));
            anyhow!("{user} needs {name}, which is not in {dirs}: bring it, with --file FOLDER/{name}:/usr/lib/{name}")
        })?;
        self.program(&path, &path.to_string_lossy())
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, changed: u32, content: &[u8]) {
        if !self.paths.insert(path.to_owned()) {
            return;
        }
        self.entries += 1;
        let links = 1 + u32::from(mode == DIRECTORY);
        let size = u32::try_from(content.len()).expect("no file of 4 GiB fits into a guest");
        let name_size = path.len() as u32 + 1;
        self.bytes.extend(b"070701");
        // Number, mode, owner, group, links, time, size, device (2), device in the node (2), length of the name, checksum.
        for field in [self.entries, mode, 0, 0, links, changed, size, 0, 0, 0, 0, name_size, 0] {
            self.bytes.extend(format!("{field:08X}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    /// A host's file, if there is still room for it.
    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        match self.root.is_some() || self.bytes.len() + content.len() <= LIMIT_MIB << 20 {
            true => Ok(content),
            false => bail!("{} is too much: a guest's files may have {LIMIT_MIB} MiB together", path.display()),
        }
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Where the host has a library, if it has it where a guest's loader looks.
fn find_library(name: &str) -> Option<PathBuf> {
    LIBRARY_DIRS.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

/// The program without debug information, which can be most of it. `None` if `strip` is not there or doesn't like it.
fn stripped(host: &Path) -> Option<Vec<u8>> {
    let (target, _) = TempFile::create().ok()?;
    let status = Command::new("strip").args(["--strip-debug", "-o"]).arg(&target.path).arg(host).output().ok()?.status;
    let content = fs::read(&target.path).ok()?;
    (status.success() && content.starts_with(&elf::ELFMAG)).then_some(content)
}

/// What a program asks the dynamic loader for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    interpreter: Option<String>,
    libraries: Vec<String>,
}

impl Needs {
    fn of(data: &[u8]) -> Result<Self> {
        if FileKind::parse(data)? == FileKind::Elf32 {
            return Self::of_32bit(data);
        }
        let header = FileHeader64::<Endianness>::parse(data)?;
        let endian = header.endian()?;
        if header.e_machine(endian) != elf::EM_X86_64 {
            return Err(anyhow!("not for 64-bit x86"));
        }
        let segments = header.program_headers(endian, data)?;
        let mut needs = Needs::default();
        for segment in segments {
            if let Some(path) = segment.interpreter(endian, data)? {
                needs.interpreter = Some(String::from_utf8_lossy(path).into_owned());
            }
            let Some(entries) = segment.dynamic(endian, data)? else { continue };
            let value = |tag: u32| {
                entries.iter().find(|entry| entry.tag32(endian) == Some(tag)).map(|entry| entry.d_val(endian))
            };
            let (Some(address), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else { continue };
            let offset = segments
                .iter()
                .find_map(|segment| {
                    let start = segment.p_vaddr(endian);
                    let loaded = segment.p_type(endian) == elf::PT_LOAD;
                    let within = address.checked_sub(start).filter(|skip| *skip < segment.p_filesz(endian));
                    within.filter(|_| loaded).map(|skip| segment.p_offset(endian) + skip)
                })
                .ok_or_else(|| anyhow!("its string table is not loaded"))?;
            let strings = StringTable::new(data, offset, offset + size);
            for entry in entries.iter().filter(|entry| entry.tag32(endian) == Some(elf::DT_NEEDED)) {
                let name = entry.string(endian, strings)?;
                needs.libraries.push(String::from_utf8_lossy(name).into_owned());
            }
        }
        Ok(needs)
    }

    /// The guest has no 32-bit libraries.
    fn of_32bit(data: &[u8]) -> Result<Self> {
        let header = FileHeader32::<Endianness>::parse(data)?;
        let endian = header.endian()?;
        if header.e_machine(endian) != elf::EM_386 {
            return Err(anyhow!("not for x86"));
        }
        for segment in header.program_headers(endian, data)? {
            if segment.interpreter(endian, data)?.is_some() {
                return Err(anyhow!("for 32 bits, and not linked with crt-static"));
            }
        }
        Ok(Needs::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tiny_archive_is_byte_for_byte_what_newc_asks_for() {
        let mut image = Initramfs::new();
        image.file("/a/b", 0o644, b"hello");
        let mut expected = String::new();
        let zero = "00000000";
        // Header 110 bytes + "a\0" = 112.
        expected +=
            &format!("07070100000001000041ED{zero}{zero}00000002{zero}{zero}{zero}{zero}{zero}{zero}00000002{zero}a\0");
        // Header 110 bytes + "a/b\0" = 114, padded to 116; content 5, padded to 8.
        expected += &format!(
            "07070100000002000081A4{zero}{zero}00000001{zero}00000005{zero}{zero}{zero}{zero}00000004{zero}a/b\0\0\0hello\0\0\0"
        );
        // Header 110 bytes + "TRAILER!!!\0" = 121, padded to 124.
        expected += &format!(
            "0707010000000300000000{zero}{zero}00000001{zero}{zero}{zero}{zero}{zero}{zero}0000000B{zero}TRAILER!!!\0\0\0\0"
        );
        let bytes = image.finish();
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn a_path_is_written_once() {
        let mut image = Initramfs::new();
        image.file("/a/b", 0o644, b"1");
        image.file("/a/b", 0o644, b"2");
        image.file("/a/c", 0o644, b"3");
        assert_eq!(image.entries, 3);
    }

    #[test]
    fn this_program_needs_a_loader_and_the_c_library() {
        let needs = Needs::of(&fs::read(std::env::current_exe().unwrap()).unwrap()).unwrap();
        assert_eq!(needs.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert!(needs.libraries.contains(&"libc.so.6".to_owned()), "{needs:?}");
    }

    #[test]
    fn what_is_no_elf_file_is_refused_and_a_script_is_told_how_it_runs() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let why = Initramfs::new().program(&script, "/kp/x").expect_err("no program").to_string();
        assert!(why.ends_with("its interpreter is the program, as in -- /bin/sh /x.sh"), "{why}");
        assert!(Needs::of(b"#!/bin/sh\n").is_err());
    }

    pub(super) struct Entry {
        pub(super) path: String,
        pub(super) mode: u32,
        changed: u32,
        pub(super) content: Vec<u8>,
    }

    pub(super) fn entries(image: Initramfs) -> Vec<Entry> {
        let bytes = image.finish();
        let (mut at, mut found) = (0, Vec::new());
        loop {
            let field = |n: usize| {
                let digits = std::str::from_utf8(&bytes[at + 6 + 8 * n..][..8]).unwrap();
                u32::from_str_radix(digits, 16).unwrap()
            };
            let (size, name) = (field(6) as usize, field(11) as usize);
            let path = String::from_utf8(bytes[at + 110..][..name - 1].to_vec()).unwrap();
            if path == "TRAILER!!!" {
                return found;
            }
            let start = (at + 110 + name).next_multiple_of(4);
            found.push(Entry { path, mode: field(1), changed: field(5), content: bytes[start..][..size].to_vec() });
            at = (start + size).next_multiple_of(4);
        }
    }

    #[test]
    fn a_folder_is_copied_whole_with_what_its_links_lead_to_and_files_stay_executable_or_not() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::TempDir::with_prefix("kp-").unwrap();
        let folder = folder.path();
        fs::create_dir_all(folder.join("lib/empty")).unwrap();
        fs::write(folder.join("lib/a.py"), "a").unwrap();
        fs::write(folder.join("tool.sh"), "t").unwrap();
        fs::set_permissions(folder.join("lib/a.py"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(folder.join("tool.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("lib/a.py", folder.join("z.py")).unwrap();
        symlink("/nowhere/at/all", folder.join("broken")).unwrap();
        symlink("..", folder.join("lib/up")).unwrap();
        let mut image = Initramfs::new();
        image.copy(folder, "/x/y").unwrap();
        let found = entries(image);
        let found: Vec<_> = found.iter().map(|entry| (entry.path.as_str(), entry.mode, &entry.content[..])).collect();
        let expected: [(&str, u32, &[u8]); 7] = [
            ("x", 0o040755, b""),
            ("x/y", 0o040755, b""),
            ("x/y/lib", 0o040755, b""),
            ("x/y/lib/a.py", 0o100644, b"a"),
            ("x/y/lib/empty", 0o040755, b""),
            ("x/y/tool.sh", 0o100755, b"t"),
            ("x/y/z.py", 0o100644, b"a"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_file_was_changed_when_the_hosts_was_so_that_python_uses_its_compiled_modules() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let changed = file.metadata().unwrap().modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
        let mut image = Initramfs::new();
        image.copy(&file, "/x").unwrap();
        assert_eq!(entries(image)[0].changed, changed.as_secs() as u32);
    }

    #[test]
    fn a_program_that_is_a_guests_file_brings_its_libraries_like_the_one_to_run() {
        let mut image = Initramfs::new();
        image.copy(&std::env::current_exe().unwrap(), "/helper").unwrap();
        let found: Vec<String> = entries(image).into_iter().map(|entry| entry.path).collect();
        let has = |end: &str| found.iter().any(|path| path.ends_with(end));
        assert!(has("helper") && has("/ld-linux-x86-64.so.2") && has("/libc.so.6"), "{found:?}");
    }

    #[test]
    fn a_library_that_the_host_does_not_have_is_named_with_the_option_that_brings_it() {
        let why = Initramfs::new().library("libcard.so.1", Path::new("app")).expect_err("no such library").to_string();
        let remedy = "bring it, with --file FOLDER/libcard.so.1:/usr/lib/libcard.so.1";
        assert!(why.starts_with("app needs libcard.so.1, which is not in /lib/") && why.ends_with(remedy), "{why}");
        let mut image = Initramfs::new();
        image.file("/usr/lib/libcard.so.1", 0o644, b"");
        image.library("libcard.so.1", Path::new("app")).expect("it was brought");
    }
}
