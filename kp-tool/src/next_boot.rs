//! Whether an installed plugin is loaded when the machine starts again, and by what.

use crate::bus::{Bus, Device};
use crate::loaded;
use crate::machine::Machine;
use crate::module::Module;
use crate::pattern::fits;
use crate::receipt::Receipt;
use crate::rules::DAEMON;
use serde::Serialize;

/// Where a file says that modules are loaded at a start, as systemd reads them.
const LISTS: [&str; 5] = [
    "/etc/modules-load.d",
    "/run/modules-load.d",
    "/usr/local/lib/modules-load.d",
    "/usr/lib/modules-load.d",
    "/lib/modules-load.d",
];

/// Where a file says that they are not, as modprobe reads them.
const BLACKLISTS: [&str; 5] =
    ["/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"];

/// What comes of a plugin then.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct NextBoot {
    /// Whether it is loaded by itself.
    pub loads: bool,
    /// By what; or why not, and what to do.
    pub why: String,
}

impl NextBoot {
    /// That of a plugin's module, which is installed.
    pub fn of(machine: &dyn Machine, name: &str, module: &Module) -> Self {
        let no = |why: String| NextBoot { loads: false, why };
        let by = |what: String| NextBoot { loads: true, why: format!("by {what}") };
        if !is_listed(machine, name, module) {
            return no("depmod has not listed it: `sudo depmod`".to_owned());
        }
        if let Some(place) = blacklisted(machine, &module.name) {
            return no(format!("{place} blacklists it: `kp load {name}` loads it all the same"));
        }
        if module.aliases.is_empty() {
            let list = listing(machine, &LISTS, |line| is_name(line, &module.name));
            let add = format!("`echo kp-{name} | sudo tee /etc/modules-load.d/kp-{name}.conf`");
            return list.map_or_else(|| no(format!("nothing names it: {add}")), by);
        }
        if !machine.has(DAEMON) {
            return no(format!("udevd, which loads by alias, does not run here: `kp load {name}` after each start"));
        }
        let lost = lost(machine, name, module).map(|lost| format!("; {lost}")).unwrap_or_default();
        by(format!("alias {}{lost}", module.aliases.join(", ")))
    }

    /// That of a plugin which kp has installed, and which has no module for the running kernel.
    pub fn without_module(machine: &dyn Machine, receipt: &Receipt) -> Self {
        let (built, running) = (&receipt.release, machine.release());
        let why = if *built == running {
            "its module is gone".to_owned()
        } else {
            format!("its module is for {built}, this is {running}")
        };
        NextBoot { loads: false, why }
    }
}

/// The device that another driver has then, and what to do: one that it has now, or that was taken from it until then.
fn lost(machine: &dyn Machine, name: &str, module: &Module) -> Option<String> {
    let mut devices = Bus(&machine.at("/sys")).made_for(&module.aliases).into_iter();
    devices.find_map(|device| {
        let (rival, address) = (rival(machine, module, &device)?, device.address());
        let take = format!("`kp load {name} --take {address}` after each start");
        Some(match rival {
            Rival::Module(other) => format!(
                "but `{other}` gets {address}: {take}, or `echo softdep {other} pre: kp-{name} | sudo tee /etc/modprobe.d/kp-{name}.conf`, once"
            ),
            Rival::BuiltIn(other) => format!("but `{other}`, which is built into the kernel, gets {address}: {take}"),
            Rival::Unknown => format!("but another driver gets {address}: {take}"),
        })
    })
}

/// Who gets a device before the plugin.
enum Rival {
    Module(String),
    /// A module or driver that is loaded before all others.
    BuiltIn(String),
    Unknown,
}

fn rival(machine: &dyn Machine, module: &Module, device: &Device) -> Option<Rival> {
    match device.driver() {
        Some(driver) if !device.is_of(&module.name) => holder(machine, module, device, driver),
        _ if device.promised_to().as_deref() == Some(module.name.as_str()) => taken_from(machine, module, device),
        _ => None,
    }
}

/// Who has the device now.
fn holder(machine: &dyn Machine, module: &Module, device: &Device, driver: String) -> Option<Rival> {
    let link = std::fs::read_link(device.folder().join("driver/module")).ok();
    let other = link.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    // What is built in may have a folder there, but without this file.
    match other.filter(|other| machine.has(&format!("/sys/module/{other}/initstate"))) {
        Some(other) if is_after(machine, &other, &module.name) => None,
        Some(other) => Some(Rival::Module(other)),
        None => Some(Rival::BuiltIn(driver)),
    }
}

/// Who else is made for the device.
fn taken_from(machine: &dyn Machine, module: &Module, device: &Device) -> Option<Rival> {
    let (alias, folder) = (device.says("modalias"), format!("/lib/modules/{}", machine.release()));
    let list = |file: &str| machine.text(&format!("{folder}/{file}")).unwrap_or_default();
    let (built_in, modules) = (list("modules.builtin.modinfo"), list("modules.alias"));
    let mut built_in = built_in.split('\0').filter_map(|entry| entry.split_once(".alias="));
    if let Some((other, _)) = built_in.find(|(_, pattern)| fits(pattern, &alias)) {
        return Some(Rival::BuiltIn(other.to_owned()));
    }
    let others = modules.lines().filter_map(|line| line.strip_prefix("alias ")?.rsplit_once(' '));
    let mut others = others.filter(|(pattern, other)| *other != module.name && fits(pattern, &alias)).peekable();
    if others.peek().is_none() {
        return Some(Rival::Unknown);
    }
    let mut others = others.filter(|(_, other)| !is_after(machine, other, &module.name));
    others.next().map(|(_, other)| Rival::Module(other.to_owned()))
}

/// Whether modprobe has been told to load a module before another one, or not to load that by itself.
fn is_after(machine: &dyn Machine, other: &str, module: &str) -> bool {
    let other = loaded::underscored(other);
    let is_softdep = |line: &str| {
        let mut words = line.split_whitespace();
        let (start, of) = (words.next(), words.next());
        let before = words.skip_while(|word| *word != "pre:").take_while(|word| *word != "post:");
        start == Some("softdep")
            && of.is_some_and(|of| is_name(of, &other))
            && before.into_iter().any(|word| is_name(word, module))
    };
    blacklisted(machine, &other).is_some() || listing(machine, &BLACKLISTS, is_softdep).is_some()
}

/// Whether modprobe finds an installed module by its name, and udev by its aliases.
pub fn is_listed(machine: &dyn Machine, name: &str, module: &Module) -> bool {
    let folder = format!("/lib/modules/{}", machine.release());
    let list = |file: &str| machine.text(&format!("{folder}/{file}")).unwrap_or_default();
    let (modules, aliases) = (list("modules.dep"), list("modules.alias"));
    let stem = format!("kp-{name}");
    let mut paths = modules.lines().filter_map(|line| Some(line.split_once(':')?.0));
    let is_there = paths.any(|path| crate::module::stem(path.as_ref()).is_some_and(|found| found == stem));
    is_there
        && module.aliases.iter().all(|alias| {
            let line = format!("alias {alias} {}", module.name);
            aliases.lines().any(|listed| listed == line)
        })
}

/// Where a module is named as one that is not loaded by itself.
fn blacklisted(machine: &dyn Machine, module: &str) -> Option<String> {
    let line = machine.text("/proc/cmdline").unwrap_or_default();
    let mut words = line.split_whitespace().filter_map(|word| word.strip_prefix("modprobe.blacklist="));
    if words.any(|names| names.split(',').any(|name| is_name(name, module))) {
        return Some("the kernel's command line".to_owned());
    }
    let names = |line: &str| line.strip_prefix("blacklist").is_some_and(|rest| is_name(rest, module));
    listing(machine, &BLACKLISTS, names)
}

/// The first file of these folders, of those that end in `.conf`, with such a line.
fn listing(machine: &dyn Machine, folders: &[&str], fits: impl Fn(&str) -> bool) -> Option<String> {
    let files = folders.iter().flat_map(|folder| {
        let names = machine.names(folder).into_iter().filter(|name| name.ends_with(".conf"));
        names.map(move |name| format!("{folder}/{name}"))
    });
    files.into_iter().find(|file| machine.text(file).is_some_and(|text| text.lines().any(|line| fits(line.trim()))))
}

/// Whether a word names a module, of which a dash is an underscore to the kernel.
fn is_name(word: &str, module: &str) -> bool {
    loaded::underscored(word.trim()) == module
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use crate::made_up::made_up;

    const ALIAS: &str = "pci:v00001234d000011E8sv*sd*bc*sc*i*";

    /// A machine with an installed plugin that has such aliases, which depmod has seen; and its module.
    fn machine(aliases: &[&str]) -> (Fake, Module) {
        let fake = Fake::new();
        fake.file(DAEMON, "");
        let aliases: Vec<String> = aliases.iter().map(|alias| format!("alias={alias}")).collect();
        let entries = ["kp=my-card", "version=1", "vermagic=6.12.9-amd64 SMP"].into_iter();
        let content = made_up(&entries.chain(aliases.iter().map(String::as_str)).collect::<Vec<_>>());
        fake.file("/lib/modules/6.12.9-amd64/updates/kp-my-card.ko", &content);
        fake.run("depmod", &["6.12.9-amd64"]).unwrap();
        (fake, Module::parse("kp-my-card.ko".as_ref(), &content).unwrap())
    }

    fn next(fake: &Fake, module: &Module) -> (bool, String) {
        let NextBoot { loads, why } = NextBoot::of(fake, "my-card", module);
        (loads, why)
    }

    #[test]
    fn a_plugin_with_a_device_is_loaded_by_its_alias_if_depmod_has_listed_it_and_udevd_runs() {
        let (fake, module) = machine(&[ALIAS]);
        assert_eq!(next(&fake, &module), (true, format!("by alias {ALIAS}")));
        std::fs::remove_file(fake.at(DAEMON)).unwrap();
        let why = "udevd, which loads by alias, does not run here: `kp load my-card` after each start";
        assert_eq!(next(&fake, &module), (false, why.to_owned()));
        fake.file("/lib/modules/6.12.9-amd64/modules.alias", format!("alias {ALIAS} kp_other\n"));
        let unlisted = (false, "depmod has not listed it: `sudo depmod`".to_owned());
        assert_eq!(next(&fake, &module), unlisted);
        fake.file("/lib/modules/6.12.9-amd64/modules.alias", format!("alias {ALIAS} kp_my_card\n"));
        fake.file("/lib/modules/6.12.9-amd64/modules.dep", "updates/kp-other.ko:\n");
        assert_eq!(next(&fake, &module), unlisted);
    }

    #[test]
    fn a_device_that_another_driver_gets_at_the_next_start_is_told_with_what_changes_that() {
        let (fake, module) = machine(&[ALIAS]);
        let address = "0000:00:04.0";
        let device = "pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00";
        let start = format!("by alias {ALIAS}");
        let take = format!("`kp load my-card --take {address}` after each start");
        // Taken: its driver_override is what --take sets.
        fake.load("kp-my-card");
        fake.device(address, device, Some("kp_my_card"));
        assert_eq!(next(&fake, &module), (true, start.clone()), "nobody else was there");
        fake.file(&format!("/sys/bus/pci/devices/{address}/driver_override"), "kp_my_card\n");
        assert_eq!(next(&fake, &module).1, format!("{start}; but another driver gets {address}: {take}"));
        let folder = "/lib/modules/6.12.9-amd64";
        let own = format!("alias {ALIAS} kp_my_card\n");
        fake.file(&format!("{folder}/modules.alias"), format!("{own}alias pci:v00001234d*sv*sd*bc*sc*i* bochs-drm\n"));
        let softdep = "`echo softdep bochs-drm pre: kp-my-card | sudo tee /etc/modprobe.d/kp-my-card.conf`, once";
        assert_eq!(next(&fake, &module).1, format!("{start}; but `bochs-drm` gets {address}: {take}, or {softdep}"));
        fake.file("/etc/modprobe.d/kp-my-card.conf", "softdep bochs-drm pre: kp-my-card\n");
        assert_eq!(next(&fake, &module).1, start, "what was told has been done");
        fake.file(
            &format!("{folder}/modules.builtin.modinfo"),
            "8250_pci.alias=pci:v00001234d*\x008250_pci.license=GPL\0",
        );
        let built_in = format!("{start}; but `8250_pci`, which is built into the kernel, gets {address}: {take}");
        assert_eq!(next(&fake, &module).1, built_in);

        // Held by another one now.
        let (fake, module) = machine(&[ALIAS]);
        fake.device(address, device, Some("bochs_drm"));
        let built_in = format!("{start}; but `bochs_drm`, which is built into the kernel, gets {address}: {take}");
        assert_eq!(next(&fake, &module).1, built_in);
        fake.file("/sys/module/bochs_drm/initstate", "live\n");
        let softdep = softdep.replace("bochs-drm", "bochs_drm");
        assert_eq!(next(&fake, &module).1, format!("{start}; but `bochs_drm` gets {address}: {take}, or {softdep}"));
        fake.file("/etc/modprobe.d/own.conf", "blacklist bochs-drm\n");
        assert_eq!(next(&fake, &module).1, start);
    }

    #[test]
    fn a_plugin_without_a_device_is_loaded_by_a_list_that_names_it() {
        let (fake, module) = machine(&[]);
        let add = "nothing names it: `echo kp-my-card | sudo tee /etc/modules-load.d/kp-my-card.conf`";
        fake.file("/usr/lib/modules-load.d/other.conf", "# kp-my-card\nkp-my-card-2\n");
        fake.file("/usr/lib/modules-load.d/kp-my-card.txt", "kp-my-card\n");
        assert_eq!(next(&fake, &module), (false, add.to_owned()));
        let list = "/usr/lib/modules-load.d/kp-my-card-dkms.conf";
        fake.file(list, "# No device has this plugin loaded.\nkp-my_card\n");
        assert_eq!(next(&fake, &module), (true, format!("by {list}")));
    }

    #[test]
    fn one_that_is_blacklisted_is_not_loaded() {
        let (fake, module) = machine(&[ALIAS]);
        fake.file("/proc/cmdline", "quiet modprobe.blacklist=nouveau,kp-my-card\n");
        let why = |place| (false, format!("{place} blacklists it: `kp load my-card` loads it all the same"));
        assert_eq!(next(&fake, &module), why("the kernel's command line"));
        fake.file("/proc/cmdline", "quiet modprobe.blacklist=nouveau\n");
        assert!(next(&fake, &module).0);
        fake.file(
            "/etc/modprobe.d/own.conf",
            "# blacklist kp_my_card\nblacklist kp_my_card_2\nblacklist  kp_my_card\n",
        );
        assert_eq!(next(&fake, &module), why("/etc/modprobe.d/own.conf"));
    }
}
