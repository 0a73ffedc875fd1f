//! Which plugins this machine has, and how each of them is.

use crate::bus::Bus;
use crate::machine::{Machine, day};
use crate::message::Message;
use crate::module::Module;
use crate::next_boot::{NextBoot, is_listed};
use crate::receipt::Receipt;
use crate::trust::Trust;
use crate::{groups, loaded, nodes};
use kp_abi::request::{Query, state};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;

/// What is said where there is no plugin.
pub const NONE: &str = "no plugin is installed or loaded: `kp install FILE.ko`";

/// A plugin in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The version that is installed, else the one that is loaded.
    pub version: String,
    /// The module's file, for the running kernel.
    pub file: Option<String>,
    /// Who installed it.
    pub by: Origin,
    /// Whether its module is loaded.
    pub loaded: bool,
    /// How many devices it has.
    pub devices: usize,
}

impl Entry {
    /// It in one line.
    pub fn line(&self) -> String {
        let state = if self.loaded { "loaded" } else { "not loaded" };
        let devices = match self.devices {
            0 => String::new(),
            1 => ", 1 device".to_owned(),
            many => format!(", {many} devices"),
        };
        let version = if self.version.is_empty() { String::new() } else { format!(" {}", self.version) };
        format!("{}{version}  {state}{devices}; {}", self.name, self.by)
    }
}

/// Who installed a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// `kp install`.
    Kp,
    /// `kp install`, and that or `kp uninstall` did not come to its end.
    Unfinished,
    /// A package, or somebody by hand.
    Other,
    /// Nobody: it was loaded from elsewhere.
    Nobody,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Kp => "installed by kp",
            Origin::Unfinished => "installed in part",
            Origin::Other => "installed by a package or by hand",
            Origin::Nobody => "not installed",
        })
    }
}

/// The names of all plugins: those that kp has installed, those in the running kernel's folders, and those that are loaded.
///
/// # Errors
/// [`Message::BadReceipt`].
pub fn names(machine: &dyn Machine) -> Result<Vec<String>, Message> {
    let mut names: BTreeSet<String> = Receipt::all(machine)?.into_iter().map(|receipt| receipt.name).collect();
    let folder = format!("/lib/modules/{}", machine.release());
    for file in loaded::PLACES.iter().flat_map(|place| machine.names(&format!("{folder}/{place}"))) {
        let stem = crate::module::stem(file.as_ref()).filter(|_| loaded::is_module(&file));
        names.extend(stem.and_then(|stem| Some(stem.strip_prefix("kp-")?.to_owned())));
    }
    for module in machine.names("/sys/module") {
        // The kernel shows a dash as an underscore; a name that was found already is the same plugin.
        let is_there = names.iter().any(|name| loaded::module_of(name) == module);
        if let Some(name) = module.strip_prefix("kp_").filter(|_| !is_there) {
            names.insert(name.to_owned());
        }
    }
    Ok(names.into_iter().collect())
}

/// What a plugin's installed module says of itself. One that depmod has listed, and that is gone since, is none.
fn installed(machine: &dyn Machine, name: &str) -> Result<Option<(String, Module)>, Message> {
    let is_there = loaded::file_of(machine, name).is_some_and(|path| machine.has(&path));
    if is_there { loaded::installed(machine, name) } else { Ok(None) }
}

/// A plugin in short.
///
/// # Errors
/// [`Message::BadReceipt`].
pub fn entry(machine: &dyn Machine, name: &str) -> Result<Entry, Message> {
    let receipt = Receipt::read(machine, name)?;
    let installed = installed(machine, name)?;
    let module = loaded::module_of(name);
    let running = loaded::version(machine, &module);
    let version = installed.as_ref().map(|(_, module)| module.version.clone());
    let version = version.or_else(|| receipt.as_ref().map(|receipt| receipt.version.clone()));
    let by = match (&receipt, &installed) {
        (Some(receipt), _) if receipt.finished => Origin::Kp,
        (Some(_), _) => Origin::Unfinished,
        (None, Some(_)) => Origin::Other,
        (None, None) => Origin::Nobody,
    };
    Ok(Entry {
        name: name.to_owned(),
        version: version.or_else(|| running.clone()).unwrap_or_default(),
        file: installed.map(|(path, _)| path),
        by,
        loaded: running.is_some(),
        devices: Bus(&machine.at("/sys")).bound(&module).len(),
    })
}

/// How a plugin is.
#[derive(Debug, Serialize)]
pub struct Status {
    /// In short.
    #[serde(flatten)]
    pub entry: Entry,
    /// When it was installed, if kp did.
    pub installed: Option<String>,
    /// The flags with which its module taints the kernel, as in `OE`. None: it is not loaded.
    pub taint: Option<String>,
    /// Who has signed the installed module.
    pub signer: Option<String>,
    /// What the kernel asks of modules.
    pub trust: Trust,
    /// Devices that it is made for.
    pub bus: Vec<OnBus>,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// The aliases by which udev loads it. None: it is not installed.
    pub aliases: Option<Vec<String>>,
    /// What comes of it when the machine starts again. None: it is not installed.
    pub next_boot: Option<NextBoot>,
    /// What is wrong with it.
    #[serde(serialize_with = "as_object")]
    pub problem: Option<Message>,
}

/// A device that a plugin is made for.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct OnBus {
    /// As in `0000:00:04.0`.
    pub address: String,
    /// Who has it.
    pub driver: Option<String>,
    /// The plugin's node for it.
    pub node: Option<String>,
}

/// A node.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Where it is.
    pub path: String,
    /// Its group's name, or number.
    pub group: String,
    /// Who may use it, in octal as in `0660`.
    pub mode: String,
    /// What its driver says of itself. None: this process may not ask it, or it does not answer.
    pub driver: Option<Driver>,
}

/// What a driver says of itself.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Driver {
    /// The version of its interface, for people.
    pub interface_version: u32,
    /// How many messages its interface has.
    pub messages: u32,
    /// The interface's fingerprint, 16 hexadecimal digits.
    pub fingerprint: String,
    /// The ABI that it speaks, as in `1.4`.
    pub abi: String,
    /// `bound`, `suspended`, `gone` or `poisoned`.
    pub state: &'static str,
    /// Open sessions of the device.
    pub sessions: u32,
}

impl Driver {
    fn new(query: &Query) -> Self {
        Driver {
            interface_version: query.interface_version,
            messages: query.message_count,
            fingerprint: format!("{:016x}", query.chain),
            abi: format!("{}.{}", query.abi_major, query.abi_minor),
            state: match query.state {
                state::BOUND => "bound",
                state::SUSPENDED => "suspended",
                state::GONE => "gone",
                state::POISONED => "poisoned",
                _ => "unknown",
            },
            sessions: query.sessions,
        }
    }
}

fn as_object<S: serde::Serializer>(problem: &Option<Message>, serializer: S) -> Result<S::Ok, S::Error> {
    let object = problem.as_ref().map(|message| {
        serde_json::json!({ "code": message.code(), "text": message.to_string(), "exit": message.exit() as u8 })
    });
    object.serialize(serializer)
}

/// Looks at a plugin.
///
/// # Errors
/// There is no plugin of this name.
pub fn status(machine: &dyn Machine, name: &str) -> Result<Status, Message> {
    if !names(machine)?.iter().any(|known| known == name) {
        return Err(Message::NoPlugin { name: name.to_owned() });
    }
    let entry = entry(machine, name)?;
    let module = loaded::module_of(name);
    let installed = installed(machine, name)?.map(|(_, module)| module);
    let receipt = Receipt::read(machine, name)?;
    let sys = machine.at("/sys");
    let bus = Bus(&sys);
    let plugin = loaded::plugin_of(machine, name);
    let made_for = match &installed {
        Some(module) => bus.made_for(&module.aliases),
        None => bus.bound(&module),
    };
    let on_bus = |device: &crate::bus::Device| {
        let address = device.address();
        let mut nodes = machine.names(&format!("/sys/bus/pci/devices/{address}/kp-{plugin}")).into_iter();
        OnBus { driver: device.driver(), node: nodes.next().and_then(|name| node_of(&name)), address }
    };
    let problem = problem(machine, name, &entry, installed.as_ref(), receipt.as_ref());
    let next_boot = match (&installed, &receipt) {
        (Some(module), _) => Some(NextBoot::of(machine, name, module)),
        (None, Some(receipt)) => Some(NextBoot::without_module(machine, receipt)),
        (None, None) => None,
    };
    Ok(Status {
        installed: receipt.map(|receipt| day(receipt.installed)),
        taint: entry.loaded.then(|| machine.text(&format!("/sys/module/{module}/taint")).unwrap_or_default()),
        signer: installed.as_ref().and_then(|module| module.signer.clone()),
        trust: Trust::of(machine),
        bus: made_for.iter().map(on_bus).collect(),
        nodes: nodes::of(machine, &plugin).into_iter().filter_map(|path| node(machine, path)).collect(),
        next_boot,
        aliases: installed.map(|module| module.aliases),
        problem,
        entry,
    })
}

/// The first thing that is wrong with a plugin.
fn problem(
    machine: &dyn Machine,
    name: &str,
    entry: &Entry,
    installed: Option<&Module>,
    receipt: Option<&Receipt>,
) -> Option<Message> {
    if entry.by == Origin::Unfinished {
        return Some(Message::Unfinished { name: name.to_owned() });
    }
    if let Some(receipt) = receipt {
        let running = machine.release();
        if installed.is_none() && receipt.release != running {
            return Some(Message::OtherRelease { name: name.to_owned(), built: receipt.release.clone(), running });
        }
        if let Some(path) = receipt.gone(machine) {
            return Some(Message::Gone { path, name: name.to_owned() });
        }
    }
    let running = loaded::version(machine, &loaded::module_of(name));
    let file = entry.file.clone().unwrap_or_default();
    let listed = |module: &Module, otherwise: Message| {
        if is_listed(machine, name, module) { Ok(()) } else { Err(otherwise) }
    };
    match (running, installed) {
        (Some(running), Some(module)) => {
            let same = loaded::check_version(module, &running, name);
            let well = same.and_then(|()| loaded::self_check(machine, name, &module.aliases));
            well.and_then(|()| listed(module, Message::NotListed { file })).err()
        }
        (None, Some(module)) => {
            let trusted = Trust::of(machine).check(module, &file);
            trusted.and_then(|()| listed(module, Message::NotIndexed { file, name: name.to_owned() })).err()
        }
        _ => None,
    }
}

/// Where the node of a class's device is.
fn node_of(device: &str) -> Option<String> {
    Some(format!("/dev/kp/{}", device.strip_prefix("kp-")?))
}

fn node(machine: &dyn Machine, path: String) -> Option<Node> {
    let found = machine.at(&path).metadata().ok()?;
    let driver = machine.ask(&path).as_ref().map(Driver::new);
    let group = groups::name(machine, found.gid());
    Some(Node { path, group, mode: format!("{:04o}", found.mode() & 0o7777), driver })
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, what: &str, text: &str| writeln!(f, "{what:<20} {text}");
        let entry = &self.entry;
        let from = match (&entry.file, &self.installed) {
            (Some(file), Some(day)) => format!("{file}, {} on {day}", entry.by),
            (Some(file), None) => format!("{file}, {}", entry.by),
            (None, Some(day)) => format!("no module for this kernel; {} on {day}", entry.by),
            (None, None) => entry.by.to_string(),
        };
        row(f, format!("kp-{} {}", entry.name, entry.version).trim_end(), &from)?;
        let signer = match (&self.signer, &entry.file) {
            (Some(name), _) if name.is_empty() => "; signed".to_owned(),
            (Some(name), _) => format!("; signer: {name}"),
            (None, Some(_)) => "; signer: none".to_owned(),
            (None, None) => String::new(),
        };
        let state = match &self.taint {
            Some(taint) if taint.is_empty() => "loaded".to_owned(),
            Some(taint) => format!("loaded; taint {taint}"),
            None => "not loaded".to_owned(),
        };
        row(f, "module", &format!("{state}{signer}"))?;
        let secure_boot = self.trust.secure_boot.map_or("unknown", |on| if on { "on" } else { "off" });
        let mode = self.trust.lockdown.as_deref().unwrap_or("unknown");
        let enforced = if self.trust.sig_enforce { "; module.sig_enforce" } else { "" };
        row(f, "Secure Boot", &format!("{secure_boot}; lockdown: {mode}{enforced}"))?;
        if self.aliases.as_ref().is_some_and(|aliases| !aliases.is_empty()) || !self.bus.is_empty() {
            let devices: Vec<String> = self
                .bus
                .iter()
                .map(|device| {
                    let driver = device.driver.as_deref().unwrap_or("no driver");
                    format!("{} -> {}", device.address, device.node.as_deref().unwrap_or(driver))
                })
                .collect();
            let list = if devices.is_empty() { String::new() } else { format!(":  {}", devices.join(", ")) };
            row(f, "devices", &format!("{} of {} bound{list}", entry.devices, self.bus.len()))?;
        }
        for node in &self.nodes {
            let said = node.driver.as_ref().map(|driver| format!("; {}, sessions {}", driver.state, driver.sessions));
            let said = said.unwrap_or_default();
            row(f, "node", &format!("{}  root:{} {}{said}", node.path, node.group, node.mode))?;
        }
        // All devices have one driver.
        if let Some(driver) = self.nodes.iter().find_map(|node| node.driver.as_ref()) {
            let Driver { interface_version, messages, fingerprint, abi, .. } = driver;
            let count = if *messages == 1 { "message" } else { "messages" };
            let text = format!("version {interface_version}, {messages} {count}, fingerprint {fingerprint}; ABI {abi}");
            row(f, "interface", &text)?;
        }
        match &self.next_boot {
            Some(NextBoot { loads: true, why }) => row(f, "next boot", &format!("loads {why}")),
            Some(NextBoot { loads: false, why }) => row(f, "next boot", &format!("is not loaded: {why}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use crate::install::{Plan, Wanted};
    use crate::made_up::made_up;
    use std::os::unix::fs::PermissionsExt as _;

    /// A machine with a plugin that was installed by kp, loaded, and has its device.
    fn machine() -> Fake {
        let fake = Fake::new();
        fake.file(crate::rules::DAEMON, "");
        fake.device("0000:00:04.0", "pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00", None);
        let alias = "alias=pci:v00001234d000011E8sv*sd*bc*sc*i*";
        let content = made_up(&["kp=edu", "version=0.1.0", alias, "vermagic=6.12.9-amd64 SMP"]);
        let plan = Plan::new(&fake, "kp-card.ko".as_ref(), content, &Wanted::default()).unwrap();
        plan.carry_out(&fake, &mut |_| {}).unwrap();
        fake.file("/sys/class/kp-edu/kp-edu.0/dev", "240:0\n");
        fake.file("/sys/bus/pci/devices/0000:00:04.0/kp-edu/kp-edu.0/dev", "240:0\n");
        fake.file("/dev/kp/edu.0", "");
        std::fs::set_permissions(fake.at("/dev/kp/edu.0"), std::fs::Permissions::from_mode(0o600)).unwrap();
        fake.file("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
        fake
    }

    #[test]
    fn a_status_says_what_is_installed_loaded_bound_and_who_may_use_it() {
        let mut fake = machine();
        let query = Query {
            interface_version: 3,
            message_count: 5,
            chain: 0x1a7d,
            abi_major: 1,
            abi_minor: 4,
            ..Query::default()
        };
        fake.answers.insert("/dev/kp/edu.0".into(), Query { state: state::POISONED, sessions: 2, ..query });
        let status = status(&fake, "card").unwrap();
        let group = status.nodes[0].group.clone();
        assert_eq!(
            status.to_string(),
            format!(
                "kp-card 0.1.0        /lib/modules/6.12.9-amd64/updates/kp-card.ko, installed by kp on 2026-11-30\n\
                 module               loaded; taint OE; signer: none\n\
                 Secure Boot          unknown; lockdown: none\n\
                 devices              1 of 1 bound:  0000:00:04.0 -> /dev/kp/edu.0\n\
                 node                 /dev/kp/edu.0  root:{group} 0600; poisoned, sessions 2\n\
                 interface            version 3, 5 messages, fingerprint 0000000000001a7d; ABI 1.4\n\
                 next boot            loads by alias pci:v00001234d000011E8sv*sd*bc*sc*i*\n"
            )
        );
        assert_eq!(status.problem, None);
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["bus"][0]["node"], "/dev/kp/edu.0");
        assert_eq!((&json["by"], &json["problem"]), (&"kp".into(), &serde_json::Value::Null));
    }

    #[test]
    fn what_is_wrong_is_part_of_the_status() {
        let fake = machine();
        fake.file("/sys/module/kp_card/version", "0.0.9\n");
        let found = status(&fake, "card").unwrap();
        assert_eq!(found.problem.as_ref().map(Message::code), Some("E044"));
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!((&json["problem"]["code"], &json["problem"]["exit"]), (&"E044".into(), &6.into()));
        fake.file("/sys/module/kp_card/version", "0.1.0\n");
        assert_eq!(status(&fake, "card").unwrap().problem, None);
        fake.file("/lib/modules/6.12.9-amd64/modules.alias", "");
        let file = "/lib/modules/6.12.9-amd64/updates/kp-card.ko".to_owned();
        assert_eq!(status(&fake, "card").unwrap().problem, Some(Message::NotListed { file: file.clone() }));
        std::fs::remove_dir_all(fake.at("/sys/module/kp_card")).unwrap();
        let unlisted = Message::NotIndexed { file, name: "card".into() };
        assert_eq!(status(&fake, "card").unwrap().problem, Some(unlisted));
        let mut receipt = Receipt::read(&fake, "card").unwrap().unwrap();
        receipt.finished = false;
        receipt.write(&fake).unwrap();
        let found = status(&fake, "card").unwrap();
        assert_eq!(found.problem, Some(Message::Unfinished { name: "card".into() }));
        let none = status(&fake, "kard").expect_err("there is none");
        assert_eq!(none.to_string(), "no plugin kard is installed or loaded: `kp list` names those that are");
    }

    #[test]
    fn after_a_kernel_upgrade_a_status_says_that_the_module_is_for_another_kernel() {
        let fake = machine();
        std::fs::remove_dir_all(fake.at("/sys/module/kp_card")).unwrap();
        fake.file("/proc/sys/kernel/osrelease", "6.12.10-amd64\n");
        let found = status(&fake, "card").unwrap();
        let problem = found.problem.as_ref().expect("nothing will load");
        assert_eq!(
            (problem.exit() as u8, &*problem.to_string()),
            (
                7,
                "card is installed for 6.12.9-amd64, this is 6.12.10-amd64: `kp uninstall card`, then install one that is built with \
                 `--target 6.12.10-amd64`, or the dkms package"
            )
        );
        let shown = found.to_string();
        let row = "next boot            is not loaded: its module is for 6.12.9-amd64, this is 6.12.10-amd64\n";
        assert!(shown.ends_with(row), "{shown}");
        // A package's, say, is there for this one.
        let folder = "/lib/modules/6.12.10-amd64/updates";
        std::fs::create_dir_all(fake.at(folder)).unwrap();
        let content = made_up(&["kp=edu", "version=0.1.0", "vermagic=6.12.10-amd64 SMP"]);
        fake.file(&format!("{folder}/kp-card.ko"), content);
        fake.run("depmod", &["6.12.10-amd64"]).unwrap();
        assert_eq!(status(&fake, "card").unwrap().problem, None);
    }

    #[test]
    fn a_file_of_an_installation_that_is_gone_is_told() {
        for path in ["/lib/modules/6.12.9-amd64/updates/kp-card.ko", "/etc/udev/rules.d/70-kp-card.rules"] {
            let fake = machine();
            fake.remove_file(path).unwrap();
            let found = status(&fake, "card").unwrap();
            let problem = found.problem.as_ref().expect("it is not whole");
            let text =
                format!("{path} is gone, with which card was installed: `kp uninstall card`, then install it again");
            assert_eq!((problem.exit() as u8, problem.to_string()), (4, text));
            assert_eq!(found.to_string().contains("is not loaded: its module is gone\n"), path.ends_with(".ko"));
        }
    }

    #[test]
    fn what_a_killed_removal_has_left_is_told_as_of_an_installation() {
        let mut left = 0;
        for at in 0.. {
            let fake = machine();
            let before = fake.tree();
            fake.fail_from(at, usize::MAX);
            let removed = crate::install::uninstall(&fake, "card", &mut |_| {});
            fake.fail_from(usize::MAX, 0);
            if removed.is_ok() {
                break;
            }
            let tree = fake.tree();
            let begun = before.keys().any(|path| !tree.contains_key(path));
            if begun && fake.has("/var/lib/kp/card.json") {
                left += 1;
                let problem = status(&fake, "card").unwrap().problem;
                assert_eq!(problem, Some(Message::Unfinished { name: "card".into() }), "killed at operation {at}");
            }
        }
        assert!(left > 3, "only {left}");
    }

    #[test]
    fn installed_and_loaded_plugins_are_listed_with_where_they_come_from() {
        let fake = machine();
        let other = made_up(&["kp=soft", "version=2.0", "vermagic=6.12.9-amd64 SMP"]);
        let file = "/lib/modules/6.12.9-amd64/updates/dkms/kp-my-soft.ko";
        fake.file(file, &other);
        // As DKMS does where the kernel's own are packed.
        assert!(std::process::Command::new("gzip").arg(fake.at(file)).status().unwrap().success());
        fake.load("kp-my-soft");
        fake.load("kp-alone");
        let lines: Vec<String> = names(&fake).unwrap().iter().map(|name| entry(&fake, name).unwrap().line()).collect();
        assert_eq!(
            lines,
            [
                "alone  loaded; not installed",
                "card 0.1.0  loaded, 1 device; installed by kp",
                "my-soft 2.0  loaded; installed by a package or by hand"
            ]
        );
    }
}
