//! What lies in a package, and what runs when it is installed and removed.

use crate::build::{Modules, Plugin, WantedModule as Wanted};
use anyhow::{Context, Result};
use kp_tool::strip::{self, Stripped};
use kp_tool::{Message, rules};
use std::fs;
use std::path::Path;

/// A package, whatever its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    /// Its name, as both forms take it.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// Who made the plugin.
    pub maintainer: String,
    /// One line about it.
    pub summary: String,
    /// The licence, as the kernel's string.
    pub license: &'static str,
    /// What it is built from, and what it needs.
    pub kind: Kind,
    /// Programs that run as root.
    pub scripts: Scripts,
}

/// What a package has in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Sources, which DKMS builds.
    Dkms,
    /// A module for the kernel of this release.
    Module(String),
}

/// What runs, each the lines of a shell's program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scripts {
    /// After the files are there.
    pub installed: String,
    /// Before they go.
    pub removing: String,
    /// After they have gone.
    pub removed: String,
}

/// The folder in which a package's files lie as they will on the target.
pub(super) const FILES: &str = "files";

/// Reloads udev's rules where udev runs.
const RELOAD: &str = "if [ -e /run/udev/control ]; then udevadm control --reload; fi\n";

/// A package with the C sources and the checked Rust object. The files go to a folder in `work`.
pub(super) fn dkms(modules: &mut Modules, work: &Path, group: Option<&str>) -> Result<Package> {
    let plugin = modules.plugin();
    let (name, version) = (format!("kp-{}", plugin.name), plugin.version.clone());
    let files = work.join(FILES);
    let sources = files.join(format!("usr/src/{name}-{version}"));
    modules.sources(&sources)?;
    write(&sources.join("dkms.conf"), &dkms_conf(&plugin.name, &version))?;
    let package = package_name(&format!("{name}-dkms"));
    let info = modules.info()?;
    let has_rules = common(&files, &package, &plugin.name, &info.name, !info.devices.is_empty(), group)?;
    let id = format!("-m {name} -v {version}");
    let scripts = Scripts {
        installed: format!(
            "{}if [ -x /usr/lib/dkms/common.postinst ]; then\n\
             \t/usr/lib/dkms/common.postinst {name} {version} /usr/share/{package} \"\" \"$2\"\n\
             else\n\tdkms add {id} || true\n\tdkms build {id} && dkms install {id}\nfi\n",
            before(has_rules, group)
        ),
        removing: format!("if [ \"$(dkms status {id})\" ]; then dkms remove {id} --all; fi\n"),
        removed: if has_rules { RELOAD.to_owned() } else { String::new() },
    };
    Ok(Package { name: package, kind: Kind::Dkms, scripts, ..described(&plugin)? })
}

/// A package with the module for one kernel. The files go to a folder in `work`.
pub(super) fn module(
    modules: &mut Modules,
    kernel: &Wanted,
    work: &Path,
    group: Option<&str>,
    debug_info: bool,
) -> Result<Package> {
    let built = modules.build(kernel)?;
    let content = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    let content = if debug_info { content } else { without_debug(content)? };
    let plugin = modules.plugin();
    let release = kernel.release();
    let files = work.join(FILES);
    let target = files.join(format!("lib/modules/{release}/updates/kp-{}.ko", plugin.name));
    write_bytes(&target, &content)?;
    let package = package_name(&format!("kp-{}-modules-{release}", plugin.name));
    let info = modules.info()?;
    let has_rules = common(&files, &package, &plugin.name, &info.name, !info.devices.is_empty(), group)?;
    let depmod = format!("if [ -e /lib/modules/{release}/modules.order ]; then depmod {release}; fi\n");
    let scripts = Scripts {
        installed: format!("{}{depmod}", before(has_rules, group)),
        removing: String::new(),
        removed: format!("{depmod}{}", if has_rules { RELOAD } else { "" }),
    };
    Ok(Package { name: package, kind: Kind::Module(release.to_owned()), scripts, ..described(&plugin)? })
}

/// A module as the kernel's own are installed.
fn without_debug(content: Vec<u8>) -> Result<Vec<u8>> {
    match strip::without_debug(&content).context("cannot leave the debug information out (--debug-info keeps it)")? {
        Stripped::Done(stripped) => Ok(stripped),
        Stripped::AsItWas => Ok(content),
        Stripped::NoProgram => {
            let (program, package) = ("strip".to_owned(), "binutils".to_owned());
            Err(Message::MissingProgram { program, package }.into())
        }
    }
}

/// What DKMS is told. It builds for the kernel that is being installed, which need not be the one that runs.
fn dkms_conf(name: &str, version: &str) -> String {
    format!(
        "PACKAGE_NAME=\"kp-{name}\"\n\
         PACKAGE_VERSION=\"{version}\"\n\
         BUILT_MODULE_NAME[0]=\"kp-{name}\"\n\
         DEST_MODULE_LOCATION[0]=\"/updates/dkms\"\n\
         MAKE[0]=\"make -C ${{kernel_source_dir}} M=${{dkms_tree}}/${{PACKAGE_NAME}}/${{PACKAGE_VERSION}}/build KP_NAME={name} modules\"\n\
         BUILD_EXCLUSIVE_ARCH=\"x86_64\"\n\
         AUTOINSTALL=\"yes\"\n"
    )
}

/// What a group and rules want done first.
fn before(has_rules: bool, group: Option<&str>) -> String {
    let group = group.map(|group| format!("getent group {group} >/dev/null || groupadd --system {group}\n"));
    group.unwrap_or_default() + if has_rules { RELOAD } else { "" }
}

/// The files for udev, or for the next start. They have the package's name: a module of each kernel comes in a package of its own. Says whether
/// there are rules.
fn common(files: &Path, package: &str, name: &str, plugin: &str, devices: bool, group: Option<&str>) -> Result<bool> {
    let rules = rules::text(plugin, devices, group);
    if let Some(text) = &rules {
        write(&files.join(format!("usr/lib/udev/rules.d/70-{package}.rules")), text)?;
    }
    if !devices {
        let text = format!("# No device has this plugin loaded.\nkp-{name}\n");
        write(&files.join(format!("usr/lib/modules-load.d/{package}.conf")), &text)?;
    }
    Ok(rules.is_some())
}

/// What is said of the plugin.
fn described(plugin: &Plugin) -> Result<Package> {
    let summary = plugin.description.lines().next().unwrap_or_default().trim_end_matches('.').to_owned();
    Ok(Package {
        name: String::new(),
        version: plugin.version.clone(),
        maintainer: plugin.authors.first().cloned().unwrap_or_else(|| "unknown <unknown@example.org>".to_owned()),
        summary: if summary.is_empty() { format!("kernel plugin {}", plugin.name) } else { summary },
        license: plugin.license.for_module(&plugin.name)?,
        kind: Kind::Dkms,
        scripts: Scripts::default(),
    })
}

/// A name of which both forms take each letter.
fn package_name(name: &str) -> String {
    name.to_lowercase().replace('_', "-")
}

/// A version as both forms take it: what comes before a release comes behind a tilde.
pub(super) fn package_version(version: &str) -> String {
    version.replacen('-', "~", 1).replace('-', ".")
}

pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    write_bytes(path, text.as_bytes())
}

fn write_bytes(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file without a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dkms_builds_for_the_kernel_that_is_installed_and_not_for_the_one_that_runs() {
        let text = dkms_conf("card", "0.1.0");
        assert!(text.contains(
            "make -C ${kernel_source_dir} M=${dkms_tree}/${PACKAGE_NAME}/${PACKAGE_VERSION}/build KP_NAME=card modules"
        ));
        assert!(!text.contains("uname") && text.contains("AUTOINSTALL=\"yes\""), "{text}");
    }

    #[test]
    fn names_and_versions_are_such_as_packages_have() {
        assert_eq!(package_name("kp-My_card-dkms"), "kp-my-card-dkms");
        assert_eq!(package_version("0.1.0"), "0.1.0");
        assert_eq!(package_version("0.1.0-rc.1-x"), "0.1.0~rc.1.x");
    }
}
