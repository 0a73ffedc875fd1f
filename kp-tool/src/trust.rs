//! Whether this machine's kernel takes a module: what it asks of signatures, and whom it trusts.

use crate::Message;
use crate::machine::Machine;
use crate::module::{Module, is_dkms};
use serde::Serialize;

/// The firmware's variable: four bytes of attributes, and one that is 1 if Secure Boot is on.
const SECURE_BOOT: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// What a kernel asks of modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trust {
    /// Whether Secure Boot is on. None: the firmware does not say.
    pub secure_boot: Option<bool>,
    /// The mode of lockdown: `none`, `integrity` or `confidentiality`. None: the kernel does not say.
    pub lockdown: Option<String>,
    /// Whether the kernel was told by itself to take signed modules only.
    pub sig_enforce: bool,
    /// The names of the keys that it knows, as far as this user may see them.
    #[serde(skip)]
    keys: Vec<String>,
}

impl Trust {
    /// That of a machine's kernel.
    pub fn of(machine: &dyn Machine) -> Self {
        let variable = std::fs::read(machine.at(SECURE_BOOT)).ok();
        let lockdown = machine.text("/sys/kernel/security/lockdown");
        let keys = machine.text("/proc/keys").unwrap_or_default();
        Trust {
            secure_boot: variable.and_then(|bytes| bytes.get(4).map(|&value| value == 1)),
            // The mode in force stands in brackets: "[none] integrity confidentiality".
            lockdown: lockdown.and_then(|text| Some(text.split('[').nth(1)?.split(']').next()?.to_owned())),
            sig_enforce: machine.text("/sys/module/module/parameters/sig_enforce").as_deref() == Some("Y"),
            keys: keys.lines().filter_map(key).map(str::to_owned).collect(),
        }
    }

    /// Why the kernel takes signed modules only, as in `Secure Boot is on`. None: it takes any.
    pub fn asks_for_signatures(&self) -> Option<String> {
        let mode = self.lockdown.as_deref();
        match (self.secure_boot, mode) {
            (Some(true), mode) if mode != Some("none") => Some("Secure Boot is on".to_owned()),
            (_, Some(mode)) if mode != "none" => Some(format!("the kernel is locked down ({mode})")),
            _ if self.sig_enforce => Some("module.sig_enforce is set".to_owned()),
            _ => None,
        }
    }

    /// Whether the kernel would take this module, in the file `file`.
    ///
    /// # Errors
    /// [`Message::Unsigned`], [`Message::DkmsUnsigned`], [`Message::UntrustedKey`].
    pub fn check(&self, module: &Module, file: &str) -> Result<(), Message> {
        let Some(why) = self.asks_for_signatures() else { return Ok(()) };
        match &module.signer {
            None if is_dkms(file) => {
                let package = format!("{}/{}", module.name.replace('_', "-"), module.version);
                Err(Message::DkmsUnsigned { package, release: module.release.clone(), why })
            }
            None => Err(Message::Unsigned { file: file.to_owned(), why }),
            // A user who sees no key at all, or a signature without a name, is for the kernel to judge.
            Some(name) if name.is_empty() || self.keys.is_empty() || self.keys.contains(name) => Ok(()),
            Some(name) => Err(untrusted(file, name)),
        }
    }
}

/// The refusal of a signature by a key that the kernel does not know.
pub fn untrusted(file: &str, signer: &str) -> Message {
    let signer = if signer.is_empty() { "a key".to_owned() } else { format!("\"{signer}\"") };
    let enroll = if is_dkms(file) { "sudo kp sign enroll --dkms" } else { "sudo kp sign enroll" };
    Message::UntrustedKey { file: file.to_owned(), signer, enroll: enroll.to_owned() }
}

/// The name in a line of /proc/keys about a certificate, as `… asymmetri my modules: 8f31…: X509.rsa 8f31… []`.
fn key(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("asymmetri ")?;
    let (rest, _) = rest.rsplit_once(": X509")?;
    Some(rest.rsplit_once(": ")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    fn module(signer: Option<&str>) -> Module {
        let mut module =
            Module::parse("kp-card.ko".as_ref(), &crate::made_up::made_up(&["version=0.1.0", "vermagic=6.12.9 SMP"]))
                .unwrap();
        module.signer = signer.map(str::to_owned);
        module
    }

    fn why(fake: &Fake, signer: Option<&str>) -> String {
        let refused = Trust::of(fake).check(&module(signer), "kp-card.ko");
        refused.map_or_else(|message| message.to_string(), |()| "taken".to_owned())
    }

    #[test]
    fn a_kernel_that_asks_for_nothing_takes_any_module() {
        let fake = Fake::new();
        assert_eq!(why(&fake, None), "taken");
        fake.file("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
        fake.file("/sys/module/module/parameters/sig_enforce", "N\n");
        fake.file(SECURE_BOOT, "\u{6}\0\0\0\0");
        assert_eq!(why(&fake, None), "taken");
        // With Secure Boot, a kernel that says that it is not locked down.
        fake.file(SECURE_BOOT, "\u{6}\0\0\0\u{1}");
        assert_eq!(why(&fake, None), "taken");
        assert_eq!(why(&fake, Some("anybody")), "taken");
    }

    #[test]
    fn an_unsigned_module_is_refused_where_the_kernel_would_and_the_sentence_says_why() {
        let end = " and kp-card.ko is not signed: `cargo kp sign kp-card.ko`, then `sudo kp sign enroll` and restart; nothing was changed";
        let enforced = Fake::new();
        enforced.file("/sys/module/module/parameters/sig_enforce", "Y\n");
        assert_eq!(why(&enforced, None), format!("module.sig_enforce is set{end}"));
        let locked = Fake::new();
        locked.file("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
        assert_eq!(why(&locked, None), format!("the kernel is locked down (integrity){end}"));
        locked.file(SECURE_BOOT, "\u{6}\0\0\0\u{1}");
        assert_eq!(why(&locked, None), format!("Secure Boot is on{end}"));
        let silent = Fake::new();
        silent.file(SECURE_BOOT, "\u{6}\0\0\0\u{1}");
        assert_eq!(why(&silent, None), format!("Secure Boot is on{end}"), "nobody has mounted securityfs");
    }

    #[test]
    fn what_dkms_has_built_gets_its_key_and_its_signature_from_dkms() {
        let (fake, file) = (Fake::new(), "/lib/modules/6.12.9/updates/dkms/kp-card.ko");
        fake.file(SECURE_BOOT, "\u{6}\0\0\0\u{1}");
        fake.file("/proc/keys", "1a2b3c I------ 1 perm 1f030000 0 0 asymmetri a CA: 6cce: X509.rsa 85 []\n");
        let why = |signer| Trust::of(&fake).check(&module(signer), file).expect_err("it is refused").to_string();
        assert_eq!(
            why(None),
            "Secure Boot is on, and dkms built kp-card/0.1.0 for 6.12.9 and did not sign it: `sudo dkms generate_mok`, \
             `sudo dkms build --force kp-card/0.1.0 -k 6.12.9`, `sudo dkms install --force kp-card/0.1.0 -k 6.12.9`, \
             `sudo kp sign enroll --dkms`, then restart"
        );
        let untrusted = why(Some("DKMS module signing key"));
        assert!(untrusted.contains("does not trust: `sudo kp sign enroll --dkms`, restart"), "{untrusted}");
    }

    #[test]
    fn a_key_that_the_kernel_does_not_know_is_another_sentence_than_none() {
        let fake = Fake::new();
        fake.file("/sys/module/module/parameters/sig_enforce", "Y\n");
        assert_eq!(why(&fake, Some("my modules")), "taken", "who may see no key leaves it to the kernel");
        let keys = "1a2b3c I------     1 perm 1f030000     0     0 asymmetri Debian Secure Boot CA: 6cce: X509.rsa 85 []\n\
                    2a2b3c I------     1 perm 1f030000     0     0 keyring   .ima: empty\n";
        fake.file("/proc/keys", keys);
        assert_eq!(why(&fake, Some("Debian Secure Boot CA")), "taken");
        assert_eq!(why(&fake, Some("")), "taken");
        assert_eq!(
            why(&fake, Some("my modules")),
            "kp-card.ko is signed by \"my modules\", which this machine does not trust: `sudo kp sign enroll`, restart, choose Enroll MOK; \
             nothing was changed"
        );
    }
}
