//! `cargo kp package`: a plugin as packages of distributions.
//!
//! `content` says what lies in a package and what runs when it is installed, whatever its form; `deb` and `rpm` give it one.

mod content;
mod deb;
mod rpm;

use crate::build::{Arch, Modules, WantedModule as Wanted, select};
use crate::command::Command;
use crate::temporary::TempFolder;
use anyhow::{Context, Result};
use clap::Args;
use kp_tool::Message;
use kp_tool::machine::has_program;
use std::fs;
use std::path::{Path, PathBuf};

/// Makes packages of a plugin, and prints where they are: for DKMS, which builds the module on the target without Rust, or with the module for
/// one kernel.
#[derive(Debug, Args)]
pub struct PackageArgs {
    /// The plugin's package. Without it: the package here, or the only plugin of the workspace.
    #[arg(short, long, value_name = "PLUGIN")]
    plugin: Option<String>,
    /// A Debian package: `dkms`, or a kernel as `cargo kp build --target` takes it. May be given often.
    #[arg(long, value_name = "dkms|KERNEL")]
    deb: Vec<String>,
    /// The same as a package for RPM.
    #[arg(long, value_name = "dkms|KERNEL")]
    rpm: Vec<String>,
    /// Another name for module, nodes and packages. Plugins of different names are installed beside each other.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Lets a group use the device, and has the package make it.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Keeps the debug information of modules. Without this it is left out, as of the kernel's own; names in backtraces stay. DKMS has its own
    /// setting.
    #[arg(long)]
    debug_info: bool,
    /// Where to put the packages. Without it: target/kp/packages.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Fetch headers that are missing, from Debian's archive.
    #[arg(long)]
    setup: bool,
}

/// The form of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Deb,
    Rpm,
}

/// What `--deb` and `--rpm` take beside a kernel.
const DKMS: &str = "dkms";

impl Command for PackageArgs {
    fn run(self) -> Result<()> {
        let asked = |form: Form, names: &[String]| names.iter().map(|name| (form, name.clone())).collect::<Vec<_>>();
        let asked = [asked(Form::Deb, &self.deb), asked(Form::Rpm, &self.rpm)].concat();
        if asked.is_empty() {
            return Err(Message::NoPackage {}.into());
        }
        if let Some((_, name)) = asked.iter().find(|(_, name)| Arch::named(name).is_some()) {
            return Err(Message::PackageOfWindows { name: name.clone() }.into());
        }
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        if let Some(group) = &self.group {
            kp_tool::install::check_group(group)?;
        }
        for (form, program, package) in [(Form::Deb, "dpkg-deb", "dpkg"), (Form::Rpm, "rpmbuild", "rpm")] {
            if asked.iter().any(|(asked, _)| *asked == form) && !has_program(program) {
                let (program, package) = (program.to_owned(), package.to_owned());
                return Err(Message::MissingProgram { program, package }.into());
            }
        }
        let plugin = select(self.plugin.as_deref(), Path::new("."))?;
        plugin.license.for_module(&plugin.name)?;
        // Before anything is compiled.
        let kernels = asked.iter().map(|(_, name)| match name.as_str() {
            DKMS => Ok(None),
            name => Wanted::find(Some(name), self.setup, None).map(Some),
        });
        let kernels: Vec<Option<Wanted>> = kernels.collect::<Result<_>>()?;
        if plugin.authors.is_empty() {
            eprintln!("{}: no `authors` in its Cargo.toml: the packages name nobody as their maintainer", plugin.name);
        }
        let mut modules = Modules::of(&plugin).named(self.name.as_deref());
        let out = self.out.unwrap_or_else(|| plugin.output.join("packages"));
        fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
        for ((form, _), kernel) in asked.iter().zip(&kernels) {
            let work = TempFolder::new(&plugin.output, "package")?;
            let package = match kernel {
                None => content::dkms(&mut modules, &work.path, self.group.as_deref())?,
                Some(kernel) => {
                    content::module(&mut modules, kernel, &work.path, self.group.as_deref(), self.debug_info)?
                }
            };
            let file = match form {
                Form::Deb => deb::build(&package, &work.path, &out)?,
                Form::Rpm => rpm::build(&package, &work.path, &out)?,
            };
            println!("{}", file.display());
        }
        Ok(())
    }
}

/// A name as a node, a module and a package may have it.
fn check_name(name: &str) -> Result<(), Message> {
    let is_small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_fine = (1..=31).contains(&name.len())
        && name.bytes().all(|byte| is_small(byte) || byte == b'-')
        && is_small(name.as_bytes()[0]);
    if is_fine {
        return Ok(());
    }
    let instead: String =
        name.to_lowercase().chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    let instead = instead.trim_matches('-');
    let instead = if instead.is_empty() { "card" } else { instead };
    Err(Message::BadName {
        name: name.to_owned(),
        why: "1 to 31 of a-z, 0-9 and `-`, which packages take".to_owned(),
        instead: instead.chars().take(31).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_a_package_may_have_too() {
        assert!(["card", "my-card2", "0"].into_iter().all(|name| check_name(name).is_ok()));
        for (name, instead) in [("My Card", "my-card"), ("a_b", "a-b"), ("", "card"), ("-a", "a")] {
            let why = check_name(name).expect_err(name);
            let end = format!("try `{instead}`");
            assert!(why.to_string().ends_with(&end) && why.exit() as u8 == 2, "{why}");
        }
    }

    #[test]
    fn without_a_form_nothing_is_built_and_of_drivers_for_windows_there_is_no_package() {
        let of = |deb: &[&str]| PackageArgs {
            plugin: None,
            deb: deb.iter().map(|&name| name.to_owned()).collect(),
            rpm: vec![],
            name: None,
            group: None,
            debug_info: false,
            out: None,
            setup: false,
        };
        let why = of(&["dkms", "windows-arm64"]).run().expect_err("Windows has none");
        assert_eq!(
            why.to_string(),
            "packages are for Linux, and windows-arm64 is not: `cargo kp build --target windows-arm64` makes the driver and the INF that installs it"
        );
        let why = of(&[]).run().expect_err("nothing is asked for");
        assert_eq!(
            why.to_string(),
            "no package is asked for: `--deb dkms`, `--deb KERNEL`, `--rpm dkms` or `--rpm KERNEL`"
        );
    }
}
