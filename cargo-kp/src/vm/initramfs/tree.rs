//! A whole system's files in an initramfs: links stay links, and what is there is not replaced.

use super::{Initramfs, REGULAR};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

const FOLDER: u32 = 0o040000;
const LINK: u32 = 0o120777;

/// What the kernel or a running system puts there.
const OTHERS: [&str; 4] = ["dev", "proc", "run", "sys"];

/// How many bytes such a system may have, in MiB.
const LIMIT_MIB: usize = 3 << 10;

impl Initramfs {
    /// Adds a folder's files as the guest's `/`. Devices, sockets and pipes are left out, and so is what lies in `/dev`, `/proc`, `/run` and
    /// `/sys`. Afterwards a library or a file that the system has is not added again.
    ///
    /// Fails if it is no system's folder, or too large.
    pub fn tree(&mut self, root: &Path) -> Result<()> {
        if !root.join("etc").is_dir() {
            bail!("{} is no system's folder: it has no etc; `debootstrap bookworm DIR` makes one", root.display());
        }
        self.tree_below(root, "")?;
        self.root = Some(root.canonicalize().with_context(|| format!("cannot read {}", root.display()))?);
        Ok(())
    }

    fn tree_below(&mut self, folder: &Path, guest: &str) -> Result<()> {
        let place = || format!("cannot read {}", folder.display());
        let mut entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).with_context(place)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let found = path.symlink_metadata().with_context(|| format!("cannot read {}", path.display()))?;
            let name = format!("{guest}{}", entry.file_name().to_string_lossy());
            let mode = found.permissions().mode() & 0o7777;
            let changed = u32::try_from(found.mtime()).unwrap_or(0);
            if found.is_symlink() {
                let target = fs::read_link(&path).with_context(|| format!("cannot read {}", path.display()))?;
                self.entry(&name, LINK, changed, target.to_string_lossy().as_bytes());
            } else if found.is_dir() {
                self.entry(&name, FOLDER | mode, changed, &[]);
                if !OTHERS.contains(&name.as_str()) {
                    self.tree_below(&path, &format!("{name}/"))?;
                }
            } else if found.is_file() {
                let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                if self.bytes.len() + content.len() > LIMIT_MIB << 20 {
                    bail!("a guest's system may have {LIMIT_MIB} MiB: it is in its memory, packed and unpacked");
                }
                self.entry(&name, REGULAR | mode, changed, &content);
            }
        }
        Ok(())
    }

    /// Whether the guest's system has such a file already, perhaps by way of links.
    pub(super) fn has(&self, guest: &str) -> bool {
        let Some(root) = &self.root else { return false };
        // Links of the system are from its own `/`.
        let mut path = root.clone();
        for part in guest.split('/').filter(|part| !part.is_empty()) {
            path.push(part);
            if let Ok(target) = fs::read_link(&path) {
                path.pop();
                path = match target.strip_prefix("/") {
                    Ok(target) => root.join(target),
                    Err(_) => path.join(target),
                };
            }
        }
        path.symlink_metadata().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::entries;
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_systems_links_stay_links_and_what_it_has_is_not_added_again() {
        let root = tempfile::TempDir::with_prefix("kp-").unwrap();
        let root = root.path();
        for folder in ["etc", "usr/lib", "proc/1", "usr/lib64"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("/usr/lib64", root.join("lib64")).unwrap();
        fs::write(root.join("usr/lib/a.so"), "theirs").unwrap();
        fs::write(root.join("usr/lib64/ld.so"), "theirs").unwrap();
        fs::set_permissions(root.join("usr/lib/a.so"), fs::Permissions::from_mode(0o4755)).unwrap();
        let mut image = Initramfs::new();
        image.tree(root).unwrap();
        assert!(image.has("/lib/a.so") && image.has("/lib64/ld.so") && !image.has("/lib/b.so"));
        image.file("/lib/a.so", 0o644, b"ours");
        image.file("/lib/b.so", 0o644, b"ours");
        let found = entries(image);
        let listed: Vec<_> = found.iter().map(|entry| (entry.path.as_str(), entry.mode, &entry.content[..])).collect();
        let why = Initramfs::new().tree(&root.join("usr")).expect_err("no system").to_string();
        let folder = listed[0].1;
        let expected: [(&str, u32, &[u8]); 10] = [
            ("etc", folder, b""),
            ("lib", LINK, b"usr/lib"),
            ("lib64", LINK, b"/usr/lib64"),
            ("proc", folder, b""),
            ("usr", folder, b""),
            ("usr/lib", folder, b""),
            ("usr/lib/a.so", 0o104755, b"theirs"),
            ("usr/lib64", folder, b""),
            ("usr/lib64/ld.so", 0o100644, b"theirs"),
            ("lib/b.so", 0o100644, b"ours"),
        ];
        assert_eq!(listed, expected);
        assert!(
            why.ends_with("/usr is no system's folder: it has no etc; `debootstrap bookworm DIR` makes one"),
            "{why}"
        );
    }
}
