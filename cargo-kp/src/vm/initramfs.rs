//! Writes an initramfs: a cpio archive in the "newc" form, as the kernel's `Documentation/driver-api/early-userspace/
//! buffer-format.rst` describes it.

use super::tempfile::TempFile;
use anyhow::{Context, Result, anyhow};
use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, FileKind, StringTable};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Where Debian's dynamic loader looks, in its order.
const LIBRARY_DIRS: &[&str] =
    &["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];

const DIRECTORY: u32 = 0o040755;
const REGULAR: u32 = 0o100000;

/// An initramfs in the making.
#[derive(Debug, Default)]
pub struct Initramfs {
    bytes: Vec<u8>,
    entries: u32,
    paths: BTreeSet<String>,
}

impl Initramfs {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file with these permission bits, and the directories above it. A path that is there already stays as it is.
    pub fn file(&mut self, path: &str, permissions: u32, content: impl AsRef<[u8]>) {
        let path = path.trim_start_matches('/');
        if self.paths.contains(path) {
            return;
        }
        for (at, _) in path.match_indices('/') {
            self.entry(&path[..at], DIRECTORY, &[]);
        }
        self.entry(path, REGULAR | permissions, content.as_ref());
    }

    /// Adds a copy of a host's file, executable by everybody.
    pub fn copy(&mut self, host: &Path, guest: &str) -> Result<()> {
        self.file(guest, 0o755, read(host)?);
        Ok(())
    }

    /// Adds a program, and with it the dynamic loader and the shared libraries that it needs, at the places where the host has
    /// them. Debug information stays behind if the host has `strip`.
    ///
    /// Fails if it is no ELF file for x86, if a library can't be found, or if it is for 32 bits and not statically linked.
    pub fn program(&mut self, host: &Path, guest: &str) -> Result<()> {
        let content = read(host)?;
        let needs = Needs::of(&content).with_context(|| {
            let why = "is no ELF program for x86; a script goes in with --file, and its interpreter is the program";
            format!("{} {why}", host.display())
        })?;
        self.file(guest, 0o755, stripped(host).unwrap_or(content));
        if let Some(loader) = needs.interpreter {
            self.copy(Path::new(&loader), &loader)?;
        }
        for library in needs.libraries {
            self.library(&library, host)?;
        }
        Ok(())
    }

    fn library(&mut self, name: &str, user: &Path) -> Result<()> {
        let path =
            LIBRARY_DIRS.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file()).ok_or_else(|| {
                anyhow!("{} needs {name}, which is not in {}", user.display(), LIBRARY_DIRS.join(":"))
            })?;
        let guest = path.to_string_lossy().into_owned();
        if self.paths.contains(guest.trim_start_matches('/')) {
            return Ok(());
        }
        self.program(&path, &guest)
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        if !self.paths.insert(path.to_owned()) {
            return;
        }
        self.entries += 1;
        let links = 1 + u32::from(mode == DIRECTORY);
        let size = u32::try_from(content.len()).expect("no file of 4 GiB fits into a guest");
        let name_size = path.len() as u32 + 1;
        self.bytes.extend(b"070701");
        // Number, mode, owner, group, links, time, size, device (2), device in the node (2), length of the name, checksum.
        for field in [self.entries, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0] {
            self.bytes.extend(format!("{field:08X}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The program without debug information, which can be most of it. `None` if `strip` is not there or doesn't like it.
fn stripped(host: &Path) -> Option<Vec<u8>> {
    let (target, _) = TempFile::create().ok()?;
    let status = Command::new("strip").args(["--strip-debug", "-o"]).arg(&target.path).arg(host).output().ok()?.status;
    let content = std::fs::read(&target.path).ok()?;
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
        let needs = Needs::of(&std::fs::read(std::env::current_exe().unwrap()).unwrap()).unwrap();
        assert_eq!(needs.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert!(needs.libraries.contains(&"libc.so.6".to_owned()), "{needs:?}");
    }

    #[test]
    fn what_is_no_elf_file_is_refused() {
        assert!(Needs::of(b"#!/bin/sh\n").is_err());
    }
}
