//! The modules that a kernel itself has, in the folder where `make modules_install` or a package has put them.

use anyhow::{Context, Result, anyhow, bail};
use kp_tool::module::unpacked;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Such a folder, by what depmod has written there.
#[derive(Debug, Clone)]
pub struct ModuleTree {
    folder: PathBuf,
    /// By the modules' names: the file, and those of the modules that it needs, the first to load last.
    modules: BTreeMap<String, (String, Vec<String>)>,
    /// What the kernel has without loading it.
    built_in: BTreeSet<String>,
}

/// A module of the kernel's own, to be loaded before one that needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The kernel's name for it.
    pub name: String,
    /// Where it was found.
    pub file: PathBuf,
    /// The module, unpacked.
    pub content: Vec<u8>,
}

impl ModuleTree {
    /// The folder itself, as `/lib/modules/RELEASE`, or the one for `release` in it, where it was given as `INSTALL_MOD_PATH`.
    ///
    /// Fails if there is no `modules.dep`.
    pub fn read(folder: &Path, release: &str) -> Result<Self> {
        let places = [folder.to_owned(), folder.join("lib/modules").join(release), folder.join(release)];
        let is_whole = |place: &&PathBuf| place.join("modules.dep").is_file();
        let folder = places.iter().find(is_whole).ok_or_else(|| {
            let remedy = "name /lib/modules/RELEASE, or where `make modules_install` has put them; `depmod -b DIR RELEASE` writes it";
            anyhow!("no modules.dep in {}: {remedy}", folder.display())
        })?;
        let list = fs::read_to_string(folder.join("modules.dep"));
        let list = list.with_context(|| format!("cannot read {}", folder.join("modules.dep").display()))?;
        // Trees that are not of depmod's may lack it.
        let built_in = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
        Ok(ModuleTree {
            folder: folder.clone(),
            modules: list.lines().filter_map(entry).collect(),
            built_in: built_in.lines().map(name_of).collect(),
        })
    }

    /// What has to be loaded for the modules called `wanted`, in the order in which they are loaded. `present`: modules that need not be looked
    /// for. `user`: who wants them.
    ///
    /// Fails if one is not there, or cannot be unpacked.
    pub fn needed(&self, wanted: &[String], present: &[String], user: &str) -> Result<Vec<Dependency>> {
        let mut found: Vec<Dependency> = Vec::new();
        for wanted in wanted {
            let name = canonical(wanted);
            if self.built_in.contains(&name) || present.iter().any(|one| canonical(one) == name) {
                continue;
            }
            let Some((file, needs)) = self.modules.get(&name) else {
                let folder = self.folder.display();
                bail!(
                    "{user} needs {wanted}, which is neither in {folder} nor built into its kernel: name the folder of the one that it was built for"
                );
            };
            for file in needs.iter().rev().chain([file]) {
                let name = name_of(file);
                if !found.iter().any(|one| one.name == name) && !present.iter().any(|one| canonical(one) == name) {
                    let file = self.folder.join(file);
                    found.push(Dependency { name, content: unpacked(&file)?, file });
                }
            }
        }
        Ok(found)
    }
}

/// A line of `modules.dep`, as in `kernel/drivers/a.ko: kernel/lib/b.ko kernel/lib/c.ko`.
fn entry(line: &str) -> Option<(String, (String, Vec<String>))> {
    let (file, needs) = line.split_once(':')?;
    Some((name_of(file), (file.to_owned(), needs.split_whitespace().map(str::to_owned).collect())))
}

/// The kernel's name for the module in a file: without its folder, and without `.ko` and how it is packed.
fn name_of(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    canonical(name.split_once(".ko").map_or(name, |(name, _)| name))
}

/// A module's name with underscores, as the kernel has it.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use tempfile::TempDir;

    /// A folder of a test, with a tree for 6.12.9 in it, laid out as `make modules_install` does.
    fn tree() -> (TempDir, PathBuf) {
        let root = TempDir::with_prefix("kp-").unwrap();
        let folder = root.path().join("lib/modules/6.12.9");
        fs::create_dir_all(folder.join("kernel")).unwrap();
        for name in ["mc", "videodev", "video-buf"] {
            fs::write(folder.join(format!("kernel/{name}.ko")), name).unwrap();
        }
        let list = "kernel/mc.ko:\nkernel/videodev.ko: kernel/mc.ko\nkernel/video-buf.ko: kernel/videodev.ko kernel/mc.ko\n\
                    kernel/packed.ko.gz: kernel/mc.ko\nkernel/lost.ko:\n";
        fs::write(folder.join("modules.dep"), list).unwrap();
        fs::write(folder.join("modules.builtin"), "kernel/drivers/uio/uio-pci.ko\n").unwrap();
        (root, folder)
    }

    fn names(tree: &ModuleTree, wanted: &[&str], present: &[&str]) -> Result<Vec<String>> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let found = tree.needed(&owned(wanted), &owned(present), "kp-x.ko")?;
        Ok(found.into_iter().map(|one| one.name).collect())
    }

    #[test]
    fn what_a_module_needs_comes_in_the_order_of_modules_dep_and_once() {
        let (root, folder) = tree();
        for given in [&*folder, root.path(), &root.path().join("lib/modules")] {
            let tree = ModuleTree::read(given, "6.12.9").unwrap();
            assert_eq!(names(&tree, &["video_buf"], &[]).unwrap(), ["mc", "videodev", "video_buf"]);
            assert_eq!(names(&tree, &["videodev", "video-buf"], &[]).unwrap(), ["mc", "videodev", "video_buf"]);
            assert_eq!(names(&tree, &["videodev"], &["mc"]).unwrap(), ["videodev"], "it is loaded already");
            assert_eq!(names(&tree, &["uio_pci"], &[]).unwrap(), [""; 0], "it is built in");
        }
    }

    #[test]
    fn a_packed_module_is_unpacked_here() {
        let (_root, folder) = tree();
        fs::write(folder.join("kernel/packed.ko"), "module").unwrap();
        assert!(Command::new("gzip").arg(folder.join("kernel/packed.ko")).status().unwrap().success());
        let tree = ModuleTree::read(&folder, "6.12.9").unwrap();
        let found = tree.needed(&["packed".into()], &[], "kp-x.ko").unwrap();
        fs::write(folder.join("kernel/packed.ko.gz"), "no gzip").unwrap();
        let why = format!("{:#}", tree.needed(&["packed".into()], &[], "kp-x.ko").expect_err("it is broken"));
        assert_eq!(found.last().map(|one| (&*one.name, &one.content[..])), Some(("packed", &b"module"[..])));
        assert!(why.starts_with("cannot unpack ") && why.contains("packed.ko.gz: ") && !why.contains('\n'), "{why}");
    }

    #[test]
    fn a_folder_without_modules_dep_and_a_module_that_is_nowhere_are_named_with_what_to_do() {
        let (root, folder) = tree();
        let why = ModuleTree::read(root.path(), "6.1.0").expect_err("another release").to_string();
        assert!(
            why.starts_with(&format!("no modules.dep in {}: name /lib/modules/RELEASE", root.path().display())),
            "{why}"
        );
        let tree = ModuleTree::read(root.path(), "6.12.9").unwrap();
        let why = |wanted| format!("{:#}", names(&tree, &[wanted], &[]).expect_err(wanted));
        let start = format!("kp-x.ko needs dvb, which is neither in {} nor built into its kernel", folder.display());
        assert!(why("dvb").starts_with(&start), "{}", why("dvb"));
        assert!(why("lost").starts_with("cannot read ") && why("lost").contains("lost.ko"), "{}", why("lost"));
    }
}
