//! Plugins that are loaded, or are to be: what the kernel shows of them, and how they are loaded and unloaded.

use crate::bus::{Bus, Unbound};
use crate::machine::{Machine, last_line};
use crate::message::Message;
use crate::module::{self, Module};
use crate::{nodes, rules, taken};
use std::fs;
use std::path::Path;

/// The kernel's name for a plugin's module.
pub fn module_of(name: &str) -> String {
    format!("kp_{}", underscored(name))
}

/// A name as the kernel shows it.
pub(crate) fn underscored(name: &str) -> String {
    name.replace('-', "_")
}

/// The version of a loaded module. None if it is not loaded.
pub fn version(machine: &dyn Machine, module: &str) -> Option<String> {
    let folder = format!("/sys/module/{module}");
    machine.has(&folder).then(|| machine.text(&format!("{folder}/version")).unwrap_or_default())
}

/// Where a plugin's module is for the running kernel, if it is installed.
pub fn file_of(machine: &dyn Machine, name: &str) -> Option<String> {
    file_in(machine, &machine.release(), name)
}

/// Where a plugin's module is for the kernel of a release, if it is installed.
pub(crate) fn file_in(machine: &dyn Machine, release: &str, name: &str) -> Option<String> {
    let folder = format!("/lib/modules/{release}");
    let stem = format!("kp-{name}");
    for place in PLACES.map(|place| format!("{folder}/{place}")) {
        let mut files = machine.names(&place).into_iter();
        if let Some(file) = files.find(|file| is_module(file) && module::stem(Path::new(file)) == Some(stem.clone())) {
            return Some(format!("{place}/{file}"));
        }
    }
    // Wherever depmod has found it.
    let list = machine.text(&format!("{folder}/modules.dep"))?;
    let mut listed = list.lines().filter_map(|line| line.split_once(':')).map(|(path, _)| path);
    listed.find(|path| module::stem(Path::new(path)) == Some(stem.clone())).map(|path| format!("{folder}/{path}"))
}

/// Where plugins' modules are looked for, in the folder of a kernel's modules.
pub(crate) const PLACES: [&str; 3] = ["updates", "updates/dkms", "extra"];

/// Whether a file is called as modules are, packed or not.
pub(crate) fn is_module(file: &str) -> bool {
    [".ko", ".ko.xz", ".ko.zst", ".ko.gz"].iter().any(|end| file.ends_with(end))
}

/// What a plugin's installed module says of itself. None: it is not installed.
///
/// # Errors
/// It cannot be read.
pub fn installed(machine: &dyn Machine, name: &str) -> Result<Option<(String, Module)>, Message> {
    let Some(path) = file_of(machine, name) else { return Ok(None) };
    let content = module::unpacked(&machine.at(&path))?;
    let module = Module::parse(Path::new(&path), &content)?;
    Ok(Some((path, module)))
}

/// The name that the nodes of a loaded module have: `class` of its devices, or what its file says.
pub fn plugin_of(machine: &dyn Machine, name: &str) -> String {
    let installed = installed(machine, name).ok().flatten();
    installed.and_then(|(_, module)| module.plugin).unwrap_or_else(|| name.to_owned())
}

/// Who has a plugin's nodes open, as far as this user may see: `python3 (812)`, ….
pub fn users(machine: &dyn Machine, name: &str) -> Vec<String> {
    let nodes = nodes::of(machine, &plugin_of(machine, name));
    let mut users = Vec::new();
    // A shell's open files are this process's too.
    let own = std::process::id().to_string();
    let is_another = |name: &&String| name.bytes().all(|digit| digit.is_ascii_digit()) && **name != own;
    for process in machine.names("/proc").iter().filter(is_another) {
        let folder = format!("/proc/{process}/fd");
        let opens = |fd: &String| {
            let target = fs::read_link(machine.at(&format!("{folder}/{fd}"))).ok();
            target.is_some_and(|target| nodes.iter().any(|node| target == Path::new(node)))
        };
        if machine.names(&folder).iter().any(opens) {
            let program = machine.text(&format!("/proc/{process}/comm")).unwrap_or_else(|| "a process".to_owned());
            users.push(format!("{program} ({process})"));
        }
    }
    users
}

/// Whether a loaded plugin may be unloaded.
///
/// # Errors
/// [`Message::InUse`].
pub fn check_unused(machine: &dyn Machine, name: &str) -> Result<(), Message> {
    let count = machine.text(&format!("/sys/module/{}/refcnt", module_of(name))).unwrap_or_default();
    if count.is_empty() || count == "0" {
        return Ok(());
    }
    let users = users(machine, name);
    let users = if users.is_empty() { "a process".to_owned() } else { users.join(", ") };
    Err(Message::InUse { name: name.to_owned(), users })
}

/// A plugin's module that may be loaded, and where it is. `command`: what root is to call.
///
/// # Errors
/// It is not installed, cannot be read, or may not be loaded.
fn loadable(machine: &dyn Machine, name: &str, command: &str) -> Result<(String, Module), Message> {
    let Some((path, module)) = installed(machine, name)? else {
        return Err(Message::NoSuchModule { name: name.to_owned(), release: machine.release() });
    };
    need_root(machine, "loading a module", &format!("{command} {name}"))?;
    crate::trust::Trust::of(machine).check(&module, &path)?;
    Ok((path, module))
}

/// Loads an installed plugin, and has it take a device from whoever has it, if one is named. `progress` is told what came of it.
///
/// # Errors
/// It is not installed, may not be loaded, or has no device then. A device that it did not get goes back to who had it.
pub fn load(
    machine: &dyn Machine,
    name: &str,
    take: Option<&str>,
    progress: &mut dyn FnMut(&str),
) -> Result<(), Message> {
    let (path, module) = loadable(machine, name, "load")?;
    if let Some(loaded) = version(machine, &module.name) {
        check_version(&module, &loaded, name)?;
    } else {
        kmod(machine, "modprobe", &[&format!("kp-{name}")]).map_err(|error| match error {
            Message::ModuleFailed { why, .. } if why.contains(" not found in directory ") => {
                Message::NotIndexed { file: path, name: name.to_owned() }
            }
            other => other,
        })?;
    }
    if let Some(address) = take {
        let sys = machine.at("/sys");
        let bus = Bus(&sys);
        let devices = bus.made_for(&module.aliases);
        let Some(device) = devices.iter().find(|device| device.address() == address) else {
            return Err(Message::NotTaken { module: module.name, address: address.to_owned() });
        };
        let has_it = || bus.bound(&module.name).iter().any(|device| device.address() == address);
        if !has_it() {
            let before = taken::take(machine, &bus.driver_of(&module.name), address);
            if !has_it() {
                // Of this one alone: what holds another card has nothing to do with it.
                let why = bus.why_not(&module.name, device, &machine.kernel_log());
                let why = in_words(why, name, &module.aliases);
                taken::undo(machine, &before);
                return Err(why);
            }
            before.driver.iter().for_each(|driver| progress(&format!("{address} is taken from `{driver}`")));
        }
    }
    settle(machine);
    self_check(machine, name, &module.aliases)?;
    let nodes = nodes::of(machine, &plugin_of(machine, name)).join(", ");
    progress(&format!("{name} {} is loaded{}{nodes}", module.version, if nodes.is_empty() { "" } else { ": " }));
    Ok(())
}

/// Whether the loaded version is the installed one.
///
/// # Errors
/// [`Message::OtherVersion`].
pub fn check_version(installed: &Module, loaded: &str, name: &str) -> Result<(), Message> {
    if installed.version == loaded {
        return Ok(());
    }
    let (module, installed, loaded) = (installed.name.clone(), installed.version.clone(), loaded.to_owned());
    Err(Message::OtherVersion { module, loaded, installed, name: name.to_owned() })
}

/// Unloads a plugin, and gives back the devices that it took. `progress` is told what came of it.
///
/// # Errors
/// It is not loaded, and no device is kept for it; or it is in use.
pub fn unload(machine: &dyn Machine, name: &str, progress: &mut dyn FnMut(&str)) -> Result<(), Message> {
    let driver = Bus(&machine.at("/sys")).driver_of(&module_of(name));
    // One that is unloaded already, with rmmod say, may have left a device that nobody else gets.
    if version(machine, &module_of(name)).is_some() || taken::kept(machine, &driver).is_empty() {
        unload_alone(machine, name)?;
        progress(&format!("{name} is unloaded"));
    } else {
        need_root(machine, "giving a device back", &format!("unload {name}"))?;
    }
    taken::give_back(machine, &driver, progress).map_err(|(step, why)| Message::NotGivenBack {
        name: name.to_owned(),
        step,
        why,
    })
}

/// Unloads a plugin that is to be loaded again, if it may be: its devices are kept for it.
///
/// # Errors
/// It is not loaded, could not be loaded again, or is in use.
pub fn unload_for_reload(machine: &dyn Machine, name: &str) -> Result<(), Message> {
    if version(machine, &module_of(name)).is_none() {
        return Err(Message::NotLoaded { name: name.to_owned() });
    }
    // What would be refused once nothing is loaded any more is refused now.
    let (file, _) = loadable(machine, name, "reload")?;
    if !is_indexed(machine, name) {
        return Err(Message::NotIndexed { file, name: name.to_owned() });
    }
    unload_alone(machine, name)
}

/// Unloads a plugin, and does nothing about its devices.
fn unload_alone(machine: &dyn Machine, name: &str) -> Result<(), Message> {
    if version(machine, &module_of(name)).is_none() {
        return Err(Message::NotLoaded { name: name.to_owned() });
    }
    need_root(machine, "unloading a module", &format!("unload {name}"))?;
    check_unused(machine, name)?;
    let words = unloading(machine, name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    kmod(machine, words[0], &words[1..])
}

/// The command that unloads a plugin: modprobe knows only what depmod has listed.
pub(crate) fn unloading(machine: &dyn Machine, name: &str) -> Vec<String> {
    if is_indexed(machine, name) {
        vec!["modprobe".to_owned(), "-r".to_owned(), format!("kp-{name}")]
    } else {
        vec!["rmmod".to_owned(), module_of(name)]
    }
}

/// Whether depmod has listed a plugin's module, so that modprobe knows it.
fn is_indexed(machine: &dyn Machine, name: &str) -> bool {
    let list = machine.text(&format!("/lib/modules/{}/modules.dep", machine.release())).unwrap_or_default();
    let stem = format!("kp-{name}");
    let mut listed = list.lines().filter_map(|line| module::stem(Path::new(line.split_once(':')?.0)));
    listed.any(|found| found == stem)
}

/// The steps of [`unload`], for a person.
pub fn unload_steps(machine: &dyn Machine, name: &str) -> Vec<String> {
    let driver = Bus(&machine.at("/sys")).driver_of(&module_of(name));
    let mut steps = vec![format!("run {}", unloading(machine, name).join(" "))];
    steps.extend(taken::steps(machine, &driver));
    steps
}

fn need_root(machine: &dyn Machine, what: &str, command: &str) -> Result<(), Message> {
    if machine.is_root() {
        return Ok(());
    }
    Err(Message::NeedsRoot { what: what.to_owned(), command: format!("kp {command}") })
}

/// Waits until udev has looked at what has come, where it runs: only then a node has the group that its rules say.
fn settle(machine: &dyn Machine) {
    if machine.has(rules::DAEMON) && machine.has_program("udevadm") {
        // What came of it is looked at.
        let _ = machine.run("udevadm", &["settle"]);
    }
}

/// Runs one of the programs for modules.
fn kmod(machine: &dyn Machine, program: &str, arguments: &[&str]) -> Result<(), Message> {
    let what = format!("run {program} {}", arguments.join(" "));
    if !machine.has_program(program) {
        return Err(Message::MissingProgram { program: program.to_owned(), package: "kmod".to_owned() });
    }
    match machine.run(program, arguments) {
        Ok(done) if done.success => Ok(()),
        Ok(done) => Err(Message::ModuleFailed { what, why: last_line(&done.stderr).to_owned() }),
        Err(error) => Err(Message::ModuleFailed { what, why: error.to_string() }),
    }
}

/// Whether a loaded plugin has what it needs.
///
/// # Errors
/// One of the reasons why it has no device, or what is wrong with its nodes.
pub fn self_check(machine: &dyn Machine, name: &str, aliases: &[String]) -> Result<(), Message> {
    if aliases.is_empty() || Bus(&machine.at("/sys")).is_bound(&module_of(name)) {
        return nodes::check(machine, &plugin_of(machine, name));
    }
    let why = Bus(&machine.at("/sys")).why_unbound(&module_of(name), aliases, &machine.kernel_log());
    Err(in_words(why, name, aliases))
}

/// What is said of a loaded plugin that has no device.
fn in_words(why: Unbound, name: &str, aliases: &[String]) -> Message {
    let module = module_of(name);
    let address = |device: &str| device.split(' ').next().unwrap_or_default().to_owned();
    match why {
        Unbound::NotOnBus => Message::NotOnBus { devices: module::in_words(aliases), module },
        Unbound::Held { device, driver } => {
            Message::HeldByDriver { module, name: name.to_owned(), address: address(&device), device, driver }
        }
        Unbound::Promised { device, driver } => {
            let take = format!("kp load {name} --take {}", address(&device));
            Message::KeptForDriver { module, device, driver, take }
        }
        Unbound::Refused { device, status } => {
            let line = format!("{module}: init refused the device: {status}");
            Message::InitRefused { module, device, line }
        }
        Unbound::Failed { device, line } => Message::InitRefused { module, device, line },
        Unbound::Unclaimed { device } => Message::NotBound { module, device },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use crate::made_up::made_up;

    const FILE: &str = "/lib/modules/6.12.9-amd64/updates/kp-card.ko";

    /// A machine with a plugin of this version installed, and its device.
    fn machine(driver: Option<&str>) -> Fake {
        let fake = Fake::new();
        let alias = "alias=pci:v00001234d000011E8sv*sd*bc*sc*i*";
        fake.file(FILE, made_up(&["kp=card", "version=0.2.0", alias, "vermagic=6.12.9-amd64 SMP"]));
        fake.device("0000:00:04.0", "pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00", driver);
        fake
    }

    fn loading(fake: &Fake, name: &str, take: Option<&str>) -> Result<(), Message> {
        load(fake, name, take, &mut |_| {})
    }

    fn unloaded(fake: &Fake, name: &str) -> Result<(), Message> {
        unload(fake, name, &mut |_| {})
    }

    fn refused(result: Result<(), Message>) -> (u8, String) {
        let why = result.expect_err("it is refused");
        (why.exit() as u8, why.to_string())
    }

    #[test]
    fn an_installed_plugin_is_loaded_and_unloaded() {
        let fake = machine(None);
        loading(&fake, "card", None).unwrap();
        loading(&fake, "card", None).unwrap();
        assert_eq!(*fake.ran.borrow(), ["modprobe kp-card"], "once is enough");
        unloaded(&fake, "card").unwrap();
        assert_eq!(refused(unloaded(&fake, "card")), (4, "card is not loaded: `kp load card`".into()));
        let none = (4, "no kp-other.ko is installed for 6.12.9-amd64: `kp install FILE.ko`".to_owned());
        assert_eq!(refused(loading(&fake, "other", None)), none);
        fake.file("/lib/modules/6.12.9-amd64/modules.dep", "weird/place/kp-other.ko: a.ko\n");
        assert_eq!(file_of(&fake, "other").as_deref(), Some("/lib/modules/6.12.9-amd64/weird/place/kp-other.ko"));
    }

    #[test]
    fn where_udev_runs_a_load_waits_until_it_has_looked_at_the_nodes() {
        let fake = machine(None);
        fake.file(rules::DAEMON, "");
        loading(&fake, "card", None).unwrap();
        assert_eq!(*fake.ran.borrow(), ["modprobe kp-card", "udevadm settle"]);
    }

    #[test]
    fn a_module_that_depmod_has_not_seen_is_told_with_what_to_do() {
        let fake = machine(None);
        let said = "modprobe: FATAL: Module kp-card not found in directory /lib/modules/6.12.9-amd64\n".to_owned();
        fake.fails.borrow_mut().push(("modprobe kp-card".into(), said));
        let why = format!("{FILE} is there, and modprobe does not know of it: `sudo depmod`, then `kp load card`");
        assert_eq!(refused(loading(&fake, "card", None)), (1, why));
    }

    #[test]
    fn another_version_than_the_installed_one_is_told_with_what_to_do() {
        let fake = machine(None);
        loading(&fake, "card", None).unwrap();
        fake.file("/sys/module/kp_card/version", "0.1.0\n");
        let text = "kp_card 0.1.0 is loaded, 0.2.0 is installed: `kp reload card`";
        assert_eq!(refused(loading(&fake, "card", None)), (6, text.into()));
    }

    #[test]
    fn rights_and_signatures_are_looked_at_before_anything_is_done() {
        let mut fake = machine(None);
        fake.root = false;
        let text = "loading a module needs root: `sudo kp load card`; nothing was changed";
        assert_eq!(refused(loading(&fake, "card", None)), (5, text.into()));
        fake.root = true;
        fake.file("/sys/module/module/parameters/sig_enforce", "Y\n");
        let (exit, text) = refused(loading(&fake, "card", None));
        assert!(exit == 5 && text.contains(" is not signed: `cargo kp sign /lib/modules/"), "{text}");
        assert!(fake.ran.borrow().is_empty());
    }

    /// A machine with a plugin that depmod knows, whose device another driver has.
    fn held() -> Fake {
        let fake = machine(Some("serial"));
        fake.run("depmod", &["6.12.9-amd64"]).unwrap();
        fake.ran.borrow_mut().clear();
        fake
    }

    const ADDRESS: &str = "0000:00:04.0";

    /// Who has the device, and for whom it is kept.
    fn of(fake: &Fake) -> (Option<String>, Option<String>) {
        let device = Bus(&fake.at("/sys")).devices().remove(0);
        (device.driver(), device.promised_to())
    }

    fn serial() -> (Option<String>, Option<String>) {
        (Some("serial".into()), None)
    }

    fn ours() -> (Option<String>, Option<String>) {
        (Some("kp_card".into()), Some("kp_card".into()))
    }

    #[test]
    fn a_device_is_taken_from_its_driver_if_it_is_named_and_the_module_is_made_for_it() {
        let fake = held();
        let (exit, text) = refused(loading(&fake, "card", Some("0000:00:05.0")));
        assert_eq!((exit, &*text), (4, "kp_card is not made for 0000:00:05.0: `kp scan` lists what is on the bus"));
        assert_eq!(of(&fake), serial());
        let mut told = Vec::new();
        load(&fake, "card", Some(ADDRESS), &mut |line| told.push(line.to_owned())).unwrap();
        assert_eq!(told, ["0000:00:04.0 is taken from `serial`", "card 0.2.0 is loaded"]);
        assert_eq!(of(&fake), ours());
        let writes = fake.operations.get();
        loading(&fake, "card", Some(ADDRESS)).unwrap();
        assert_eq!(fake.operations.get(), writes, "it has it, and apps may use it");
    }

    #[test]
    fn a_device_that_the_plugin_does_not_want_goes_back_to_its_driver() {
        let fake = held();
        fake.log.borrow_mut().push("kp_card: init refused the device: WrongDevice".into());
        let (exit, text) = refused(loading(&fake, "card", Some(ADDRESS)));
        assert!(exit == 4 && text.contains("`init` refused 0000:00:04.0"), "{text}");
        assert_eq!(of(&fake), serial());
    }

    #[test]
    fn of_two_cards_the_one_that_was_to_be_taken_is_blamed() {
        let alias = "pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00";
        let refusal = "kp_card: probe of 0000:00:04.0 failed with error -16";
        for (other, driver) in [("0000:00:03.0", Some("nvme")), ("0000:00:03.0", None), ("0000:00:05.0", None)] {
            let fake = held();
            fake.load("kp-card");
            fake.device(other, alias, driver);
            // Its driver has another name here, by which the fake gives it nothing.
            fake.file("/sys/module/kp_card/drivers/pci:kp_gone/bind", "");
            fake.log.borrow_mut().push(refusal.into());
            let (exit, text) = refused(loading(&fake, "card", Some(ADDRESS)));
            let of_it = "`init` refused 0000:00:04.0 (1234:11e8); the log: \"kp_card: probe of 0000:00:04.0";
            assert!(exit == 4 && text.contains(of_it), "beside {other}: {text}");
        }
    }

    #[test]
    fn a_device_that_was_taken_is_given_back_at_the_unload_and_kept_by_a_reload() {
        let fake = held();
        fake.file("/sys/bus/pci/devices/0000:00:05.0/driver_override", "vfio-pci\n");
        loading(&fake, "card", Some(ADDRESS)).unwrap();
        unload_for_reload(&fake, "card").unwrap();
        assert_eq!(of(&fake), (None, Some("kp_card".into())), "as for `kp reload`");
        loading(&fake, "card", Some(ADDRESS)).unwrap();
        let steps = [
            "run modprobe -r kp-card",
            "clear /sys/bus/pci/devices/0000:00:04.0/driver_override",
            "write 0000:00:04.0 to /sys/bus/pci/drivers_probe",
        ];
        assert_eq!(unload_steps(&fake, "card"), steps);
        let mut told = Vec::new();
        unload(&fake, "card", &mut |line| told.push(line.to_owned())).unwrap();
        assert_eq!(told, ["card is unloaded", "0000:00:04.0 is given back: `serial` has it"]);
        assert_eq!(of(&fake), serial());
        let others = fake.text("/sys/bus/pci/devices/0000:00:05.0/driver_override");
        assert_eq!(others.as_deref(), Some("vfio-pci"), "another driver's");
    }

    #[test]
    fn a_device_that_was_promised_to_another_driver_is_promised_to_it_again_when_it_is_given_back() {
        let promised = || (Some("vfio-pci".to_owned()), Some("vfio-pci".to_owned()));
        let fake = held();
        fake.load("vfio-pci");
        for file in ["driver_override", "driver"] {
            std::fs::remove_file(fake.at(&format!("/sys/bus/pci/devices/{ADDRESS}/{file}"))).unwrap();
        }
        fake.file(&format!("/sys/bus/pci/devices/{ADDRESS}/driver_override"), "vfio-pci\n");
        fake.set("/sys/bus/pci/drivers_probe", ADDRESS).unwrap();
        assert_eq!(of(&fake), promised());
        loading(&fake, "card", Some(ADDRESS)).unwrap();
        assert_eq!(of(&fake), ours());
        unload_for_reload(&fake, "card").unwrap();
        fake.log.borrow_mut().push("kp_card: init refused the device: WrongDevice".into());
        loading(&fake, "card", Some(ADDRESS)).expect_err("it is refused, and stays kept for the plugin");
        fake.log.borrow_mut().clear();
        loading(&fake, "card", Some(ADDRESS)).unwrap();
        assert_eq!(
            unload_steps(&fake, "card")[1],
            "write vfio-pci to /sys/bus/pci/devices/0000:00:04.0/driver_override"
        );
        let mut told = Vec::new();
        unload(&fake, "card", &mut |line| told.push(line.to_owned())).unwrap();
        assert_eq!(told, ["card is unloaded", "0000:00:04.0 is given back: `vfio-pci` has it"]);
        assert_eq!(of(&fake), promised());
        assert!(!fake.has("/run/kp"), "nothing is left of the record");
        // One whose driver has gone meanwhile is still its own.
        loading(&fake, "card", Some(ADDRESS)).unwrap();
        std::fs::remove_dir_all(fake.at("/sys/module/vfio_pci")).unwrap();
        told.clear();
        unload(&fake, "card", &mut |line| told.push(line.to_owned())).unwrap();
        assert_eq!(told[1], "0000:00:04.0 is given back: no driver has taken it, and `vfio-pci` alone may");
        assert_eq!(of(&fake), (None, Some("vfio-pci".into())));
    }

    #[test]
    fn each_operation_of_giving_back_fails_once_and_the_next_unload_goes_on_there() {
        for at in 1..3 {
            let fake = held();
            loading(&fake, "card", Some(ADDRESS)).unwrap();
            fake.fail_from(at, 1);
            let (exit, text) = refused(unloaded(&fake, "card"));
            fake.fail_from(usize::MAX, 0);
            assert!(exit == 1 && text.ends_with("made to fail; `kp unload card` tries again"), "{text}");
            assert_eq!(of(&fake), (None, Some("kp_card".into())), "operation {at}");
            let mut user = fake;
            user.root = false;
            assert_eq!(refused(unloaded(&user, "card")).0, 5);
            user.root = true;
            unloaded(&user, "card").unwrap();
            assert_eq!(of(&user), serial());
            assert_eq!(refused(unloaded(&user, "card")).0, 4, "nothing is left to do");
        }
    }

    #[test]
    fn what_could_not_be_loaded_again_is_not_unloaded_by_a_reload() {
        let why = |fake: &Fake| {
            let ran = fake.ran.borrow().len();
            let why = unload_for_reload(fake, "card").expect_err("it is refused");
            assert!(version(fake, "kp_card").is_some(), "it is loaded still: {why}");
            assert_eq!(fake.ran.borrow().len(), ran, "{why}");
            why.code()
        };
        let loaded = || {
            let fake = machine(None);
            fake.run("depmod", &["6.12.9-amd64"]).unwrap();
            loading(&fake, "card", None).unwrap();
            fake
        };
        let by_insmod = Fake::new();
        by_insmod.load("kp-card");
        assert_eq!(why(&by_insmod), "E047");
        let unsigned = loaded();
        unsigned.file("/sys/module/module/parameters/sig_enforce", "Y\n");
        assert_eq!(why(&unsigned), "E032");
        let unlisted = loaded();
        unlisted.file("/lib/modules/6.12.9-amd64/modules.dep", "");
        assert_eq!(why(&unlisted), "E102");
        let packed = loaded();
        fs::rename(packed.at(FILE), packed.at(&format!("{FILE}.gz"))).unwrap();
        assert_eq!(why(&packed), "E065", "it is no file of gzip's");
        let mut user = loaded();
        user.root = false;
        let root = "loading a module needs root: `sudo kp reload card`; nothing was changed";
        assert_eq!(refused(unload_for_reload(&user, "card")), (5, root.into()));
        assert_eq!(refused(unload_for_reload(&machine(None), "card")).0, 4, "nothing is loaded");
        unload_for_reload(&loaded(), "card").unwrap();
    }

    #[test]
    fn what_is_loaded_and_not_installed_is_unloaded_by_rmmod() {
        let fake = Fake::new();
        fake.load("kp-my-card");
        unloaded(&fake, "my-card").unwrap();
        assert_eq!(*fake.ran.borrow(), ["rmmod kp_my_card"]);
    }

    #[test]
    fn kp_does_not_name_itself_among_those_who_use_a_plugin() {
        let fake = machine(None);
        loading(&fake, "card", None).unwrap();
        fake.file("/sys/class/kp-card/kp-card.0/dev", "240:0\n");
        for process in ["134", &std::process::id().to_string()] {
            fake.file(&format!("/proc/{process}/comm"), "sh\n");
            fs::create_dir_all(fake.at(&format!("/proc/{process}/fd"))).unwrap();
            std::os::unix::fs::symlink("/dev/kp/card.0", fake.at(&format!("/proc/{process}/fd/3"))).unwrap();
        }
        assert_eq!(users(&fake, "card"), ["sh (134)"]);
    }
}
