//! What the file of a Linux module says of itself.

use object::{Object as _, ObjectSection as _};
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Message;

/// What stands at the end of a signed module.
pub(crate) const SIGNED: &[u8] = b"~Module signature appended~\n";
/// What stands in front of that, after the signature itself: of its 12 bytes the last four are the signature's length, big-endian.
const TRAILER: usize = 12;
/// In DER: the attribute type commonName.
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];

/// A module's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The kernel's name for it: the file's, with underscores.
    pub name: String,
    /// The same as its build has written it, which renaming the file does not change. None: it does not say.
    pub built_as: Option<String>,
    /// The name of the plugin, as its nodes have it, if it is a module of kp's.
    pub plugin: Option<String>,
    /// Its author's version of it.
    pub version: String,
    /// What `uname -r` says in the kernel that it is built for.
    pub release: String,
    /// The PCI devices that it is made for, as in `pci:v00001234d000011E8sv*sd*bc*sc*i*`.
    pub aliases: Vec<String>,
    /// The modules that have to be loaded first.
    pub depends: Vec<String>,
    /// Who has signed it, if somebody has. Empty: it does not say.
    pub signer: Option<String>,
    /// The processor that it is for, as `uname -m` says it.
    pub machine: &'static str,
}

impl Module {
    /// Reads a file of this name with this content.
    ///
    /// # Errors
    /// [`Message::NoModule`].
    pub fn parse(path: &Path, content: &[u8]) -> Result<Self, Message> {
        let none = || Message::NoModule { file: path.display().to_string() };
        let stem = stem(path).ok_or_else(none)?;
        let file = object::File::parse(content).map_err(|_| none())?;
        let machine = match file.architecture() {
            object::Architecture::X86_64 => "x86_64",
            object::Architecture::Aarch64 => "aarch64",
            _ => "another processor",
        };
        let section = file.section_by_name(".modinfo").ok_or_else(none)?;
        let text = section.data().map_err(|_| none())?;
        let first = |key: &str| values(text, key).next();
        let release = first("vermagic").and_then(|magic| magic.split(' ').next().map(str::to_owned));
        let names = first("depends").unwrap_or_default();
        Ok(Module {
            name: stem.replace('-', "_"),
            built_as: first("name"),
            plugin: first("kp"),
            version: first("version").unwrap_or_default(),
            release: release.ok_or_else(none)?,
            aliases: values(text, "alias").filter(|alias| alias.starts_with("pci:")).collect(),
            depends: names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            signer: signer(content),
            machine,
        })
    }
}

/// The name of a module's file, without `.ko` and how it is packed.
#[must_use]
pub fn stem(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    Some(name.split_once(".ko").map_or(&*name, |(stem, _)| stem).to_owned())
}

/// Whether a module's file is where DKMS puts what it has built.
#[must_use]
pub fn is_dkms(path: &str) -> bool {
    path.contains("/updates/dkms/")
}

/// A module as the kernel takes it, whichever way its file is packed: not every kernel unpacks by itself.
///
/// # Errors
/// [`Message::NotRead`], [`Message::NotUnpacked`].
pub fn unpacked(path: &Path) -> Result<Vec<u8>, Message> {
    let file = path.display().to_string();
    let (program, package) = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => ("xz", "xz-utils"),
        Some("zst") => ("zstd", "zstd"),
        Some("gz") => ("gzip", "gzip"),
        _ => return fs::read(path).map_err(|error| Message::NotRead { file, why: error.to_string() }),
    };
    let failed = |why: String| Message::NotUnpacked { file, why, package: package.to_owned() };
    match Command::new(program).args(["-d", "-c"]).arg(path).output() {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// The values that a section `.modinfo` has for a key.
fn values<'a>(text: &'a [u8], key: &'a str) -> impl Iterator<Item = String> + 'a {
    text.split(|&byte| byte == 0).filter_map(move |entry| {
        let value = entry.strip_prefix(key.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

/// Who has signed a module: the common name in its signature.
fn signer(module: &[u8]) -> Option<String> {
    let rest = module.strip_suffix(SIGNED)?;
    let (rest, trailer) = rest.split_at_checked(rest.len().checked_sub(TRAILER)?)?;
    let len = u32::from_be_bytes(trailer[8..].try_into().ok()?);
    let signature = rest.get(rest.len().checked_sub(usize::try_from(len).ok()?)?..)?;
    // sign-file leaves certificates out, so that the names in it are those of the signer's certificate's issuer: of a key of one's own, itself.
    let at = signature.windows(COMMON_NAME.len()).rposition(|bytes| bytes == COMMON_NAME);
    let name = at.and_then(|at| {
        // A short string: its type, its length, its bytes.
        let string = signature.get(at + COMMON_NAME.len()..)?;
        string.get(2..2 + usize::from(*string.get(1)?))
    });
    Some(name.map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default())
}

/// The devices that these aliases fit, as `PCI device 1234:11e8`.
pub fn in_words(aliases: &[String]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up::made_up;

    fn module(entries: &[&str]) -> Module {
        Module::parse(Path::new("a/kp-my-card.ko"), &made_up(entries)).unwrap()
    }

    const MAGIC: &str = "vermagic=6.12.9-amd64 SMP preempt mod_unload modversions ";

    #[test]
    fn a_module_says_what_it_is() {
        let module = module(&["license=GPL", "kp=card", "version=0.2.0", "depends=mc,videodev", "alias=kp", MAGIC]);
        assert_eq!(module.name, "kp_my_card");
        assert_eq!(stem(Path::new("/a/kp-my-card.ko.xz")).as_deref(), Some("kp-my-card"));
        assert_eq!((module.plugin.as_deref(), &*module.version), (Some("card"), "0.2.0"));
        assert_eq!((&*module.release, module.machine), ("6.12.9-amd64", "x86_64"));
        assert_eq!(module.depends, ["mc", "videodev"]);
        assert_eq!((module.aliases, module.signer), (Vec::new(), None));
    }

    #[test]
    fn a_module_says_which_devices_it_is_made_for() {
        let of = |entries: &[&str]| in_words(&module(&[&[MAGIC], entries].concat()).aliases);
        let edu = "alias=pci:v00001234d000011E8sv*sd*bc*sc*i*";
        assert_eq!(of(&[edu]), "PCI device 1234:11e8");
        assert_eq!(of(&[edu, "alias=pci:v*d*sv*sd*bc0Csc03i30*"]), "PCI device 1234:11e8 or of class 0c0330");
        assert_eq!(of(&["alias=pci:v*d*sv*sd*bc01sc08i*"]), "PCI device of class 0108");
        let card = "alias=pci:v000010EEd00007024sv000010F0sd00000007bc*sc*i*";
        assert_eq!(of(&[card]), "PCI device 10ee:7024 sub 10f0:0007");
    }

    #[test]
    fn what_is_no_module_is_refused() {
        let name = Path::new("a.ko");
        for content in [&b""[..], b"\x7fELF\0vermagic=6.12.9 SMP\0", &made_up(&["license=GPL"])] {
            let why = Module::parse(name, content).expect_err("no module").to_string();
            assert_eq!(why, "a.ko is no kernel module: name the .ko file that `cargo kp build` prints");
        }
    }

    #[test]
    fn a_signed_module_names_its_signer() {
        let sign = |signature: &[u8]| {
            let len = (signature.len() as u32).to_be_bytes();
            [&made_up(&[MAGIC])[..], signature, &[0, 0, 2, 0, 0, 0, 0, 0], &len, SIGNED].concat()
        };
        let signer = |content: &[u8]| Module::parse(Path::new("kp-a.ko"), content).unwrap().signer;
        let name = [&COMMON_NAME[..], &[0x0c, 10], b"my modules"].concat();
        assert_eq!(signer(&sign(&[b"0000", &name[..], b"1111"].concat())).as_deref(), Some("my modules"));
        assert_eq!(signer(&sign(b"0000")).as_deref(), Some(""), "it is signed, and does not say by whom");
        assert_eq!(signer(&sign(&name[..7])).as_deref(), Some(""));
        let lying = [&made_up(&[MAGIC])[..], &[0, 0, 2, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], SIGNED].concat();
        assert_eq!(signer(&lying), None);
    }
}
