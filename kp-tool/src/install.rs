//! How a plugin is installed and removed: a list of steps, each undone if a later one fails.

use crate::bus::Bus;
use crate::machine::{Machine, last_line};
use crate::message::Message;
use crate::module::{Module, stem};
use crate::receipt::{self, FOLDER, Made, Receipt, State};
use crate::rules::DAEMON;
use crate::trust::Trust;
use crate::{groups, loaded, owner, rules, taken};
use std::fmt;
use std::io;
use std::path::Path;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Who may use the device beside root.
    pub group: Option<String>,
    /// Whether to leave the module unloaded.
    pub no_load: bool,
}

/// One step of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Makes a group of users.
    Group(String),
    /// Makes a file, and the folders that it needs.
    File {
        /// Where.
        path: String,
        /// What is in it.
        content: Vec<u8>,
    },
    /// Runs a program.
    Run(Vec<String>),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Group(name) => write!(f, "make the group {name}"),
            Step::File { path, .. } => write!(f, "write {path}"),
            Step::Run(words) => write!(f, "run {}", words.join(" ")),
        }
    }
}

/// An installation that may be carried out.
#[derive(Debug)]
pub struct Plan {
    /// What it is to do, in order.
    pub steps: Vec<Step>,
    /// Of nothing yet.
    receipt: Receipt,
    /// What is installed, and the file that it is in.
    module: Module,
    file: String,
}

impl Plan {
    /// Looks at everything that could be in the way. Changes nothing.
    ///
    /// # Errors
    /// A [`Message`] that says what is.
    pub fn new(machine: &dyn Machine, file: &Path, content: Vec<u8>, wanted: &Wanted) -> Result<Self, Message> {
        let module = Module::parse(file, &content)?;
        let shown = file.display().to_string();
        let name = stem(file).and_then(|stem| Some(stem.strip_prefix("kp-")?.to_owned()));
        let (Some(plugin), Some(name)) = (module.plugin.clone(), name) else {
            return Err(Message::NotKps { file: shown });
        };
        // Rules, nodes and modprobe would go by a name that the kernel does not have.
        if let Some(built_as) = module.built_as.as_ref().filter(|built_as| **built_as != module.name) {
            let right = format!("{}.ko", built_as.replace('_', "-"));
            return Err(Message::Renamed { file: shown, module: built_as.clone(), right });
        }
        if let Some(group) = &wanted.group {
            check_group(group)?;
        }
        if !machine.is_staged() {
            fits(machine, &module, &shown, wanted)?;
        }
        match Receipt::read(machine, &name)? {
            Some(receipt) if receipt.finished => {
                return Err(Message::Installed { name, version: receipt.version });
            }
            Some(_) => return Err(Message::Unfinished { name }),
            None => {}
        }
        let steps = steps(machine, &module, &name, &plugin, content, wanted);
        for step in &steps {
            if let Step::File { path, .. } = step
                && machine.has(path)
            {
                let staged = || Message::NotOurs { path: path.clone() };
                return Err(if machine.is_staged() { staged() } else { owner::in_the_way(machine, path) });
            }
        }
        if !machine.is_staged() {
            owner::check_no_other(machine, &module.release, &name)?;
            steps.iter().try_for_each(|step| has_program(machine, step))?;
            if let Some(version) = loaded::version(machine, &module.name) {
                return Err(Message::Loaded { module: module.name, version, name });
            }
        }
        let receipt = Receipt::new(&name, &plugin, &module.version, &module.release, machine.now());
        Ok(Plan { steps, receipt, module, file: shown })
    }

    /// The plugin's name on this machine.
    pub fn name(&self) -> &str {
        &self.receipt.name
    }

    /// What is installed.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Does it. `progress` is told each step.
    ///
    /// # Errors
    /// A step failed, and those before it were undone, last first; or the message says that undoing failed too.
    pub fn carry_out(self, machine: &dyn Machine, progress: &mut dyn FnMut(&Step)) -> Result<Receipt, Message> {
        let mut receipt = self.receipt;
        let Err((step, refusal)) = begin(machine, &mut receipt, &self.steps, progress) else { return Ok(receipt) };
        // A module that is loaded now was loaded by a step of this.
        if let Err((then, error)) = undo(machine, &receipt, true) {
            let why = why(&refusal);
            return Err(Message::NotUndone { step, why, then: format!("{then}: {error}"), name: receipt.name });
        }
        Err(match refusal {
            Refusal::Io(error) => Message::Undone { step, why: error.to_string() },
            Refusal::Program(said) => modules_refusal(&self.module, &self.file, &said)
                .unwrap_or(Message::Undone { step, why: last_line(&said).to_owned() }),
        })
    }
}

/// Why a step failed.
enum Refusal {
    Io(io::Error),
    /// What a program said.
    Program(String),
}

fn why(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Io(error) => error.to_string(),
        Refusal::Program(said) => last_line(said).to_owned(),
    }
}

/// A line of modprobe's about a signature is the kernel's judgement.
fn modules_refusal(module: &Module, file: &str, said: &str) -> Option<Message> {
    let says = |part| said.contains(part);
    match &module.signer {
        Some(signer) if says("Key was rejected") || says("Required key not available") => {
            Some(crate::trust::untrusted(file, signer))
        }
        None if says("Key was rejected") || says("Required key not available") => {
            Some(Message::Unsigned { file: file.to_owned(), why: "the kernel takes signed modules only".to_owned() })
        }
        _ => None,
    }
}

/// Whether the module is for this machine, and may be loaded here.
fn fits(machine: &dyn Machine, module: &Module, file: &str, wanted: &Wanted) -> Result<(), Message> {
    let running = std::env::consts::ARCH;
    if module.machine != running {
        let (built, running) = (module.machine.to_owned(), running.to_owned());
        return Err(Message::WrongProcessor { file: file.to_owned(), built, running });
    }
    let running = machine.release();
    // For a kernel that is installed and does not run yet there is nothing to load.
    let installed = wanted.no_load && machine.has(&format!("/lib/modules/{}/modules.dep", module.release));
    if module.release != running && !installed {
        return Err(Message::WrongRelease { file: file.to_owned(), built: module.release.clone(), running });
    }
    if !machine.is_root() {
        let group = wanted.group.as_ref().map(|group| format!(" --group {group}")).unwrap_or_default();
        let no_load = if wanted.no_load { " --no-load" } else { "" };
        return Err(Message::NeedsRoot {
            what: "installing".to_owned(),
            command: format!("kp install {file}{group}{no_load}"),
        });
    }
    Trust::of(machine).check(module, file)
}

/// All steps for a module.
fn steps(
    machine: &dyn Machine,
    module: &Module,
    name: &str,
    plugin: &str,
    content: Vec<u8>,
    wanted: &Wanted,
) -> Vec<Step> {
    let file = |path: String, content: Vec<u8>| Step::File { path, content };
    let run = |words: &[&str]| Step::Run(words.iter().map(|&word| word.to_owned()).collect());
    let mut steps = Vec::new();
    let is_live = !machine.is_staged();
    if let Some(group) = &wanted.group
        && is_live
        && groups::members(machine, group).is_none()
    {
        steps.push(Step::Group(group.clone()));
    }
    steps.push(file(format!("/lib/modules/{}/updates/kp-{name}.ko", module.release), content));
    let devices = !module.aliases.is_empty();
    let rules = rules::text(plugin, devices, wanted.group.as_deref());
    let has_rules = rules.is_some();
    if let Some(text) = rules {
        steps.push(file(format!("/etc/udev/rules.d/{}", rules::file_name(name)), text.into_bytes()));
    }
    if !devices {
        let text = format!("# No device has this plugin loaded.\nkp-{name}\n");
        steps.push(file(format!("/etc/modules-load.d/kp-{name}.conf"), text.into_bytes()));
    }
    if is_live {
        if has_rules && machine.has(DAEMON) {
            steps.push(run(&["udevadm", "control", "--reload"]));
        }
        steps.push(run(&["depmod", &module.release]));
        if !wanted.no_load {
            steps.push(run(&["modprobe", &format!("kp-{name}")]));
            if has_rules && machine.has(DAEMON) {
                steps.push(run(&["udevadm", "settle"]));
            }
        }
    }
    steps
}

/// A group's name as groupadd takes it.
///
/// # Errors
/// [`Message::BadGroup`].
pub fn check_group(group: &str) -> Result<(), Message> {
    let is_small = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let is_fine = (1..=32).contains(&group.len())
        && is_small(group.as_bytes()[0])
        && group.bytes().all(|byte| is_small(byte) || byte.is_ascii_digit() || byte == b'-');
    if is_fine { Ok(()) } else { Err(Message::BadGroup { group: group.to_owned() }) }
}

/// Whether the machine has the program that a step runs.
fn has_program(machine: &dyn Machine, step: &Step) -> Result<(), Message> {
    let program = match step {
        Step::Group(_) => "groupadd",
        Step::Run(words) => words.first().map_or("", String::as_str),
        Step::File { .. } => return Ok(()),
    };
    if machine.has_program(program) {
        return Ok(());
    }
    let package = match program {
        "groupadd" => "passwd",
        "udevadm" => "udev",
        _ => "kmod",
    };
    Err(Message::MissingProgram { program: program.to_owned(), package: package.to_owned() })
}

/// Does all steps, and keeps the receipt ahead of them. Fails with the step that failed.
fn begin(
    machine: &dyn Machine,
    receipt: &mut Receipt,
    steps: &[Step],
    progress: &mut dyn FnMut(&Step),
) -> Result<(), (String, Refusal)> {
    let io = |step: String| move |error| (step.clone(), Refusal::Io(error));
    // There is no receipt yet that could name these. Of a killed installation they stay, and are empty.
    for folder in missing_folders(machine, FOLDER) {
        receipt.made.push(Made::Folder(folder.clone()));
        machine.make_folder(&folder).map_err(io(format!("make {folder}")))?;
    }
    receipt.write(machine).map_err(io(format!("write {}", receipt.path())))?;
    for step in steps {
        progress(step);
        let failed = || io(step.to_string());
        match step {
            Step::Group(name) => {
                receipt.made.push(Made::Group(name.clone()));
                receipt.write(machine).map_err(failed())?;
                run(machine, &["groupadd", "--system", name]).map_err(|refusal| (step.to_string(), refusal))?;
            }
            Step::File { path, content } => {
                let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
                let folders = missing_folders(machine, folder);
                receipt.made.extend(folders.iter().cloned().map(Made::Folder));
                receipt.made.push(Made::File { path: path.clone(), sha256: receipt::sha256(content) });
                receipt.write(machine).map_err(failed())?;
                folders.iter().try_for_each(|folder| machine.make_folder(folder)).map_err(failed())?;
                machine.write(path, content).map_err(failed())?;
            }
            Step::Run(words) => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                run(machine, &words).map_err(|refusal| (step.to_string(), refusal))?;
            }
        }
    }
    receipt.finished = true;
    receipt.write(machine).map_err(io(format!("write {}", receipt.path())))
}

/// Of a folder and those around it, the ones that are not there, the outermost first.
fn missing_folders(machine: &dyn Machine, folder: &str) -> Vec<String> {
    let around = Path::new(folder).ancestors().filter_map(Path::to_str).filter(|path| *path != "/");
    let mut missing: Vec<String> = around.filter(|path| !machine.has(path)).map(str::to_owned).collect();
    missing.reverse();
    missing
}

fn run(machine: &dyn Machine, words: &[&str]) -> Result<(), Refusal> {
    let (program, arguments) = words.split_first().map_or(("", &[][..]), |(program, arguments)| (*program, arguments));
    let done = machine.run(program, arguments).map_err(Refusal::Io)?;
    if done.success { Ok(()) } else { Err(Refusal::Program(done.stderr)) }
}

/// Removes an installed plugin, or what there is of one. `progress` is told what stays, as somebody has changed it.
///
/// # Errors
/// There is no receipt, the plugin is in use, or a step failed: then the receipt is still there.
pub fn uninstall(machine: &dyn Machine, name: &str, progress: &mut dyn FnMut(&str)) -> Result<(), Message> {
    let Some(mut receipt) = Receipt::read(machine, name)? else {
        return Err(Message::NotInstalled { name: name.to_owned() });
    };
    if !machine.is_staged() && !machine.is_root() {
        return Err(Message::NeedsRoot {
            what: "removing a plugin".to_owned(),
            command: format!("kp uninstall {name}"),
        });
    }
    let module = loaded::module_of(name);
    let is_ours = may_run(machine, &receipt);
    let unload = is_ours && loaded::version(machine, &module).is_some();
    if unload {
        loaded::check_unused(machine, name)?;
    }
    for path in changed(machine, &receipt) {
        progress(&format!("{path} was changed since it was installed: it stays"));
    }
    for made in &receipt.made {
        if let Made::Group(group) = made
            && let Some(why) = needed(machine, &receipt, group).filter(|_| !machine.is_staged())
        {
            progress(&format!("the group {group} stays: {why}"));
        }
    }
    let failed = |(step, why)| Message::NotRemoved { step, why, name: name.to_owned() };
    if is_ours {
        let driver = Bus(&machine.at("/sys")).driver_of(&module);
        if unload {
            unload_module(machine, name).map_err(failed)?;
        }
        taken::give_back(machine, &driver, progress).map_err(failed)?;
    }
    // From here on it is not whole, whatever ends this.
    receipt.finished = false;
    receipt.write(machine).map_err(|error| failed((format!("write {}", receipt.path()), error.to_string())))?;
    undo(machine, &receipt, false).map_err(failed)
}

/// Whether what runs may be what a receipt names. A module of another kernel, or of another place, is not this plugin's business.
fn may_run(machine: &dyn Machine, receipt: &Receipt) -> bool {
    !machine.is_staged() && receipt.release == machine.release()
}

fn unload_module(machine: &dyn Machine, name: &str) -> Result<(), (String, String)> {
    let words = loaded::unloading(machine, name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    run(machine, &words).map_err(|refusal| (format!("run {}", words.join(" ")), why(&refusal)))
}

/// The steps of a removal, for a person.
///
/// # Errors
/// There is no receipt.
pub fn removal(machine: &dyn Machine, name: &str) -> Result<Vec<String>, Message> {
    let Some(receipt) = Receipt::read(machine, name)? else {
        return Err(Message::NotInstalled { name: name.to_owned() });
    };
    let changed = changed(machine, &receipt);
    let mut steps = Vec::new();
    if may_run(machine, &receipt) {
        let module = loaded::module_of(name);
        if loaded::version(machine, &module).is_some() {
            steps.push(format!("run {}", loaded::unloading(machine, name).join(" ")));
        }
        steps.extend(taken::steps(machine, &Bus(&machine.at("/sys")).driver_of(&module)));
    }
    for made in receipt.made.iter().rev() {
        match made {
            Made::File { path, .. } if machine.has(path) && !changed.contains(path) => {
                steps.push(format!("remove {path}"));
            }
            Made::Folder(path) if machine.has(path) => steps.push(format!("remove {path} if it is empty")),
            Made::Group(name) if is_free(machine, &receipt, name) => steps.push(format!("remove the group {name}")),
            _ => {}
        }
    }
    steps.push(format!("remove {}", receipt.path()));
    Ok(steps)
}

/// The files of a receipt that are not as they were made.
fn changed(machine: &dyn Machine, receipt: &Receipt) -> Vec<String> {
    let made = receipt.made.iter().filter_map(|made| match made {
        Made::File { path, sha256 } if receipt::state(machine, path, sha256) == State::Changed => Some(path.clone()),
        _ => None,
    });
    made.collect()
}

/// Whether a group is there that this receipt has made, and nobody needs it any more.
fn is_free(machine: &dyn Machine, receipt: &Receipt, group: &str) -> bool {
    groups::members(machine, group).is_some() && needed(machine, receipt, group).is_none()
}

/// Who needs a group still that this receipt has made: as in `ada is in it`.
fn needed(machine: &dyn Machine, receipt: &Receipt, group: &str) -> Option<String> {
    let named = |other: &Receipt| {
        let mentions = format!("GROUP=\"{group}\"");
        other.name != receipt.name
            && other.made.iter().any(|made| match made {
                Made::File { path, .. } => machine.text(path).is_some_and(|text| text.contains(&mentions)),
                _ => false,
            })
    };
    let members = groups::members(machine, group)?.replace(',', ", ");
    if !members.is_empty() {
        return Some(format!("{members} {} in it", if members.contains(',') { "are" } else { "is" }));
    }
    let others = Receipt::all(machine).unwrap_or_default();
    others.iter().find(|other| named(other)).map(|other| format!("{}'s rules name it", other.name))
}

/// Takes back what was made, last first, and then the receipt. What is not there, or was changed since, is passed over. Fails with the step that
/// failed; then the receipt is still there, but for folders that held it.
fn undo(machine: &dyn Machine, receipt: &Receipt, unload: bool) -> Result<(), (String, String)> {
    let io = |step: String| move |error: io::Error| (step.clone(), error.to_string());
    let is_live = !machine.is_staged();
    let module = loaded::module_of(&receipt.name);
    if unload && is_live && loaded::version(machine, &module).is_some() {
        unload_module(machine, &receipt.name)?;
    }
    let holds_receipt = |folder: &str| Path::new(FOLDER).starts_with(folder);
    let (mut modules, mut rules) = (false, false);
    let changed = changed(machine, receipt);
    for made in receipt.made.iter().rev() {
        match made {
            Made::File { path, .. } if !changed.contains(path) => {
                modules |= path.starts_with("/lib/modules/");
                rules |= path.starts_with("/etc/udev/");
                receipt::remove(machine, path).map_err(io(format!("remove {path}")))?;
            }
            Made::Folder(path) if !holds_receipt(path) => {
                remove_folder(machine, path).map_err(io(format!("remove {path}")))?;
            }
            Made::Group(name) if is_live && is_free(machine, receipt, name) => {
                let words = ["groupdel", name];
                run(machine, &words).map_err(|refusal| (format!("run {}", words.join(" ")), why(&refusal)))?;
            }
            _ => {}
        }
    }
    let mut programs: Vec<&[&str]> = Vec::new();
    let depmod = ["depmod", &receipt.release];
    if is_live && modules && machine.has(&format!("/lib/modules/{}", receipt.release)) {
        programs.push(&depmod);
    }
    if is_live && rules && machine.has(DAEMON) {
        programs.push(&["udevadm", "control", "--reload"]);
    }
    for words in programs {
        run(machine, words).map_err(|refusal| (format!("run {}", words.join(" ")), why(&refusal)))?;
    }
    let path = receipt.path();
    receipt::remove(machine, &path).map_err(io(format!("remove {path}")))?;
    for made in receipt.made.iter().rev() {
        if let Made::Folder(path) = made
            && holds_receipt(path)
        {
            remove_folder(machine, path).map_err(io(format!("remove {path}")))?;
        }
    }
    Ok(())
}

/// Removes a folder, if it is there and empty.
fn remove_folder(machine: &dyn Machine, path: &str) -> io::Result<()> {
    if !machine.has(path) || !machine.names(path).is_empty() {
        return Ok(());
    }
    machine.remove_folder(path)
}

#[cfg(test)]
mod tests;
