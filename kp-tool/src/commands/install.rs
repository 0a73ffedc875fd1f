//! `kp install`.

use super::lock::lock;
use crate::install::{Plan, Wanted};
use crate::loaded::self_check;
use crate::machine::{Machine, System};
use crate::message::Message;
use crate::strip::{self, Stripped};
use crate::{Command, json};
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use std::fs;
use std::io;
use std::path::PathBuf;

/// Installs a plugin's module for good: the file, udev's rules, a group if one is named; and loads it. If a step fails, those before it are undone.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// The module, as `cargo kp build` prints its path.
    file: PathBuf,
    /// Puts the files below a folder, and runs no program: needs no rights, and any kernel will do.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Lets a group use the device, and makes it if it is not there.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Does not load the module.
    #[arg(long)]
    no_load: bool,
    /// Keeps the module's debug information, which is most of it. Without this it is left out, as of the kernel's own modules; names in backtraces
    /// stay. A signed module is installed as it is.
    #[arg(long)]
    debug_info: bool,
    /// Prints the steps, and does none.
    #[arg(long)]
    dry_run: bool,
    /// What was done, or would be, as one JSON object.
    #[arg(long)]
    json: bool,
}

/// A module as it is installed, and a line that says what became of its debug information.
fn without_debug(content: Vec<u8>) -> Result<(Vec<u8>, Option<String>)> {
    match strip::without_debug(&content).context("cannot leave the debug information out (--debug-info keeps it)")? {
        Stripped::AsItWas => Ok((content, None)),
        Stripped::Done(stripped) => {
            let [before, after] = [&content, &stripped].map(|module| module.len().div_ceil(1000));
            let line = format!("leave debug information out: {before} kB become {after} kB (--debug-info keeps it)");
            Ok((stripped, Some(line)))
        }
        Stripped::NoProgram => {
            let line = "debug information stays in, as there is no `strip` here: `apt-get install binutils`";
            Ok((content, Some(line.to_owned())))
        }
    }
}

impl InstallArgs {
    /// Why the file was not read.
    fn unread(&self, error: &io::Error) -> Message {
        let file = self.file.display().to_string();
        if error.kind() != io::ErrorKind::PermissionDenied {
            return Message::NoFile { file, why: error.to_string() };
        }
        let option =
            |name: &str, value: Option<String>| value.map(|value| format!(" {name} {value}")).unwrap_or_default();
        let root = option("--root", self.root.as_ref().map(|root| root.display().to_string()));
        let command = format!("kp install {file}{}{root}", option("--group", self.group.clone()));
        Message::NeedsRoot { what: format!("reading {file}"), command }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    name: &'a str,
    version: &'a str,
    steps: Vec<String>,
}

impl Command for InstallArgs {
    fn run(self) -> Result<()> {
        let machine = self.root.as_deref().map_or_else(System::this, System::staged);
        let content = fs::read(&self.file).map_err(|error| self.unread(&error))?;
        if let Some(root) = &self.root {
            let no_folder = |why: String| Message::NoFolder { path: root.display().to_string(), why };
            let found = fs::metadata(root).map_err(|error| no_folder(error.to_string()))?;
            if !found.is_dir() {
                return Err(no_folder("it is no folder".to_owned()).into());
            }
        }
        // What is looked at now is to be so until all is done.
        let _locked = if self.dry_run { None } else { lock(&machine) };
        let (content, line) = if self.debug_info { (content, None) } else { without_debug(content)? };
        let wanted = Wanted { group: self.group, no_load: self.no_load };
        let plan = Plan::new(&machine, &self.file, content, &wanted)?;
        line.iter().for_each(|line| eprintln!("{line}"));
        let (name, module) = (plan.name().to_owned(), plan.module().clone());
        let steps: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        if self.dry_run && !self.json {
            steps.iter().for_each(|step| println!("{step}"));
        }
        if !self.dry_run {
            plan.carry_out(&machine, &mut |step| eprintln!("{step}"))?;
        }
        if self.json {
            println!("{}", json("kp-install/1", &Report { name: &name, version: &module.version, steps })?);
        }
        if self.dry_run {
            return Ok(());
        }
        let version = &module.version;
        if let Some(root) = self.root.filter(|_| machine.is_staged()) {
            let group = wanted.group.iter().map(|group| format!("`groupadd --system {group}`"));
            let todo: Vec<String> = group.chain([format!("`depmod {}`", module.release)]).collect();
            let (root, todo) = (root.display(), todo.join(" and "));
            eprintln!(
                "{name} {version} is in {root}, whose machine needs {todo}; `kp uninstall {name} --root {root}` removes it"
            );
            return Ok(());
        }
        eprintln!("{name} {version} is installed: `kp status {name}` looks at it, `kp uninstall {name}` removes it");
        if self.no_load {
            return Ok(());
        }
        Ok(self_check(&machine, &name, &module.aliases)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_this_user_may_not_read_is_another_refusal_than_none() {
        let (file, group) = ("kp-card.ko".into(), Some("kp".to_owned()));
        let wanted =
            InstallArgs { file, root: None, group, no_load: false, debug_info: false, dry_run: false, json: false };
        let denied = wanted.unread(&io::ErrorKind::PermissionDenied.into());
        let text = "reading kp-card.ko needs root: `sudo kp install kp-card.ko --group kp`; nothing was changed";
        assert_eq!((denied.exit() as u8, &*denied.to_string()), (5, text));
        assert_eq!(wanted.unread(&io::ErrorKind::NotFound.into()).exit() as u8, 4);
    }
}
