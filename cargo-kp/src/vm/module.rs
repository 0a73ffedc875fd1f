//! The modules that a guest loads, and what has to be loaded before them.

use crate::guest::plan::Wanted;
use crate::kernels::{Dependency, ModuleTree};
use anyhow::{Result, anyhow, bail};
use kp_tool::module::{Module as File, in_words};
use std::fs;
use std::path::{Path, PathBuf};

/// A module's file.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) path: PathBuf,
    /// What it says of itself.
    pub(super) file: File,
}

impl Module {
    /// What a file says of itself.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let content = fs::read(path).map_err(|error| {
            anyhow!("no module {} ({error}): `cargo kp build` makes one, and prints its path", path.display())
        })?;
        Ok(Module { path: path.to_owned(), file: File::parse(path, &content)? })
    }

    /// What the guest is to look for on its bus.
    pub(super) fn wanted(&self, take: bool) -> Wanted {
        let File { name, aliases, .. } = &self.file;
        Wanted { module: name.clone(), devices: in_words(aliases), aliases: aliases.clone(), take }
    }

    /// Refuses what a kernel of this release would not load. `target`: what `cargo kp build --target` calls it.
    pub(super) fn check(&self, running: &str, target: &str) -> Result<()> {
        if self.file.release != running {
            let (file, release) = (self.path.display(), &self.file.release);
            let remedy = format!("name that one with --kernel or --image, or build with --target {target}");
            bail!("{file} is built for {release}, and the guest's kernel is {running}: {remedy}");
        }
        Ok(())
    }
}

/// The modules of the kernel's own that have to be loaded before these ones, from the folder that has them.
///
/// Fails if one is missing, or for another kernel.
pub(super) fn needed(modules: &[Module], tree: Option<&ModuleTree>, running: &str) -> Result<Vec<Dependency>> {
    let ours: Vec<String> = modules.iter().map(|module| module.file.name.clone()).collect();
    let mut needed: Vec<Dependency> = Vec::new();
    for module in modules {
        let missing = || module.file.depends.iter().filter(|name| !ours.contains(&name.replace('-', "_")));
        let user = module.path.display();
        let found = match tree {
            Some(tree) => tree.needed(&module.file.depends, &ours, &user.to_string())?,
            None if missing().next().is_none() => continue,
            None => bail!(
                "{user} needs {}: name the folder with the modules of its kernel, as in --modules /lib/modules/{running}",
                missing().cloned().collect::<Vec<_>>().join(" and ")
            ),
        };
        for one in found {
            let said = File::parse(&one.file, &one.content).ok().map(|file| file.release);
            if let Some(release) = said.filter(|release| release != running) {
                let file = one.file.display();
                bail!(
                    "{file} is for {release}, and the guest's kernel is {running}: name the folder of that one with --modules"
                );
            }
            if !needed.iter().any(|other| other.name == one.name) {
                needed.push(one);
            }
        }
    }
    Ok(needed)
}

#[cfg(test)]
#[path = "../../../kp-tool/src/made_up.rs"]
mod made_up;

#[cfg(test)]
mod tests {
    use super::made_up::made_up;
    use super::*;

    /// A module of this name and release, which needs these.
    fn module(name: &str, release: &str, depends: &str) -> Module {
        let path = PathBuf::from(format!("{name}.ko"));
        let content =
            made_up(&["license=GPL", &format!("vermagic={release} SMP preempt"), &format!("depends={depends}")]);
        Module { file: File::parse(&path, &content).unwrap(), path }
    }

    #[test]
    fn a_module_of_another_kernel_is_refused_before_the_guest_boots() {
        let module = module("kp-edu", "6.12.9-amd64", "");
        assert!(module.check("6.12.9-amd64", "6.12").is_ok());
        assert_eq!(
            module.check("6.1.0-9-cloud-amd64", "6.1-cloud").expect_err("another kernel").to_string(),
            "kp-edu.ko is built for 6.12.9-amd64, and the guest's kernel is 6.1.0-9-cloud-amd64: \
             name that one with --kernel or --image, or build with --target 6.1-cloud"
        );
    }

    #[test]
    fn what_a_module_needs_is_looked_for_where_the_kernel_has_its_own_and_nowhere_else() {
        let module = |name: &str, depends: &str| module(name, "6.12.9", depends);
        assert_eq!(module("kp_a", "").file.depends, [""; 0]);
        let (needy, ours) = (module("kp_b", "kp-a,mc,videodev"), module("kp_a", ""));
        let names = |found: &[Dependency]| found.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        let why = |tree, modules: &[Module]| needed(modules, tree, "6.12.9").expect_err("it is missing").to_string();
        assert_eq!(needed(&[module("kp_a", "")], None, "6.12.9").unwrap(), []);
        let pair = [ours, needy];
        assert_eq!(
            why(None, &pair),
            "kp_b.ko needs mc and videodev: name the folder with the modules of its kernel, as in --modules /lib/modules/6.12.9"
        );
        let folder = tempfile::TempDir::with_prefix("kp-").unwrap();
        let folder = folder.path();
        fs::write(folder.join("modules.dep"), "mc.ko:\nvideodev.ko: mc.ko\n").unwrap();
        for name in ["mc", "videodev"] {
            fs::write(folder.join(format!("{name}.ko")), made_up(&["vermagic=6.12.9 SMP"])).unwrap();
        }
        let tree = ModuleTree::read(folder, "6.12.9").unwrap();
        assert_eq!(names(&needed(&pair, Some(&tree), "6.12.9").unwrap()), ["mc", "videodev"]);
        fs::write(folder.join("mc.ko"), made_up(&["vermagic=6.1.0 SMP"])).unwrap();
        let other = why(Some(&tree), &pair);
        let end = "mc.ko is for 6.1.0, and the guest's kernel is 6.12.9: name the folder of that one with --modules";
        assert!(other.ends_with(end), "{other}");
    }
}
