//! `cargo kp new`: a workspace with a plugin, its tests and an app, of what is known of a card.
//!
//! `name` says what it may be called, `card` what is known of the card, which may come from `qemu`, `irq` how it interrupts, `apps` which languages
//! it has apps in. `ask` asks for what no flag says. `tree` makes the files of `templates/card`, of `messages` and of what the `model` is told, and
//! `write` puts them where they belong, all or none.
mod apps;
#[cfg(feature = "wizard")]
mod ask;
mod card;
mod irq;
mod messages;
mod model;
mod name;
pub(crate) mod qemu;
mod tree;
mod write;

use self::card::Card;
use crate::{
    command::Command,
    registers::{self, Registers, Source},
};
use anyhow::Result;
use kp_tool::Message;
use std::{
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process,
};

/// A PCI device's vendor and device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PciId {
    vendor: u16,
    device: u16,
}

/// Makes a new workspace: a plugin, its tests with a model of the card, and an app.
#[derive(Debug, Clone, clap::Args)]
pub struct NewArgs {
    /// What the plugin is called: the module, the device node, the folder.
    name: Option<String>,
    /// The card, by vendor and device, as `lspci -n` prints them; may be repeated.
    #[arg(long, value_name = "VENDOR:DEVICE", group = "source")]
    pci: Vec<String>,
    /// The card in this machine at an address that `kp scan` prints: its numbers, BARs and interrupts. Linux shows to root alone whether it
    /// sends messages.
    #[arg(long, value_name = "ADDRESS", group = "source")]
    from_device: Option<String>,
    /// The same of another machine: a file that `kp scan --json` has written there.
    #[arg(long, value_name = "FILE[#ADDRESS]", group = "source")]
    scan: Option<String>,
    /// The same of a device of QEMU's, as `-device` names it. No guest runs.
    #[arg(long, value_name = "NAME[,OPTION=…]", group = "source")]
    qemu: Option<String>,
    /// A plugin without a device.
    #[arg(long, group = "source", conflicts_with_all = ["registers", "irq_status", "irq_ack", "irq_enable", "irq_disable", "irq_raise", "no_irq", "messages"])]
    software: bool,
    /// The folder that `/sys` is in, where it is not this machine's.
    #[arg(long, value_name = "DIR", hide = true)]
    root: Option<PathBuf>,
    /// The card's registers: a table .csv, a CMSIS .svd, an IP-XACT .xml, or an .hjson of OpenTitan's regtool. NAME is what their BAR is called.
    #[arg(long, value_name = "[NAME=]FILE")]
    registers: Option<String>,
    /// Which BAR a block of the file lies in, where it has several: an SVD's peripheral, an IP-XACT's address block, an interface of
    /// regtool's. May be repeated.
    #[arg(long, value_name = "BLOCK=N[+OFFSET]", requires = "registers")]
    bar: Vec<String>,
    /// The register that says that the card interrupts: zero means that it does not. Without it and --irq-ack: guessed by the names, and the guess is printed.
    #[arg(long, value_name = "REG")]
    irq_status: Option<String>,
    /// How an interrupt is acknowledged: REG=write-back, w1c, read-clears, REG=VALUE, REG=mask or none. `cargo kp --explain E017` says
    /// what each does.
    #[arg(long, value_name = "RECIPE")]
    irq_ack: Option<String>,
    /// What lets the card interrupt: written when an app enables the interrupt, all ones if no bits are named, and undone by a zero when it
    /// disables it. May be repeated: written in this order, and undone in the other.
    #[arg(long, value_name = "REG[=BITS]")]
    irq_enable: Vec<String>,
    /// What keeps the card from interrupting, where that is another register: all ones if no bits are named. May be repeated.
    #[arg(long, value_name = "REG[=BITS]", requires = "irq_enable")]
    irq_disable: Vec<String>,
    /// What has the card interrupt, for trying it: the app's --raise writes there.
    #[arg(long, value_name = "REG")]
    irq_raise: Option<String>,
    /// The card has no interrupt, whatever its registers are called.
    #[arg(long, conflicts_with_all = ["irq_status", "irq_ack", "irq_enable", "irq_disable", "irq_raise"])]
    no_irq: bool,
    /// Registers that get a message of their own: `all`, `none`, or a list. The app reads each when it starts. Without it: all if there are 16 or fewer, else none.
    #[arg(long, value_name = "all|none|A,B,…")]
    messages: Option<String>,
    /// Languages that there is an app in, beside the one in Rust.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "rust")]
    apps: Vec<apps::App>,
    /// The licence. Linux builds a module of MIT or GPL-2.0, alone or among others.
    #[arg(long, default_value = "MIT")]
    license: String,
    /// The author, in the plugin's Cargo.toml.
    #[arg(long)]
    author: Option<String>,
    /// Where the workspace is put. Without it: NAME, here.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Where kp's crates come from: a clone of kp, a version, or an address and a commit. Without it: the clone that this tool was built in, if
    /// it is there, else its version.
    #[arg(long, value_name = "DIR|VERSION|URL#COMMIT")]
    kp: Option<String>,
    /// Make a Git repository of it. Without either: if it is in none yet.
    #[arg(long, overrides_with = "no_git")]
    git: bool,
    /// Make no Git repository of it.
    #[arg(long)]
    no_git: bool,
    /// Ask for what no flag says, though there is a NAME. Without a NAME that is done anyway, at a terminal.
    #[arg(long)]
    ask: bool,
    /// Print the files' names, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Command for NewArgs {
    fn run(self) -> Result<()> {
        // Before anything is asked.
        let folder = self.folder();
        if let Some(clone) = clone_around(&folder) {
            let (path, clone) = (folder.display().to_string(), clone.display().to_string());
            return Err(Message::InClone { path, clone }.into());
        }
        if self.name.is_some() && !self.ask {
            return self.make(|_, _, _| Ok(true));
        }
        let has_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        if self.name.is_none() && self.has_source() && !(has_terminal && cfg!(feature = "wizard")) {
            return Err(self.no_name().into());
        }
        if !has_terminal {
            return Err(Message::NobodyToAsk {}.into());
        }
        #[cfg(feature = "wizard")]
        return ask::complete(self)?.make(ask::confirm);
        #[cfg(not(feature = "wizard"))]
        Err(Message::NoWizard {}.into())
    }
}

impl NewArgs {
    /// Makes the workspace, if whoever is asked last says so: of the arguments, of how many files, and of where they come.
    fn make(self, goes_on: impl FnOnce(&Self, usize, &str) -> Result<bool>) -> Result<()> {
        let Some(name) = self.name.clone() else { return Err(Message::NobodyToAsk {}.into()) };
        name::check(&name)?;
        let folder = self.folder();
        let card = self.card()?;
        let ids = match &card {
            Some(card) => vec![card.id],
            None => self.pci.iter().map(|text| pci_id(text)).collect::<Result<Vec<_>, _>>()?,
        };
        if ids.is_empty() && !self.software {
            return Err(Message::NobodyToAsk {}.into());
        }
        let source = self.registers.as_deref().map(|said| Source::parse(said, &self.bar)).transpose()?;
        let registers = source.as_ref().map(registers::read).transpose()?.unwrap_or_default();
        // The messages' module is called as the plugin is.
        if let Some(bar) =
            source.as_ref().and_then(|source| source.name.as_ref()).filter(|bar| **bar == tree::snake(&name))
        {
            return Err(
                Message::BadBarName { name: bar.clone(), why: "the plugin itself is called so".to_owned() }.into()
            );
        }
        let mut irq = if self.no_irq { None } else { irq::decide(&self.said(), &registers.blocks)? };
        if let Some(card) = &card {
            card.has_place_for(&registers.blocks)?;
            irq = card.interrupts_as(&self.said(), irq)?;
        }
        let device = self.qemu.clone().or_else(|| ids.first().and_then(qemu_device).map(str::to_owned));
        let facts = tree::Facts {
            name: &name,
            ids: &ids,
            card: card.as_ref(),
            device: device.as_deref(),
            source: source.as_ref(),
            registers: &registers,
            irq: irq.as_ref(),
            messages: self.messages.as_deref(),
            apps: &self.apps,
            license: &self.license,
            author: self.author.as_deref(),
            kp: &Kp::find(self.kp.as_deref())?,
        };
        let files = tree::files(&facts)?;
        report(card.as_ref(), &registers, &ids, irq.as_ref());
        if self.dry_run {
            files.iter().for_each(|file| println!("{}", folder.join(&file.path).display()));
            return Ok(());
        }
        if !goes_on(&self, files.len(), &folder.display().to_string())? {
            println!("nothing is written");
            return Ok(());
        }
        let git = self.git || (!self.no_git && !is_in_repository(&folder));
        write::all(&folder, &files, git)?;
        println!("{} files in {}", files.len(), folder.display());
        println!("next  cd {} && cargo test", folder.display());
        match (ids.is_empty(), device.map(|device| format!(" --device {device}"))) {
            (false, None) => println!(
                "      cargo kp vm --device NAME, if QEMU has the card; if not, the model in plugin/tests is what it is tried on"
            ),
            (_, device) => println!("      cargo kp vm{}", device.unwrap_or_default()),
        }
        Ok(())
    }

    /// Where the workspace is to be.
    fn folder(&self) -> PathBuf {
        self.path.clone().unwrap_or_else(|| self.name.as_deref().unwrap_or("NAME").into())
    }

    /// The device is named, and the plugin is not.
    fn no_name(&self) -> Message {
        let source = match (&self.from_device, &self.scan, &self.qemu) {
            (Some(address), ..) => format!(" --from-device {address}"),
            (None, Some(file), _) => format!(" --scan {file}"),
            (None, None, Some(device)) => format!(" --qemu {device}"),
            _ if self.software => " --software".to_owned(),
            _ => self.pci.iter().map(|id| format!(" --pci {id}")).collect(),
        };
        Message::NoName { rest: source }
    }

    /// Whether a flag says which device it is, or that there is none.
    fn has_source(&self) -> bool {
        !self.pci.is_empty()
            || self.software
            || [&self.from_device, &self.scan, &self.qemu].iter().any(|said| said.is_some())
    }

    /// What is known of the card, where more is than its numbers.
    fn card(&self) -> Result<Option<Card>> {
        let card = match (&self.from_device, &self.scan, &self.qemu) {
            (Some(address), ..) => Card::of_machine(address, self.root.as_deref())?,
            (None, Some(file), _) => Card::of_scan(file)?,
            (None, None, Some(device)) => qemu::card(device)?,
            (None, None, None) => return Ok(None),
        };
        Ok(Some(card))
    }

    /// What the flags say of the interrupt.
    fn said(&self) -> irq::Said<'_> {
        irq::Said {
            status: self.irq_status.as_deref(),
            ack: self.irq_ack.as_deref(),
            enable: &self.irq_enable,
            disable: &self.irq_disable,
            raise: self.irq_raise.as_deref(),
        }
    }
}

/// Says what was found, what was taken from the files, and what was guessed.
fn report(card: Option<&Card>, registers: &Registers, ids: &[PciId], irq: Option<&irq::Irq<'_>>) {
    if let Some(Card { of, id, found }) = card {
        println!("card       {of}: {:04x}:{:04x}", id.vendor, id.device);
        card.iter().flat_map(|card| card.lines()).for_each(|line| println!("           {line}"));
        if found.hides_messages() {
            println!(
                "           messages are shown to root alone: `sudo kp scan --json > card.json`, then --scan card.json"
            );
        }
    }
    for block in &registers.blocks {
        println!("registers  {} in BAR {}, {:#x} bytes", block.registers.len(), block.bar, block.len());
    }
    if !registers.left_out.is_empty() {
        println!("           left out, as no --bar names them: {}", registers.left_out.join(", "));
    }
    for (name, rust) in &registers.renamed {
        println!("           `{name}` is {rust}");
    }
    match irq {
        None if ids.is_empty() => {}
        None if card.is_some_and(|card| card.has_none()) => println!("interrupt  none: the card has none"),
        None => println!("interrupt  none: --irq-status and --irq-ack name one"),
        Some(irq) => {
            let guess = if irq.guessed { "guessed by the names: " } else { "" };
            println!("interrupt  {guess}{}", irq.said());
        }
    }
}

/// The QEMU device of these numbers, of those that a plugin can be tried on as they are.
fn qemu_device(id: &PciId) -> Option<&'static str> {
    match (id.vendor, id.device) {
        (0x1234, 0x11e8) => Some("edu"),
        (0x8086, 0x100e) => Some("e1000"),
        (0x8086, 0x10d3) => Some("e1000e"),
        (0x1b36, 0x0005) => Some("pci-testdev"),
        (0x1af4, 0x1110) => Some("ivshmem-doorbell"),
        _ => None,
    }
}

/// `1234:11e8`.
fn pci_id(text: &str) -> Result<PciId, Message> {
    let bad = || Message::BadPciId { text: text.to_owned() };
    let number = |text: &str| {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let number = u16::from_str_radix(digits, 16).ok().filter(|&number| number != 0xffff);
        number.filter(|_| digits.len() == 4 && !digits.starts_with('+')).ok_or_else(bad)
    };
    let (vendor, device) = text.split_once(':').ok_or_else(bad)?;
    Ok(PciId { vendor: number(vendor)?, device: number(device)? })
}

/// The clone of kp that a folder would lie in, where its alias is what `cargo kp` calls. What its tests make below its `target` is their own.
fn clone_around(folder: &Path) -> Option<PathBuf> {
    let existing = fs::canonicalize(existing(folder)).ok()?;
    let is_clone = |folder: &&Path| {
        let alias = fs::read_to_string(folder.join(".cargo/config.toml")).ok().and_then(|text| text.parse().ok());
        let alias = alias.as_ref().and_then(|config: &toml::Table| config.get("alias")?.get("kp")?.as_str());
        alias.is_some_and(|alias| alias.split_whitespace().any(|word| word == "cargo-kp"))
            && ["cargo-kp", "kp-core"].iter().all(|member| folder.join(member).join("Cargo.toml").is_file())
    };
    let clone = existing.ancestors().find(is_clone)?;
    (!existing.starts_with(clone.join("target"))).then(|| clone.to_owned())
}

/// The folder, or the nearest around it that is there.
fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."))
}

/// Whether a folder lies in a Git repository.
fn is_in_repository(folder: &Path) -> bool {
    let existing = existing(folder);
    let mut git = process::Command::new("git");
    let git = git.args(["rev-parse", "--is-inside-work-tree"]).current_dir(existing);
    git.output().is_ok_and(|output| output.status.success())
}

/// Where kp's crates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kp {
    /// A clone of kp.
    Clone(PathBuf),
    /// A version of them.
    Version(String),
    /// A Git repository, and a commit of it.
    Git(String, String),
}

impl Kp {
    /// What was said, or else what there is.
    fn find(said: Option<&str>) -> Result<Kp> {
        let clone = |path: &Path| {
            let no = || Message::NoKp { path: path.display().to_string() };
            let path = fs::canonicalize(path).map_err(|_| no())?;
            if path.join("kp-core/Cargo.toml").is_file() { Ok(Kp::Clone(path)) } else { Err(no()) }
        };
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        match said {
            None => Ok(clone(&built_in).unwrap_or_else(|_| Kp::Version(env!("CARGO_PKG_VERSION").to_owned()))),
            Some(said) => match said.split_once('#') {
                Some((url, commit)) => Ok(Kp::Git(url.to_owned(), commit.to_owned())),
                None if said.starts_with(|first: char| first.is_ascii_digit()) && !Path::new(said).exists() => {
                    Ok(Kp::Version(said.to_owned()))
                }
                None => Ok(clone(Path::new(said))?),
            },
        }
    }

    /// What stands behind a crate's name in `[workspace.dependencies]`.
    fn dependency(&self, name: &str) -> String {
        match self {
            Kp::Clone(path) => {
                let path = path.join(name).display().to_string();
                format!("{{ path = {} }}", toml::Value::String(path))
            }
            Kp::Version(version) => format!("\"{version}\""),
            Kp::Git(url, commit) => format!("{{ git = \"{url}\", rev = \"{commit}\" }}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_two_numbers_of_four_digits() {
        assert_eq!(pci_id("1234:11e8"), Ok(PciId { vendor: 0x1234, device: 0x11e8 }));
        assert_eq!(pci_id("0x8086:0x100E"), Ok(PciId { vendor: 0x8086, device: 0x100e }));
        for text in ["", "1234", "1234:", "1234:11e", "1234:11e80", "1234:11g8", "ffff:0001", "1234:ffff", "1234:+1e8"]
        {
            assert_eq!(pci_id(text), Err(Message::BadPciId { text: text.to_owned() }), "{text}");
        }
    }

    #[test]
    fn crates_come_from_a_clone_a_version_or_a_commit() {
        let dependency = |said: &str| Kp::find(Some(said)).map(|kp| kp.dependency("kp-abi"));
        assert_eq!(dependency("0.1").unwrap(), "\"0.1\"");
        assert_eq!(dependency("https://x.test/kp#abc").unwrap(), r#"{ git = "https://x.test/kp", rev = "abc" }"#);
        assert!(Kp::find(None).unwrap().dependency("kp-abi").ends_with("kp-abi\" }"));
        let none = dependency("/no/kp").expect_err("there is none").to_string();
        assert_eq!(none, "no kp-core in /no/kp: name a clone of kp with --kp, or a version of its crates");
    }
}
