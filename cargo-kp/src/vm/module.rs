//! The modules that a guest loads: what their files say of themselves, and what has to be loaded before them.

use crate::guest::plan::Wanted;
use crate::kernels::{Dependency, ModuleTree};
use anyhow::{Result, anyhow, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// A module's file.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) path: PathBuf,
    /// The kernel's name for it: the file's, with underscores.
    pub(super) name: String,
    /// What `uname -r` says in the kernel that it is built for.
    pub(super) release: String,
    /// The PCI devices that it is made for, as in `pci:v00001234d000011E8sv*sd*bc*sc*i*`.
    pub(super) aliases: Vec<String>,
    /// The modules that have to be loaded first.
    pub(super) depends: Vec<String>,
}

impl Module {
    /// What a file says of itself.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let content = fs::read(path).map_err(|error| {
            anyhow!("no module {} ({error}): `cargo kp build` makes one, and prints its path", path.display())
        })?;
        let stem = path.file_stem().ok_or_else(|| anyhow!("{} is no module: name a .ko file", path.display()))?;
        let name = stem.to_string_lossy().replace('-', "_");
        let release = release(&content).ok_or_else(|| {
            anyhow!("{} is no kernel module: name the .ko file that `cargo kp build` prints", path.display())
        })?;
        let (aliases, depends) = (aliases(&content), depends(&content));
        Ok(Module { path: path.to_owned(), name, release, aliases, depends })
    }

    /// What the guest is to look for on its bus.
    pub(super) fn wanted(&self, take: bool) -> Wanted {
        let (module, devices) = (self.name.clone(), in_words(&self.aliases));
        Wanted { module, devices, aliases: self.aliases.clone(), take }
    }

    /// Refuses what a kernel of this release would not load. `target`: what `cargo kp build --target` calls it.
    pub(super) fn check(&self, running: &str, target: &str) -> Result<()> {
        if self.release != running {
            let (file, release) = (self.path.display(), &self.release);
            let remedy = format!("name that one with --kernel or --image, or build with --target {target}");
            bail!("{file} is built for {release}, and the guest's kernel is {running}: {remedy}");
        }
        Ok(())
    }
}

/// The release in a module's `vermagic`, its first word.
fn release(module: &[u8]) -> Option<String> {
    info(module, "vermagic=").next()?.split(' ').next().map(str::to_owned)
}

/// The modules that a module needs.
fn depends(module: &[u8]) -> Vec<String> {
    let names = info(module, "depends=").next().unwrap_or_default();
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// A module's PCI aliases.
fn aliases(module: &[u8]) -> Vec<String> {
    info(module, "alias=pci:").map(|rest| format!("pci:{rest}")).collect()
}

/// The modules of the kernel's own that have to be loaded before these ones, from the folder that has them.
///
/// Fails if one is missing, or for another kernel.
pub(super) fn needed(modules: &[Module], tree: Option<&ModuleTree>, running: &str) -> Result<Vec<Dependency>> {
    let ours: Vec<String> = modules.iter().map(|module| module.name.clone()).collect();
    let mut needed: Vec<Dependency> = Vec::new();
    for module in modules {
        let missing = || module.depends.iter().filter(|name| !ours.contains(&name.replace('-', "_")));
        let user = module.path.display();
        let found = match tree {
            Some(tree) => tree.needed(&module.depends, &ours, &user.to_string())?,
            None if missing().next().is_none() => continue,
            None => bail!(
                "{user} needs {}: name the folder with the modules of its kernel, as in --modules /lib/modules/{running}",
                missing().cloned().collect::<Vec<_>>().join(" and ")
            ),
        };
        for one in found {
            if let Some(release) = release(&one.content).filter(|release| release != running) {
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

/// The devices that these aliases fit, as `PCI device 1234:11e8`.
fn in_words(aliases: &[String]) -> String {
    let mut ids: Vec<String> = aliases.iter().map(|alias| device(alias).unwrap_or_else(|| alias.clone())).collect();
    // Which order the kernel's own tools leave them in differs.
    ids.sort();
    format!("PCI device {}", ids.join(" or "))
}

/// What `pci:v00001234d000011E8sv*sd*bc*sc*i*` names: vendor and device as `lspci` writes them, and a card's or a class in the words of
/// `plugin!`. `None` if it is about something else.
fn device(alias: &str) -> Option<String> {
    let (vendor, rest) = alias.strip_prefix("pci:v")?.split_once('d')?;
    let (id, rest) = rest.split_once("sv")?;
    let (by, rest) = rest.split_once("sd")?;
    let (card, rest) = rest.split_once("bc")?;
    let (class, rest) = rest.split_once("sc")?;
    let (sub, interface) = rest.split_once('i')?;
    let interface = interface.trim_end_matches('*');
    let number = |digits: &str| u32::from_str_radix(digits, 16).ok();
    match (number(vendor), number(id), number(by), number(card)) {
        (Some(vendor), Some(id), None, None) => Some(format!("{vendor:04x}:{id:04x}")),
        (Some(vendor), Some(id), Some(by), Some(card)) => {
            Some(format!("{vendor:04x}:{id:04x} sub {by:04x}:{card:04x}"))
        }
        (None, None, None, None) => {
            Some(format!("of class {:02x}{:02x}{}", number(class)?, number(sub)?, interface.to_lowercase()))
        }
        _ => None,
    }
}

/// The values that a module's information has behind this mark.
fn info<'a>(module: &'a [u8], mark: &str) -> impl Iterator<Item = String> + 'a {
    let mark = mark.as_bytes().to_vec();
    let entries = module.split(|&byte| byte == 0);
    entries.filter_map(move |entry| Some(String::from_utf8_lossy(entry.strip_prefix(&mark[..])?).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_of_another_kernel_is_refused_before_the_guest_boots() {
        let release = release(b"\x7fELF\0license=GPL\0vermagic=6.12.9-amd64 SMP preempt\0depends=\0");
        let release = release.expect("it says so");
        let module = Module {
            path: "kp-edu.ko".into(),
            name: "kp_edu".into(),
            release,
            aliases: Vec::new(),
            depends: Vec::new(),
        };
        assert!(module.check("6.12.9-amd64", "6.12").is_ok());
        assert_eq!(
            module.check("6.1.0-9-cloud-amd64", "6.1-cloud").expect_err("another kernel").to_string(),
            "kp-edu.ko is built for 6.12.9-amd64, and the guest's kernel is 6.1.0-9-cloud-amd64: \
             name that one with --kernel or --image, or build with --target 6.1-cloud"
        );
    }

    #[test]
    fn a_module_says_which_devices_it_is_made_for() {
        let of = |text: &str| aliases(format!("\x7fELF\0{text}\0vermagic=6.12.9-amd64\0").as_bytes());
        assert_eq!(of("alias=kp"), [""; 0]);
        let edu = "alias=pci:v00001234d000011E8sv*sd*bc*sc*i*";
        assert_eq!(of(edu), ["pci:v00001234d000011E8sv*sd*bc*sc*i*"]);
        let of = |text: &str| in_words(&of(text));
        assert_eq!(of(edu), "PCI device 1234:11e8");
        let class = "alias=pci:v*d*sv*sd*bc0Csc03i30*";
        assert_eq!(of(&format!("{edu}\0{class}")), "PCI device 1234:11e8 or of class 0c0330");
        assert_eq!(of("alias=pci:v*d*sv*sd*bc01sc08i*"), "PCI device of class 0108");
        let card = "alias=pci:v000010EEd00007024sv000010F0sd00000007bc*sc*i*";
        assert_eq!(of(card), "PCI device 10ee:7024 sub 10f0:0007");
    }

    #[test]
    fn what_a_module_needs_is_looked_for_where_the_kernel_has_its_own_and_nowhere_else() {
        let module = |name: &str, depends: &str| Module {
            path: format!("{name}.ko").into(),
            name: name.into(),
            release: "6.12.9".into(),
            aliases: Vec::new(),
            depends: super::depends(format!("\x7fELF\0depends={depends}\0").as_bytes()),
        };
        assert_eq!(module("kp_a", "").depends, [""; 0]);
        let (needy, ours) = (module("kp_b", "kp-a,mc,videodev"), module("kp_a", ""));
        let names = |found: &[Dependency]| found.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        let why = |tree, modules: &[Module]| needed(modules, tree, "6.12.9").expect_err("it is missing").to_string();
        assert_eq!(needed(&[module("kp_a", "")], None, "6.12.9").unwrap(), []);
        let pair = [ours, needy];
        assert_eq!(
            why(None, &pair),
            "kp_b.ko needs mc and videodev: name the folder with the modules of its kernel, as in --modules /lib/modules/6.12.9"
        );
        let folder = std::env::temp_dir().join(format!("kp-needed-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("modules.dep"), "mc.ko:\nvideodev.ko: mc.ko\n").unwrap();
        for name in ["mc", "videodev"] {
            fs::write(folder.join(format!("{name}.ko")), "\0vermagic=6.12.9 SMP\0").unwrap();
        }
        let tree = ModuleTree::read(&folder, "6.12.9").unwrap();
        assert_eq!(names(&needed(&pair, Some(&tree), "6.12.9").unwrap()), ["mc", "videodev"]);
        fs::write(folder.join("mc.ko"), "\0vermagic=6.1.0 SMP\0").unwrap();
        let other = why(Some(&tree), &pair);
        fs::remove_dir_all(&folder).unwrap();
        let end = "mc.ko is for 6.1.0, and the guest's kernel is 6.12.9: name the folder of that one with --modules";
        assert!(other.ends_with(end), "{other}");
    }
}
